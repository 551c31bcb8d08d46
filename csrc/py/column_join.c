/* column_join.c - Python's strings into one buffer with offsets, and back.
 *
 * With one layout for all strings, Apache Arrow's, the layers below need to know
 * only that one, and Arrow's own columns are taken as they are. */

#include "column_args.h"

#include <math.h>
#include <string.h>

/* What is being joined. The buffers are bytearrays, which can grow in place. */
typedef struct {
    PyObject *offsets, *bytes;
    char *offsets_at, *bytes_at; /* their memory */
    PyObject *valid;             /* NULL as long as nothing is missing */
    uint64_t count;
    Py_ssize_t used; /* of `bytes` */
    Py_ssize_t room;
} joined;

static bool joined_start(joined *j, uint64_t count)
{
    *j = (joined){.count = count};
    if (count >= (uint64_t)PY_SSIZE_T_MAX / 8) {
        PyErr_NoMemory();
        return false;
    }
    j->offsets = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)((count + 1) * 8));
    j->bytes = PyByteArray_FromStringAndSize(NULL, 0);
    if (j->offsets == NULL || j->bytes == NULL) {
        return false;
    }
    j->offsets_at = PyByteArray_AsString(j->offsets);
    j->bytes_at = PyByteArray_AsString(j->bytes);
    return true;
}

static void set_offset(joined *j, uint64_t index)
{
    uint64_t end = (uint64_t)j->used;
    memcpy(j->offsets_at + index * 8, &end, sizeof end);
}

/* Room for `length` more bytes; where they go. */
static char *joined_room(joined *j, Py_ssize_t length)
{
    if (length > j->room - j->used) {
        if (length > PY_SSIZE_T_MAX / 4 - j->used) {
            PyErr_NoMemory();
            return NULL;
        }
        Py_ssize_t room = 2 * (j->used + length) + 64;
        if (PyByteArray_Resize(j->bytes, room) < 0)
            return NULL;
        j->room = room;
        j->bytes_at = PyByteArray_AsString(j->bytes);
    }
    return j->bytes_at + j->used;
}

static bool joined_add(joined *j, const char *data, Py_ssize_t length)
{
    char *to = joined_room(j, length);
    if (to == NULL)
        return false;
    if (length > 0)
        memcpy(to, data, (size_t)length);
    j->used += length;
    return true;
}

static bool joined_missing(joined *j, uint64_t index)
{
    size_t size = (size_t)((j->count + 7) / 8);
    if (j->valid == NULL) {
        j->valid = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
        if (j->valid == NULL)
            return false;
        memset(PyByteArray_AsString(j->valid), 0xFF, size);
    }
    unsigned char *byte = (unsigned char *)PyByteArray_AsString(j->valid) + index / 8;
    *byte = (unsigned char)(*byte & ~(1u << (index % 8)));
    return true;
}

/* The result, or NULL if `good` is false; the buffers are given up either way. */
static PyObject *joined_finish(joined *j, bool good)
{
    PyObject *result = NULL;
    if (good && PyByteArray_Resize(j->bytes, j->used) == 0)
        result = PyTuple_Pack(3, j->offsets, j->bytes, j->valid != NULL ? j->valid : Py_None);
    Py_XDECREF(j->offsets);
    Py_XDECREF(j->bytes);
    Py_XDECREF(j->valid);
    return result;
}

static bool is_missing(PyObject *item)
{
    return item == Py_None || (PyFloat_Check(item) && isnan(PyFloat_AsDouble(item)));
}

static void raise_no_string(uint64_t index, PyObject *item)
{
    PyObject *name = PyType_GetName(Py_TYPE(item));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "row %llu: str, bytes or None is required, not %U",
                     (unsigned long long)index, name);
    }
    Py_XDECREF(name);
}

static bool add_object(joined *j, uint64_t index, PyObject *item)
{
    if (PyUnicode_Check(item)) {
        Py_ssize_t length;
        const char *data = PyUnicode_AsUTF8AndSize(item, &length);
        return data != NULL && joined_add(j, data, length);
    }
    if (is_missing(item)) {
        return joined_missing(j, index);
    }
    if (PyObject_CheckBuffer(item)) {
        Py_buffer view;
        if (PyObject_GetBuffer(item, &view, PyBUF_SIMPLE) < 0)
            return false;
        bool good = joined_add(j, view.buf, view.len);
        PyBuffer_Release(&view);
        return good;
    }
    raise_no_string(index, item);
    return false;
}

/* Check one string of a list and add the words that it takes. */
static bool measure_object(uint64_t index, PyObject *item, bool text, uint64_t *words,
                           uint64_t *found)
{
    Py_buffer view = {0};
    uint64_t ends[2] = {0, 0};
    mmb_strings one = {.offsets = (const unsigned char *)ends, .width = sizeof *ends, .count = 1};
    if (PyUnicode_Check(item)) {
        Py_ssize_t length;
        one.bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(item, &length);
        if (one.bytes == NULL) {
            return false;
        }
        ends[1] = (uint64_t)length;
        if (ends[1] < MMB_MAX_SEGMENT_WORDS) { /* UTF-8 by its make: nothing to look at */
            *words += (ends[1] + (text ? MMB_WORD : MMB_WORD - 1)) / MMB_WORD;
            *found += 1;
            return true;
        }
    } else if (is_missing(item)) {
        return true;
    } else if (PyObject_CheckBuffer(item)) {
        if (PyObject_GetBuffer(item, &view, PyBUF_SIMPLE) < 0) {
            return false;
        }
        one.bytes = view.buf;
        ends[1] = (uint64_t)view.len;
    } else {
        raise_no_string(index, item);
        return false;
    }
    uint64_t own, one_found, bad;
    one.size = ends[1];
    const char *reason = mmb_strings_measure(&one, NULL, text, &own, &one_found, &bad);
    PyBuffer_Release(&view);
    if (reason != NULL) {
        PyErr_Format(PyExc_ValueError, "row %llu: %s", (unsigned long long)index, reason);
        return false;
    }
    *words += own;
    *found += one_found;
    return true;
}

/* Goes through a list or tuple, which Python code that runs meanwhile may change. */
typedef struct {
    PyObject *sequence; /* owned */
    Py_ssize_t count;
    bool is_list;
} items;

static bool items_start(items *in, PyObject *values)
{
    in->sequence = MMBPY_SNAPSHOT(values);
    if (in->sequence == NULL) {
        return false;
    }
    in->is_list = PyList_Check(in->sequence);
    in->count = in->is_list ? PyList_Size(in->sequence) : PyTuple_Size(in->sequence);
    return true;
}

/* A new reference; IndexError if the list has become shorter. */
static inline PyObject *items_get(const items *in, Py_ssize_t index)
{
    PyObject *item =
        in->is_list ? PyList_GetItem(in->sequence, index) : PyTuple_GetItem(in->sequence, index);
    Py_XINCREF(item);
    return item;
}

PyDoc_STRVAR(measure_list_doc,
             "measure_list($module, values, text, /)\n--\n\n"
             "Check what join_strings would join; returns what measure_strings does.");

static PyObject *measure_list(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *values;
    int text;
    items in;
    if (!PyArg_ParseTuple(args, "Op:measure_list", &values, &text) || !items_start(&in, values)) {
        return NULL;
    }
    uint64_t words = 0, found = 0;
    bool good = true;
    for (Py_ssize_t i = 0; good && i < in.count; i++) {
        PyObject *item = items_get(&in, i);
        good = item != NULL && measure_object((uint64_t)i, item, text != 0, &words, &found);
        Py_XDECREF(item);
    }
    Py_DECREF(in.sequence);
    if (!good) {
        return NULL;
    }
    return Py_BuildValue("KK", (unsigned long long)words, (unsigned long long)found);
}

PyDoc_STRVAR(join_strings_doc,
             "join_strings($module, values, start, stop, /)\n--\n\n"
             "Join str (as UTF-8) and bytes-like objects of a list, from start up to stop:\n"
             "(offsets of 8 bytes, bytes, valid or None), bytearrays. None and NaN are\n"
             "missing.");

static PyObject *join_strings(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *values;
    Py_ssize_t start, stop;
    items in;
    if (!PyArg_ParseTuple(args, "Onn:join_strings", &values, &start, &stop) ||
        !items_start(&in, values)) {
        return NULL;
    }
    joined j = {0};
    bool good = start >= 0 && start <= stop && stop <= in.count;
    if (!good) {
        PyErr_SetString(PyExc_IndexError, "the list has become shorter");
    } else {
        good = joined_start(&j, (uint64_t)(stop - start));
    }
    for (Py_ssize_t i = start; good && i < stop; i++) {
        PyObject *item = items_get(&in, i);
        if (item == NULL) {
            good = false;
            break;
        }
        set_offset(&j, (uint64_t)(i - start));
        good = add_object(&j, (uint64_t)(i - start), item);
        Py_DECREF(item);
    }
    if (good) {
        set_offset(&j, j.count);
    }
    Py_DECREF(in.sequence);
    return joined_finish(&j, good);
}

/* ---- NumPy's strings of fixed width ---------------------------------------------- */

/* Returns the number of bytes, 0 for what is no character. */
static unsigned encode(uint32_t c, unsigned char *to)
{
    if (c < 0x80) {
        to[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (unsigned char)(0xC0 | c >> 6);
        to[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        if (c >= 0xD800 && c < 0xE000)
            return 0;
        to[0] = (unsigned char)(0xE0 | c >> 12);
        to[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    if (c > 0x10FFFF)
        return 0;
    to[0] = (unsigned char)(0xF0 | c >> 18);
    to[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}

static bool add_characters(joined *j, uint64_t index, const unsigned char *from, Py_ssize_t width)
{
    Py_ssize_t length = width / 4;
    uint32_t c = 0;
    while (length > 0 && (memcpy(&c, from + (length - 1) * 4, 4), c == 0))
        length--;
    unsigned char *to = (unsigned char *)joined_room(j, length * 4);
    if (to == NULL)
        return false;
    for (Py_ssize_t k = 0; k < length; k++) {
        memcpy(&c, from + k * 4, 4);
        unsigned bytes = encode(c, to);
        if (bytes == 0) {
            PyErr_Format(PyExc_ValueError, "row %llu: U+%x is no character",
                         (unsigned long long)index, c);
            return false;
        }
        to += bytes;
        j->used += bytes;
    }
    return true;
}

PyDoc_STRVAR(join_fixed_doc,
             "join_fixed($module, data, width, count, wide, /)\n--\n\n"
             "As join_strings, for the data of a contiguous NumPy array of count strings of\n"
             "width bytes each, of dtype U if wide, else S. Zeros at the end are padding.");

static PyObject *join_fixed(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    Py_ssize_t width, count;
    int wide;
    if (!PyArg_ParseTuple(args, "y*nnp:join_fixed", &data, &width, &count, &wide))
        return NULL;
    if (width < 0 || count < 0 || (width > 0 && count > data.len / width)) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "the buffer is too short for the strings");
        return NULL;
    }
    joined j;
    bool good = joined_start(&j, (uint64_t)count);
    for (Py_ssize_t i = 0; good && i < count; i++) {
        const unsigned char *from = (const unsigned char *)data.buf + i * width;
        set_offset(&j, (uint64_t)i);
        if (wide) {
            good = add_characters(&j, (uint64_t)i, from, width);
        } else {
            Py_ssize_t length = width;
            while (length > 0 && from[length - 1] == 0)
                length--;
            good = joined_add(&j, (const char *)from, length);
        }
    }
    if (good)
        set_offset(&j, (uint64_t)count);
    PyBuffer_Release(&data);
    return joined_finish(&j, good);
}

/* ---- back ----------------------------------------------------------------------- */

PyDoc_STRVAR(split_strings_doc,
             "split_strings($module, offsets, bytes, valid, text, missing, /)\n--\n\n"
             "A list of str or bytes from what read_strings returned.");

static PyObject *split_strings(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer offsets, bytes, valid;
    int text;
    PyObject *missing, *list = NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*pO:split_strings", &offsets, &bytes, &valid, &text,
                          &missing))
        return NULL;
    Py_ssize_t count = offsets.len / 8 - 1;
    if (count < 0 || valid.len < (count + 7) / 8) {
        PyErr_SetString(PyExc_ValueError, "the buffers are too short for the strings");
        goto done;
    }
    list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; i++) {
        uint64_t ends[2];
        PyObject *item = NULL;
        memcpy(ends, (const char *)offsets.buf + i * 8, sizeof ends);
        if (ends[0] > ends[1] || ends[1] > (uint64_t)bytes.len) {
            PyErr_SetString(PyExc_ValueError, "the offsets of the strings are damaged");
        } else if ((((const unsigned char *)valid.buf)[i / 8] >> (i % 8) & 1) == 0) {
            item = Py_NewRef(missing);
        } else {
            const char *start = (const char *)bytes.buf + ends[0];
            Py_ssize_t length = (Py_ssize_t)(ends[1] - ends[0]);
            item = text ? PyUnicode_DecodeUTF8(start, length, NULL)
                        : PyBytes_FromStringAndSize(start, length);
        }
        if (item == NULL || PyList_SetItem(list, i, item) < 0)
            Py_CLEAR(list);
    }
done:
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&bytes);
    PyBuffer_Release(&valid);
    return list;
}

PyMethodDef mmbpy_join_functions[] = {
    {"measure_list", measure_list, METH_VARARGS, measure_list_doc},
    {"join_strings", join_strings, METH_VARARGS, join_strings_doc},
    {"join_fixed", join_fixed, METH_VARARGS, join_fixed_doc},
    {"split_strings", split_strings, METH_VARARGS, split_strings_doc},
    {NULL, NULL, 0, NULL},
};
