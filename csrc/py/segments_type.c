/* segments_type.c - `_core.Segments`: the segments of one message being built.
 *
 * Lays the message out in a map, hands its segments out and finishes the file.
 * It refers to the map but to nothing of pycapnp: pycapnp's message owns a
 * reference to its allocator that the cycle collector cannot see, so a way back
 * from here to the message would keep both alive for ever. */

#include "state.h"

/* What is handed out when the file has no room: enough that a program which goes
 * on building for a while does not come back for every object. */
#define SPARE_WORDS ((uint64_t)1 << 17)

typedef struct {
    PyObject_HEAD mmbpy_map *map; /* set once by __new__ */
    uint64_t segment_words;       /* the most words of one segment, unless more are needed */
    mmb_building *building;       /* owned; under the lock of the object until it is finished */
    mmb_flaw flaw; /* what finishing found, if the map's last error is MMB_EMESSAGE */
} mmbpy_segments;

static PyObject *segments_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "entries", "segment_words", "durable", NULL};
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    PyObject *map_object;
    unsigned int entries, segment_words;
    int durable = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!II|p:Segments", names, state->map_type,
                                     &map_object, &entries, &segment_words, &durable)) {
        return NULL;
    }
    if (entries < 1 || entries > MMB_MAX_SEGMENTS || segment_words < 1 ||
        segment_words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_SetString(PyExc_ValueError, "entries or segment_words out of range");
        return NULL;
    }
    mmbpy_map *map = (mmbpy_map *)map_object;

    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    mmbpy_segments *self = (mmbpy_segments *)alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->map = (mmbpy_map *)Py_NewRef(map_object);
    self->segment_words = segment_words;
    self->building = PyMem_Calloc(1, sizeof *self->building);
    if (self->building == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    atomic_store(&map->segmented, true);
    mmb_map *core = mmbpy_map_enter(map);
    if (core == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    mmb_region region = {.map = core, .offset = 0, .capacity = mmb_map_capacity(core)};
    error = mmb_message_begin(self->building, &region, entries, durable != 0);
    mmbpy_map_leave(map);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        Py_DECREF(self);
        return mmbpy_raise(state, error, map->name);
    }
    return (PyObject *)self;
}

/* ---- handing out ---------------------------------------------------------- */

/* The next segment of the file, or NULL if it must come from elsewhere, because
 * the map is closed, poisoned, or has no room (which poisons it). */
static unsigned char *next_segment(mmbpy_segments *self, uint64_t min_words, uint64_t *words)
{
    mmb_building *building = self->building;
    unsigned char *start = NULL;
    mmb_map *core = mmbpy_map_hold(self->map);
    if (core != NULL) {
        if (mmb_fault_arm() != 0 || mmb_map_poison(core) != 0) {
            start = NULL;
        } else if (mmb_message_hand_out(building, min_words, self->segment_words) != 0) {
            mmb_map_set_poison(core, MMB_ECAPACITY);
        } else {
            uint32_t index = building->count - 1;
            start = mmb_map_base(core) + mmb_message_start(building, index);
            *words = building->full[index];
        }
        mmbpy_map_leave(self->map);
    }
    return start;
}

PyDoc_STRVAR(allocate_doc,
             "allocate($self, min_words, /)\n--\n\n"
             "The next segment, zeroed, at its full size: a memoryview of at least\n"
             "min_words * 8 bytes.\n\n"
             "pycapnp dies of exceptions here. So when the file cannot give a segment, it\n"
             "is memory in no file, and closing the builder raises.");

static PyObject *segments_allocate(PyObject *object, PyObject *min_words_object)
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    mmbpy_state *state = self->map->state;
    uint64_t min_words, words = 0;
    if (!mmbpy_as_uint64(min_words_object, "min_words", &min_words)) {
        return NULL;
    }
    if (min_words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_Format(PyExc_ValueError, "a segment has %d words at most",
                     (int)MMB_MAX_SEGMENT_WORDS);
        return NULL;
    }
    if (min_words == 0) {
        min_words = 1;
    }
    unsigned char *start;
    MMBPY_LOCK(object);
    start = next_segment(self, min_words, &words);
    MMBPY_UNLOCK();
    if (start != NULL) {
        return mmbpy_window_of_map(state, self->map, start, (Py_ssize_t)(words * MMB_WORD));
    }
    words = min_words > SPARE_WORDS ? min_words : SPARE_WORDS;
    return mmbpy_window_of_memory(state, (Py_ssize_t)(words * MMB_WORD));
}

PyDoc_STRVAR(make_readable_doc,
             "make_readable($self, /)\n--\n\n"
             "Let the file reach into the last segment, so that the kernel can read the\n"
             "start of each of them.");

static PyObject *segments_make_readable(PyObject *object, PyObject *Py_UNUSED(unused))
{
    enum { ENOUGH_WORDS = 512 }; /* a page: what the kernel takes at once */
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
    if (error != 0) {
        return mmbpy_raise(self->map->state, error, self->map->name);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(views_doc, "views($self, /)\n--\n\n"
                        "The memory of each segment handed out, at its full size: a tuple of\n"
                        "memoryviews that keep the map alive.");

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
        PyObject *view = mmbpy_window_of_map(self->map->state, self->map, at, length);
        at += length;
        if (view == NULL || PyTuple_SetItem(views, (Py_ssize_t)i, view) < 0) {
            Py_CLEAR(views);
        }
    }
    return views;
}

/* ---- finishing ------------------------------------------------------------ */

/* Used words as given by the caller; how many of them is returned, or -1. */
static int used_from_sequence(PyObject *sequence, uint32_t *used)
{
    Py_ssize_t given = PySequence_Size(sequence);
    if (given < 0) {
        return -1;
    }
    if (given > MMB_MAX_SEGMENTS) {
        PyErr_Format(PyExc_ValueError, "%zd used sizes, but no message has more than %d segments",
                     given, (int)MMB_MAX_SEGMENTS);
        return -1;
    }
    for (Py_ssize_t i = 0; i < given; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        uint64_t words;
        bool good = item != NULL && mmbpy_as_uint64(item, "a used size", &words);
        Py_XDECREF(item);
        if (!good) {
            return -1;
        }
        used[i] = words > UINT32_MAX ? UINT32_MAX : (uint32_t)words;
    }
    return (int)given;
}

/* False with a ValueError if they cannot be those of the segments. */
static bool used_fits(const mmbpy_segments *self, const uint32_t *used, uint32_t given)
{
    const mmb_building *building = self->building;
    if (given != building->count) {
        PyErr_Format(PyExc_ValueError, "%u used sizes for %u segments", given, building->count);
        return false;
    }
    for (uint32_t i = 0; i < given; i++) {
        if (used[i] > building->full[i]) {
            PyErr_Format(PyExc_ValueError, "segment %u has only %u words", i, building->full[i]);
            return false;
        }
    }
    return true;
}

/* A segment that the root does not lead to, but that begins as a message does, is the first of
 * another message, made by the same allocator: it must not go without a word. */
static int check_single(const mmbpy_segments *self, const mmb_map *map, const mmb_segment *segments,
                        const uint32_t *used, mmb_flaw *flaw)
{
    mmb_stats stats;
    mmb_map_get_stats(map, &stats);
    uintptr_t backed = (uintptr_t)mmb_map_base(map) + stats.backed;
    uint32_t count = self->building->count;
    for (uint32_t i = 1; i < count; i++) {
        bool is_there = (uintptr_t)segments[i].base < backed; /* a look beyond would grow it */
        if (used[i] == 0 && is_there && mmb_begins_message(segments, count, i)) {
            *flaw = (mmb_flaw){.segment = i,
                               .reason = "another message begins here, to which the root does "
                                         "not lead: one builder holds one message"};
            return MMB_EMESSAGE;
        }
    }
    return 0;
}

/* Used words as found by following the pointers from the root. */
static int used_from_walk(mmbpy_segments *self, mmb_map *map, uint32_t *used, bool *has_far,
                          mmb_flaw *flaw)
{
    const mmb_building *building = self->building;
    mmb_segment segments[MMB_MAX_SEGMENTS];
    mmb_totals totals;
    for (uint32_t i = 0; i < building->count; i++) {
        segments[i] = (mmb_segment){.base = mmb_map_base(map) + mmb_message_start(building, i),
                                    .words = building->full[i]};
    }
    if (building->count == 0) {
        return 0;
    }
    int error = mmb_walk(segments, building->count, used, &totals, flaw);
    *has_far = totals.far > 0;
    return error != 0 ? error : check_single(self, map, segments, used, flaw);
}

PyDoc_STRVAR(finish_doc,
             "finish($self, used, /, durable=False)\n--\n\n"
             "Make the file a finished message and close the map; views stay as a snapshot.\n\n"
             "used holds the used words of each segment; None has them found from the root.\n"
             "Returns None, or the OSError or InvalidMessage that finishing met: the map is\n"
             "closed then as well, and the file unfinished. Asked again, the same.");

static PyObject *outcome(mmbpy_segments *self)
{
    if (self->map->last_error == MMB_EMESSAGE) {
        return mmbpy_invalid_in(self->map->state, &self->flaw, self->map->name);
    }
    return mmbpy_map_outcome(self->map);
}

static PyObject *segments_finish(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "durable", NULL};
    mmbpy_segments *self = (mmbpy_segments *)object;
    PyObject *sequence;
    int durable = 0;
    uint32_t used[MMB_MAX_SEGMENTS];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:finish", names, &sequence, &durable)) {
        return NULL;
    }
    /* The items may be objects of Python code: first of all, before the map is closing. */
    int given = sequence != Py_None ? used_from_sequence(sequence, used) : 0;
    if (given < 0) {
        return NULL;
    }

    mmb_map *map = NULL;
    int begun = mmbpy_map_begin_close(self->map, true, &map);
    if (begun < 0) {
        return NULL;
    }
    if (begun == 0) {
        mmbpy_map_wait_closed(self->map);
        return outcome(self);
    }
    /* From here on next_segment refuses, and the building stays as it is. */
    if (sequence != Py_None && !used_fits(self, used, (uint32_t)given)) {
        mmbpy_map_cancel_close(self->map);
        return NULL;
    }
    uint64_t file_bytes = 0;
    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    bool has_far = self->building->count > 1; /* pycapnp makes none with one segment */
    error = mmb_map_poison(map);
    if (error == 0 && sequence == Py_None) {
        error = used_from_walk(self, map, used, &has_far, &self->flaw);
    }
    if (error == 0) {
        error = mmb_message_finish_file(self->building, used, has_far, durable != 0, &file_bytes);
    }
    Py_END_ALLOW_THREADS
    mmbpy_map_end_close(self->map, file_bytes, error);
    return outcome(self);
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

static int segments_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)((mmbpy_segments *)object)->map);
    return 0;
}

/* No clear: the map is used without looking whether it is there, and every
 * cycle through it passes through something else that can be cleared. */
static void segments_dealloc(PyObject *object)
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    PyMem_Free(self->building);
    Py_XDECREF((PyObject *)self->map);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

PyDoc_STRVAR(segments_doc, "Segments(core, /, entries, segment_words, durable=False)\n--\n\n"
                           "The segments of one message in core, an empty, just opened map.");

static PyMethodDef segments_methods[] = {
    {"allocate", segments_allocate, METH_O, allocate_doc},
    {"views", segments_views, METH_NOARGS, views_doc},
    {"make_readable", segments_make_readable, METH_NOARGS, make_readable_doc},
    {"finish", (PyCFunction)(void (*)(void))segments_finish, METH_VARARGS | METH_KEYWORDS,
     finish_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef segments_properties[] = {
    {"sizes", segments_get_sizes, NULL, "Full words of each segment handed out.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot segments_slots[] = {
    {Py_tp_doc, (void *)segments_doc},
    {Py_tp_new, segments_new},
    {Py_tp_traverse, segments_traverse},
    {Py_tp_dealloc, segments_dealloc},
    {Py_tp_methods, segments_methods},
    {Py_tp_getset, segments_properties},
    {0, NULL},
};

PyType_Spec mmbpy_segments_spec = {
    .name = "mmapbuilder._core.Segments",
    .basicsize = sizeof(mmbpy_segments),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = segments_slots,
};
