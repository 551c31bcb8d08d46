/* log_columns.c - reads one field of the roots of all messages of a log. */

#include "log_columns.h"

#include <errno.h>

/* The arguments of a call. `frames` and `way` are released at its end. */
typedef struct {
    mmbpy_state *state;
    PyObject *name;    /* name of the log, borrowed */
    PyObject *missing; /* borrowed; None if it is not given */
    unsigned long long first;
    Py_buffer frames;
    mmb_roots roots;
    mmb_way way;
} request;

static void release(request *r)
{
    PyBuffer_Release(&r->frames);
    mmbpy_free_way(&r->way);
}

bool mmbpy_take_way(mmbpy_plan *plan, PyObject *tuple, bool tag, mmb_way *way)
{
    Py_ssize_t length = PyTuple_Size(tuple);
    uint32_t *fields = PyMem_Calloc((size_t)length + 1, sizeof *fields);
    if (fields == NULL) {
        PyErr_NoMemory();
        return false;
    }
    *way = (mmb_way){.plan = plan->plan, .fields = fields, .length = (uint32_t)length, .tag = tag};
    uint32_t type = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        unsigned long number = PyLong_AsUnsignedLong(PyTuple_GetItem(tuple, i));
        const mmb_plan_type *around = &plan->plan->types[type];
        bool is_struct = around->kind == MMB_STRUCT || around->kind == MMB_GROUP;
        if (PyErr_Occurred()) {
            return false;
        }
        if (!is_struct || number >= plan->plan->structs[around->refers_to].count) {
            PyErr_SetString(PyExc_ValueError, "there is no such field");
            return false;
        }
        fields[i] = plan->plan->structs[around->refers_to].first + (uint32_t)number;
        type = plan->plan->fields[fields[i]].type;
    }
    if (length == 0 && !tag) {
        PyErr_SetString(PyExc_ValueError, "a field is required");
        return false;
    }
    return true;
}

void mmbpy_free_way(mmb_way *way)
{
    PyMem_Free((void *)(uintptr_t)way->fields);
}

/* Take the arguments (plan, fields, tag, frames, count, first, name, missing=None). */
static bool parse(PyObject *module, PyObject *args, request *r)
{
    PyObject *plan, *fields;
    unsigned long long count;
    int tag;
    *r = (request){.state = PyModule_GetState(module), .missing = Py_None};
    if (!PyArg_ParseTuple(args, "O!O!py*KKO|O:roots", r->state->plan_type, &plan, &PyTuple_Type,
                          &fields, &tag, &r->frames, &count, &r->first, &r->name, &r->missing)) {
        return false;
    }
    r->roots =
        (mmb_roots){.frames = r->frames.buf, .bytes = (uint64_t)r->frames.len, .count = count};
    /* No message is shorter than two words, so a larger count is an error. There is memory for a
     * count that passes this check. */
    if (count > r->roots.bytes / (2 * MMB_WORD)) {
        PyErr_SetString(PyExc_ValueError, "there are fewer messages");
    } else if (mmbpy_take_way((mmbpy_plan *)plan, fields, tag != 0, &r->way)) {
        return true;
    }
    release(r);
    return false;
}

PyObject *mmbpy_raise_in_log(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name,
                             uint64_t number)
{
    PyObject *error = mmbpy_invalid_in(state, flaw, Py_None);
    PyObject *text = error == NULL ? NULL
                                   : PyUnicode_FromFormat("%S: message %llu: %S", name,
                                                          (unsigned long long)number, error);
    PyObject *arguments = text == NULL ? NULL : PyTuple_Pack(1, text);
    if (arguments != NULL && PyObject_SetAttrString(error, "args", arguments) == 0) {
        PyErr_SetObject(state->invalid_message, error);
    }
    Py_XDECREF(arguments);
    Py_XDECREF(text);
    Py_XDECREF(error);
    return NULL;
}

static PyObject *raise_flaw(request *r)
{
    return mmbpy_raise_in_log(r->state, &r->roots.flaw, r->name, r->first + r->roots.bad);
}

/* Return the kind of the field at the end of the way; that of a tag is MMB_VOID. */
static mmb_type_kind kind_at_end(const mmb_way *way)
{
    const mmb_plan *plan = way->plan;
    return way->tag ? MMB_VOID : plan->types[plan->fields[way->fields[way->length - 1]].type].kind;
}

PyDoc_STRVAR(numbers_doc,
             "roots_numbers($module, plan, fields, tag, frames, count, first, name, /)\n--\n\n"
             "Read a number of the roots of count messages. Return a bytearray of the values.\n\n"
             "fields are the numbers of the fields on the way, each in its struct. With tag\n"
             "the value is the tag of the union there. first and name are for errors.");

static PyObject *roots_numbers(PyObject *module, PyObject *args)
{
    request r;
    PyObject *values = NULL;
    if (!parse(module, args, &r)) {
        return NULL;
    }
    uint32_t bits = r.way.tag ? 16 : mmb_kind_bits(kind_at_end(&r.way));
    uint32_t bytes = (bits + 7) / 8;
    if (bits == 0) {
        PyErr_SetString(PyExc_ValueError, "the field is no number");
    } else {
        values = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(r.roots.count * bytes));
    }
    if (values != NULL) {
        int error;
        unsigned char *to = (unsigned char *)PyByteArray_AsString(values);
        Py_BEGIN_ALLOW_THREADS
        error = mmb_roots_numbers(&r.roots, &r.way, bytes, to, NULL);
        Py_END_ALLOW_THREADS
        if (error != 0) {
            Py_CLEAR(values);
            raise_flaw(&r);
        }
    }
    release(&r);
    return values;
}

/* Strings as Python has them. */
typedef struct {
    PyObject *list;    /* owned */
    PyObject *missing; /* borrowed; stands for a string that is not there */
    bool text;
} strings;

static bool take_string(void *context, uint64_t number, const unsigned char *start, uint64_t length)
{
    const strings *to = context;
    PyObject *item = start == NULL ? Py_NewRef(to->missing)
                     : to->text
                         ? PyUnicode_DecodeUTF8((const char *)start, (Py_ssize_t)length, NULL)
                         : PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)length);
    return item != NULL && PyList_SetItem(to->list, (Py_ssize_t)number, item) == 0;
}

PyDoc_STRVAR(strings_doc,
             "roots_strings($module, plan, fields, tag, frames, count, first, name, missing, /)\n"
             "--\n\n"
             "Do the same for Text and Data. Return a list of str or bytes. missing stands for a\n"
             "null pointer, and for what is not there. tag is False.");

static PyObject *roots_strings(PyObject *module, PyObject *args)
{
    request r;
    if (!parse(module, args, &r)) {
        return NULL;
    }
    mmb_type_kind kind = kind_at_end(&r.way);
    strings to = {.missing = r.missing, .text = kind == MMB_TEXT};
    if (kind != MMB_TEXT && kind != MMB_DATA) {
        PyErr_SetString(PyExc_ValueError, "the field is neither Text nor Data");
    } else {
        to.list = PyList_New((Py_ssize_t)r.roots.count);
    }
    int error = to.list == NULL ? ECANCELED : mmb_roots_strings(&r.roots, &r.way, take_string, &to);
    if (error == MMB_EMESSAGE) {
        raise_flaw(&r);
    }
    if (error != 0) {
        Py_CLEAR(to.list);
    }
    release(&r);
    return to.list;
}

PyMethodDef mmbpy_roots_functions[] = {
    {"roots_numbers", roots_numbers, METH_VARARGS, numbers_doc},
    {"roots_strings", roots_strings, METH_VARARGS, strings_doc},
    {"roots_seek", mmbpy_roots_seek, METH_VARARGS, mmbpy_roots_seek_doc},
    {NULL, NULL, 0, NULL},
};
