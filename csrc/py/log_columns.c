/* log_columns.c - reads one field of the roots of all messages of a log. */

#include "log_columns.h"

#include <stdlib.h>

/* The arguments of a call. `frames` and `way` are released at its end. */
typedef struct {
    mmbpy_state *state;
    PyObject *name; /* name of the log, borrowed */
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
        if (!is_struct || number >= plan->plan->structs[around->target].count) {
            PyErr_SetString(PyExc_ValueError, "there is no such field");
            return false;
        }
        fields[i] = plan->plan->structs[around->target].first + (uint32_t)number;
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

/* Take the arguments (plan, fields, tag, frames, count, first, name). */
static bool parse(PyObject *module, PyObject *args, request *r)
{
    PyObject *plan, *fields;
    unsigned long long count;
    int tag;
    *r = (request){.state = PyModule_GetState(module)};
    if (!PyArg_ParseTuple(args, "O!O!py*KKO:roots", r->state->plan_type, &plan, &PyTuple_Type,
                          &fields, &tag, &r->frames, &count, &r->first, &r->name)) {
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

static PyObject *new_bytes(uint64_t size)
{
    return PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)size);
}

static unsigned char *bytes_of(PyObject *array)
{
    return (unsigned char *)PyByteArray_AsString(array);
}

PyDoc_STRVAR(numbers_doc,
             "roots_numbers($module, plan, fields, tag, frames, count, first, name, /)\n--\n\n"
             "Read a field of the roots of count messages. Return two bytearrays: the values,\n"
             "and a byte for each that is 1 if the value is not absent.\n\n"
             "fields are the numbers of the fields on the way, each in its struct. With tag\n"
             "the value is the tag of the union there. first and name are for errors.");

static PyObject *roots_numbers(PyObject *module, PyObject *args)
{
    request r;
    if (!parse(module, args, &r)) {
        return NULL;
    }
    uint32_t bits = 16;
    if (!r.way.tag) {
        const mmb_plan_field *field = &r.way.plan->fields[r.way.fields[r.way.length - 1]];
        bits = mmb_kind_bits(r.way.plan->types[field->type].kind);
    }
    uint32_t bytes = (bits + 7) / 8;
    PyObject *values = new_bytes(r.roots.count * bytes), *present = new_bytes(r.roots.count);
    PyObject *result = NULL;
    if (bits == 0) {
        PyErr_SetString(PyExc_ValueError, "the field is no number");
    } else if (values != NULL && present != NULL) {
        int error;
        Py_BEGIN_ALLOW_THREADS
        error = mmb_roots_numbers(&r.roots, &r.way, bytes, bytes_of(values), bytes_of(present));
        Py_END_ALLOW_THREADS
        result = error != 0 ? raise_flaw(&r) : PyTuple_Pack(2, values, present);
    }
    Py_XDECREF(values);
    Py_XDECREF(present);
    release(&r);
    return result;
}

PyDoc_STRVAR(strings_doc,
             "roots_strings($module, plan, fields, tag, frames, count, first, name, /)\n--\n\n"
             "Do the same for Text and Data. Return the bytearrays (offsets, data, there,\n"
             "present). offsets are u64; there is 1 for each pointer that is not null.");

static PyObject *roots_strings(PyObject *module, PyObject *args)
{
    request r;
    if (!parse(module, args, &r)) {
        return NULL;
    }
    const mmb_plan_field *field =
        r.way.length == 0 ? NULL : &r.way.plan->fields[r.way.fields[r.way.length - 1]];
    mmb_type_kind kind = field == NULL ? MMB_VOID : r.way.plan->types[field->type].kind;
    PyObject *offsets = new_bytes((r.roots.count + 1) * sizeof(uint64_t)), *data = NULL;
    PyObject *there = new_bytes(r.roots.count), *present = new_bytes(r.roots.count);
    PyObject *result = NULL;
    if (r.way.tag || (kind != MMB_TEXT && kind != MMB_DATA)) {
        PyErr_SetString(PyExc_ValueError, "the field is neither Text nor Data");
    } else if (offsets != NULL && there != NULL && present != NULL) {
        int error;
        uint64_t *ends = (uint64_t *)(void *)bytes_of(offsets);
        Py_BEGIN_ALLOW_THREADS
        error = mmb_roots_find(&r.roots, &r.way, ends, bytes_of(there), bytes_of(present));
        Py_END_ALLOW_THREADS
        data = error == 0 ? new_bytes(r.roots.strings) : NULL;
        if (data != NULL) {
            Py_BEGIN_ALLOW_THREADS
            error = mmb_roots_copy(&r.roots, &r.way, ends, bytes_of(data));
            Py_END_ALLOW_THREADS
        }
        if (error != 0) {
            raise_flaw(&r);
        } else if (data != NULL) {
            result = PyTuple_Pack(4, offsets, data, there, present);
        }
    }
    Py_XDECREF(offsets);
    Py_XDECREF(data);
    Py_XDECREF(there);
    Py_XDECREF(present);
    release(&r);
    return result;
}

PyMethodDef mmbpy_roots_functions[] = {
    {"roots_numbers", roots_numbers, METH_VARARGS, numbers_doc},
    {"roots_strings", roots_strings, METH_VARARGS, strings_doc},
    {"roots_seek", mmbpy_roots_seek, METH_VARARGS, mmbpy_roots_seek_doc},
    {NULL, NULL, 0, NULL},
};
