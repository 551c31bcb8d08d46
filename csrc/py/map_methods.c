/* map_methods.c - using a `_core.Map`: the file-like methods, reserve, allocate.
 *
 * Whatever can fault, block or copy much runs without the GIL. Several threads
 * may be in here at once: each write and each allocation takes its range of the
 * file by moving the cursor in one atomic step. */

#include "state.h"

static PyObject *from_uint64(uint64_t value)
{
    return PyLong_FromUnsignedLongLong((unsigned long long)value);
}

static int write_at_cursor(mmbpy_map *self, mmb_map *map, const void *data, uint64_t length)
{
    if (length == 0) {
        return 0;
    }
    uint64_t start = atomic_load(&self->cursor);
    do {
        if (length > self->capacity || start > self->capacity - length) {
            return MMB_ECAPACITY;
        }
    } while (!atomic_compare_exchange_weak(&self->cursor, &start, start + length));
    uint64_t end = start + length;
    int error = mmb_map_write(map, start, data, length);
    if (error == 0) {
        mmbpy_map_say(self, end);
    } else {
        /* Give the range back if nobody has moved on. */
        atomic_compare_exchange_strong(&self->cursor, &end, start);
    }
    return error;
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
        error = write_at_cursor(self, map, source.buf, length);
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
    if (mmbpy_map_enter(self) == NULL) {
        return NULL;
    }
    uint64_t cursor = atomic_load(&self->cursor);
    mmbpy_map_leave(self);
    return from_uint64(cursor);
}

/* The size, or -1 with an exception set. */
static int find_size(mmbpy_map *self, uint64_t *size)
{
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return -1;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_find_used(map, atomic_load(&self->said), size);
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
    if (find_size((mmbpy_map *)object, &size) < 0) {
        return NULL;
    }
    return from_uint64(size);
}

PyObject *mmbpy_map_seek(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    Py_ssize_t offset;
    int whence = 0;
    if (!PyArg_ParseTuple(args, "n|i:seek", &offset, &whence)) {
        return NULL;
    }
    uint64_t base = 0;
    if (whence == 2) {
        if (find_size(self, &base) < 0) {
            return NULL;
        }
    } else {
        if (mmbpy_map_enter(self) == NULL) {
            return NULL;
        }
        base = whence == 1 ? atomic_load(&self->cursor) : 0;
        mmbpy_map_leave(self);
    }
    if (whence < 0 || whence > 2) {
        PyErr_Format(PyExc_ValueError, "whence must be 0, 1 or 2, not %d", whence);
        return NULL;
    }
    if (offset < 0 && (uint64_t)(-(offset + 1)) >= base) {
        PyErr_SetString(PyExc_ValueError, "cannot seek to before the start of the file");
        return NULL;
    }
    uint64_t target = base + (uint64_t)offset; /* wraps to a subtraction if negative */
    if (target > (uint64_t)PY_SSIZE_T_MAX) {
        target = (uint64_t)PY_SSIZE_T_MAX;
    }
    atomic_store(&self->cursor, target);
    return from_uint64(target);
}

PyObject *mmbpy_map_truncate(PyObject *object, PyObject *args)
{
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = Py_None;
    if (!PyArg_ParseTuple(args, "|O:truncate", &size)) {
        return NULL;
    }
    uint64_t end = atomic_load(&self->cursor);
    if (size != Py_None && !mmbpy_as_uint64(size, "size", &end)) {
        return NULL;
    }
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return NULL;
    }
    int error;
    /* EOF itself stays, it moves down at close only; what lies beyond the new size must
     * not count as content, so it becomes zeros. */
    Py_BEGIN_ALLOW_THREADS
    error = end > self->capacity ? MMB_ECAPACITY : mmb_map_zero_from(map, end);
    if (error == 0) {
        atomic_store(&self->said, end);
    }
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
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return -1;
    }
    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    uint64_t cursor = atomic_load(&self->cursor);
    do {
        *start = (cursor + (align - 1)) & ~(align - 1);
        if (length > self->capacity || *start > self->capacity - length) {
            error = MMB_ECAPACITY;
            break;
        }
        error = mmb_map_reserve(map, *start, *start + length);
    } while (error == 0 &&
             !atomic_compare_exchange_strong(&self->cursor, &cursor, *start + length));
    if (error == 0) {
        mmbpy_map_say(self, *start + length);
    }
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
        PyObject *from = from_uint64(start), *to = from_uint64(start + length);
        PyObject *slice = from != NULL && to != NULL ? PySlice_New(from, to, NULL) : NULL;
        if (slice != NULL) {
            result = PyObject_GetItem(view, slice);
        }
        Py_XDECREF(from);
        Py_XDECREF(to);
        Py_XDECREF(slice);
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
