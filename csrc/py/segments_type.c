/* segments_type.c - `_core.Segments`: the segments of one message that is built.
 *
 * It lays the message out in a map and hands its segments out; segments_end.c finishes it. It
 * refers to the map, but to nothing of pycapnp. pycapnp's message owns a reference to its allocator
 * that the cycle collector cannot see. A reference from here to the message would keep both alive
 * forever. */

#include "segment_view.h"
#include "segments.h"

#include <poll.h>
#include <stdlib.h>

static PyObject *segments_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    mmbpy_state *state = mmbpy_state_of_type(type);
    PyObject *map_object;
    unsigned int segment_words;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "O!I:Segments", state->map_type, &map_object, &segment_words)) {
        return NULL;
    }
    if (segment_words < 1 || segment_words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_SetString(PyExc_ValueError, "segment_words out of range");
        return NULL;
    }
    mmbpy_map *map = (mmbpy_map *)map_object;
    if (map->building == NULL) {
        PyErr_SetString(PyExc_ValueError, "no message was begun in the map, or not for this");
        return NULL;
    }
    mmbpy_segments *self = (mmbpy_segments *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->map = (mmbpy_map *)Py_NewRef(map_object);
    self->segment_words = segment_words;
    atomic_store(&self->asking, -1);
    self->spare = mmbpy_segment_view_new(state);
    if (self->spare == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->building = map->building;
    map->building = NULL;
    return (PyObject *)self;
}

/* ---- handing out ---------------------------------------------------------- */

/* Let `segment` show the next segment of the file. Return false if the memory must come from
 * elsewhere: because the message is closed, its file is poisoned, or has no room, which poisons it.
 * The caller holds the lock.
 *
 * A call of pycapnp is half done here. Others must see its stores only when the call is complete.
 * The GIL ensures that, so nothing here gives it up. The map need not be entered, since its memory
 * lives as long as the object. */
static bool show_next(mmbpy_segments *self, uint64_t min_words, PyObject *segment)
{
    mmb_building *building = self->building;
    mmb_map *map = atomic_load(&self->map->map);
    if (self->ended || mmb_install_handler() != 0 || mmb_map_poison(map) != 0) {
        return false;
    }
    if (mmb_message_hand_out(building, min_words, self->segment_words) != 0) {
        mmb_map_set_poison(map, MMB_ECAPACITY);
        return false;
    }
    uint32_t index = building->count - 1;
    mmbpy_segment_view_show_map(segment, self->map,
                                mmb_map_base(map) + mmb_message_start(building, index),
                                (Py_ssize_t)((uint64_t)building->full[index] * MMB_WORD));
    return true;
}

/* Wait until the kernel has begun to take the table. Then pycapnp has read its list of segments,
 * and may add one. It reads the list without the GIL. */
static void wait_for_table(mmbpy_segments *self)
{
    struct pollfd table = {.fd = atomic_load(&self->asking), .events = POLLIN};
    for (int i = 0; i < 1000 && table.fd >= 0 && poll(&table, 1, 1) == 0; i++) {
        table.fd = atomic_load(&self->asking);
    }
}

/* Return a segment view on the next segment, or on other memory if it must be. The caller holds
 * the lock. */
static PyObject *next_segment(mmbpy_segments *self, uint64_t words, bool by_hand)
{
    bool foreign = by_hand && self->has_message;
    self->is_mixed = self->is_mixed || foreign;
    PyObject *segment = mmbpy_next_segment_view(self->map->state, &self->spare);
    if (segment == NULL || (!foreign && show_next(self, words, segment))) {
        return segment;
    }
    return mmbpy_segment_in_no_file(segment, words);
}

static PyObject *hand_out(PyObject *object, PyObject *min_words, bool by_hand)
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    uint64_t words;
    if (!mmbpy_segment_words(min_words, &words)) {
        return NULL;
    }
    PyObject *view;
    MMBPY_PAUSE_GC();
    wait_for_table(self);
    MMBPY_LOCK(object);
    view = next_segment(self, words, by_hand);
    MMBPY_UNLOCK();
    view = mmbpy_give_segment(view);
    MMBPY_RESUME_GC();
    return view;
}

PyDoc_STRVAR(allocate_doc,
             "allocate($self, min_words, /)\n--\n\n"
             "Return the next segment, zeroed, at its full size: a memoryview of at least\n"
             "min_words * 8 bytes.\n\n"
             "An exception here would end the process, since pycapnp cannot handle it. So if\n"
             "the file has no room for a segment, the memory is in no file, and closing the\n"
             "builder raises.");

static PyObject *segments_allocate(PyObject *object, PyObject *min_words)
{
    return hand_out(object, min_words, false);
}

PyDoc_STRVAR(allocate_for_program_doc,
             "allocate_for_program($self, min_words, /)\n--\n\n"
             "Do as allocate does, for a program that makes its message itself. If these\n"
             "segments have a message already, the memory is in no file.");

static PyObject *segments_allocate_for_program(PyObject *object, PyObject *min_words)
{
    return hand_out(object, min_words, true);
}

PyDoc_STRVAR(take_for_message_doc,
             "take_for_message($self, /)\n--\n\n"
             "Keep the segments for one message. Return False if the program has asked for some.");

static PyObject *segments_take_for_message(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    MMBPY_LOCK(object);
    self->has_message = self->has_message || self->building->count == 0;
    MMBPY_UNLOCK();
    return PyBool_FromLong(self->has_message);
}

PyDoc_STRVAR(make_readable_doc,
             "make_readable($self, /)\n--\n\n"
             "Let the file reach into the last segment, so that the kernel can read the start\n"
             "of each segment.");

static PyObject *segments_make_readable(PyObject *object, PyObject *Py_UNUSED(unused))
{
    enum { ENOUGH_WORDS = 512 }; /* a page, which is what the kernel takes at once */
    mmbpy_segments *self = (mmbpy_segments *)object;
    uint64_t reach = 0;
    MMBPY_LOCK(object);
    const mmb_building *building = self->building;
    if (building->count > 0) {
        uint64_t last = building->full[building->count - 1];
        reach = mmb_message_start(building, building->count - 1) +
                (last < ENOUGH_WORDS ? last : ENOUGH_WORDS) * MMB_WORD;
    }
    MMBPY_UNLOCK();
    mmb_map *map = mmbpy_map_enter(self->map);
    if (map == NULL) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_ensure(map, reach);
    mmbpy_map_leave(self->map);
    Py_END_ALLOW_THREADS
    return error == 0 ? Py_NewRef(Py_None) : mmbpy_map_raise(self->map, error);
}

PyDoc_STRVAR(views_doc,
             "views($self, /)\n--\n\n"
             "Return the memory of each segment that was handed out, at its full size: a tuple\n"
             "of memoryviews that keep the map alive.");

static PyObject *segments_views(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    mmb_map *map = mmbpy_map_enter(self->map);
    if (map == NULL) {
        return NULL;
    }
    unsigned char *at = mmb_map_base(map) + mmb_message_start(self->building, 0);
    mmbpy_map_leave(self->map);
    uint32_t count;
    MMBPY_LOCK(object);
    count = self->building->count;
    MMBPY_UNLOCK();
    PyObject *views = PyTuple_New((Py_ssize_t)count);
    for (uint32_t i = 0; views != NULL && i < count; i++) {
        Py_ssize_t length = (Py_ssize_t)((uint64_t)self->building->full[i] * MMB_WORD);
        PyObject *view = mmbpy_view_of_map(self->map->state, self->map, at, length);
        at += length;
        if (view == NULL || PyTuple_SetItem(views, (Py_ssize_t)i, view) < 0) {
            Py_CLEAR(views);
        }
    }
    return views;
}

/* ---- the type ------------------------------------------------------------- */

static PyObject *segments_get_sizes(PyObject *object, void *Py_UNUSED(closure))
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    PyObject *sizes = NULL;
    MMBPY_LOCK(object);
    const mmb_building *building = self->building;
    sizes = PyTuple_New((Py_ssize_t)building->count);
    for (uint32_t i = 0; sizes != NULL && i < building->count; i++) {
        PyObject *words = PyLong_FromUnsignedLong(building->full[i]);
        if (words == NULL || PyTuple_SetItem(sizes, (Py_ssize_t)i, words) < 0) {
            Py_CLEAR(sizes);
        }
    }
    MMBPY_UNLOCK();
    return sizes;
}

static Py_ssize_t segments_length(PyObject *object)
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    Py_ssize_t count;
    MMBPY_LOCK(object);
    count = (Py_ssize_t)self->building->count;
    MMBPY_UNLOCK();
    return count;
}

static int segments_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)((mmbpy_segments *)object)->map);
    return 0;
}

/* Free the object. There is no clear: methods use the map without a check for NULL, and every
 * cycle through the map also goes through an object that can be cleared. */
static void segments_dealloc(PyObject *object)
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    PyObject_GC_UnTrack(object);
    free(self->building);
    Py_XDECREF(self->spare);
    Py_XDECREF((PyObject *)self->map);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(segments_doc, "Segments(map, segment_words, /)\n--\n\n"
                           "The segments of the message that began when map was opened, of\n"
                           "which len() tells the number.");

static PyMethodDef segments_methods[] = {
    {"allocate", segments_allocate, METH_O, allocate_doc},
    {"allocate_for_program", segments_allocate_for_program, METH_O, allocate_for_program_doc},
    {"take_for_message", segments_take_for_message, METH_NOARGS, take_for_message_doc},
    {"views", segments_views, METH_NOARGS, views_doc},
    {"make_readable", segments_make_readable, METH_NOARGS, make_readable_doc},
    {"seal", mmbpy_segments_seal, METH_NOARGS, mmbpy_seal_doc},
    {"find_mark", mmbpy_segments_find_mark, METH_O, mmbpy_find_mark_doc},
    {"finish", MMBPY_METHOD(mmbpy_segments_finish), METH_VARARGS | METH_KEYWORDS,
     mmbpy_segments_finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *segments_get_start(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(mmb_message_start(((mmbpy_segments *)object)->building, 0));
}

static PyGetSetDef segments_properties[] = {
    {"start", segments_get_start, NULL, "The bytes of the file before the first segment.", NULL},
    {"sizes", segments_get_sizes, NULL, "The full words of each segment handed out.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef segments_members[] = {
    {"sure", T_BOOL, offsetof(mmbpy_segments, is_sure), READONLY,
     "Whether pycapnp knows all that is in the file of a sealed message."},
    {"content", T_ULONGLONG, offsetof(mmbpy_segments, content), READONLY,
     "The bytes of the file of a sealed message, up to the last one that is not zero."},
    {"mixed", T_BOOL, offsetof(mmbpy_segments, is_mixed), READONLY,
     "Whether the program has asked for segments of a message as well."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot segments_slots[] = {
    {Py_tp_doc, (void *)segments_doc},
    {Py_tp_new, segments_new},
    {Py_tp_traverse, segments_traverse},
    {Py_tp_dealloc, segments_dealloc},
    {Py_tp_methods, segments_methods},
    {Py_sq_length, (void *)segments_length},
    {Py_tp_getset, segments_properties},
    {Py_tp_members, segments_members},
    {0, NULL},
};

MMBPY_SPEC(segments, "Segments", Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
