/* column_args.h - arguments of the functions on columns, as C takes them. */
#ifndef MMBPY_COLUMN_ARGS_H
#define MMBPY_COLUMN_ARGS_H

#include "state.h"

/* The memory of a message. Zeroed before use; to be released in any case. */
typedef struct {
    Py_buffer *views; /* owned, `count` of them */
    mmb_segment *segments;
    uint32_t count;
} mmbpy_memory;

/* From a tuple of objects with contiguous memory, writable if that is wanted. */
bool mmbpy_memory_get(PyObject *tuple, bool writable, mmbpy_memory *out);
void mmbpy_memory_release(mmbpy_memory *memory);

/* Strings and the buffers they are in; likewise. */
typedef struct {
    Py_buffer offsets, bytes, valid;
    mmb_strings strings;
} mmbpy_strings;

/* From (offsets, width, bytes, valid or None, first, count). */
bool mmbpy_strings_get(PyObject *tuple, mmbpy_strings *out);
void mmbpy_strings_release(mmbpy_strings *strings);

/* From (segment, word, stride, count), and (segment, word, words). */
bool mmbpy_pointers_get(PyObject *tuple, mmb_pointers *out);
bool mmbpy_block_get(PyObject *tuple, mmb_block *out);

/* One byte for each of `count` strings, or None: `view->buf` is NULL then. */
bool mmbpy_wanted_get(PyObject *object, uint64_t count, Py_buffer *view);

/* True if an object whose buffer is in `view` is a string of bytes: it has a length, as no number
 * or date of NumPy's has, which offer their bytes as well; for Text, the bytes are its items. */
bool mmbpy_is_string(PyObject *object, const Py_buffer *view, bool text);

extern PyMethodDef mmbpy_join_functions[];   /* column_join.c */
extern PyMethodDef mmbpy_list_functions[];   /* column_lists.c */
extern PyMethodDef mmbpy_column_functions[]; /* columns.c */

#endif
