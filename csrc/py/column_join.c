/* column_join.c - joins NumPy's strings into one buffer with offsets. */

#include "column_args.h"

#include <string.h>

/* The result of a join while it is made. The buffers are bytearrays, which can grow in place. */
typedef struct {
    PyObject *offsets, *bytes;
    char *offsets_at, *bytes_at; /* their memory */
    uint64_t count;
    Py_ssize_t used; /* bytes in use of `bytes` */
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

/* Make room for `length` more bytes, and return their place. */
static char *joined_room(joined *j, Py_ssize_t length)
{
    if (length > j->room - j->used) {
        if (length > PY_SSIZE_T_MAX / 4 - j->used) {
            PyErr_NoMemory();
            return NULL;
        }
        Py_ssize_t room = 2 * (j->used + length) + 64;
        if (PyByteArray_Resize(j->bytes, room) < 0) {
            return NULL;
        }
        j->room = room;
        j->bytes_at = PyByteArray_AsString(j->bytes);
    }
    return j->bytes_at + j->used;
}

static bool joined_add(joined *j, const char *data, Py_ssize_t length)
{
    char *to = joined_room(j, length);
    if (to == NULL) {
        return false;
    }
    if (length > 0) {
        memcpy(to, data, (size_t)length);
    }
    j->used += length;
    return true;
}

/* Return the result; NULL if `good` is false. The buffers are given up in both cases. */
static PyObject *joined_finish(joined *j, bool good)
{
    PyObject *result = NULL;
    if (good && PyByteArray_Resize(j->bytes, j->used) == 0) {
        result = PyTuple_Pack(2, j->offsets, j->bytes);
    }
    Py_XDECREF(j->offsets);
    Py_XDECREF(j->bytes);
    return result;
}

/* ---- NumPy's strings of fixed width ---------------------------------------------- */

/* Encode a character. Return the number of bytes; 0 if `c` is no character. */
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
        if (c >= 0xD800 && c < 0xE000) {
            return 0;
        }
        to[0] = (unsigned char)(0xE0 | c >> 12);
        to[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    if (c > 0x10FFFF) {
        return 0;
    }
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
    while (length > 0 && (memcpy(&c, from + (length - 1) * 4, 4), c == 0)) {
        length--;
    }
    unsigned char *to = (unsigned char *)joined_room(j, length * 4);
    if (to == NULL) {
        return false;
    }
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
             "Join count strings of width bytes each, the data of a contiguous NumPy array.\n"
             "Its dtype is U if wide (the strings become UTF-8), and else S. Zeros at the end\n"
             "are padding.\n\n"
             "Return the bytearrays (offsets of 8 bytes, bytes).");

static PyObject *join_fixed(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data;
    Py_ssize_t width, count;
    int wide;
    if (!PyArg_ParseTuple(args, "y*nnp:join_fixed", &data, &width, &count, &wide)) {
        return NULL;
    }
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
            while (length > 0 && from[length - 1] == 0) {
                length--;
            }
            good = joined_add(&j, (const char *)from, length);
        }
    }
    if (good) {
        set_offset(&j, (uint64_t)count);
    }
    PyBuffer_Release(&data);
    return joined_finish(&j, good);
}

PyMethodDef mmbpy_join_functions[] = {
    {"join_fixed", join_fixed, METH_VARARGS, join_fixed_doc},
    {NULL, NULL, 0, NULL},
};
