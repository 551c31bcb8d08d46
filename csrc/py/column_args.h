/* column_args.h - converts arguments of the functions on columns to C. */
#ifndef MMBPY_COLUMN_ARGS_H
#define MMBPY_COLUMN_ARGS_H

#include "state.h"

/* The memory of a message. The caller zeroes it first and always releases it. */
typedef struct {
    Py_buffer *views; /* owned; there are `count` */
    mmb_segment *segments;
    uint32_t count;
} mmbpy_memory;

/* Take it from a tuple of objects with contiguous memory, which must be writable if `writable`. */
bool mmbpy_memory_get(PyObject *tuple, bool writable, mmbpy_memory *out);
void mmbpy_memory_release(mmbpy_memory *memory);

/* Strings and the buffers that they are in. The caller zeroes it first and always releases it. */
typedef struct {
    Py_buffer offsets, bytes, valid;
    mmb_strings strings;
} mmbpy_strings;

/* Take strings from a tuple (offsets, width, bytes, valid or None, first, count). */
bool mmbpy_strings_get(PyObject *tuple, mmbpy_strings *out);
void mmbpy_strings_release(mmbpy_strings *strings);

/* Take pointers from a tuple (segment, word, stride, count), and a room from (segment, word,
 * words). */
bool mmbpy_pointers_get(PyObject *tuple, mmb_pointers *out);
bool mmbpy_room_get(PyObject *tuple, mmb_room *out);

/* Take one byte for each of `count` strings, or None: then `view->buf` becomes NULL. */
bool mmbpy_mask_get(PyObject *object, uint64_t count, Py_buffer *view);

/* Find whether an object whose buffer is in `view` is a string of bytes. It must have a
 * length: numbers and dates of NumPy have none, but offer their bytes as well. For Text each
 * item must be one byte. Return 1, 0, or -1 with an exception. */
int mmbpy_is_string(const mmbpy_state *state, PyObject *object, const Py_buffer *view, bool text);

/* Return 1 for a masked array of NumPy: its buffer also has what lies below the mask. Return 0 for
 * another object, or -1 with an exception. */
int mmbpy_is_masked(const mmbpy_state *state, PyObject *object);

#endif
