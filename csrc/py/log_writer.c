/* log_writer.c - `_core.LogWriter`: appending messages to a log.
 *
 * The writer is used under the object's lock, which with a GIL is the GIL: an append is a
 * short copy, and what takes long, waiting for the device, is not done here. */

#include "state.h"

#include "mmb_log.h"

/* All fields below `state` are read and written under the object's lock. */
typedef struct {
    PyObject_HEAD PyObject *name; /* for error texts; set once by __init__ */
    mmbpy_state *state;
    mmb_log_writer *writer; /* NULL once closed */
    bool building;          /* a message is being built in place */
} mmbpy_log_writer;

static PyObject *log_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    mmbpy_log_writer *self = (mmbpy_log_writer *)alloc(type, 0);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

static int log_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd",        "index_fd", "count", "end", "capacity",
                            "writeback", "key",      "name",  NULL};
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    int fd, index_fd, writeback, error;
    unsigned long long count, end, capacity;
    PyObject *name;
    const char *key;
    mmb_log_writer *writer = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iiKKKpzO:LogWriter", names, &fd, &index_fd,
                                     &count, &end, &capacity, &writeback, &key, &name)) {
        return -1;
    }
    mmb_log_options options = {.capacity = capacity, .writeback = writeback != 0, .key = key};
    Py_BEGIN_ALLOW_THREADS
    error = mmb_log_open(fd, index_fd, &options, count, end, &writer, NULL);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        mmbpy_raise(self->state, error, name);
        return -1;
    }
    bool opened = false;
    MMBPY_LOCK(object)
    if (self->name == NULL) {
        self->name = Py_NewRef(name);
        self->writer = writer;
        opened = true;
    }
    MMBPY_UNLOCK()
    if (!opened) {
        mmb_log_free(writer);
        PyErr_SetString(PyExc_TypeError, "a log is opened once");
    }
    return opened ? 0 : -1;
}

static int log_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((mmbpy_log_writer *)object)->name);
    return 0;
}

static void log_dealloc(PyObject *object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    mmb_log_free(self->writer);
    Py_XDECREF(self->name);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* The writer, if something can be appended now. NULL with an exception. Under the lock. */
static mmb_log_writer *usable(mmbpy_log_writer *self)
{
    if (self->writer == NULL) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
        return NULL;
    }
    if (self->building) {
        PyErr_SetString(PyExc_RuntimeError,
                        "a message is being built in this log: nothing else can be done with it "
                        "before that is over");
        return NULL;
    }
    return self->writer;
}

/* ---- appending -------------------------------------------------------------------------- */

/* True if the bytes are whole frames, of which there are `*count`; else InvalidMessage. */
static bool check_frames(mmbpy_log_writer *self, const unsigned char *frames, uint64_t bytes,
                         uint64_t *count)
{
    const char *reason = NULL;
    uint64_t done = 0, size;
    *count = 0;
    while (done < bytes) {
        int error = mmb_frame_measure(frames + done, bytes - done, &size, &reason);
        if (error != 0 || size > bytes - done) {
            reason = error == MMB_EMESSAGE ? reason : "the bytes end before the message does";
            mmb_flaw flaw = {.reason = reason, .segment = MMB_IN_TABLE, .word = done / MMB_WORD};
            mmbpy_raise_invalid(self->state, &flaw);
            return false;
        }
        done += size;
        ++*count;
    }
    return true;
}

/* Append checked frames: the number of the first. NULL with an exception. */
static PyObject *append(mmbpy_log_writer *self, const Py_buffer *frames)
{
    mmb_log_writer *writer = usable(self);
    if (writer == NULL) {
        return NULL;
    }
    uint64_t number = mmb_log_count(writer);
    int error = mmb_log_append(writer, frames->buf, (uint64_t)frames->len);
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    return PyLong_FromUnsignedLongLong(number);
}

static PyObject *append_buffer(PyObject *object, PyObject *data, bool single)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    Py_buffer frames;
    uint64_t count;
    PyObject *number = NULL;
    if (PyObject_GetBuffer(data, &frames, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (!check_frames(self, frames.buf, (uint64_t)frames.len, &count)) {
        number = NULL;
    } else if (single && count != 1) {
        PyErr_Format(PyExc_ValueError, "these are %llu messages, not one",
                     (unsigned long long)count);
    } else {
        MMBPY_LOCK(object)
        number = append(self, &frames);
        MMBPY_UNLOCK()
    }
    PyBuffer_Release(&frames);
    return number;
}

PyDoc_STRVAR(append_bytes_doc,
             "append_bytes($self, frame, /)\n--\n\n"
             "Append one message, given as it lies in files; return its number.\n\n"
             "InvalidMessage if the bytes are no whole message (its pointers are\n"
             "not followed), ValueError if they are more than one, OSError if there\n"
             "is no room. Nothing is appended then.");

static PyObject *log_append_bytes(PyObject *object, PyObject *data)
{
    return append_buffer(object, data, true);
}

PyDoc_STRVAR(append_frames_doc,
             "_append_frames($self, frames, /)\n--\n\n"
             "Append messages that lie back to back, all or none; return the number of the first.");

static PyObject *log_append_frames(PyObject *object, PyObject *data)
{
    return append_buffer(object, data, false);
}

/* ---- a message that is built in place ------------------------------------------------------ */

/* Raise the fence: the place where the message begins, or NULL with an exception. */
static PyObject *raise_reach(mmbpy_log_writer *self, mmb_log_writer *writer, uint64_t reach)
{
    int error = mmb_log_begin(writer, reach);
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    self->building = true;
    return PyLong_FromUnsignedLongLong(mmb_log_end(writer));
}

PyDoc_STRVAR(begin_doc, "_begin($self, reach, /)\n--\n\n"
                        "Begin a message that is built in place: let the file grow by reach\n"
                        "bytes; return where the message is to begin.");

static PyObject *log_begin(PyObject *object, PyObject *reach_object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    uint64_t reach;
    PyObject *place = NULL;
    if (!mmbpy_as_uint64(reach_object, "reach", &reach)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    mmb_log_writer *writer = usable(self);
    if (writer != NULL) {
        place = raise_reach(self, writer, reach);
    }
    MMBPY_UNLOCK()
    return place;
}

PyDoc_STRVAR(go_on_doc, "_go_on($self, reach, /)\n--\n\n"
                        "Let the file grow by reach bytes for the message that is being built.");

static PyObject *log_go_on(PyObject *object, PyObject *reach_object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    uint64_t reach;
    PyObject *place = NULL;
    if (!mmbpy_as_uint64(reach_object, "reach", &reach)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    if (self->writer != NULL && self->building) {
        place = raise_reach(self, self->writer, reach);
    } else {
        PyErr_SetString(PyExc_ValueError, "the log was closed while a message was being built");
    }
    MMBPY_UNLOCK()
    return place;
}

/* Sizes in words from a tuple. The number of them, 0 with an exception. */
static uint32_t sizes_from(PyObject *tuple, uint32_t *words)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 1 || count > MMB_MAX_SEGMENTS) {
        PyErr_SetString(PyExc_ValueError, "no message has that many segments");
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t size;
        if (!mmbpy_as_uint64(PyTuple_GetItem(tuple, i), "a size", &size)) {
            return 0;
        }
        if (size > MMB_MAX_SEGMENT_WORDS) {
            PyErr_SetString(PyExc_ValueError, "no segment is that large");
            return 0;
        }
        words[i] = (uint32_t)size;
    }
    return (uint32_t)count;
}

PyDoc_STRVAR(commit_doc,
             "_commit($self, words, /)\n--\n\n"
             "Append the message that was built in segments of so many words; its number.");

static PyObject *log_commit(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    uint32_t words[MMB_MAX_SEGMENTS], count;
    PyObject *tuple, *number = NULL;
    if (!PyArg_ParseTuple(args, "O!:commit", &PyTuple_Type, &tuple) ||
        (count = sizes_from(tuple, words)) == 0) {
        return NULL;
    }
    MMBPY_LOCK(object)
    bool building = self->building;
    self->building = false;
    mmb_log_writer *writer = usable(self); /* it is, but for a log that was closed */
    if (writer != NULL && !building) {
        PyErr_SetString(PyExc_RuntimeError, "no message is being built");
    } else if (writer != NULL) {
        int error = mmb_log_commit(writer, words, count);
        number = error != 0 ? mmbpy_raise(self->state, error, self->name)
                            : PyLong_FromUnsignedLongLong(mmb_log_count(writer) - 1);
    }
    MMBPY_UNLOCK()
    return number;
}

PyDoc_STRVAR(abandon_doc,
             "_abandon($self, /)\n--\n\n"
             "Give up the message that is being built, if one is. What it left is zeroed.");

static PyObject *log_abandon(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    MMBPY_LOCK(object)
    if (self->building && self->writer != NULL) {
        (void)mmb_log_cut(self->writer); /* what it cannot do now is done by the next append */
    }
    self->building = false;
    MMBPY_UNLOCK()
    Py_RETURN_NONE;
}

PyDoc_STRVAR(window_doc,
             "log_window($module, map, start, length, /)\n--\n\n"
             "A memoryview of a map's memory that keeps it alive, and does not keep it open.");

static PyObject *log_window(PyObject *module, PyObject *args)
{
    mmbpy_state *state = PyModule_GetState(module);
    PyObject *object;
    unsigned long long start, length;
    if (!PyArg_ParseTuple(args, "O!KK:log_window", state->map_type, &object, &start, &length)) {
        return NULL;
    }
    mmbpy_map *map = (mmbpy_map *)object;
    if (start > map->capacity || length > map->capacity - start) {
        PyErr_SetString(PyExc_ValueError, "the window lies outside the map");
        return NULL;
    }
    mmbpy_map_pin(map);
    mmb_map *core = mmbpy_map_enter(map);
    if (core == NULL) {
        return NULL;
    }
    unsigned char *base = NULL;
    int error = mmb_map_memory(core, &base);
    mmbpy_map_leave(map);
    if (error != 0) {
        return mmbpy_raise(state, error, map->name);
    }
    return mmbpy_window_of_map(state, map, base + start, (Py_ssize_t)length);
}

PyMethodDef mmbpy_log_functions[] = {
    {"log_window", log_window, METH_VARARGS, window_doc},
    {NULL, NULL, 0, NULL},
};

/* ---- the end -----------------------------------------------------------------------------------
 */

PyDoc_STRVAR(cut_doc, "_cut($self, /)\n--\n\nCut the file where the last message ends.");

static PyObject *log_cut(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    int error = 0;
    MMBPY_LOCK(object)
    mmb_log_writer *writer = usable(self);
    if (writer != NULL) {
        error = mmb_log_cut(writer);
    }
    MMBPY_UNLOCK()
    if (PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(close_doc, "_close($self, cut=True, /)\n--\n\n"
                        "Cut the file where the last message ends, and let go of it. With\n"
                        "cut=False the files stay as they are.");

static PyObject *log_close(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    int cut = 1, error = 0;
    if (!PyArg_ParseTuple(args, "|p:close", &cut)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    mmb_log_writer *writer = self->writer;
    self->writer = NULL;
    if (writer != NULL && cut) {
        error = mmb_log_close(writer);
    } else {
        mmb_log_free(writer);
    }
    MMBPY_UNLOCK()
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    Py_RETURN_NONE;
}

static Py_ssize_t log_length(PyObject *object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    Py_ssize_t count = -1;
    MMBPY_LOCK(object)
    if (self->writer != NULL) {
        count = (Py_ssize_t)mmb_log_count(self->writer);
    }
    MMBPY_UNLOCK()
    if (count < 0) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
    }
    return count;
}

PyDoc_STRVAR(stats_doc,
             "_stats($self, /)\n--\n\n(messages, committed, backed, growths, faults) so far.");

static PyObject *log_stats(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    mmb_stats stats = {0};
    uint64_t count = 0, end = 0;
    bool open;
    MMBPY_LOCK(object)
    open = self->writer != NULL;
    if (open) {
        count = mmb_log_count(self->writer);
        end = mmb_log_end(self->writer);
        mmb_log_get_stats(self->writer, &stats);
    }
    MMBPY_UNLOCK()
    if (!open) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
        return NULL;
    }
    return Py_BuildValue("KKKKK", (unsigned long long)count, (unsigned long long)end,
                         (unsigned long long)stats.backed, (unsigned long long)stats.growths,
                         (unsigned long long)stats.faults);
}

static PyMethodDef log_methods[] = {
    {"append_bytes", log_append_bytes, METH_O, append_bytes_doc},
    {"_append_frames", log_append_frames, METH_O, append_frames_doc},
    {"_begin", log_begin, METH_O, begin_doc},
    {"_go_on", log_go_on, METH_O, go_on_doc},
    {"_commit", log_commit, METH_VARARGS, commit_doc},
    {"_abandon", log_abandon, METH_NOARGS, abandon_doc},
    {"_cut", log_cut, METH_NOARGS, cut_doc},
    {"_close", log_close, METH_VARARGS, close_doc},
    {"_stats", log_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(log_doc, "LogWriter(fd, index_fd, count, end, capacity, writeback, key, name)\n--\n\n"
                      "Append to the file fd, in which count messages end at end.\n\n"
                      "fd is borrowed until close; index_fd is the index's file, or -1.");

static PyType_Slot log_slots[] = {
    {Py_tp_doc, (void *)log_doc}, {Py_tp_new, log_new},
    {Py_tp_init, log_init},       {Py_tp_traverse, log_traverse},
    {Py_tp_dealloc, log_dealloc}, {Py_tp_methods, log_methods},
    {Py_sq_length, log_length},   {0, NULL},
};

PyType_Spec mmbpy_log_writer_spec = {
    .name = "mmapbuilder._core.LogWriter",
    .basicsize = sizeof(mmbpy_log_writer),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = log_slots,
};
