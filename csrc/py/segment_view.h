/* segment_view.h - a *segment view* exports the memory of one segment, and keeps it alive. pycapnp
 * gets its segments as such, and never an exception.
 *
 * An exception in pycapnp's allocator ends the process, and no Python code may run there, since it
 * could be interrupted. So there is a *spare* segment view, made in advance, for the case that
 * there is no memory for one. If a file has no room, a segment view shows memory that is in no
 * file.
 *
 * The caller holds the lock that guards its spare segment view. */
#ifndef MMBPY_SEGMENT_VIEW_H
#define MMBPY_SEGMENT_VIEW_H

#include "state.h"

/* Return a writable memoryview of `length` bytes at `start` that keeps `map` alive. */
PyObject *mmbpy_view_of_map(mmbpy_state *state, mmbpy_map *map, unsigned char *start,
                            Py_ssize_t length);

/* Return the map whose memory such a view shows, as a new reference; NULL without an exception
 * if the view shows other memory. */
mmbpy_map *mmbpy_map_of_view(mmbpy_state *state, PyObject *view);

/* Make an empty segment view, for a place where making an object later could fail. */
PyObject *mmbpy_segment_view_new(mmbpy_state *state);

/* Let a segment view show a part of a map, once. This never fails. */
void mmbpy_segment_view_show_map(PyObject *segment, mmbpy_map *map, unsigned char *start,
                                 Py_ssize_t length);

/* Take the number of words that are asked for, and at least 1. Return false with an exception
 * if the object is no number, or a segment cannot have so many. */
bool mmbpy_segment_words(PyObject *asked, uint64_t *words);

/* Return an empty segment view: a new one, or `*spare`, which is then made anew if possible. Return
 * NULL without an exception if there is no memory for either. */
PyObject *mmbpy_next_segment_view(mmbpy_state *state, PyObject **spare);

/* Let the segment view show at least `words` words of memory that is in no file, and let go of
 * what it showed before. Return NULL without an exception if there is no memory. */
PyObject *mmbpy_segment_in_no_file(PyObject *segment, uint64_t words);

/* Return what pycapnp gets: a memoryview of the segment view, which this takes over, or the segment
 * view itself, which serves as well. For NULL, return NULL with MemoryError. */
PyObject *mmbpy_give_segment(PyObject *segment);

#endif
