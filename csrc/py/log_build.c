/* log_build.c - `_core.LogBuild`: one message of a log that is built in place.
 *
 * A *build* hands segments out to pycapnp. They lie in the file, behind the last message of the
 * log. In the end it appends the whole message, or gives it up. An exception in pycapnp's allocator
 * ends the process, and no Python code may run there, since it could be interrupted. So errors in
 * it are noted, and the memory comes from elsewhere.
 *
 * A build refers to the log and to the map, but to nothing of pycapnp: segments_type.c says why. */

#include "log_type.h"
#include "segment_view.h"

#include <string.h>

/* The table has room for so many segments. Room that is not needed becomes part of the only
 * segment. The 32 bytes of the table are a multiple of a word. */
enum { SEGMENTS = 7, TABLE_BYTES = 32 };

/* The first fence claims as much, which readers accept. The file ends at most a granule beyond
 * the last byte that was stored. */
#define FIRST_REACH MMB_FENCE_BYTES
#define SLACK ((uint64_t)3 << 20)
#define FIRST_WORDS ((FIRST_REACH - SLACK - ((uint64_t)1 << 20)) / MMB_WORD)

/* `problem` where no errno says what went wrong: the log is closed. */
enum { CLOSED = -1 };

typedef struct {
    PyObject_HEAD mmbpy_log_writer *log; /* __new__ sets it once */
    /* The lock of the log guards these. */
    mmbpy_map *map;          /* a second map of the log's file; NULL before begin */
    PyObject *spare;         /* a segment view, if there is no memory for another; or NULL */
    bool begun;              /* the log waits for this message */
    int problem;             /* the first error that was met: one of the C layers, or CLOSED */
    uint64_t start;          /* offset of the message in the file */
    uint32_t count;          /* number of segments handed out */
    uint32_t full[SEGMENTS]; /* their sizes in words */
} mmbpy_log_build;

static PyObject *build_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    mmbpy_state *state = mmbpy_state_of_type(type);
    PyObject *log;
    if (state == NULL || !PyArg_ParseTuple(args, "O!:LogBuild", state->log_writer_type, &log)) {
        return NULL;
    }
    mmbpy_log_build *self = (mmbpy_log_build *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->log = (mmbpy_log_writer *)Py_NewRef(log);
    self->spare = mmbpy_segment_view_new(state);
    if (self->spare == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ---- the beginning ----------------------------------------------------------------- */

PyDoc_STRVAR(begin_doc,
             "begin($self, /)\n--\n\n"
             "Let the log, and all other writers, wait for this message. Return where in the\n"
             "file it begins.");

static PyObject *build_begin(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    PyObject *start = NULL;
    MMBPY_LOCK((PyObject *)self->log)
    mmb_log_writer *writer = mmbpy_log_usable(self->log);
    if (writer != NULL) {
        int error = mmb_log_begin(writer, FIRST_REACH, &self->start);
        if (error == 0) {
            self->log->building = self->begun = true;
            start = PyLong_FromUnsignedLongLong(self->start);
        } else if (PyErr_Occurred() == NULL) { /* else a signal handler has raised one */
            mmbpy_raise(self->log->state, error, self->log->name);
        }
    }
    MMBPY_UNLOCK()
    return start;
}

PyDoc_STRVAR(use_doc,
             "use($self, map, /)\n--\n\n"
             "Build in map, a Map of the log's file that was opened after begin. No other\n"
             "process may change the end of the file meanwhile.");

static PyObject *build_use(PyObject *object, PyObject *map_object)
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    if (!PyObject_TypeCheck(map_object, self->log->state->map_type)) {
        PyErr_SetString(PyExc_TypeError, "map must be a Map");
        return NULL;
    }
    mmbpy_map *map = (mmbpy_map *)map_object;
    unsigned char *base = NULL;
    mmbpy_map_pin(map);
    mmb_map *core = mmbpy_map_enter(map);
    if (core == NULL) {
        return NULL;
    }
    int error = mmb_map_memory(core, &base);
    mmbpy_map_leave(map);
    if (error != 0) {
        return mmbpy_raise(self->log->state, error, map->name);
    }
    bool used = false;
    MMBPY_LOCK((PyObject *)self->log)
    if (self->begun && self->map == NULL) {
        self->map = (mmbpy_map *)Py_NewRef(map_object);
        used = true;
    }
    MMBPY_UNLOCK()
    if (!used) {
        PyErr_SetString(PyExc_RuntimeError, "a message is built once");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- handing out ------------------------------------------------------------------- */

/* Return the size of the next segment in words; 0 if there is no room for it. `*start` is where
 * it begins in the file. */
static uint64_t next_size(const mmbpy_log_build *self, uint64_t min_words, uint64_t *start)
{
    *start = self->start + TABLE_BYTES;
    for (uint32_t i = 0; i < self->count; i++) {
        *start += (uint64_t)self->full[i] * MMB_WORD;
    }
    uint64_t usual = self->count == 0 ? FIRST_WORDS : MMB_MAX_SEGMENT_WORDS;
    uint64_t end = *start + MMB_WORD; /* a fence follows the segment */
    uint64_t room = end < self->map->capacity ? (self->map->capacity - end) / MMB_WORD : 0;
    uint64_t words = usual < room ? usual : room;
    words = words < min_words ? min_words : words;
    return self->count < SEGMENTS && words <= room ? words : 0;
}

/* Let the file grow for the next segment, and let `segment` show it. Return 0 or an error. */
static int show_next(mmbpy_log_build *self, uint64_t min_words, PyObject *segment)
{
    mmb_log_writer *writer = self->log->writer;
    mmb_map *map = atomic_load(&self->map->map);
    if (!self->begun || writer == NULL || map == NULL) {
        return CLOSED;
    }
    uint64_t start, words = next_size(self, min_words, &start);
    if (words == 0) {
        return MMB_ECAPACITY;
    }
    uint64_t reach = start + words * MMB_WORD + SLACK - self->start;
    uint64_t same;
    int error = mmb_log_begin(writer, reach > FIRST_REACH ? reach : FIRST_REACH, &same);
    error = error != 0 ? error : mmb_install_handler();
    /* The kernel must be able to read the start when pycapnp is asked for the sizes. */
    error = error != 0 ? error : mmb_map_ensure(map, start + MMB_WORD);
    if (error == 0) {
        self->full[self->count++] = (uint32_t)words;
        mmbpy_segment_view_show_map(segment, self->map, mmb_map_base(map) + start,
                                    (Py_ssize_t)(words * MMB_WORD));
    }
    return error;
}

static PyObject *next_segment(mmbpy_log_build *self, uint64_t words)
{
    PyObject *segment = mmbpy_next_segment_view(self->log->state, &self->spare);
    if (segment == NULL) {
        return NULL;
    }
    int problem = self->problem != 0 ? self->problem : show_next(self, words, segment);
    if (problem == 0) {
        return segment;
    }
    self->problem = problem;
    return mmbpy_segment_in_no_file(segment, words);
}

PyDoc_STRVAR(allocate_doc,
             "allocate($self, min_words, /)\n--\n\n"
             "Return the next segment, zeroed: a memoryview of min_words * 8 bytes or more.");

static PyObject *build_allocate(PyObject *object, PyObject *min_words)
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    uint64_t words;
    if (!mmbpy_segment_words(min_words, &words)) {
        return NULL;
    }
    PyObject *view = NULL;
    MMBPY_PAUSE_GC();
    MMBPY_LOCK((PyObject *)self->log)
    if (self->map != NULL) {
        view = next_segment(self, words);
    }
    MMBPY_UNLOCK()
    view = mmbpy_give_segment(view);
    MMBPY_RESUME_GC();
    return view;
}

/* ---- the end ------------------------------------------------------------------------- */

/* Find the sizes of all segments. The last one that is not empty has its used size, those before
 * it have their full sizes. Return 0, or -1 with an exception. The caller holds the lock. */
static int sizes_from(const mmbpy_log_build *self, PyObject *used, uint32_t *words)
{
    Py_ssize_t given = PyList_Size(used);
    uint64_t size = 0;
    for (Py_ssize_t i = 0; i < given && i < (Py_ssize_t)self->count; i++) {
        if (!mmbpy_as_uint64(PyList_GetItem(used, i), "a used size", &size)) {
            return -1;
        }
        if (size > 0) {
            memset(words, 0, SEGMENTS * sizeof *words);
            memcpy(words, self->full, (size_t)i * sizeof *words);
            words[i] = size < self->full[i] ? (uint32_t)size : self->full[i];
        }
    }
    if (given <= 0 || words[0] == 0) {
        words[0] = 1; /* the message has a null root */
    }
    return 0;
}

static PyObject *raise_problem(const mmbpy_log_build *self)
{
    if (self->problem == CLOSED) {
        PyErr_SetString(PyExc_ValueError, "the log was closed while a message was being built");
        return NULL;
    }
    if (self->problem != MMB_ECAPACITY) {
        return mmbpy_raise(self->log->state, self->problem, self->log->name);
    }
    PyObject *text = PyUnicode_FromFormat(
        "the capacity of the log is used up, which is %llu bytes, or a message has more than %d "
        "segments: open the log with a larger capacity=",
        (unsigned long long)self->map->capacity, (int)SEGMENTS);
    return mmbpy_raise_capacity(self->log->state, text, self->log->name);
}

PyDoc_STRVAR(check_doc, "check($self, /)\n--\n\n"
                        "Raise the error that allocate met, if it met one.");

static PyObject *build_check(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    PyObject *result;
    MMBPY_LOCK((PyObject *)self->log)
    result = self->problem != 0 ? raise_problem(self) : Py_NewRef(Py_None);
    MMBPY_UNLOCK()
    return result;
}

PyDoc_STRVAR(commit_doc,
             "commit($self, used, /)\n--\n\n"
             "Append the message. used is a list of the used words of its segments. Return how\n"
             "many words the message has.\n\n"
             "An error that allocate met is raised here. Nothing is appended then.");

static PyObject *commit(mmbpy_log_build *self, PyObject *used)
{
    uint32_t words[SEGMENTS] = {0};
    uint64_t sum = 0, number;
    if (self->problem != 0) {
        return raise_problem(self);
    }
    if (self->log->writer == NULL) {
        PyErr_SetString(PyExc_ValueError, "I/O operation on closed log");
        return NULL;
    }
    if (!self->begun) {
        PyErr_SetString(PyExc_RuntimeError, "no message is being built");
        return NULL;
    }
    if (sizes_from(self, used, words) < 0) {
        return NULL;
    }
    self->begun = self->log->building = false;
    int error = mmb_log_commit(self->log->writer, words, SEGMENTS, self->count <= 1, &number);
    if (error != 0) {
        return mmbpy_raise(self->log->state, error, self->log->name);
    }
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        sum += words[i];
    }
    return PyLong_FromUnsignedLongLong(sum);
}

static PyObject *build_commit(PyObject *object, PyObject *args)
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    PyObject *used, *result = NULL;
    if (!PyArg_ParseTuple(args, "O!:commit", &PyList_Type, &used)) {
        return NULL;
    }
    MMBPY_LOCK((PyObject *)self->log)
    result = commit(self, used);
    MMBPY_UNLOCK()
    return result;
}

/* Give the message up if the log still waits for it. The caller holds the lock. */
static void abandon(mmbpy_log_build *self)
{
    if (self->begun) {
        self->begun = self->log->building = false;
        if (self->log->writer != NULL) {
            mmb_log_abandon(self->log->writer);
        }
    }
}

PyDoc_STRVAR(end_doc,
             "end($self, /)\n--\n\n"
             "Let go of the memory, which stays as a private copy, and give the message up if\n"
             "it was not committed. This may be called again.");

static PyObject *build_end(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    PyObject *map;
    MMBPY_LOCK((PyObject *)self->log)
    map = Py_XNewRef((PyObject *)self->map);
    MMBPY_UNLOCK()
    if (map != NULL) {
        mmb_map *core = NULL;
        if (mmbpy_map_begin_close((mmbpy_map *)map, &core)) {
            Py_BEGIN_ALLOW_THREADS
            mmb_map_seal(core);
            Py_END_ALLOW_THREADS
            mmbpy_map_end_close((mmbpy_map *)map, 0, 0, false);
        }
        Py_DECREF(map);
    }
    MMBPY_LOCK((PyObject *)self->log)
    abandon(self);
    MMBPY_UNLOCK()
    Py_RETURN_NONE;
}

/* ---- the type ---------------------------------------------------------------------------- */

static int build_traverse(PyObject *object, visitproc visit, void *arg)
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT((PyObject *)self->log);
    Py_VISIT((PyObject *)self->map);
    return 0;
}

static void build_dealloc(PyObject *object)
{
    mmbpy_log_build *self = (mmbpy_log_build *)object;
    PyObject_GC_UnTrack(object);
    if (self->log != NULL) {
        MMBPY_LOCK((PyObject *)self->log)
        abandon(self);
        MMBPY_UNLOCK()
    }
    Py_XDECREF(self->spare);
    Py_XDECREF((PyObject *)self->map);
    Py_XDECREF((PyObject *)self->log);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(build_doc, "LogBuild(log, /)\n--\n\n"
                        "A message that is built in place, in a log.");

static PyMethodDef build_methods[] = {
    {"begin", build_begin, METH_NOARGS, begin_doc},
    {"use", build_use, METH_O, use_doc},
    {"allocate", build_allocate, METH_O, allocate_doc},
    {"check", build_check, METH_NOARGS, check_doc},
    {"commit", build_commit, METH_VARARGS, commit_doc},
    {"end", build_end, METH_NOARGS, end_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot log_build_slots[] = {
    {Py_tp_doc, (void *)build_doc},   {Py_tp_new, build_new},
    {Py_tp_traverse, build_traverse}, {Py_tp_dealloc, build_dealloc},
    {Py_tp_methods, build_methods},   {0, NULL},
};

MMBPY_SPEC(log_build, "LogBuild", Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE)
