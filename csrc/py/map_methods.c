/* map_methods.c - the methods of `_core.Map` like those of a file, and reserve and allocate.
 *
 * Code that can fault, block or copy much runs without the GIL. Several threads may be in here at
 * once: each write and each allocation takes its range of the file, as it moves the cursor in one
 * atomic step (map/content.c). */

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
    /* This comes before the map is entered, since the exporter may run Python code. */
    if (PyObject_GetBuffer(data, &source, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    uint64_t length = (uint64_t)source.len, start = 0;
    int error = 0;
    mmb_map *map = mmbpy_map_enter(self);
    if (map != NULL) {
        start = mmb_map_cursor(map);
        Py_BEGIN_ALLOW_THREADS
        error = mmb_map_append(map, source.buf, length);
        mmbpy_map_leave(self);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&source);
    if (error != 0) {
        return mmbpy_map_raise_at(self, error, start, length);
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
    return mmbpy_zero_or_raise(self->state, error, self->name);
}

PyObject *mmbpy_map_get_size(PyObject *object, void *Py_UNUSED(closure))
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_stats stats;
    uint64_t size;
    int found = mmbpy_map_is_open(self) ? mmbpy_map_find_size(self, &size)
                                        : mmbpy_map_look(self, &stats, &size);
    return found < 0 ? NULL : from_uint64(size);
}

PyObject *mmbpy_map_raise_at(mmbpy_map *self, int error, uint64_t start, uint64_t length)
{
    if (error != MMB_ECAPACITY) {
        return mmbpy_raise(self->state, error, self->name);
    }
    PyObject *text = PyUnicode_FromFormat(
        "capacity exceeded: %llu bytes at %llu do not fit into %llu; open the builder with a "
        "larger capacity=, which costs nothing until it is used",
        (unsigned long long)length, (unsigned long long)start, (unsigned long long)self->capacity);
    return mmbpy_raise_capacity(self->state, text, self->name);
}

enum { BEFORE_START = INT_MIN };

/* Move `from` by `by`, but no further than Python can count. */
static int move(uint64_t from, Py_ssize_t by, uint64_t *target)
{
    if (by < 0 && (uint64_t)(-(by + 1)) >= from) {
        return BEFORE_START;
    }
    *target = from + (uint64_t)by; /* if `by` is negative, this wraps to a subtraction */
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
    return error == 0 ? from_uint64(end) : mmbpy_map_raise_at(self, error, 0, end);
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
    return error == 0 ? Py_NewRef(Py_None) : mmbpy_map_raise_at(self, error, 0, end);
}

/* Return a view of the next `length` bytes at the cursor, which the file backs. With `zeroed`,
 * old content there becomes zeros. */
static PyObject *allocate(mmbpy_map *self, uint64_t length, uint64_t align, bool zeroed)
{
    PyObject *view = PyMemoryView_FromObject((PyObject *)self);
    if (view == NULL) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_hold(self); /* the making of the view has just armed the handler */
    if (map == NULL) {
        Py_DECREF(view);
        return mmbpy_raise_closed();
    }
    uint64_t start = 0, asked = mmb_map_cursor(map);
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = zeroed ? mmb_map_allocate_zeros(map, length, align, &start)
                   : mmb_map_allocate(map, length, align, &start);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (error != 0) {
        mmbpy_map_raise_at(self, error, asked, length);
    } else {
        result = mmbpy_slice_of(view, (Py_ssize_t)start, (Py_ssize_t)(start + length), 1);
    }
    Py_DECREF(view);
    return result;
}

static PyObject *allocate_of(mmbpy_map *self, PyObject *length_object, PyObject *align_object,
                             bool zeroed)
{
    uint64_t length, align = 8;
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
    return allocate(self, length, align, zeroed);
}

PyObject *mmbpy_map_allocate(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", "align", NULL};
    PyObject *length, *align = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:allocate", names, &length, &align)) {
        return NULL;
    }
    return allocate_of((mmbpy_map *)object, length, align, false);
}

PyObject *mmbpy_map_allocate_zeros(PyObject *object, PyObject *args)
{
    PyObject *length, *align;
    if (!PyArg_ParseTuple(args, "OO:_allocate_zeros", &length, &align)) {
        return NULL;
    }
    return allocate_of((mmbpy_map *)object, length, align, true);
}

PyObject *mmbpy_map_flush(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"durable", "size", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *durable = Py_False, *size = Py_None;
    uint64_t offset = 0, length = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:flush", names, &durable, &size)) {
        return NULL;
    }
    bool is_range = size != Py_None;
    int waits = PyObject_IsTrue(durable);
    if (waits < 0 || (is_range && (!mmbpy_as_uint64(durable, "offset", &offset) ||
                                   !mmbpy_as_uint64(size, "size", &length)))) {
        return NULL;
    }
    if (is_range && (offset > self->capacity || length > self->capacity - offset)) {
        PyErr_SetString(PyExc_ValueError, "offset and size reach beyond the capacity");
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = is_range ? mmb_map_flush_range(map, offset, length) : mmb_map_flush(map, waits != 0);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    return mmbpy_none_or_raise(self->state, error, self->name);
}

PyObject *mmbpy_map_get_descriptor(PyObject *object, void *Py_UNUSED(closure))
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
