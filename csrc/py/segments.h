/* segments.h - shared by the two files of `_core.Segments`. */
#ifndef MMBPY_SEGMENTS_H
#define MMBPY_SEGMENTS_H

#include "state.h"

typedef struct {
    PyObject_HEAD mmbpy_map *map; /* __new__ sets it once */
    uint64_t segment_words;       /* the most words of a segment, unless one call needs more */
    mmb_building *building;       /* owned; guarded by the object's lock until it has ended */
    mmb_flaw flaw; /* the flaw that finishing found, if the map's last error is MMB_EMESSAGE */

    /* The lock of the object guards these. */
    /* Set at the end: the bytes of the file, up to the last one that is not zero. */
    unsigned long long content;
    PyObject *spare;  /* a segment view, if there is no memory for another; or NULL */
    bool ended;       /* no segment is handed out any more, and no store reaches the file */
    bool is_sure;     /* set at the end: the file holds just what pycapnp knows of */
    bool has_message; /* the segments are for one message that we made */
    bool is_mixed;    /* but the program has asked for a segment by itself */

    /* The descriptor to read pycapnp's answer from, while it is asked for the used words of its
     * segments; else -1. The thread that asks sets it; threads that hand out segments read it. */
    _Atomic int asking;
} mmbpy_segments;

/* The methods that end it. (segments_end.c) */
extern const char mmbpy_seal_doc[];
extern const char mmbpy_find_mark_doc[];
extern const char mmbpy_segments_finish_doc[];
PyObject *mmbpy_segments_seal(PyObject *self, PyObject *unused);
PyObject *mmbpy_segments_find_mark(PyObject *self, PyObject *mark);
PyObject *mmbpy_segments_finish(PyObject *self, PyObject *args, PyObject *kwargs);

#endif
