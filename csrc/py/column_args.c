/* column_args.c - converts arguments of the functions on columns to C. See column_args.h. */

#include "column_args.h"

#include <string.h>

bool mmbpy_memory_get(PyObject *tuple, bool writable, mmbpy_memory *out)
{
    Py_ssize_t given = PyTuple_Size(tuple);
    if (given < 0) {
        return false;
    }
    if (given > (Py_ssize_t)MMB_MAX_SEGMENTS) {
        PyErr_Format(PyExc_ValueError, "a message has %d segments at most", (int)MMB_MAX_SEGMENTS);
        return false;
    }
    size_t room = given > 0 ? (size_t)given : 1;
    out->views = PyMem_Calloc(room, sizeof *out->views);
    out->segments = PyMem_Calloc(room, sizeof *out->segments);
    if (out->views == NULL || out->segments == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *item = PyTuple_GetItem(tuple, i);
        Py_buffer *view = &out->views[i];
        if (PyObject_GetBuffer(item, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) {
            return false;
        }
        uint64_t words = (uint64_t)view->len / MMB_WORD;
        if (words > MMB_MAX_SEGMENT_WORDS) {
            words = MMB_MAX_SEGMENT_WORDS;
        }
        out->segments[i] = (mmb_segment){.base = view->buf, .words = words};
        out->count++;
    }
    return true;
}

void mmbpy_memory_release(mmbpy_memory *memory)
{
    for (uint32_t i = 0; i < memory->count; i++) {
        PyBuffer_Release(&memory->views[i]);
    }
    PyMem_Free(memory->views);
    PyMem_Free(memory->segments);
}

bool mmbpy_strings_get(PyObject *tuple, mmbpy_strings *out)
{
    mmb_strings *strings = &out->strings;
    PyObject *valid;
    unsigned int width;
    unsigned long long first, count;
    if (!PyArg_ParseTuple(tuple, "y*Iy*OKK:strings", &out->offsets, &width, &out->bytes, &valid,
                          &first, &count)) {
        return false;
    }
    if (width != 4 && width != 8) {
        PyErr_SetString(PyExc_ValueError, "an offset has 4 or 8 bytes");
        return false;
    }
    uint64_t offsets = (uint64_t)out->offsets.len / width;
    bool fits = offsets > 0 && first <= offsets - 1 && count <= offsets - 1 - first;
    if (fits && valid != Py_None) {
        if (PyObject_GetBuffer(valid, &out->valid, PyBUF_SIMPLE) < 0) {
            return false;
        }
        uint64_t end = first + count; /* below 2^61, since each string has an offset */
        fits = (end + 7) / 8 <= (uint64_t)out->valid.len;
    }
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "the buffers are too short for the strings");
        return false;
    }
    strings->bytes = out->bytes.buf;
    strings->size = (uint64_t)out->bytes.len;
    strings->offsets = (const unsigned char *)out->offsets.buf + first * width;
    strings->width = width;
    strings->valid = out->valid.buf;
    strings->valid_first = first;
    strings->count = count;
    return true;
}

void mmbpy_strings_release(mmbpy_strings *strings)
{
    PyBuffer_Release(&strings->offsets);
    PyBuffer_Release(&strings->bytes);
    PyBuffer_Release(&strings->valid);
}

bool mmbpy_pointers_get(PyObject *tuple, mmb_pointers *out)
{
    unsigned long long word, stride, count;
    unsigned int segment;
    if (!PyArg_ParseTuple(tuple, "IKKK:pointers", &segment, &word, &stride, &count)) {
        return false;
    }
    *out = (mmb_pointers){.segment = segment, .word = word, .stride = stride, .count = count};
    return true;
}

bool mmbpy_room_get(PyObject *tuple, mmb_room *out)
{
    unsigned long long word, words;
    unsigned int segment;
    if (!PyArg_ParseTuple(tuple, "IKK:room", &segment, &word, &words)) {
        return false;
    }
    *out = (mmb_room){.segment = segment, .word = word, .words = words};
    return true;
}

bool mmbpy_mask_get(PyObject *object, uint64_t count, Py_buffer *view)
{
    if (object == Py_None) {
        return true;
    }
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0) {
        return false;
    }
    if ((uint64_t)view->len >= count) {
        return true;
    }
    PyErr_SetString(PyExc_ValueError, "the mask is shorter than the column");
    return false;
}

int mmbpy_is_string(const mmbpy_state *state, PyObject *object, const Py_buffer *view, bool text)
{
    if (PyObject_Size(object) < 0) {
        return mmbpy_forget(PyExc_TypeError) ? 0 : -1;
    }
    int is_masked = mmbpy_is_masked(state, object);
    return is_masked < 0 ? -1 : is_masked == 0 && (!text || view->itemsize == 1);
}

int mmbpy_is_masked(const mmbpy_state *state, PyObject *object)
{
    int has = mmbpy_has(state, object, "filled");
    return has == 1 ? mmbpy_has(state, object, "mask") : has;
}
