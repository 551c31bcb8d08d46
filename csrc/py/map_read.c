/* map_read.c - reads the content of a `_core.Map` as that of a file: read, readline and the like.
 *
 * The content ends at the size, while the memory goes on to the capacity. Each reader takes a range
 * of its own as it moves the cursor, as each write does. It copies the range from the file: a page
 * that cannot be read is an error here, and the map may have no memory yet. */

#include "state.h"

#include <string.h>

/* How many bytes to search at a time for the end of a line, and how many peek shows. */
#define CHUNK 8192

/* Take a size as io does: None or a negative number means all. */
static bool size_argument(PyObject *object, uint64_t *most)
{
    *most = UINT64_MAX;
    if (object == NULL || object == Py_None) {
        return true;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(object, PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred()) {
        return false;
    }
    *most = size < 0 ? UINT64_MAX : (uint64_t)size;
    return true;
}

/* Return [start, start + length) of the file as bytes. */
static PyObject *bytes_at(mmbpy_map *self, mmb_map *map, uint64_t start, uint64_t length)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (bytes == NULL) {
        return NULL;
    }
    int error;
    char *to = PyBytes_AsString(bytes);
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_read(map, start, to, length);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        Py_DECREF(bytes);
        return mmbpy_raise(self->state, error, self->name);
    }
    return bytes;
}

/* ---- read ------------------------------------------------------------------ */

PyObject *mmbpy_map_read(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = NULL;
    uint64_t most, start = 0, length = 0;
    if (!PyArg_ParseTuple(args, "|O:read", &size) || !size_argument(size, &most)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_pass(map, most, &start, &length);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    } else {
        result = bytes_at(self, map, start, length);
        if (result == NULL) {
            (void)mmb_map_move_cursor(map, start + length, start);
        }
    }
    mmbpy_map_leave(self);
    return result;
}

PyObject *mmbpy_map_readinto(PyObject *object, PyObject *buffer)
{
    mmbpy_map *self = (mmbpy_map *)object;
    Py_buffer target;
    /* This comes before the map is entered, since the exporter may run Python code. */
    if (PyObject_GetBuffer(buffer, &target, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    uint64_t start = 0, length = 0;
    int error = 0;
    mmb_map *map = mmbpy_map_enter(self);
    if (map != NULL) {
        Py_BEGIN_ALLOW_THREADS
        error = mmb_map_pass(map, (uint64_t)target.len, &start, &length);
        if (error == 0) {
            error = mmb_map_read(map, start, target.buf, length);
        }
        mmbpy_map_leave(self);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&target);
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    return map == NULL ? NULL : PyLong_FromUnsignedLongLong(length);
}

/* ---- readline ---------------------------------------------------------------- */

typedef struct {
    unsigned char bytes[CHUNK]; /* the first bytes of the line */
    uint64_t start;
    uint64_t length; /* length of the line with its line feed */
} line;

/* Find the end of the line in the next bytes, at most `most`. `*ended` becomes false if there is
 * no line feed: then all these bytes are the line. */
static int measure(mmb_map *map, uint64_t most, line *out, bool *ended)
{
    uint64_t ahead = 0;
    int error = mmb_map_ahead(map, most, &out->start, &ahead);
    out->length = ahead;
    *ended = false;
    unsigned char more[CHUNK];
    for (uint64_t at = 0; error == 0 && at < ahead && !*ended; at += CHUNK) {
        unsigned char *piece = at == 0 ? out->bytes : more;
        size_t some = ahead - at < CHUNK ? (size_t)(ahead - at) : CHUNK;
        error = mmb_map_read(map, out->start + at, piece, some);
        const unsigned char *feed = error == 0 ? memchr(piece, '\n', some) : NULL;
        if (feed != NULL) {
            out->length = at + (uint64_t)(feed - piece) + 1;
            *ended = true;
        }
    }
    return error;
}

/* Take the line at the cursor, and move the cursor. */
static int take_line(mmb_map *map, uint64_t most, line *out)
{
    int error;
    do {
        bool ended;
        /* Most lines are short. If we look no further, we need not find the size. */
        error = measure(map, most < CHUNK ? most : CHUNK, out, &ended);
        if (error == 0 && !ended && out->length == CHUNK) {
            error = measure(map, most, out, &ended);
        }
    } while (error == 0 && out->length > 0 &&
             !mmb_map_move_cursor(map, out->start, out->start + out->length));
    return error;
}

PyObject *mmbpy_map_readline(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = NULL;
    uint64_t most;
    if (!PyArg_ParseTuple(args, "|O:readline", &size) || !size_argument(size, &most)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    line found;
    PyObject *result = NULL;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = take_line(map, most, &found);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    } else if (found.length <= CHUNK) {
        result = PyBytes_FromStringAndSize((const char *)found.bytes, (Py_ssize_t)found.length);
    } else {
        result = bytes_at(self, map, found.start, found.length);
    }
    mmbpy_map_leave(self);
    return result;
}

/* ---- without the cursor -------------------------------------------------------- */

/* Return the content of [start, start + most); it may be shorter. */
static PyObject *content_at(mmbpy_map *self, mmb_map *map, uint64_t start, uint64_t most)
{
    uint64_t size = 0;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_size(map, &size);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    uint64_t rest = start < size ? size - start : 0;
    return bytes_at(self, map, start, rest < most ? rest : most);
}

PyObject *mmbpy_map_peek(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    Py_ssize_t size = 0;
    if (!PyArg_ParseTuple(args, "|n:peek", &size)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    uint64_t most = size > 0 ? (uint64_t)size : CHUNK;
    PyObject *result = content_at(self, map, mmb_map_cursor(map), most);
    mmbpy_map_leave(self);
    return result;
}

PyObject *mmbpy_map_getvalue(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    PyObject *result = content_at(self, map, 0, UINT64_MAX);
    mmbpy_map_leave(self);
    return result;
}
