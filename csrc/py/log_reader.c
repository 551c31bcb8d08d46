/* log_reader.c - `_core.LogReader`: the messages of a log as memory.
 *
 * A *log reader* maps the file of the log, and its index if there is one, and keeps no descriptor.
 * It hands out views of its own memory, which keep it alive. */

#include "log_reader.h"

#include <errno.h>

/* ---- errors ------------------------------------------------------------------------- */

/* Raise InvalidMessage for the bytes at `place`, where message `number` should be. */
static void raise_invalid(mmbpy_log_reader *self, uint64_t number, uint64_t place,
                          const char *reason)
{
    PyObject *text =
        PyUnicode_FromFormat("%S: message %llu, at byte %llu: %s", self->name,
                             (unsigned long long)number, (unsigned long long)place, reason);
    PyObject *error =
        text != NULL ? PyObject_CallFunction(self->state->invalid_message, "O", text) : NULL;
    PyObject *word = PyLong_FromUnsignedLongLong(place / MMB_WORD);
    PyObject *why = PyUnicode_FromString(reason);
    if (error != NULL && word != NULL && why != NULL &&
        PyObject_SetAttrString(error, "reason", why) == 0 &&
        PyObject_SetAttrString(error, "word", word) == 0) {
        PyErr_SetObject(self->state->invalid_message, error);
    }
    Py_XDECREF(text);
    Py_XDECREF(error);
    Py_XDECREF(word);
    Py_XDECREF(why);
}

static const char changed[] = "the bytes are no longer those that were there, or the index is of "
                              "another file; remove it";

/* ---- looking at the files ------------------------------------------------------------ */

static int raise_if(mmbpy_log_reader *self, int error, const char *reason)
{
    if (error == MMB_EMESSAGE) {
        raise_invalid(self, self->places.count, self->places.end, reason);
    } else if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    }
    return error != 0 ? -1 : 0;
}

static PyObject *log_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "index_fd", "name", "lenient", NULL};
    int fd, index_fd, lenient = 0, error;
    PyObject *name;
    const char *reason = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iiO|p:LogReader", names, &fd, &index_fd, &name,
                                     &lenient)) {
        return NULL;
    }
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    mmbpy_log_reader *self = (mmbpy_log_reader *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->name = Py_NewRef(name);
    Py_BEGIN_ALLOW_THREADS /* no other thread has the object yet */
    error = mmbpy_log_look(self, fd, index_fd, &reason);
    Py_END_ALLOW_THREADS
    if (error == MMB_EMESSAGE && lenient) {
        self->tail = MMB_TAIL_TORN;
        error = 0;
    }
    if (raise_if(self, error, reason) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void log_dealloc(PyObject *object)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    for (uint32_t i = 0; i < self->views; i++) {
        mmb_view_unmap(&self->data[i]);
    }
    for (uint32_t i = 0; i < self->index_count; i++) {
        mmb_view_unmap(&self->indexes[i].view);
        mmb_index_unmap_header(self->indexes[i].header);
    }
    mmb_places_clear(&self->places);
    Py_XDECREF(self->name);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(refresh_doc, "refresh($self, fd, index_fd, /)\n--\n\n"
                          "See what was appended meanwhile. Return the number of messages.");

static PyObject *log_refresh(PyObject *object, PyObject *args)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    int fd, index_fd, failed;
    uint64_t count;
    if (!PyArg_ParseTuple(args, "ii:refresh", &fd, &index_fd)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    const char *reason = NULL;
    int error = mmbpy_log_look(self, fd, index_fd, &reason);
    failed = raise_if(self, error, reason);
    count = self->places.count;
    MMBPY_UNLOCK()
    return failed < 0 ? NULL : PyLong_FromUnsignedLongLong(count);
}

/* Return whether the places are those of the index in use, and a writer is at work on it. */
static bool follows_index(mmbpy_log_reader *self)
{
    const unsigned char *index = self->places.index;
    return index != NULL && index == mmbpy_log_index_of(self)->view.base &&
           !mmb_index_is_settled(index);
}

PyDoc_STRVAR(glance_doc,
             "glance($self, /)\n--\n\n"
             "Take over what a writer has published in the index meanwhile, as far as the\n"
             "files reached at the last look. Return the number of messages; there may be\n"
             "more.");

static PyObject *log_glance(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    uint64_t count;
    MMBPY_LOCK(object)
    if (follows_index(self)) {
        (void)mmbpy_log_take_over(self);
    }
    count = self->places.count;
    MMBPY_UNLOCK()
    return PyLong_FromUnsignedLongLong(count);
}

/* Return the header of the index, if a writer at work can be waited for through it. */
static unsigned char *news_from(mmbpy_log_reader *self, int index_fd)
{
    mmbpy_log_index *index = mmbpy_log_index_of(self);
    mmb_log_identity file;
    if (!follows_index(self)) {
        return NULL;
    }
    if (index->header == NULL && index_fd >= 0 && mmb_log_identify(index_fd, &file) == 0 &&
        mmbpy_log_is_index(index, &file)) {
        index->header = mmb_index_map_header(index_fd);
    }
    return index->header;
}

PyDoc_STRVAR(wait_doc,
             "wait($self, index_fd, count, most, /)\n--\n\n"
             "Wait until there are more than count messages, but at most for most nanoseconds.\n"
             "Then glance, and return the number of messages.\n\n"
             "Return None at once if no news can come: there is no index, or no writer has it\n"
             "open. index_fd is the index's file, open for writing, or -1.");

static PyObject *log_wait(PyObject *object, PyObject *args)
{
    int index_fd;
    unsigned long long count, most;
    unsigned char *header;
    if (!PyArg_ParseTuple(args, "iKK:wait", &index_fd, &count, &most)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    header = news_from((mmbpy_log_reader *)object, index_fd);
    MMBPY_UNLOCK()
    if (header == NULL) {
        Py_RETURN_NONE;
    }
    Py_BEGIN_ALLOW_THREADS /* the header stays mapped as long as the object lives */
    mmb_index_wait(header, count, most);
    Py_END_ALLOW_THREADS
    return log_glance(object, NULL);
}

PyDoc_STRVAR(compare_doc,
             "compare($self, first, /)\n--\n\n"
             "Compare the messages from first on, a multiple of INDEX_BLOCK, with their checksum\n"
             "in the index: True if they agree, False if not, None if some have no checksum.");

static PyObject *log_compare(PyObject *object, PyObject *first_object)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    uint64_t first;
    mmb_sum found = MMB_SUM_MISSING;
    if (!mmbpy_as_uint64(first_object, "the number of a message", &first)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    if (first % MMB_INDEX_BLOCK == 0 && first < self->places.count) {
        found = mmb_index_compare(&self->places, mmbpy_log_data(self), first);
    }
    MMBPY_UNLOCK()
    if (found == MMB_SUM_MISSING) {
        Py_RETURN_NONE;
    }
    return PyBool_FromLong(found == MMB_SUM_AGREES);
}

PyDoc_STRVAR(write_index_doc,
             "write_index($self, fd, index_fd, /)\n--\n\n"
             "Write an index into the empty file index_fd. fd is the file of the log.");

static PyObject *log_write_index(PyObject *object, PyObject *args)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    int fd, index_fd, error;
    if (!PyArg_ParseTuple(args, "ii:write_index", &fd, &index_fd)) {
        return NULL;
    }
    MMBPY_LOCK(object)
    mmb_log_identity identity;
    error = mmb_log_identify(fd, &identity);
    if (error == 0) {
        error = mmb_index_write(index_fd, &self->places, mmbpy_log_data(self), &identity);
    }
    MMBPY_UNLOCK()
    if (raise_if(self, error, changed) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- messages --------------------------------------------------------------------------- */

/* Find where message `number` lies. Return -1 with IndexError or InvalidMessage. */
static int find(mmbpy_log_reader *self, uint64_t number, uint64_t *start, uint64_t *bytes)
{
    if (number >= self->places.count) {
        PyErr_Format(PyExc_IndexError, "message %llu of a log of %llu messages",
                     (unsigned long long)number, (unsigned long long)self->places.count);
        return -1;
    }
    if (mmb_places_find(&self->places, mmbpy_log_data(self), number, start, bytes) != 0) {
        raise_invalid(self, number, *start, changed);
        return -1;
    }
    return 0;
}

int mmbpy_log_find(mmbpy_log_reader *self, uint64_t number, uint64_t *start, uint64_t *bytes)
{
    int result;
    MMBPY_LOCK((PyObject *)self)
    result = find(self, number, start, bytes);
    MMBPY_UNLOCK()
    return result;
}

static int find_object(PyObject *object, PyObject *number_object, uint64_t *start, uint64_t *bytes)
{
    uint64_t number;
    return mmbpy_as_uint64(number_object, "the number of a message", &number)
               ? mmbpy_log_find((mmbpy_log_reader *)object, number, start, bytes)
               : -1;
}

PyDoc_STRVAR(place_doc, "place($self, number, /)\n--\n\n"
                        "Return (start, size) of a message in bytes, table included.");

static PyObject *log_place(PyObject *object, PyObject *number)
{
    uint64_t start, bytes;
    if (find_object(object, number, &start, &bytes) < 0) {
        return NULL;
    }
    return Py_BuildValue("KK", (unsigned long long)start, (unsigned long long)bytes);
}

/* A copy of a message of up to so many bytes takes less time and memory than a view of it. */
enum { SMALL_BYTES = 1024 };

static PyObject *frame_of(PyObject *object, PyObject *const *args, Py_ssize_t count, bool copies)
{
    uint64_t start, bytes;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "a view and a number are required");
        return NULL;
    }
    if (find_object(object, args[1], &start, &bytes) < 0) {
        return NULL;
    }
    if (copies && bytes <= SMALL_BYTES) {
        const char *data;
        MMBPY_LOCK(object)
        data = (const char *)mmbpy_log_data((mmbpy_log_reader *)object);
        MMBPY_UNLOCK()
        return PyBytes_FromStringAndSize(data + start, (Py_ssize_t)bytes);
    }
    return mmbpy_slice_of(args[0], (Py_ssize_t)start, (Py_ssize_t)(start + bytes), 1);
}

PyDoc_STRVAR(frame_doc, "frame($self, memory, number, /)\n--\n\n"
                        "Return the bytes of a message, as a part of memory, which is a view of\n"
                        "the buffer of this object.");

static PyObject *log_frame(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return frame_of(object, args, count, false);
}

PyDoc_STRVAR(frame_to_read_doc, "frame_to_read($self, memory, number, /)\n--\n\n"
                                "Return the bytes of a message: a copy if they are few, or as\n"
                                "frame does.");

static PyObject *log_frame_to_read(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
    return frame_of(object, args, count, true);
}

PyDoc_STRVAR(offsets_doc,
             "offsets($self, first, buffer, /)\n--\n\n"
             "Fill the buffer with the starts of the messages from first on, a u64 each.");

static PyObject *log_offsets(PyObject *object, PyObject *args)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    Py_buffer buffer;
    unsigned long long first;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "Kw*:offsets", &first, &buffer)) {
        return NULL;
    }
    uint64_t count = (uint64_t)buffer.len / sizeof(uint64_t);
    MMBPY_LOCK(object)
    if (first > self->places.count || count > self->places.count - first) {
        PyErr_SetString(PyExc_IndexError, "the log has fewer messages");
        failed = -1;
    } else if (mmb_places_list(&self->places, mmbpy_log_data(self), first, count, buffer.buf) !=
               0) {
        raise_invalid(self, first, 0, changed);
        failed = -1;
    }
    MMBPY_UNLOCK()
    PyBuffer_Release(&buffer);
    if (failed < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static Py_ssize_t log_length(PyObject *object)
{
    Py_ssize_t count;
    MMBPY_LOCK(object)
    count = (Py_ssize_t)((mmbpy_log_reader *)object)->places.count;
    MMBPY_UNLOCK()
    return count;
}

/* ---- memory and properties ---------------------------------------------------------------- */

/* Export the file, as long as it was at the last look. So a view of it has room for messages that
 * a writer appends after that, but only the committed part may be read. */
static int log_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    void *base;
    Py_ssize_t length;
    MMBPY_LOCK(object)
    base = (void *)(uintptr_t)mmbpy_log_data(self);
    length = (Py_ssize_t)(self->places.end > self->seen.size ? self->places.end : self->seen.size);
    MMBPY_UNLOCK()
    return PyBuffer_FillInfo(view, object, base, length, 1, flags);
}

static PyObject *get_committed(PyObject *object, void *Py_UNUSED(closure))
{
    uint64_t end;
    MMBPY_LOCK(object)
    end = ((mmbpy_log_reader *)object)->places.end;
    MMBPY_UNLOCK()
    return PyLong_FromUnsignedLongLong(end);
}

static PyObject *get_synced(PyObject *object, void *Py_UNUSED(closure))
{
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    uint64_t synced = 0, end;
    MMBPY_LOCK(object)
    if (self->places.index != NULL) {
        synced = mmb_index_get_synced(self->places.index);
    }
    end = self->places.end;
    MMBPY_UNLOCK()
    return PyLong_FromUnsignedLongLong(synced < end ? synced : end);
}

static PyObject *get_indexed(PyObject *object, void *Py_UNUSED(closure))
{
    uint64_t indexed;
    MMBPY_LOCK(object)
    indexed = ((mmbpy_log_reader *)object)->places.indexed;
    MMBPY_UNLOCK()
    return PyLong_FromUnsignedLongLong(indexed);
}

static PyObject *get_key(PyObject *object, void *Py_UNUSED(closure))
{
    char key[MMB_KEY_BYTES] = "";
    MMBPY_LOCK(object)
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    if (self->places.index != NULL) {
        mmb_index_get_key(self->places.index, key);
    }
    MMBPY_UNLOCK()
    return PyUnicode_DecodeUTF8(key, (Py_ssize_t)strlen(key), "replace");
}

static PyObject *get_unchecked(PyObject *object, void *Py_UNUSED(closure))
{
    bool went_down, unchecked;
    MMBPY_LOCK(object)
    went_down = ((mmbpy_log_reader *)object)->went_down;
    unchecked = ((mmbpy_log_reader *)object)->unchecked;
    MMBPY_UNLOCK()
    return went_down ? PyBool_FromLong(unchecked) : Py_NewRef(Py_None);
}

static PyObject *get_tail(PyObject *object, void *Py_UNUSED(closure))
{
    static const char *const kinds[] = {"none", "fence", "torn", "zeros", "lost"};
    mmb_tail tail;
    uint64_t bytes;
    MMBPY_LOCK(object)
    mmbpy_log_reader *self = (mmbpy_log_reader *)object;
    tail = self->tail;
    bytes = self->file_bytes > self->places.end ? self->file_bytes - self->places.end : 0;
    MMBPY_UNLOCK()
    return Py_BuildValue("sK", kinds[tail], (unsigned long long)bytes);
}

static PyMethodDef log_methods[] = {
    {"refresh", log_refresh, METH_VARARGS, refresh_doc},
    {"glance", log_glance, METH_NOARGS, glance_doc},
    {"wait", log_wait, METH_VARARGS, wait_doc},
    {"compare", log_compare, METH_O, compare_doc},
    {"write_index", log_write_index, METH_VARARGS, write_index_doc},
    {"place", log_place, METH_O, place_doc},
    {"frame", MMBPY_METHOD(log_frame), METH_FASTCALL, frame_doc},
    {"frame_to_read", MMBPY_METHOD(log_frame_to_read), METH_FASTCALL, frame_to_read_doc},
    {"offsets", log_offsets, METH_VARARGS, offsets_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef log_properties[] = {
    {"committed", get_committed, NULL, "Where the last whole message ends, in bytes.", NULL},
    {"synced", get_synced, NULL, "How many bytes are known to be on the device.", NULL},
    {"indexed", get_indexed, NULL, "How many messages have their places in the index.", NULL},
    {"key", get_key, NULL, "The field that messages are ordered by, if the index names one.", NULL},
    {"unchecked", get_unchecked, NULL,
     "None; or, if the machine went down before the device had the whole log, whether no\n"
     "checksum has told of some of the messages that they are good.",
     NULL},
    {"tail", get_tail, NULL,
     "What follows the last whole message ('none', 'fence', 'torn', 'zeros' or 'lost'), and\n"
     "how many bytes it has.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(log_doc,
             "LogReader(fd, index_fd, name, lenient=False)\n--\n\n"
             "The messages of the file fd, mapped. Its buffer is the file, as long as it was at\n"
             "the last look; only the bytes before `committed` may be read.\n\n"
             "index_fd is the index's file, or -1. Neither descriptor is kept. With\n"
             "lenient=True the log ends where bytes are no message; otherwise they are an\n"
             "error.");

static PyType_Slot log_reader_slots[] = {
    {Py_tp_doc, (void *)log_doc},   {Py_tp_new, log_new},
    {Py_tp_dealloc, log_dealloc},   {Py_tp_methods, log_methods},
    {Py_tp_getset, log_properties}, {Py_bf_getbuffer, log_getbuffer},
    {Py_sq_length, log_length},     {0, NULL},
};

MMBPY_SPEC(log_reader, "LogReader", Py_TPFLAGS_IMMUTABLETYPE)
