/* segment_window.h - hands a segment to pycapnp: by a window, and never by an exception.
 *
 * An exception in pycapnp's allocator ends the process, and no Python code may run there, since it
 * could be interrupted. So there is a *spare* window, made in advance, for the case that there is
 * no memory for one. If a file has no room, a window shows memory that is in no file.
 *
 * The caller holds the lock that guards its spare window. */
#ifndef MMBPY_SEGMENT_WINDOW_H
#define MMBPY_SEGMENT_WINDOW_H

#include "state.h"

/* Take the number of words that are asked for, and at least 1. Return false with an exception
 * if the object is no number, or a segment cannot have so many. */
bool mmbpy_segment_words(PyObject *asked, uint64_t *words);

/* Return an empty window: a new one, or `*spare`, which is then made anew if possible. Return
 * NULL without an exception if there is no memory for either. */
PyObject *mmbpy_segment_window(mmbpy_state *state, PyObject **spare);

/* Let the window show at least `words` words of memory that is in no file, and let go of what it
 * showed before. Return NULL without an exception if there is no memory. */
PyObject *mmbpy_segment_in_no_file(PyObject *window, uint64_t words);

/* Return what pycapnp gets: a view of the window, which this takes over, or the window itself,
 * which serves as well. For NULL, return NULL with MemoryError. */
PyObject *mmbpy_segment_view(PyObject *window);

#endif
