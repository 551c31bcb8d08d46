/* map_methods.c - using a `_core.Map`: the file-like methods, reserve, allocate.
 *
 * Whatever can fault, block or copy much runs without the GIL. Several threads
 * may be in here at once: each write and each allocation takes its range of the
 * file by moving the cursor in one atomic step (content.c of the core). */

#include "state.h"

#include <limits.h>

static PyObject *from_uint64(uint64_t value)
{
    return PyLong_FromUnsignedLongLong((unsigned long long)value);
}

PyObject *mmbpy_map_write(PyObject *object, PyObject *data)
{
    mmbpy_map *self = (mmbpy_map *)object;
    Py_buffer source;
    if (PyUnicode_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a bytes-like object is required, not 'str'");
        return NULL;
    }
    /* Before entering: the exporter may be Python code. */
    if (PyObject_GetBuffer(data, &source, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    uint64_t length = (uint64_t)source.len;
    int error = 0;
    mmb_map *map = mmbpy_map_enter(self);
    if (map != NULL) {
        Py_BEGIN_ALLOW_THREADS
        error = mmb_map_append(map, source.buf, length);
        mmbpy_map_leave(self);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&source);
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    return map == NULL ? NULL : from_uint64(length);
}

PyObject *mmbpy_map_tell(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    uint64_t cursor = mmb_map_cursor(map);
    mmbpy_map_leave(self);
    return from_uint64(cursor);
}

int mmbpy_map_find_size(mmbpy_map *self, uint64_t *size)
{
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return -1;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_size(map, size);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error == 0) {
        return 0;
    }
    mmbpy_raise(self->state, error, self->name);
    return -1;
}

PyObject *mmbpy_map_get_size(PyObject *object, void *Py_UNUSED(closure))
{
    uint64_t size;
    if (mmbpy_map_find_size((mmbpy_map *)object, &size) < 0) {
        return NULL;
    }
    return from_uint64(size);
}

enum { BEFORE_START = INT_MIN };

/* `from` moved by `by`, no further than Python counts. */
static int move(uint64_t from, Py_ssize_t by, uint64_t *target)
{
    if (by < 0 && (uint64_t)(-(by + 1)) >= from) {
        return BEFORE_START;
    }
    *target = from + (uint64_t)by; /* wraps to a subtraction if negative */
    if (*target > (uint64_t)PY_SSIZE_T_MAX) {
        *target = (uint64_t)PY_SSIZE_T_MAX;
    }
    return 0;
}

PyObject *mmbpy_map_seek(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    Py_ssize_t offset;
    int whence = 0;
    if (!PyArg_ParseTuple(args, "n|i:seek", &offset, &whence)) {
        return NULL;
    }
    if (whence < 0 || whence > 2) {
        PyErr_Format(PyExc_ValueError, "whence must be 0, 1 or 2, not %d", whence);
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    uint64_t target = 0;
    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    uint64_t from = whence == 1 ? mmb_map_cursor(map) : 0;
    if (whence == 2) {
        error = mmb_map_size(map, &from);
    }
    if (error == 0) {
        error = move(from, offset, &target);
    }
    if (error == 0) {
        mmb_map_set_cursor(map, target);
    }
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error == BEFORE_START) {
        PyErr_SetString(PyExc_ValueError, "cannot seek to before the start of the file");
        return NULL;
    }
    return error != 0 ? mmbpy_raise(self->state, error, self->name) : from_uint64(target);
}

PyObject *mmbpy_map_truncate(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = Py_None;
    if (!PyArg_ParseTuple(args, "|O:truncate", &size)) {
        return NULL;
    }
    uint64_t end = 0;
    if (size != Py_None && !mmbpy_as_uint64(size, "size", &end)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    end = size == Py_None ? mmb_map_cursor(map) : end;
    error = mmb_map_truncate(map, end);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    return from_uint64(end);
}

PyObject *mmbpy_map_reserve(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"end", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *end_object;
    uint64_t end;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:reserve", names, &end_object) ||
        !mmbpy_as_uint64(end_object, "end", &end)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = end > self->capacity ? MMB_ECAPACITY : mmb_map_reserve(map, 0, end);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    Py_RETURN_NONE;
}

/* Take the next `length` bytes at the cursor, backed. */
static int take_range(mmbpy_map *self, uint64_t length, uint64_t align, uint64_t *start)
{
    mmb_map *map = mmbpy_map_hold(self); /* the view's making has just armed the handler */
    if (map == NULL) {
        mmbpy_raise_closed();
        return -1;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_allocate(map, length, align, start);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error == 0) {
        return 0;
    }
    mmbpy_raise(self->state, error, self->name);
    return -1;
}

PyObject *mmbpy_map_allocate(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", "align", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *length_object, *align_object = NULL;
    uint64_t length, align = 8, start;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:allocate", names, &length_object,
                                     &align_object)) {
        return NULL;
    }
    if (!mmbpy_as_uint64(length_object, "n", &length)) {
        return NULL;
    }
    if (align_object && !mmbpy_as_uint64(align_object, "align", &align)) {
        return NULL;
    }
    if (align == 0 || (align & (align - 1)) != 0 || align > MMB_GRANULE) {
        PyErr_Format(PyExc_ValueError, "align must be a power of two, %d at most",
                     (int)MMB_GRANULE);
        return NULL;
    }
    PyObject *view = PyMemoryView_FromObject(object);
    if (view == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (take_range(self, length, align, &start) == 0) {
        result = mmbpy_slice_of(view, (Py_ssize_t)start, (Py_ssize_t)(start + length), 1);
    }
    Py_DECREF(view);
    return result;
}

PyObject *mmbpy_map_flush(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"durable", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    int durable = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:flush", names, &durable)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_flush(map, durable != 0);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    Py_RETURN_NONE;
}

PyObject *mmbpy_map_fileno(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int fd = mmb_map_fd(map);
    mmbpy_map_leave(self);
    return PyLong_FromLong(fd);
}
