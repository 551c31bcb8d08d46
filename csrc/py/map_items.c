/* map_items.c - indexing and slicing of `_core.Map`.
 *
 * As memoryview does it, which also does the work; only the assignment of a
 * plain slice is done here, because a copy through mmb_map_write reports a full
 * disk at once, and lets other threads run. */

#include "state.h"

Py_ssize_t mmbpy_map_length(PyObject *object)
{
    mmbpy_map *self = (mmbpy_map *)object;
    if (!mmbpy_map_is_open(self)) {
        mmbpy_raise_closed();
        return -1;
    }
    return (Py_ssize_t)self->capacity;
}

PyObject *mmbpy_map_subscript(PyObject *object, PyObject *key)
{
    PyObject *view = PyMemoryView_FromObject(object);
    if (view == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_GetItem(view, key);
    Py_DECREF(view);
    return result;
}

/* 0, -1 with an exception, or 1 if the bytes of `value` do not lie side by side. */
static int assign_run(mmbpy_map *self, Py_ssize_t start, Py_ssize_t length, PyObject *value)
{
    Py_buffer source;
    if (PyObject_GetBuffer(value, &source, PyBUF_SIMPLE) < 0) {
        if (!PyObject_CheckBuffer(value)) {
            return -1;
        }
        PyErr_Clear();
        return 1;
    }
    int error = 0;
    bool fits = source.len == length;
    mmb_map *map = fits ? mmbpy_map_enter(self) : NULL;
    if (map != NULL) {
        Py_BEGIN_ALLOW_THREADS
        error = mmb_map_write(map, (uint64_t)start, source.buf, (uint64_t)length);
        mmbpy_map_leave(self);
        Py_END_ALLOW_THREADS
    }
    Py_ssize_t given = source.len;
    PyBuffer_Release(&source);
    if (!fits) {
        PyErr_Format(PyExc_ValueError, "cannot assign %zd bytes to a slice of %zd bytes", given,
                     length);
        return -1;
    }
    if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    }
    return map == NULL || error != 0 ? -1 : 0;
}

int mmbpy_map_ass_subscript(PyObject *object, PyObject *key, PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "cannot delete bytes of a builder");
        return -1;
    }
    if (PySlice_Check(key)) {
        Py_ssize_t length = mmbpy_map_length(object);
        Py_ssize_t start, stop, step;
        if (length < 0 || PySlice_Unpack(key, &start, &stop, &step) < 0) {
            return -1;
        }
        Py_ssize_t count = PySlice_AdjustIndices(length, &start, &stop, step);
        int answer = step == 1 ? assign_run((mmbpy_map *)object, start, count, value) : 1;
        if (answer != 1) {
            return answer;
        }
    }
    PyObject *view = PyMemoryView_FromObject(object);
    if (view == NULL) {
        return -1;
    }
    int result = PyObject_SetItem(view, key, value);
    Py_DECREF(view);
    return result;
}
