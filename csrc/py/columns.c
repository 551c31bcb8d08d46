/* columns.c - functions of `_core` on the memory of messages: pointers, columns of Text and
 * Data. */

#include "column_args.h"
#include "read.h"
#include "stage_file.h"

#include <string.h>

PyDoc_STRVAR(resolve_doc,
             "resolve($module, segments, segment, word, /)\n--\n\n"
             "Follow one pointer. segments is a tuple of buffers.\n\n"
             "Return (kind, segment, word, elements, element_size, data_words, pointer_words).\n"
             "kind is 0 for null, 1 for a struct, 2 for a list, 3 for a capability.\n"
             "InvalidMessage if the pointer leads out of bounds.");

static PyObject *resolve(PyObject *module, PyObject *args)
{
    PyObject *tuple, *result = NULL;
    unsigned int segment;
    unsigned long long word;
    mmbpy_memory memory = {0};
    mmb_object object;
    mmb_flaw flaw = {0};
    if (!PyArg_ParseTuple(args, "O!IK:resolve", &PyTuple_Type, &tuple, &segment, &word)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, false, &memory)) {
        if (mmb_resolve(memory.segments, memory.count, segment, word, &object, &flaw) != 0) {
            mmbpy_raise_invalid(PyModule_GetState(module), &flaw);
        } else {
            result = Py_BuildValue("iIIIIII", (int)object.kind, object.segment, object.word,
                                   object.elements, (unsigned)object.element_size,
                                   (unsigned)object.data_words, (unsigned)object.pointer_words);
        }
    }
    mmbpy_memory_release(&memory);
    return result;
}

/* Take one column of store_columns: (numbers, offset, xor_default). The caller releases the buffer.
 */
static bool get_column(PyObject *tuple, uint64_t rows, Py_buffer *view, mmb_numbers *out)
{
    PyObject *numbers;
    unsigned int offset;
    unsigned long long xor_default;
    if (!PyArg_ParseTuple(tuple, "OIK:column", &numbers, &offset, &xor_default)) {
        return false;
    }
    if (PyObject_GetBuffer(numbers, view, PyBUF_STRIDED_RO) < 0) {
        return false;
    }
    if (view->ndim != 1 || (uint64_t)view->shape[0] != rows) {
        PyErr_SetString(PyExc_ValueError, "a column does not have as many numbers as rows");
        return false;
    }
    *out = (mmb_numbers){.from = view->buf,
                         .step = view->strides[0],
                         .xor_default = xor_default,
                         .offset = offset,
                         .size = (uint32_t)view->itemsize};
    return true;
}

PyDoc_STRVAR(store_columns_doc,
             "store_columns($module, segments, rows, columns, /)\n--\n\n"
             "Store numbers into the structs of a list.\n\n"
             "rows is (segment, byte, stride, count). columns is a tuple of (numbers, offset,\n"
             "xor_default): a buffer of little-endian numbers, their place in the data section in\n"
             "bytes, and the number that each is XORed with.");

static PyObject *store_columns(PyObject *module, PyObject *args)
{
    PyObject *tuple, *rows_tuple, *columns_tuple, *result = NULL;
    unsigned int segment;
    unsigned long long byte, stride, count;
    mmbpy_memory memory = {0};
    mmb_flaw flaw = {0};
    if (!PyArg_ParseTuple(args, "O!O!O!:store_columns", &PyTuple_Type, &tuple, &PyTuple_Type,
                          &rows_tuple, &PyTuple_Type, &columns_tuple) ||
        !PyArg_ParseTuple(rows_tuple, "IKKK:rows", &segment, &byte, &stride, &count)) {
        return NULL;
    }
    mmb_rows rows = {.byte = byte, .stride = stride, .count = count, .segment = segment};
    Py_ssize_t given = PyTuple_Size(columns_tuple);
    Py_buffer *views = PyMem_Calloc((size_t)given + 1, sizeof *views);
    mmb_numbers *columns = PyMem_Calloc((size_t)given + 1, sizeof *columns);
    bool good = views != NULL && columns != NULL;
    if (!good) {
        PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; good && i < given; i++) {
        good = get_column(PyTuple_GetItem(columns_tuple, i), rows.count, &views[i], &columns[i]);
    }
    if (good && mmbpy_memory_get(tuple, true, &memory)) {
        int error;
        Py_BEGIN_ALLOW_THREADS
        error =
            mmb_rows_store(memory.segments, memory.count, &rows, columns, (uint32_t)given, &flaw);
        Py_END_ALLOW_THREADS
        if (error != 0) {
            mmbpy_raise_invalid(PyModule_GetState(module), &flaw);
        } else {
            result = Py_NewRef(Py_None);
        }
    }
    mmbpy_memory_release(&memory);
    for (Py_ssize_t i = 0; views != NULL && i < given; i++) {
        PyBuffer_Release(&views[i]);
    }
    PyMem_Free(views);
    PyMem_Free(columns);
    return result;
}

PyDoc_STRVAR(measure_strings_doc,
             "measure_strings($module, strings, mask, text, /)\n--\n\n"
             "Check strings. Return (the words that they take, how many there are).\n\n"
             "strings is (offsets, width, bytes, valid or None, first, count). mask is a\n"
             "buffer with one byte for each string, or None. ValueError names the row.");

static PyObject *measure_strings(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *tuple, *mask_object, *result = NULL;
    int text;
    mmbpy_strings strings = {0};
    Py_buffer mask = {0};
    if (!PyArg_ParseTuple(args, "O!Op:measure_strings", &PyTuple_Type, &tuple, &mask_object,
                          &text)) {
        return NULL;
    }
    if (mmbpy_strings_get(tuple, &strings) &&
        mmbpy_mask_get(mask_object, strings.strings.count, &mask)) {
        const char *reason;
        uint64_t words, found, bad = 0;
        Py_BEGIN_ALLOW_THREADS
        reason = mmb_strings_measure(&strings.strings, mask.buf, text != 0, &words, &found, &bad);
        Py_END_ALLOW_THREADS
        if (reason != NULL) {
            PyErr_Format(PyExc_ValueError, "row %llu: %s", (unsigned long long)bad, reason);
        } else {
            result = Py_BuildValue("KK", (unsigned long long)words, (unsigned long long)found);
        }
    }
    PyBuffer_Release(&mask);
    mmbpy_strings_release(&strings);
    return result;
}

PyDoc_STRVAR(
    write_strings_doc,
    "write_strings($module, segments, pointers, strings, mask, text, next, room, /)\n--\n\n"
    "Write strings from number next on into a room of zeros, and set their pointers.\n\n"
    "pointers is (segment, word, stride, count), room is (segment, word, words).\n"
    "Return (next, word, words): the number of the next string, and what is left of\n"
    "the room.");

static PyObject *write_strings(PyObject *module, PyObject *args)
{
    PyObject *tuple, *pointers_tuple, *strings_tuple, *mask_object, *room_tuple;
    PyObject *result = NULL;
    int text;
    unsigned long long next_row;
    mmbpy_memory memory = {0};
    mmbpy_strings strings = {0};
    mmb_pointers pointers;
    mmb_room room;
    Py_buffer mask = {0};
    if (!PyArg_ParseTuple(args, "O!O!O!OpKO!:write_strings", &PyTuple_Type, &tuple, &PyTuple_Type,
                          &pointers_tuple, &PyTuple_Type, &strings_tuple, &mask_object, &text,
                          &next_row, &PyTuple_Type, &room_tuple)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, true, &memory) && mmbpy_pointers_get(pointers_tuple, &pointers) &&
        mmbpy_strings_get(strings_tuple, &strings) && mmbpy_room_get(room_tuple, &room) &&
        mmbpy_mask_get(mask_object, strings.strings.count, &mask)) {
        mmb_flaw flaw = {0};
        uint64_t next = next_row;
        int error;
        Py_BEGIN_ALLOW_THREADS
        error = mmb_strings_write(memory.segments, memory.count, &pointers, &strings.strings,
                                  mask.buf, text != 0, &next, &room, &flaw);
        Py_END_ALLOW_THREADS
        if (error != 0) {
            mmbpy_raise_invalid(PyModule_GetState(module), &flaw);
        } else {
            result = Py_BuildValue("KKK", (unsigned long long)next, (unsigned long long)room.word,
                                   (unsigned long long)room.words);
        }
    }
    PyBuffer_Release(&mask);
    mmbpy_strings_release(&strings);
    mmbpy_memory_release(&memory);
    return result;
}

/* Return a list with the string that each pointer leads to. */
static PyObject *strings_at(mmbpy_state *state, mmb_reading *reading, const mmb_pointers *pointers,
                            const unsigned char *mask, bool text, PyObject *missing)
{
    PyObject *list = PyList_New((Py_ssize_t)pointers->count);
    for (uint64_t i = 0; list != NULL && i < pointers->count; i++) {
        uint64_t word = pointers->word + i * pointers->stride, length = 0;
        const unsigned char *start = NULL;
        if ((mask == NULL || mask[i] != 0) &&
            mmb_read_bytes(reading, pointers->segment, word, text, &start, &length) != 0) {
            Py_DECREF(list);
            return mmbpy_raise_invalid(state, &reading->flaw);
        }
        PyObject *item = start == NULL ? Py_NewRef(missing)
                         : text
                             ? PyUnicode_DecodeUTF8((const char *)start, (Py_ssize_t)length, NULL)
                             : PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)length);
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyDoc_STRVAR(read_strings_doc,
             "read_strings($module, segments, pointers, mask, text, missing, /)\n--\n\n"
             "Return a list of the strings that pointers lead to, as str or bytes. missing\n"
             "stands for null pointers, and for those that the mask leaves out.");

static PyObject *read_strings(PyObject *module, PyObject *args)
{
    PyObject *tuple, *pointers_tuple, *mask_object, *missing, *result = NULL;
    int text;
    mmbpy_memory memory = {0};
    mmb_pointers pointers;
    mmb_reading reading;
    mmb_flaw flaw = {0};
    Py_buffer mask = {0};
    mmbpy_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "O!O!OpO:read_strings", &PyTuple_Type, &tuple, &PyTuple_Type,
                          &pointers_tuple, &mask_object, &text, &missing)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, false, &memory) && mmbpy_pointers_get(pointers_tuple, &pointers) &&
        mmbpy_mask_get(mask_object, pointers.count, &mask)) {
        /* This comes first, since the size of what is allocated depends on it. */
        if (mmb_pointers_check(memory.segments, memory.count, &pointers, &flaw) != 0) {
            mmbpy_raise_invalid(state, &flaw);
        } else {
            mmb_reading_start(&reading, memory.segments, memory.count, false);
            result = strings_at(state, &reading, &pointers, mask.buf, text != 0, missing);
        }
    }
    PyBuffer_Release(&mask);
    mmbpy_memory_release(&memory);
    return result;
}

PyDoc_STRVAR(set_stage_limits_doc,
             "set_stage_limits($module, kept, section, /)\n--\n\n"
             "For tests: how many words of rows are kept in memory, and how many come into one\n"
             "segment, in the calls that follow. 0 is the limit that holds otherwise.");

static PyObject *set_stage_limits(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long kept, section;
    if (!PyArg_ParseTuple(args, "KK:set_stage_limits", &kept, &section)) {
        return NULL;
    }
    mmb_stage_set_limits(kept, section);
    return Py_NewRef(Py_None);
}

PyMethodDef mmbpy_column_functions[] = {
    {"resolve", resolve, METH_VARARGS, resolve_doc},
    {"store_columns", store_columns, METH_VARARGS, store_columns_doc},
    {"measure_strings", measure_strings, METH_VARARGS, measure_strings_doc},
    {"write_strings", write_strings, METH_VARARGS, write_strings_doc},
    {"read_strings", read_strings, METH_VARARGS, read_strings_doc},
    {"set_stage_limits", set_stage_limits, METH_VARARGS, set_stage_limits_doc},
    {NULL, NULL, 0, NULL},
};
