/* window_type.c - `_core.Window`: exports the memory of one segment.
 *
 * pycapnp keeps the object that its allocator returned, but gives the buffer back at once, and goes
 * on writing through the bare pointer. So the object itself must keep the memory alive. It must not
 * be an export of the map: then no message could be closed while objects of pycapnp exist.
 *
 * A window can also have memory of its own, for what no file can hold. */

#include "state.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD PyObject *map; /* kept alive; NULL if the window has memory of its own */
    unsigned char *start;        /* set once, like the two below, before others have the window */
    Py_ssize_t length;
    bool own; /* `start` is to be freed */
} mmbpy_window;

/* Memory for the case that the system has none: pycapnp must get some, or it ends the process.
 * It costs nothing until it is touched. One window of the process has it at a time. */
#define LAST_RESORT ((Py_ssize_t)1 << 20)
static unsigned char last_resort[LAST_RESORT];
static _Atomic bool last_resort_taken;

PyObject *mmbpy_window_new(mmbpy_state *state)
{
    PyTypeObject *type = state->window_type;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return alloc(type, 0);
}

void mmbpy_window_show_map(PyObject *object, mmbpy_map *map, unsigned char *start,
                           Py_ssize_t length)
{
    mmbpy_window *window = (mmbpy_window *)object;
    window->map = Py_NewRef((PyObject *)map);
    window->start = start;
    window->length = length;
}

bool mmbpy_window_show_memory(PyObject *object, Py_ssize_t length)
{
    mmbpy_window *window = (mmbpy_window *)object;
    /* calloc maps large blocks lazily: they are zeroed, and cost nothing until they are touched. */
    unsigned char *start = calloc(1, (size_t)length);
    if (start == NULL && length <= LAST_RESORT && !atomic_exchange(&last_resort_taken, true)) {
        start = last_resort;
    }
    if (start == NULL) {
        return false;
    }
    window->start = start;
    window->length = length;
    window->own = true;
    return true;
}

PyObject *mmbpy_window_of_map(mmbpy_state *state, mmbpy_map *map, unsigned char *start,
                              Py_ssize_t length)
{
    PyObject *window = mmbpy_window_new(state);
    if (window == NULL) {
        return NULL;
    }
    mmbpy_window_show_map(window, map, start, length);
    PyObject *view = PyMemoryView_FromObject(window);
    Py_DECREF(window);
    return view;
}

mmbpy_map *mmbpy_window_map(mmbpy_state *state, PyObject *view)
{
    if (!PyMemoryView_Check(view)) {
        return NULL;
    }
    PyObject *window = PyObject_GetAttrString(view, "obj"), *map = NULL;
    if (window != NULL && Py_TYPE(window) == state->window_type) {
        map = Py_XNewRef(((mmbpy_window *)window)->map);
    }
    if (window == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(window);
    return (mmbpy_map *)map;
}

static void free_own(mmbpy_window *self)
{
    if (self->start == last_resort) {
        memset(last_resort, 0, sizeof last_resort);
        atomic_store(&last_resort_taken, false);
    } else {
        free(self->start);
    }
}

static int window_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    mmbpy_window *self = (mmbpy_window *)object;
    return PyBuffer_FillInfo(view, object, self->start, self->length, 0, flags);
}

static int window_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((mmbpy_window *)object)->map);
    return 0;
}

/* Free the window. There is no clear: code may still write through a window, so it must keep its
 * map. Every cycle through it also goes through an object that can be cleared. */
static void window_dealloc(PyObject *object)
{
    mmbpy_window *self = (mmbpy_window *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->own) {
        free_own(self);
    }
    Py_XDECREF(self->map);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(window_doc, "A range of a map's memory that keeps the map alive.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc},
    {Py_tp_traverse, window_traverse},
    {Py_tp_dealloc, window_dealloc},
    {Py_bf_getbuffer, window_getbuffer},
    {0, NULL},
};

PyType_Spec mmbpy_window_spec = {
    .name = "mmapbuilder._core.Window",
    .basicsize = sizeof(mmbpy_window),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};
