/* segment_window.h - how pycapnp is handed a segment: by a window, and never by an exception.
 *
 * pycapnp dies of exceptions in its allocator, and no code of Python's may run there, which
 * could be interrupted. So there is a *spare* window, made before, for when there is no memory
 * for another; and where a file has no room, a window shows memory that is in no file.
 *
 * The caller holds the lock that guards its spare window. */
#ifndef MMBPY_SEGMENT_WINDOW_H
#define MMBPY_SEGMENT_WINDOW_H

#include "state.h"

/* The words that are asked for, at least 1: false with an exception if that is no number, or
 * more than a segment has. */
bool mmbpy_segment_words(PyObject *asked, uint64_t *words);

/* A window of nothing: a new one, or `*spare`, which is made anew if it can be. NULL, without
 * an exception, if there is no memory for either. */
PyObject *mmbpy_segment_window(mmbpy_state *state, PyObject **spare);

/* Let the window show memory that is in no file, of `words` words or more; what it was before
 * is let go of. NULL, without an exception, if there is no memory. */
PyObject *mmbpy_segment_in_no_file(PyObject *window, uint64_t words);

/* What is returned to pycapnp: a view of the window, which is taken over; or the window itself,
 * which does as well; or NULL with MemoryError for NULL. */
PyObject *mmbpy_segment_view(PyObject *window);

#endif
