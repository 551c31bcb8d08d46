/* map_items.c - indexes and slices of `_core.Map`.
 *
 * Negative indexes, and a stop that is left out, count from the size, as len() does. Other indexes
 * reach as far as the capacity. To get a slice gives memory: a memoryview. To assign declares the
 * bytes, even if they are zeros, and reports a full disk at once; a store would report it later. */

#include "state.h"

Py_ssize_t mmbpy_map_length(PyObject *object)
{
    uint64_t size;
    return mmbpy_map_find_size((mmbpy_map *)object, &size) < 0 ? -1 : (Py_ssize_t)size;
}

/* Find the place that the index `key` means. Return false with an exception. */
static bool find_place(mmbpy_map *self, PyObject *key, uint64_t *place)
{
    Py_ssize_t index = PyNumber_AsSsize_t(key, PyExc_IndexError);
    if (index == -1 && PyErr_Occurred()) {
        return false;
    }
    uint64_t size = 0;
    if (index < 0 && mmbpy_map_find_size(self, &size) < 0) {
        return false;
    }
    *place = (uint64_t)index + size; /* before the start it wraps to a place beyond the capacity */
    if (*place < self->capacity) {
        return true;
    }
    PyErr_SetString(PyExc_IndexError, index < 0 ? "index is before the start of the builder"
                                                : "index is beyond the capacity");
    return false;
}

typedef struct {
    Py_ssize_t start, stop, step, count;
} range;

/* Find the range that the slice `key` means. Return false with an exception. */
static bool find_range(mmbpy_map *self, PyObject *key, range *out)
{
    if (PySlice_Unpack(key, &out->start, &out->stop, &out->step) < 0) {
        return false;
    }
    bool forward = out->step > 0;
    bool no_stop = forward && out->stop == PY_SSIZE_T_MAX;
    bool no_start = !forward && out->start == PY_SSIZE_T_MAX;
    bool stop_counts = out->stop < 0 && out->stop != PY_SSIZE_T_MIN;
    uint64_t size = 0;
    if ((out->start < 0 || stop_counts || no_stop || no_start) &&
        mmbpy_map_find_size(self, &size) < 0) {
        return false;
    }
    Py_ssize_t length = (Py_ssize_t)size;
    if (no_stop) {
        out->stop = length;
    } else if (stop_counts) {
        out->stop = out->stop + length < 0 ? (forward ? 0 : PY_SSIZE_T_MIN) : out->stop + length;
    }
    if (no_start) {
        out->start = length > 0 ? length - 1 : PY_SSIZE_T_MIN;
    } else if (out->start < 0) {
        out->start = out->start + length < 0 ? (forward ? 0 : PY_SSIZE_T_MIN) : out->start + length;
    }
    out->count =
        PySlice_AdjustIndices((Py_ssize_t)self->capacity, &out->start, &out->stop, out->step);
    return true;
}

/* A file is true, open or closed, however long it is. */
int mmbpy_map_bool(PyObject *Py_UNUSED(object))
{
    return 1;
}

PyObject *mmbpy_slice_of(PyObject *view, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step)
{
    PyObject *from = PyLong_FromSsize_t(start), *by = PyLong_FromSsize_t(step);
    PyObject *to = stop < 0 ? Py_NewRef(Py_None) : PyLong_FromSsize_t(stop);
    PyObject *slice = from != NULL && to != NULL && by != NULL ? PySlice_New(from, to, by) : NULL;
    PyObject *result = slice != NULL ? PyObject_GetItem(view, slice) : NULL;
    Py_XDECREF(from);
    Py_XDECREF(to);
    Py_XDECREF(by);
    Py_XDECREF(slice);
    return result;
}

/* Return the slice of the whole memory that `key` means. */
static PyObject *get_slice(mmbpy_map *self, PyObject *key)
{
    range found;
    PyObject *view = PyMemoryView_FromObject((PyObject *)self);
    PyObject *result = NULL;
    if (view != NULL && find_range(self, key, &found)) {
        /* The start of an empty range may lie before the first byte, where -1 would mean the last
         * byte of the capacity. */
        result = found.count > 0 ? mmbpy_slice_of(view, found.start, found.stop, found.step)
                                 : mmbpy_slice_of(view, 0, 0, 1);
    }
    Py_XDECREF(view);
    return result;
}

PyObject *mmbpy_map_subscript(PyObject *object, PyObject *key)
{
    mmbpy_map *self = (mmbpy_map *)object;
    if (PySlice_Check(key)) {
        return get_slice(self, key);
    }
    uint64_t place;
    mmb_map *map = find_place(self, key, &place) ? mmbpy_map_enter(self) : NULL;
    if (map == NULL) {
        return NULL;
    }
    unsigned char byte = 0;
    int error = mmb_map_byte_at(map, place, &byte);
    mmbpy_map_leave(self);
    return error != 0 ? mmbpy_raise(self->state, error, self->name) : PyLong_FromLong(byte);
}

/* Write `length` bytes to `offset`. Return 0, or -1 with an exception. */
static int assign(mmbpy_map *self, uint64_t offset, const void *data, uint64_t length)
{
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return -1;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_write(map, offset, data, length);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    return mmbpy_zero_or_raise(self->state, error, self->name);
}

static int assign_byte(mmbpy_map *self, uint64_t offset, unsigned char byte)
{
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        return -1;
    }
    int error = mmb_map_assign_byte(map, offset, byte);
    mmbpy_map_leave(self);
    return mmbpy_zero_or_raise(self->state, error, self->name);
}

static int assign_item(mmbpy_map *self, PyObject *key, PyObject *value)
{
    uint64_t place, number;
    if (!find_place(self, key, &place) || !mmbpy_as_uint64(value, "a byte", &number)) {
        return -1;
    }
    if (number > UINT8_MAX) {
        PyErr_SetString(PyExc_ValueError, "a byte must be in range(0, 256)");
        return -1;
    }
    return assign_byte(self, place, (unsigned char)number);
}

/* Assign bytes that get gaps between them, or another order. They are copied first, since they may
 * be bytes of this builder, which the first ones would overwrite before they are read. */
static int assign_steps(mmbpy_map *self, const range *to, const unsigned char *bytes)
{
    PyObject *copy = PyBytes_FromStringAndSize((const char *)bytes, to->count);
    if (copy == NULL) {
        return -1;
    }
    const char *from = PyBytes_AsString(copy);
    int result = 0;
    for (Py_ssize_t i = 0; i < to->count && result == 0; i++) {
        uint64_t place = (uint64_t)(to->start + i * to->step);
        result = assign_byte(self, place, (unsigned char)from[i]);
    }
    Py_DECREF(copy);
    return result;
}

static int assign_bytes(mmbpy_map *self, PyObject *key, const unsigned char *bytes,
                        Py_ssize_t length)
{
    range to;
    if (!find_range(self, key, &to)) {
        return -1;
    }
    if (to.count == length) {
        return to.step == 1 ? assign(self, (uint64_t)to.start, bytes, (uint64_t)length)
                            : assign_steps(self, &to, bytes);
    }
    if (to.step == 1 && to.count < length && to.stop == (Py_ssize_t)self->capacity) {
        mmbpy_map_raise_at(self, MMB_ECAPACITY, (uint64_t)to.start, (uint64_t)length);
        return -1;
    }
    PyErr_Format(PyExc_ValueError,
                 "cannot assign %zd bytes to a slice of %zd bytes (a stop that is left out is "
                 "the size)",
                 length, to.count);
    return -1;
}

/* Assign a slice. Bytes that do not lie side by side are copied first. */
static int assign_slice(mmbpy_map *self, PyObject *key, PyObject *value)
{
    Py_buffer source;
    PyObject *copy = NULL;
    if (PyObject_GetBuffer(value, &source, PyBUF_SIMPLE) < 0) {
        if (!PyObject_CheckBuffer(value) || !mmbpy_forget_refusal()) {
            return -1;
        }
        copy = PyBytes_FromObject(value);
        if (copy == NULL || PyObject_GetBuffer(copy, &source, PyBUF_SIMPLE) < 0) {
            Py_XDECREF(copy);
            return -1;
        }
    }
    int result = assign_bytes(self, key, source.buf, source.len);
    PyBuffer_Release(&source);
    Py_XDECREF(copy);
    return result;
}

int mmbpy_map_ass_subscript(PyObject *object, PyObject *key, PyObject *value)
{
    mmbpy_map *self = (mmbpy_map *)object;
    if (value == NULL) {
        PyErr_SetString(PyExc_TypeError, "cannot delete bytes of a builder");
        return -1;
    }
    return PySlice_Check(key) ? assign_slice(self, key, value) : assign_item(self, key, value);
}
