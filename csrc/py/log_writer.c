/* log_writer.c - `_core.LogWriter`: appends messages to a log.
 *
 * The object's lock guards the writer. With a GIL the lock is the GIL: an append is only a short
 * copy. If the writer must wait, for another process that appends or for slow readers, it lets
 * other threads run, and they find it busy. It does not wait for the device here. */

#include "log_type.h"

#include <errno.h>

static void *begin_wait(void)
{
    return PyEval_SaveThread();
}

static void end_wait(void *context)
{
    PyEval_RestoreThread(context);
}

static bool was_interrupted(void)
{
    return PyErr_CheckSignals() != 0;
}

/* Raise `error`, unless a signal handler has already raised an exception. */
static PyObject *raise_error(const mmbpy_log_writer *self, int error)
{
    if (PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (error == EBADF && self->writer == NULL) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
        return NULL;
    }
    return mmbpy_raise(self->state, error, self->name);
}

static PyObject *log_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    mmbpy_log_writer *self = (mmbpy_log_writer *)mmbpy_new_object(type);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(open_doc,
             "_open($self, file, index_fd, count, end, capacity, writeback, shared, key, /)\n--\n\n"
             "Append to file, a File in which count messages end at end. index_fd is the\n"
             "index's file, or -1.\n\n"
             "A file that replaces another one takes its name when nothing else can fail.\n"
             "Return False if it cannot: then file is the old one now, and the caller looks at\n"
             "it and opens it again.");

/* Keep what was opened. Return false if another call has opened the log before. */
static bool keep_writer(mmbpy_log_writer *self, mmbpy_file *file, mmb_log_writer *writer)
{
    bool kept = false;
    PyObject *old_file = NULL, *old_name = NULL; /* what a log had that goes on in another file */
    MMBPY_LOCK((PyObject *)self)
    if (self->writer == NULL) {
        old_file = (PyObject *)self->file;
        old_name = self->name;
        self->file = (mmbpy_file *)Py_NewRef((PyObject *)file);
        self->name = Py_NewRef(mmbpy_file_name(file));
        self->last_error = 0;
        self->owner = mmb_this_process();
        self->writer = writer;
        kept = true;
    }
    MMBPY_UNLOCK()
    Py_XDECREF(old_file);
    Py_XDECREF(old_name);
    return kept;
}

static PyObject *log_open(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    static const mmb_log_wait wait = {begin_wait, end_wait, was_interrupted};
    int index_fd, writeback, shared, error;
    unsigned long long count, end;
    uint64_t capacity;
    PyObject *file_object, *capacity_object;
    const char *key;
    mmb_log_writer *writer = NULL;
    if (!PyArg_ParseTuple(args, "O!iKKOppz:_open", self->state->file_type, &file_object, &index_fd,
                          &count, &end, &capacity_object, &writeback, &shared, &key) ||
        !mmbpy_as_uint64(capacity_object, "capacity", &capacity)) {
        return NULL;
    }
    if (capacity == 0) {
        PyErr_SetString(PyExc_ValueError, "capacity must not be zero");
        return NULL;
    }
    mmbpy_file *file = (mmbpy_file *)file_object;
    mmb_log_options options = {
        .capacity = capacity, .writeback = writeback != 0, .shared = shared != 0, .key = key};
    int fd = mmbpy_file_descriptor(file);
    Py_BEGIN_ALLOW_THREADS
    error = mmb_log_open(fd, index_fd, &options, count, end, &writer);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        return mmbpy_raise(self->state, error, mmbpy_file_name(file));
    }
    mmb_log_set_wait(writer, &wait);
    int settled = mmbpy_file_settle(file);
    if (settled == 1 && keep_writer(self, file, writer)) {
        Py_RETURN_TRUE;
    }
    mmb_log_free(writer);
    if (settled == 1) {
        PyErr_SetString(PyExc_TypeError, "the log is open already");
    }
    return settled == 0 ? Py_NewRef(Py_False) : NULL;
}

static int log_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((mmbpy_log_writer *)object)->name);
    Py_VISIT((PyObject *)((mmbpy_log_writer *)object)->file);
    Py_VISIT(((mmbpy_log_writer *)object)->encoder);
    Py_VISIT(((mmbpy_log_writer *)object)->framers);
    return 0;
}

static void log_dealloc(PyObject *object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    PyObject_GC_UnTrack(object);
    mmb_log_free(self->writer);
    Py_XDECREF(self->name);
    Py_XDECREF((PyObject *)self->file);
    Py_XDECREF(self->encoder);
    Py_XDECREF(self->framers);
    mmbpy_free_object(object);
}

mmb_log_writer *mmbpy_log_usable(mmbpy_log_writer *self)
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

/* Count the frames in `*count`. Return false with InvalidMessage if the bytes are not whole
 * frames. */
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

PyObject *mmbpy_log_append(mmbpy_log_writer *self, const unsigned char *frames, uint64_t bytes)
{
    mmb_log_writer *writer = mmbpy_log_usable(self);
    if (writer == NULL) {
        return NULL;
    }
    uint64_t number;
    int error = mmb_log_append(writer, frames, bytes, &number);
    if (error != 0) {
        return raise_error(self, error);
    }
    return PyLong_FromUnsignedLongLong(number);
}

PyDoc_STRVAR(append_bytes_doc,
             "append_bytes($self, frame, /)\n--\n\n"
             "Append one message, given as it lies in files. Return its number.\n\n"
             "InvalidMessage if the bytes are no whole message (its pointers are not\n"
             "followed), ValueError if they are more than one message, OSError if there is no\n"
             "room. Nothing is appended then.");

static PyObject *log_append_bytes(PyObject *object, PyObject *data)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    Py_buffer frames;
    uint64_t count;
    PyObject *number = NULL;
    if (PyObject_GetBuffer(data, &frames, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    bool good = check_frames(self, frames.buf, (uint64_t)frames.len, &count);
    if (good && count != 1) {
        PyErr_Format(PyExc_ValueError, "these are %llu messages, not one",
                     (unsigned long long)count);
    } else if (good) {
        MMBPY_LOCK(object)
        number = mmbpy_log_append(self, frames.buf, (uint64_t)frames.len);
        MMBPY_UNLOCK()
    }
    PyBuffer_Release(&frames);
    return number;
}

/* ---- the end ---------------------------------------------------------------------------- */

PyDoc_STRVAR(cut_doc, "_cut($self, /)\n--\n\nCut the file where the last message ends.");

static PyObject *log_cut(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    int error = 0;
    MMBPY_LOCK(object)
    mmb_log_writer *writer = mmbpy_log_usable(self);
    if (writer != NULL) {
        error = mmb_log_cut(writer);
    }
    MMBPY_UNLOCK()
    if (error != 0) {
        return raise_error(self, error);
    }
    return PyErr_Occurred() != NULL ? NULL : Py_NewRef(Py_None);
}

/* ---- the device ------------------------------------------------------------------------ */

PyDoc_STRVAR(look_doc,
             "_look($self, /)\n--\n\n"
             "Return (number of messages, where they end), with all that has been appended by\n"
             "now.");

static PyObject *log_look(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    uint64_t count = 0, end = 0;
    int error;
    MMBPY_LOCK(object)
    error = self->writer != NULL ? mmb_log_look(self->writer, &count, &end) : EBADF;
    MMBPY_UNLOCK()
    if (error != 0) {
        return raise_error(self, error);
    }
    return Py_BuildValue("KK", (unsigned long long)count, (unsigned long long)end);
}

PyDoc_STRVAR(note_synced_doc, "_note_synced($self, count, end, /)\n--\n\n"
                              "Note in the index that the device has the first count messages.");

static PyObject *log_note_synced(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    unsigned long long count, end;
    int error;
    if (!PyArg_ParseTuple(args, "KK:_note_synced", &count, &end)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    error = self->writer != NULL ? mmb_log_note_synced(self->writer, count, end) : EBADF;
    MMBPY_UNLOCK()
    return error != 0 ? raise_error(self, error) : Py_NewRef(Py_None);
}

PyDoc_STRVAR(tell_synced_doc, "_tell_synced($self, end, /)\n--\n\n"
                              "Tell readers that the device has all up to end.");

static PyObject *log_tell_synced(PyObject *object, PyObject *end_object)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    uint64_t end;
    if (!mmbpy_as_uint64(end_object, "end", &end)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    if (self->writer != NULL) {
        mmb_log_tell_synced(self->writer, end);
    }
    MMBPY_UNLOCK()
    Py_RETURN_NONE;
}

PyDoc_STRVAR(finish_doc,
             "_finish($self, cut=True, /)\n--\n\n"
             "Cut the file where the last message ends, and stop writing to it.\n\n"
             "With cut=False, and in a forked child, the files stay as they are. Return None,\n"
             "or the OSError that closing met. The log is closed then, too, and each later\n"
             "call returns the same.");

static PyObject *log_finish(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    int cut = 1, error;
    if (!PyArg_ParseTuple(args, "|p:_finish", &cut)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    mmb_log_writer *writer = self->writer;
    self->writer = NULL;
    if (writer != NULL && cut && self->owner == mmb_this_process()) {
        self->last_error = mmb_log_close(writer);
    }
    mmb_log_free(writer);
    error = self->last_error;
    MMBPY_UNLOCK()
    return error != 0 ? mmbpy_error(self->state, error, self->name) : Py_NewRef(Py_None);
}

static PyObject *log_get_closed(PyObject *object, void *Py_UNUSED(closure))
{
    bool closed;
    MMBPY_LOCK(object)
    closed = ((mmbpy_log_writer *)object)->writer == NULL;
    MMBPY_UNLOCK()
    return PyBool_FromLong(closed);
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

PyDoc_STRVAR(
    stats_doc,
    "_stats($self, /)\n--\n\n(messages, committed, backed, growths, faults, synced) so far.");

static PyObject *log_stats(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    mmb_stats stats = {0};
    uint64_t count = 0, end = 0, synced = 0;
    bool open;
    MMBPY_LOCK(object)
    open = self->writer != NULL;
    if (open) {
        count = mmb_log_count(self->writer);
        end = mmb_log_end(self->writer);
        synced = mmb_log_synced(self->writer);
        mmb_log_get_stats(self->writer, &stats);
    }
    MMBPY_UNLOCK()
    if (!open) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
        return NULL;
    }
    return Py_BuildValue("KKKKKK", (unsigned long long)count, (unsigned long long)end,
                         (unsigned long long)stats.backed, (unsigned long long)stats.growths,
                         (unsigned long long)stats.faults, (unsigned long long)synced);
}

static PyMethodDef log_methods[] = {
    {"_open", log_open, METH_VARARGS, open_doc},
    {"append", MMBPY_METHOD(mmbpy_log_append_message), METH_FASTCALL | METH_KEYWORDS,
     mmbpy_log_append_doc},
    {"append_bytes", log_append_bytes, METH_O, append_bytes_doc},
    {"_extend", mmbpy_log_extend, METH_VARARGS, mmbpy_log_extend_doc},
    {"_extend_table", mmbpy_log_extend_table, METH_VARARGS, mmbpy_log_extend_table_doc},
    {"_cut", log_cut, METH_NOARGS, cut_doc},
    {"_look", log_look, METH_NOARGS, look_doc},
    {"_note_synced", log_note_synced, METH_VARARGS, note_synced_doc},
    {"_tell_synced", log_tell_synced, METH_O, tell_synced_doc},
    {"_finish", log_finish, METH_VARARGS, finish_doc},
    {"_stats", log_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef log_properties[] = {
    {"closed", log_get_closed, NULL, "Whether close or discard was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(log_doc, "LogWriter()\n--\n\n"
                      "A writer of a log. It cannot be used until _open.");

static PyType_Slot log_writer_slots[] = {
    {Py_tp_doc, (void *)log_doc},   {Py_tp_new, log_new},
    {Py_tp_traverse, log_traverse}, {Py_tp_dealloc, log_dealloc},
    {Py_tp_methods, log_methods},   {Py_tp_getset, log_properties},
    {Py_sq_length, log_length},     {0, NULL},
};

MMBPY_SPEC(log_writer, "LogWriter",
           Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE)
