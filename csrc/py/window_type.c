/* window_type.c - `_core.Window`: an exporter for one segment.
 *
 * pycapnp keeps the object that its allocator returned but gives the buffer
 * back at once, and goes on writing through the bare pointer. So what is handed
 * out must keep the memory alive by its own life, and must not be an export of
 * the map, or no message could be closed while pycapnp objects are around.
 *
 * A window also stands for memory of its own, for what no file can hold. */

#include "state.h"

#include <stdlib.h>

typedef struct {
    PyObject_HEAD PyObject *map; /* kept alive; NULL if the memory is the window's own */
    unsigned char *start;        /* set once when made, like the two below */
    Py_ssize_t length;
    bool own; /* `start` is to be freed */
} mmbpy_window;

static mmbpy_window *new_window(mmbpy_state *state)
{
    PyTypeObject *type = state->window_type;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return (mmbpy_window *)alloc(type, 0);
}

/* A memoryview is what allocators are documented to return. */
static PyObject *view_of(mmbpy_window *window)
{
    PyObject *view = PyMemoryView_FromObject((PyObject *)window);
    Py_DECREF(window);
    return view;
}

PyObject *mmbpy_window_of_map(mmbpy_state *state, mmbpy_map *map, unsigned char *start,
                              Py_ssize_t length)
{
    mmbpy_window *window = new_window(state);
    if (window == NULL) {
        return NULL;
    }
    window->map = Py_NewRef((PyObject *)map);
    window->start = start;
    window->length = length;
    return view_of(window);
}

PyObject *mmbpy_window_of_memory(mmbpy_state *state, Py_ssize_t length)
{
    mmbpy_window *window = new_window(state);
    if (window == NULL) {
        return NULL;
    }
    /* calloc maps large blocks lazily: zeroed, and free of cost until touched. */
    window->start = calloc(1, (size_t)length);
    window->length = length;
    window->own = true;
    if (window->start == NULL) {
        Py_DECREF(window);
        return PyErr_NoMemory();
    }
    return view_of(window);
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

/* There is no clear: a window that someone still writes through must keep its
 * map, and every cycle through it also passes through an object that can be
 * cleared. */
static void window_dealloc(PyObject *object)
{
    mmbpy_window *self = (mmbpy_window *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->own) {
        free(self->start);
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
