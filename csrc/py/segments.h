/* segments.h - what the two files of `_core.Segments` share. */
#ifndef MMBPY_SEGMENTS_H
#define MMBPY_SEGMENTS_H

#include "state.h"

typedef struct {
    PyObject_HEAD mmbpy_map *map; /* set once by __new__ */
    uint64_t segment_words;       /* the most words of one segment, unless more are needed */
    mmb_building *building;       /* owned; under the lock of the object until it has ended */
    mmb_flaw flaw; /* what finishing found, if the map's last error is MMB_EMESSAGE */

    /* Under the lock of the object: */
    PyObject *spare;  /* a window for when there is no memory for another, or NULL */
    bool ended;       /* no segment is handed out any more, no store reaches the file */
    bool is_sure;     /* since then: what the file holds is what pycapnp knows of */
    bool has_message; /* the segments are for one message of our own */
    bool is_mixed;    /* somebody asked for one by hand in spite of that */

    /* While pycapnp is asked for the used words of its segments: where its answer is to be
     * read, else -1. Set by the one who asks; read by those who hand out. */
    _Atomic int asking;
} mmbpy_segments;

/* Methods of it: the end. (segments_end.c) */
extern const char mmbpy_seal_doc[];
extern const char mmbpy_segments_finish_doc[];
PyObject *mmbpy_segments_seal(PyObject *self, PyObject *unused);
PyObject *mmbpy_segments_finish(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
