/* segment_view.c - the type `_core.SegmentView`, and what pycapnp gets of it.
 *
 * pycapnp keeps the object that its allocator returned, but gives the buffer back at once, and goes
 * on writing through the bare pointer. So the object itself must keep the memory alive. It must not
 * be an export of the map: then no message could be closed while objects of pycapnp exist.
 *
 * A segment view can also have memory of its own, for what no file can hold. */

#include "segment_view.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD PyObject *map; /* kept alive; NULL if the segment view has memory of its own */
    unsigned char *start;        /* set once, like the two below, before others have the view */
    Py_ssize_t length;
    bool own; /* `start` is to be freed */
} mmbpy_segment_view;

/* Memory for the case that the system has none: pycapnp must get some, or it ends the process.
 * It costs nothing until it is touched. One segment view of the process has it at a time. */
#define LAST_RESORT ((Py_ssize_t)1 << 20)
static unsigned char last_resort[LAST_RESORT];
static _Atomic bool last_resort_taken;

PyObject *mmbpy_segment_view_new(mmbpy_state *state)
{
    PyTypeObject *type = state->segment_view_type;
    return mmbpy_new_object(type);
}

void mmbpy_segment_view_show_map(PyObject *object, mmbpy_map *map, unsigned char *start,
                                 Py_ssize_t length)
{
    mmbpy_segment_view *segment = (mmbpy_segment_view *)object;
    segment->map = Py_NewRef((PyObject *)map);
    segment->start = start;
    segment->length = length;
}

static bool show_memory(PyObject *object, Py_ssize_t length)
{
    mmbpy_segment_view *segment = (mmbpy_segment_view *)object;
    /* calloc maps large blocks lazily: they are zeroed, and cost nothing until they are touched. */
    unsigned char *start = calloc(1, (size_t)length);
    if (start == NULL && length <= LAST_RESORT && !atomic_exchange(&last_resort_taken, true)) {
        start = last_resort;
    }
    if (start == NULL) {
        return false;
    }
    segment->start = start;
    segment->length = length;
    segment->own = true;
    return true;
}

PyObject *mmbpy_view_of_map(mmbpy_state *state, mmbpy_map *map, unsigned char *start,
                            Py_ssize_t length)
{
    PyObject *segment = mmbpy_segment_view_new(state);
    if (segment == NULL) {
        return NULL;
    }
    mmbpy_segment_view_show_map(segment, map, start, length);
    PyObject *view = PyMemoryView_FromObject(segment);
    Py_DECREF(segment);
    return view;
}

mmbpy_map *mmbpy_map_of_view(mmbpy_state *state, PyObject *view)
{
    if (!PyMemoryView_Check(view)) {
        return NULL;
    }
    PyObject *segment = PyObject_GetAttrString(view, "obj"), *map = NULL;
    if (segment != NULL && Py_TYPE(segment) == state->segment_view_type) {
        map = Py_XNewRef(((mmbpy_segment_view *)segment)->map);
    }
    if (segment == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(segment);
    return (mmbpy_map *)map;
}

/* ---- handing out ------------------------------------------------------------ */

/* The words that are handed out when the file has no room. So a program that goes on building for a
 * while does not ask again for every object. */
#define SPARE_WORDS ((uint64_t)1 << 17)

bool mmbpy_segment_words(PyObject *asked, uint64_t *words)
{
    if (!mmbpy_as_uint64(asked, "min_words", words)) {
        return false;
    }
    if (*words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_Format(PyExc_ValueError, "a segment has %d words at most",
                     (int)MMB_MAX_SEGMENT_WORDS);
        return false;
    }
    *words = *words > 0 ? *words : 1;
    return true;
}

PyObject *mmbpy_next_segment_view(mmbpy_state *state, PyObject **spare)
{
    PyObject *segment = mmbpy_segment_view_new(state);
    if (segment == NULL) {
        segment = *spare;
        *spare = NULL;
    }
    if (*spare == NULL) {
        *spare = mmbpy_segment_view_new(state);
    }
    PyErr_Clear();
    return segment;
}

PyObject *mmbpy_segment_in_no_file(PyObject *segment, uint64_t words)
{
    uint64_t more = words > SPARE_WORDS ? words : SPARE_WORDS;
    if (!show_memory(segment, (Py_ssize_t)(more * MMB_WORD)) &&
        !show_memory(segment, (Py_ssize_t)(words * MMB_WORD))) {
        Py_CLEAR(segment);
    }
    return segment;
}

PyObject *mmbpy_give_segment(PyObject *segment)
{
    if (segment == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *view = PyMemoryView_FromObject(segment);
    if (view == NULL) {
        PyErr_Clear();
        return segment;
    }
    Py_DECREF(segment);
    return view;
}

/* ---- the type ---------------------------------------------------------------- */

static void free_own(mmbpy_segment_view *self)
{
    if (self->start == last_resort) {
        memset(last_resort, 0, sizeof last_resort);
        atomic_store(&last_resort_taken, false);
    } else {
        free(self->start);
    }
}

static int segment_view_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    mmbpy_segment_view *self = (mmbpy_segment_view *)object;
    return PyBuffer_FillInfo(view, object, self->start, self->length, 0, flags);
}

static int segment_view_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((mmbpy_segment_view *)object)->map);
    return 0;
}

/* Free the segment view. There is no clear: code may still write through a segment view, so it must
 * keep its map. Every cycle through it also goes through an object that can be cleared. */
static void segment_view_dealloc(PyObject *object)
{
    mmbpy_segment_view *self = (mmbpy_segment_view *)object;
    PyObject_GC_UnTrack(object);
    if (self->own) {
        free_own(self);
    }
    Py_XDECREF(self->map);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(segment_view_doc, "A range of a map's memory that keeps the map alive.");

static PyType_Slot segment_view_slots[] = {
    {Py_tp_doc, (void *)segment_view_doc},
    {Py_tp_traverse, segment_view_traverse},
    {Py_tp_dealloc, segment_view_dealloc},
    {Py_bf_getbuffer, segment_view_getbuffer},
    {0, NULL},
};

MMBPY_SPEC(segment_view, "SegmentView",
           Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE)
