/* usage_type.c - `_core.Usage`: what takes how many bytes in messages. See schema/usage.h. */

#include "column_args.h"
#include "plan_type.h"
#include "usage.h"
#include "waiting.h"

#include <errno.h>

typedef struct {
    PyObject_HEAD mmb_usage *usage; /* owned */
    PyObject *plan;                 /* keeps what the usage refers to; NULL if there is no plan */
    _Atomic bool is_busy;           /* a method is at work; an exchange sets it */
    bool spoilt; /* an error has left it incomplete; belongs to the method at work */
} mmbpy_usage;

static PyObject *usage_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *plan;
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL || (kwargs != NULL && PyDict_Size(kwargs) != 0) ||
        !PyArg_ParseTuple(args, "O:Usage", &plan)) {
        return NULL;
    }
    if (plan != Py_None && !PyObject_TypeCheck(plan, state->plan_type)) {
        PyErr_SetString(PyExc_TypeError, "a plan or None is required");
        return NULL;
    }
    mmbpy_usage *self = (mmbpy_usage *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->plan = plan == Py_None ? NULL : Py_NewRef(plan);
    self->usage = mmb_usage_new(plan == Py_None ? NULL : ((mmbpy_plan *)plan)->plan);
    if (self->usage == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void usage_dealloc(PyObject *object)
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    mmb_usage_free(self->usage);
    Py_XDECREF(self->plan);
    mmbpy_free_object(object);
}

/* ---- adding ------------------------------------------------------------------------------- */

/* Begin a call. There is one at a time: C code gives the GIL up, and takes it back now and then. */
static bool begin(mmbpy_usage *self)
{
    if (!atomic_exchange(&self->is_busy, true)) {
        if (!self->spoilt) {
            return true;
        }
        atomic_store(&self->is_busy, false);
    }
    PyErr_SetString(PyExc_RuntimeError, "the usage is being found out, or could not be");
    return false;
}

static PyObject *end(mmbpy_usage *self, int error, const mmb_flaw *flaw)
{
    self->spoilt = error != 0;
    atomic_store(&self->is_busy, false);
    if (error == 0) {
        return Py_NewRef(Py_None);
    }
    if (error == MMB_EMESSAGE) {
        return mmbpy_raise_invalid(mmbpy_state_of_type(Py_TYPE((PyObject *)self)), flaw);
    }
    return error == EINTR && PyErr_Occurred() ? NULL : PyErr_NoMemory();
}

PyDoc_STRVAR(add_doc,
             "add($self, segments, progress=None, /)\n--\n\n"
             "Add the message in a tuple of segments. progress is called now and then with the\n"
             "number of bytes that were counted.");

static PyObject *usage_add(PyObject *object, PyObject *args)
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    PyObject *segments, *progress = Py_None;
    mmbpy_memory memory = {0};
    mmb_flaw flaw;
    if (!PyArg_ParseTuple(args, "O!|O:add", &PyTuple_Type, &segments, &progress)) {
        return NULL;
    }
    if (!mmbpy_memory_get(segments, false, &memory) || !begin(self)) {
        mmbpy_memory_release(&memory);
        return NULL;
    }
    mmbpy_waiting waiting = {progress, PyEval_SaveThread()};
    const mmb_interrupt interrupt = {mmbpy_is_asked, &waiting};
    int error = mmb_usage_add(self->usage, memory.segments, memory.count, &interrupt, &flaw);
    PyEval_RestoreThread(waiting.thread);
    mmbpy_memory_release(&memory);
    return end(self, error, &flaw);
}

PyDoc_STRVAR(add_frames_doc,
             "add_frames($self, frames, progress=None, /)\n--\n\n"
             "Add messages that lie back to back in a buffer, each with its table.");

static PyObject *usage_add_frames(PyObject *object, PyObject *args)
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    PyObject *progress = Py_None;
    Py_buffer frames;
    mmb_flaw flaw;
    uint64_t done;
    if (!PyArg_ParseTuple(args, "y*|O:add_frames", &frames, &progress)) {
        return NULL;
    }
    if (!begin(self)) {
        PyBuffer_Release(&frames);
        return NULL;
    }
    mmbpy_waiting waiting = {progress, PyEval_SaveThread()};
    const mmb_interrupt interrupt = {mmbpy_is_asked, &waiting};
    int error = mmb_usage_add_frames(self->usage, frames.buf, (uint64_t)frames.len, &done,
                                     &interrupt, &flaw);
    PyEval_RestoreThread(waiting.thread);
    PyBuffer_Release(&frames);
    return end(self, error, &flaw);
}

/* ---- what was found ----------------------------------------------------------------------- */

static PyObject *name_of(const mmbpy_usage *self, uint32_t field)
{
    if (field == MMB_NONE || self->plan == NULL) {
        return Py_NewRef(Py_None);
    }
    return Py_NewRef(((mmbpy_plan *)self->plan)->names[field]);
}

PyDoc_STRVAR(paths_doc,
             "paths($self, /)\n--\n\n"
             "Return all paths, as (kind, parent, name or None, count, data, pointers, text,\n"
             "padding, far). The kinds are root, field, elements, tag and other, numbered from\n"
             "0.");

static PyObject *usage_paths(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    if (!begin(self)) {
        return NULL;
    }
    uint32_t count = mmb_usage_count(self->usage);
    mmb_usage_path *paths = PyMem_Calloc((size_t)count + 1, sizeof *paths);
    PyObject *list = paths == NULL ? PyErr_NoMemory() : PyList_New((Py_ssize_t)count);
    if (list != NULL) {
        mmb_usage_paths(self->usage, paths);
    }
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        const mmb_usage_path *path = &paths[i];
        PyObject *tuple = Py_BuildValue(
            "IINKKKKKK", (unsigned int)path->kind, path->parent, name_of(self, path->field),
            (unsigned long long)path->count, (unsigned long long)path->data,
            (unsigned long long)path->pointers, (unsigned long long)path->text,
            (unsigned long long)path->padding, (unsigned long long)path->far);
        if (tuple == NULL || PyList_SetItem(list, (Py_ssize_t)i, tuple) < 0) {
            Py_CLEAR(list);
        }
    }
    PyMem_Free(paths);
    atomic_store(&self->is_busy, false);
    return list;
}

PyDoc_STRVAR(totals_doc,
             "totals($self, /)\n--\n\n"
             "Return (words of the segments, words that no pointer leads to, overlaps).");

static PyObject *usage_totals(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    if (!begin(self)) {
        return NULL;
    }
    mmb_usage_totals totals = mmb_usage_sum(self->usage);
    atomic_store(&self->is_busy, false);
    return Py_BuildValue("KKK", (unsigned long long)totals.words,
                         (unsigned long long)totals.unreachable,
                         (unsigned long long)totals.overlaps);
}

PyDoc_STRVAR(reached_doc,
             "reached($self, segment, word, words, parts, /)\n--\n\n"
             "Divide a range of the last message into equal parts. Return for each how many of\n"
             "its words a pointer leads to.");

static PyObject *usage_reached(PyObject *object, PyObject *args)
{
    mmbpy_usage *self = (mmbpy_usage *)object;
    unsigned int segment, parts;
    unsigned long long word, words;
    if (!PyArg_ParseTuple(args, "IKKI:reached", &segment, &word, &words, &parts)) {
        return NULL;
    }
    if (words > MMB_MAX_SEGMENT_WORDS || word > MMB_MAX_SEGMENT_WORDS) {
        PyErr_SetString(PyExc_ValueError, "no segment has so many words");
        return NULL;
    }
    if (!begin(self)) {
        return NULL;
    }
    const mmb_tally *tally = mmb_usage_tally(self->usage);
    PyObject *list = PyList_New((Py_ssize_t)parts);
    for (uint64_t i = 0; list != NULL && i < parts; i++) {
        uint64_t first = words * i / parts, next = words * (i + 1) / parts;
        uint64_t found = mmb_tally_within(tally, segment, word + first, next - first);
        PyObject *number = PyLong_FromUnsignedLongLong(found);
        if (number == NULL || PyList_SetItem(list, (Py_ssize_t)i, number) < 0) {
            Py_CLEAR(list);
        }
    }
    atomic_store(&self->is_busy, false);
    return list;
}

PyDoc_STRVAR(usage_doc,
             "Usage(plan, /)\n--\n\n"
             "What takes how many bytes in messages of a schema; None means that no schema is\n"
             "known.");

static PyMethodDef usage_methods[] = {
    {"add", usage_add, METH_VARARGS, add_doc},
    {"add_frames", usage_add_frames, METH_VARARGS, add_frames_doc},
    {"paths", usage_paths, METH_NOARGS, paths_doc},
    {"totals", usage_totals, METH_NOARGS, totals_doc},
    {"reached", usage_reached, METH_VARARGS, reached_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot usage_slots[] = {
    {Py_tp_doc, (void *)usage_doc},
    {Py_tp_new, usage_new},
    {Py_tp_dealloc, usage_dealloc},
    {Py_tp_methods, usage_methods},
    {0, NULL},
};

MMBPY_SPEC(usage, "Usage", Py_TPFLAGS_IMMUTABLETYPE)
