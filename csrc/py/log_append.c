/* log_append.c - `_core.LogWriter`: makes messages of values and appends them.
 *
 * The class of a value says how it becomes a message. Dicts, tuples and objects go to the encoder,
 * which the log asks for the schema when it first needs it. For each class of pycapnp there is a
 * function that gives the frame. Values may run code, even code that appends to the same log. So
 * nothing is locked, and no room is taken, until a message is ready. */

#include "encoder.h"
#include "log_type.h"
#include "stage_arrow.h"

/* The most that `extend` appends at once. Readers find all messages of such a batch, or none. */
enum { BATCH_WORDS = 1 << 13, BATCH_MESSAGES = 1024 };

/* Readers of other packages refuse messages that are larger than this. */
#define LARGE ((uint64_t)64 << 20)

/* ---- what the log knows -----------------------------------------------------------------------
 */

static bool is_encoder(const mmbpy_log_writer *self, PyObject *object)
{
    if (Py_TYPE(object) != self->state->encoder_type) {
        PyErr_SetString(PyExc_TypeError, "an Encoder is required");
        return false;
    }
    return true;
}

/* Return the encoder, borrowed: the log keeps it. NULL with an exception. */
static mmbpy_encoder *encoder_of(mmbpy_log_writer *self)
{
    if (self->encoder == NULL) {
        PyObject *made = PyObject_CallMethod((PyObject *)self, "_make_encoder", NULL);
        if (made != NULL && !is_encoder(self, made)) {
            Py_CLEAR(made);
        }
        if (made == NULL) {
            return NULL;
        }
        MMBPY_LOCK((PyObject *)self)
        if (self->encoder == NULL) {
            self->encoder = Py_NewRef(made);
        }
        MMBPY_UNLOCK()
        Py_DECREF(made);
    }
    return (mmbpy_encoder *)self->encoder;
}

/* Return the given encoder, or that of the log for None. Borrowed; NULL with an exception. */
static mmbpy_encoder *chosen_encoder(mmbpy_log_writer *self, PyObject *given)
{
    if (given == Py_None) {
        return encoder_of(self);
    }
    return is_encoder(self, given) ? (mmbpy_encoder *)given : NULL;
}

/* Return what gives frames of objects of a class (ask_for_frame), or None. A new reference. */
static PyObject *framer_of(mmbpy_log_writer *self, PyObject *class)
{
    PyObject *found = NULL;
    if (self->framers != NULL && MMBPY_DICT_GET(self->framers, class, &found) != 0) {
        return found;
    }
    found = PyObject_CallMethod((PyObject *)self, "_find_framer", "O", class);
    MMBPY_LOCK((PyObject *)self)
    if (self->framers == NULL && found != NULL) {
        self->framers = PyDict_New();
    }
    MMBPY_UNLOCK()
    if (found != NULL &&
        (self->framers == NULL || PyDict_SetItem(self->framers, class, found) < 0)) {
        Py_CLEAR(found);
    }
    return found;
}

static bool is_row(PyObject *message)
{
    return PyDict_CheckExact(message) || PyTuple_CheckExact(message);
}

/* Find the framer of a message of pycapnp. Return 1 with a new reference; 0 if the message is to
 * be encoded. */
static int find_framer(mmbpy_log_writer *self, PyObject *message, PyObject **framer)
{
    if (is_row(message)) {
        return 0;
    }
    *framer = framer_of(self, (PyObject *)Py_TYPE(message));
    if (*framer == NULL) {
        return -1;
    }
    if (*framer == Py_None) {
        Py_CLEAR(*framer);
        return 0;
    }
    return 1;
}

/* ---- one message -------------------------------------------------------------------------------
 */

static PyObject *append_frames(mmbpy_log_writer *self, const unsigned char *bytes, uint64_t length)
{
    PyObject *number = NULL;
    if (length > LARGE) {
        PyObject *done = PyObject_CallMethod((PyObject *)self, "_warn_of_size", "i", 2);
        if (done == NULL) {
            return NULL;
        }
        Py_DECREF(done);
    }
    MMBPY_LOCK((PyObject *)self)
    number = mmbpy_log_append(self, bytes, length);
    MMBPY_UNLOCK()
    return number;
}

/* Take the segments of a message from a list, as bytes, with a table before them. */
static bool take_segments(mmbpy_log_writer *self, PyObject *list, mmb_frames *frames)
{
    uint32_t words[MMB_MAX_SEGMENTS];
    Py_ssize_t count = PyList_Size(list);
    if (count < 1 || count > MMB_MAX_SEGMENTS) {
        PyErr_SetString(PyExc_ValueError, "the message has more segments than readers accept");
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_ssize_t length = PyBytes_Size(PyList_GetItem(list, i));
        if (length < 0) {
            return false;
        }
        words[i] = (uint32_t)((uint64_t)length / MMB_WORD);
    }
    int error = mmb_frames_add_table(frames, words, (uint32_t)count);
    for (Py_ssize_t i = 0; error == 0 && i < count; i++) {
        PyObject *segment = PyList_GetItem(list, i);
        error =
            mmb_frames_add_bytes(frames, PyBytes_AsString(segment), (uint64_t)words[i] * MMB_WORD);
    }
    if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    }
    return error == 0;
}

static bool take_bytes(mmbpy_log_writer *self, PyObject *frame, mmb_frames *frames)
{
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(frame, &bytes, &length) < 0) {
        return false;
    }
    int error = mmb_frames_add_bytes(frames, bytes, (uint64_t)length);
    if (error != 0) {
        mmbpy_raise(self->state, error, self->name);
    }
    return error == 0;
}

/* Ask a builder for its segments in the way that takes the least time. Return NULL without an
 * exception if the struct is not the root, or pycapnp does not know this way. */
static PyObject *ask_root(PyObject *framer, PyObject *message)
{
    PyObject *is_root = PyObject_GetAttr(message, PyTuple_GetItem(framer, 0)), *segments = NULL;
    PyObject *builder =
        is_root == Py_True ? PyObject_GetAttr(message, PyTuple_GetItem(framer, 1)) : NULL;
    if (builder != NULL) {
        segments = PyObject_CallFunctionObjArgs(PyTuple_GetItem(framer, 2), builder, NULL);
    }
    Py_XDECREF(builder);
    Py_XDECREF(is_root);
    mmbpy_forget(PyExc_AttributeError);
    return segments;
}

/* Ask a message for its frame, or for a list of its segments. The framer is a function, or for
 * builders a tuple: two names and a function for ask_root, and a function for all other cases. */
static PyObject *ask_for_frame(PyObject *framer, PyObject *message)
{
    if (!PyTuple_Check(framer)) {
        return PyObject_CallFunctionObjArgs(framer, message, NULL);
    }
    PyObject *segments = ask_root(framer, message);
    return segments != NULL || PyErr_Occurred() != NULL
               ? segments
               : PyObject_CallFunctionObjArgs(PyTuple_GetItem(framer, 3), message, NULL);
}

/* Take what the framer gives: a list with the segments of a message, or a whole frame. */
static bool take_frame(mmbpy_log_writer *self, PyObject *framer, PyObject *message,
                       mmb_frames *frames)
{
    uint64_t before = frames->words;
    PyObject *frame = ask_for_frame(framer, message);
    bool good = frame != NULL && (PyList_Check(frame) ? take_segments(self, frame, frames)
                                                      : take_bytes(self, frame, frames));
    frames->words = good ? frames->words : before;
    Py_XDECREF(frame);
    return good;
}

/* Append a message of pycapnp. */
static PyObject *append_framed(mmbpy_log_writer *self, PyObject *framer, PyObject *message)
{
    mmb_frames frames = {0};
    PyObject *number = NULL;
    if (take_frame(self, framer, message, &frames)) {
        number = append_frames(self, frames.bytes, frames.words * MMB_WORD);
    }
    mmb_frames_free(&frames);
    return number;
}

const char mmbpy_log_append_doc[] =
    "append($self, message=None, /, **fields)\n--\n\n"
    "Append one message, and return its number.\n\n"
    "Args:\n"
    "    message: a builder or reader of pycapnp, whose struct becomes the root. Or a\n"
    "        dict, a tuple or an object with the fields of the root; structs in it are\n"
    "        given in the same ways.\n"
    "    **fields: the fields of the root, instead of a message.\n\n"
    "Raises:\n"
    "    OSError: there is no room, or the capacity is used up (CapacityError). Nothing\n"
    "        was appended, and the log can go on when there is room.\n"
    "    TypeError, ValueError, OverflowError: a value does not fit its field, or there\n"
    "        is no such field, or the log was opened without a schema, or is closed.";

PyObject *mmbpy_log_append_message(PyObject *object, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    Py_ssize_t fields = names != NULL ? PyTuple_Size(names) : 0;
    PyObject *message = count > 0 && args[0] != Py_None ? args[0] : NULL, *framer = NULL;
    if (count > 1 || (message != NULL && fields > 0)) {
        PyErr_SetString(PyExc_TypeError, count > 1 ? "append takes one message"
                                                   : "append takes a message or fields, not both");
        return NULL;
    }
    int found = message == NULL ? 0 : find_framer(self, message, &framer);
    if (found != 0) {
        PyObject *number = found < 0 ? NULL : append_framed(self, framer, message);
        Py_XDECREF(framer);
        return number;
    }
    mmbpy_encoder *encoder = encoder_of(self);
    PyObject *number = NULL;
    mmbpy_encoding e;
    if (encoder == NULL) {
        return NULL;
    }
    PyObject *nothing = message == NULL && fields == 0 ? PyTuple_New(0) : NULL;
    mmbpy_encoding_start(&e, encoder);
    bool good = message != NULL
                    ? mmbpy_encode(&e, message)
                    : mmbpy_encode_keywords(&e, fields > 0 ? names : nothing, args + count);
    if (good) {
        number = append_frames(self, e.frames->bytes, e.frames->words * MMB_WORD);
    }
    mmbpy_encoding_end(&e);
    Py_XDECREF(nothing);
    return number;
}

/* ---- many messages ------------------------------------------------------------ */

static bool flush(mmbpy_log_writer *self, mmb_frames *frames)
{
    if (frames->words == 0) {
        return true;
    }
    PyObject *number = append_frames(self, frames->bytes, frames->words * MMB_WORD);
    frames->words = 0;
    Py_XDECREF(number);
    return number != NULL;
}

/* The state of one extend. The encoder is made only when it is needed, since messages of pycapnp
 * need no schema. */
typedef struct {
    mmbpy_log_writer *log;
    PyObject *fields;
    PyObject *given;               /* the encoder to use, or None for that of the log */
    unsigned long long first;      /* number of the first row, for errors */
    unsigned long long room_words; /* it stops when it has appended so many */
    mmb_frames frames;
    bool encodes; /* `encoding` was started */
    mmbpy_encoding encoding;
} extender;

static bool start_encoding(extender *x)
{
    mmbpy_encoder *encoder = x->encodes ? NULL : chosen_encoder(x->log, x->given);
    if (encoder != NULL) {
        mmbpy_encoding_start(&x->encoding, encoder);
        x->encoding.frames = &x->frames;
        x->encodes = mmbpy_stager_set_order(&x->encoding.stager,
                                            encoder->plan->plan->types[0].refers_to, x->fields);
        if (!x->encodes) {
            mmbpy_encoding_end(&x->encoding);
        }
    }
    return x->encodes;
}

static bool extend_by_one(extender *x, PyObject *message, Py_ssize_t number)
{
    PyObject *framer = NULL;
    int found = find_framer(x->log, message, &framer);
    bool good = found >= 0 && (found == 1 || start_encoding(x));
    if (good && found == 1) {
        good = take_frame(x->log, framer, message, &x->frames);
        x->encoding.stager.code_runs++; /* that of pycapnp */
    } else if (good) {
        mmbpy_step step = {.up = NULL, .index = (Py_ssize_t)x->first + number};
        x->encoding.stager.step = &step;
        good = mmbpy_encode(&x->encoding, message);
        x->encoding.stager.step = NULL;
    }
    Py_XDECREF(framer);
    return good;
}

/* Return how many messages were appended, or -1 with an exception. */
static Py_ssize_t extend_from(extender *x, PyObject *iterator)
{
    bool runs_code =
        !Py_IS_TYPE(iterator, &PyListIter_Type) && !Py_IS_TYPE(iterator, &PyTupleIter_Type);
    for (Py_ssize_t number = 0;;) {
        PyObject *message = PyIter_Next(iterator);
        x->encoding.stager.code_runs += runs_code ? 1 : 0;
        if (message == NULL) {
            return !PyErr_Occurred() && flush(x->log, &x->frames) ? number : -1;
        }
        bool good = extend_by_one(x, message, number++);
        Py_DECREF(message);
        uint64_t words = x->frames.words;
        bool is_full = words >= x->room_words;
        if (good && (words >= BATCH_WORDS || number % BATCH_MESSAGES == 0 || is_full)) {
            good = flush(x->log, &x->frames);
            x->room_words -= is_full ? x->room_words : words;
            x->encoding.stager.code_runs++; /* that of other threads meanwhile */
        }
        if (!good || is_full) {
            return good ? number : -1;
        }
    }
}

const char mmbpy_log_extend_doc[] =
    "_extend($self, messages, fields, encoder, first, room, /)\n--\n\n"
    "Append messages, each as append takes it, and return how many. fields are the\n"
    "names of the values that tuples have, or None. encoder makes the messages; None\n"
    "stands for that of the log. first is the number of the first one in errors. It ends\n"
    "with the message that fills `room` bytes.";

PyObject *mmbpy_log_extend(PyObject *object, PyObject *args)
{
    extender x = {.log = (mmbpy_log_writer *)object};
    unsigned long long room;
    PyObject *messages;
    if (!PyArg_ParseTuple(args, "OOOKK:_extend", &messages, &x.fields, &x.given, &x.first, &room)) {
        return NULL;
    }
    x.room_words = (room + MMB_WORD - 1) / MMB_WORD;
    PyObject *iterator = PyObject_GetIter(messages);
    Py_ssize_t count = iterator != NULL ? extend_from(&x, iterator) : -1;
    if (x.encodes) {
        mmbpy_encoding_end(&x.encoding);
    }
    mmb_frames_free(&x.frames);
    Py_XDECREF(iterator);
    return count >= 0 ? PyLong_FromSsize_t(count) : NULL;
}

/* ---- tables ------------------------------------------------------------------- */

typedef struct {
    mmbpy_log_writer *log;
    PyObject *before; /* called before each batch, gives the room for it; None: not called */
    unsigned long long room_words;
    unsigned long long rows;
    mmb_frames frames;
} table_sink;

/* Find out how many words a batch may have, before the first row of it. */
static bool start_batch(table_sink *sink)
{
    sink->room_words = BATCH_WORDS;
    if (sink->before == Py_None) {
        return true;
    }
    PyObject *room = PyObject_CallNoArgs(sink->before);
    if (room == NULL) {
        return false;
    }
    unsigned long long bytes = PyLong_AsUnsignedLongLong(room);
    Py_DECREF(room);
    if (bytes / MMB_WORD < BATCH_WORDS) {
        sink->room_words = (bytes + MMB_WORD - 1) / MMB_WORD;
    }
    return !PyErr_Occurred();
}

/* Append a message for each of these rows, which were converted from a table. */
static bool append_rows(void *context, const mmb_stage *stage)
{
    table_sink *sink = context;
    for (uint64_t row = 0; row < stage->count; row++) {
        if (sink->frames.words == 0 && !start_batch(sink)) {
            return false;
        }
        int error = mmb_frames_add_row(&sink->frames, stage, row);
        if (error != 0) {
            mmbpy_raise(sink->log->state, error, sink->log->name);
            return false;
        }
        if (sink->frames.words >= sink->room_words && !flush(sink->log, &sink->frames)) {
            return false;
        }
    }
    sink->rows += stage->count;
    return flush(sink->log, &sink->frames);
}

const char mmbpy_log_extend_table_doc[] =
    "_extend_table($self, columns, encoder, before, /)\n--\n\n"
    "Append a message for each row of columns of Arrow, given as Plan.stage_arrow takes them.\n"
    "Return how many rows that are. encoder is as for _extend. before, if it is not None, is\n"
    "called before each batch, and returns how many bytes there is room for.";

PyObject *mmbpy_log_extend_table(PyObject *object, PyObject *args)
{
    mmbpy_log_writer *self = (mmbpy_log_writer *)object;
    table_sink sink = {.log = self};
    PyObject *list, *given;
    if (!PyArg_ParseTuple(args, "O!OO:_extend_table", &PyList_Type, &list, &given, &sink.before)) {
        return NULL;
    }
    mmbpy_encoder *encoder = chosen_encoder(self, given);
    if (encoder == NULL) {
        return NULL;
    }
    bool good = mmbpy_arrow_each(self->state, encoder->plan->plan, list, !encoder->refuses_none,
                                 BATCH_MESSAGES, append_rows, &sink);
    mmb_frames_free(&sink.frames);
    return good ? PyLong_FromUnsignedLongLong(sink.rows) : NULL;
}
