/* segments_end.c - ends a `_core.Segments`: seals, measures and finishes the message.
 *
 * The order matters. First the message is sealed. From then on no store of this process reaches the
 * file, so everything in the file belongs to whole calls of pycapnp. Then pycapnp is asked for its
 * sizes. They may include what was built in between: it becomes zeros at the end, where no pointer
 * leads. Nothing that is in the file is ever cut off. */

#include "segments.h"

#include "os/os.h"

#include <errno.h>
#include <unistd.h>

/* ---- asking pycapnp --------------------------------------------------------- */

static uint32_t number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t word_at(const unsigned char *bytes)
{
    return number_at(bytes) | (uint64_t)number_at(bytes + 4) << 32;
}

/* Return the sizes in a table of which `length` bytes are there; NULL if the table is not
 * complete. */
static PyObject *sizes_in_table(const unsigned char *table, ssize_t length)
{
    uint64_t numbers = length > 0 ? (uint64_t)length / 4 : 0;
    uint64_t count = numbers > 0 ? (uint64_t)number_at(table) + 1 : UINT64_MAX;
    if (count + 1 > numbers) {
        return NULL;
    }
    /* The write failed because the pipe is full, as it should be. */
    PyObject *sizes = mmbpy_forget(PyExc_Exception) ? PyList_New((Py_ssize_t)count) : NULL;
    for (uint64_t i = 0; sizes != NULL && i < count; i++) {
        PyObject *size = PyLong_FromUnsignedLong(number_at(table + 4 * (i + 1)));
        if (size == NULL || PyList_SetItem(sizes, (Py_ssize_t)i, size) < 0) {
            Py_CLEAR(sizes);
        }
    }
    return sizes;
}

PyDoc_STRVAR(used_words_doc,
             "used_words($module, write, message, segments=None, /)\n--\n\n"
             "Return the used words of each segment of pycapnp's message.\n\n"
             "write(fd, message) must write the message in the standard framing. pycapnp tells\n"
             "the sizes only by copying the message, so it writes to a pipe that takes the\n"
             "table and little more. The start of each segment must be readable. If segments\n"
             "is given, it hands out no segment meanwhile.");

static PyObject *used_words(PyObject *module, PyObject *args)
{
    mmbpy_state *state = PyModule_GetState(module);
    unsigned char table[4096];
    PyObject *write, *message, *segments = Py_None;
    int ends[2];
    if (!PyArg_ParseTuple(args, "OO|O:used_words", &write, &message, &segments)) {
        return NULL;
    }
    if (segments != Py_None && !PyObject_TypeCheck(segments, state->segments_type)) {
        PyErr_SetString(PyExc_TypeError, "segments must be Segments or None");
        return NULL;
    }
    /* A message that fits into the pipe is told at once. For others pycapnp makes an exception,
     * which takes longer than to copy what fits. */
    int error = mmb__os_pipe(ends);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    mmbpy_segments *self = segments != Py_None ? (mmbpy_segments *)segments : NULL;
    if (self != NULL) {
        atomic_store(&self->asking, ends[0]);
    }
    PyObject *result = PyObject_CallFunction(write, "iO", ends[1], message);
    if (self != NULL) {
        atomic_store(&self->asking, -1);
    }
    Py_XDECREF(result);
    ssize_t length = read(ends[0], table, sizeof table);
    close(ends[0]);
    close(ends[1]);

    PyObject *sizes = sizes_in_table(table, length);
    if (sizes == NULL && PyErr_Occurred() == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "pycapnp did not tell the sizes of the message's segments");
    }
    return sizes;
}

PyMethodDef mmbpy_segments_functions[] = {
    {"used_words", used_words, METH_VARARGS, used_words_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- sealing ------------------------------------------------------------------ */

/* End the message. The caller holds the lock, and the GIL is not given up. */
static void end(mmbpy_segments *self, mmb_map *map)
{
    if (!self->ended) {
        uint64_t content = mmb_map_capacity(map);
        (void)mmb_map_find_used(map, 0, &content);
        bool is_private = mmb_map_snapshot(map, content, false) == 0;
        self->content = content;
        self->is_sure = is_private && !mmb_map_was_forked(map) && MMBPY_HAS_GIL;
        self->ended = true;
    }
}

const char mmbpy_seal_doc[] =
    PyDoc_STR("seal($self, /)\n--\n\n"
              "Stop handing out segments, and keep later stores out of the file.\n\n"
              "Return False if the map was closed already. Call finish, or _finish of the map,\n"
              "next. This may be called again.");

PyObject *mmbpy_segments_seal(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_segments *self = (mmbpy_segments *)object;
    mmb_map *map = NULL;
    if (!mmbpy_map_begin_close(self->map, &map)) {
        Py_RETURN_FALSE;
    }
    MMBPY_LOCK(object);
    end(self, map);
    MMBPY_UNLOCK();
    mmbpy_map_seal(self->map);
    Py_RETURN_TRUE;
}

/* ---- looking for the end ---------------------------------------------------------- */

const char mmbpy_find_mark_doc[] = PyDoc_STR(
    "find_mark($self, mark, /)\n--\n\n"
    "Return the word of the first segment where pycapnp has put a pointer to a list of one\n"
    "number, which follows it: the mark. None if it is not close to the last word of the\n"
    "sealed message that is not zero.\n\n"
    "If the mark is the last object that was made, its place is the used size.");

PyObject *mmbpy_segments_find_mark(PyObject *object, PyObject *number)
{
    enum { CLOSE = 512 };                                      /* words */
    static const uint64_t pointer = 1 | (5 | 1ull << 3) << 32; /* to one element of eight bytes */
    mmbpy_segments *self = (mmbpy_segments *)object;
    uint64_t mark, found = UINT64_MAX;
    if (!mmbpy_as_uint64(number, "mark", &mark)) {
        return NULL;
    }
    MMBPY_LOCK(object);
    const mmb_building *building = self->building;
    mmb_map *map = atomic_load(&self->map->map);
    uint64_t start = mmb_message_start(building, 0);
    if (self->ended && self->is_sure && building->count > 0 && self->content > start) {
        const unsigned char *base = mmb_map_base(map) + start;
        uint64_t word = (self->content - start + MMB_WORD - 1) / MMB_WORD;
        uint64_t end = building->full[0] < word + CLOSE ? building->full[0] : word + CLOSE;
        while (word < end && word_at(base + word * MMB_WORD) == 0) {
            word++;
        }
        if (word + 1 < end && word_at(base + word * MMB_WORD) == pointer &&
            word_at(base + (word + 1) * MMB_WORD) == mark) {
            found = word;
        }
    }
    MMBPY_UNLOCK();
    return found == UINT64_MAX ? Py_NewRef(Py_None) : PyLong_FromUnsignedLongLong(found);
}

/* ---- finishing ------------------------------------------------------------------ */

/* Take the used words from the caller's sequence. Return false with an exception. What pycapnp
 * built after the end does not count: further segments, or words beyond the size of one. */
static bool used_from_sequence(const mmb_building *building, PyObject *sequence, uint32_t *used)
{
    Py_ssize_t given = PySequence_Size(sequence);
    for (Py_ssize_t i = 0; i < given && i < (Py_ssize_t)building->count; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        uint64_t words;
        bool good = item != NULL && mmbpy_as_uint64(item, "a used size", &words);
        Py_XDECREF(item);
        if (!good) {
            return false;
        }
        used[i] = words < building->full[i] ? (uint32_t)words : building->full[i];
    }
    return given >= 0;
}

/* Check that all segments belong to one message. If the root does not lead to a segment, and it
 * begins as a message does, then it is the first segment of another message from the same
 * allocator, which must not be lost in silence. */
static int check_single(const mmb_building *building, const uint32_t *used, mmb_flaw *flaw)
{
    mmb_segment segments[MMB_MAX_SEGMENTS];
    const mmb_map *map = building->region.map;
    mmb_stats stats;
    mmb_map_get_stats(map, &stats);
    for (uint32_t i = 0; i < building->count; i++) {
        segments[i] = (mmb_segment){.base = mmb_map_base(map) + mmb_message_start(building, i),
                                    .words = building->full[i]};
    }
    for (uint32_t i = 1; i < building->count; i++) {
        bool is_there = mmb_message_start(building, i) < stats.backed;
        if (used[i] == 0 && is_there && mmb_begins_message(segments, building->count, i)) {
            *flaw = (mmb_flaw){.segment = i,
                               .reason = "another message begins here, to which the root does "
                                         "not lead: one builder holds one message"};
            return MMB_EMESSAGE;
        }
    }
    return 0;
}

/* Finish the message. The caller has released the GIL. */
static int finish(mmbpy_segments *self, mmb_map *map, uint32_t *used, bool is_told, bool durable,
                  uint64_t *file_bytes)
{
    mmb_building *building = self->building;
    bool has_far = building->count > 1; /* with one segment pycapnp makes none */
    mmb_map_seal(map);
    int error = mmb_map_poison(map);
    if (error == 0 && !(is_told && self->is_sure)) {
        error = mmb_message_measure(building, used, &has_far, &self->flaw);
    }
    if (error == 0 && !self->has_message) {
        error = check_single(building, used, &self->flaw);
    }
    if (error == 0) {
        error = mmb_message_finish_file(building, used, has_far, durable, file_bytes);
    }
    return error;
}

const char mmbpy_segments_finish_doc[] =
    PyDoc_STR("finish($self, used, /, durable=False)\n--\n\n"
              "Make the file a finished message and close the map. Views stay as a snapshot.\n\n"
              "used holds the used words of each segment. With None they are found from the\n"
              "root, and so are those of segments that other processes may have added to.\n"
              "Return None, or the OSError or InvalidMessage that finishing met. The map is\n"
              "closed then, too, and the file unfinished. Each later call returns the same.");

static PyObject *outcome(mmbpy_segments *self)
{
    if (self->map->last_error == MMB_EMESSAGE) {
        return mmbpy_invalid_in(self->map->state, &self->flaw, self->map->name);
    }
    return mmbpy_map_outcome(self->map);
}

PyObject *mmbpy_segments_finish(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "durable", NULL};
    mmbpy_segments *self = (mmbpy_segments *)object;
    PyObject *sequence;
    int durable = 0;
    uint32_t used[MMB_MAX_SEGMENTS] = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:finish", names, &sequence, &durable)) {
        return NULL;
    }
    if (!self->ended && mmbpy_map_is_open(self->map)) {
        PyErr_SetString(PyExc_RuntimeError, "the message is to be sealed first");
        return NULL;
    }
    bool is_told = sequence != Py_None;
    if (is_told && !used_from_sequence(self->building, sequence, used)) {
        return NULL;
    }
    mmb_map *map = NULL;
    if (!mmbpy_map_begin_close(self->map, &map)) {
        mmbpy_map_wait_closed(self->map);
        return outcome(self);
    }
    uint64_t file_bytes = 0;
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = finish(self, map, used, is_told, durable != 0, &file_bytes);
    Py_END_ALLOW_THREADS
    mmbpy_map_end_close(self->map, file_bytes, error, false);
    return outcome(self);
}
