/* errors.c - raises errors of the C layers as exceptions of Python. */

#include "state.h"

#include <errno.h>

PyDoc_STRVAR(capacity_error_doc, "More was asked for than the capacity of a builder holds.\n\n"
                                 "Both an OSError (errno EFBIG) and a ValueError.");

PyDoc_STRVAR(invalid_message_doc,
             "A file or buffer is no valid Cap'n Proto message.\n\n"
             "reason says what is wrong. segment and word (counted from 0) are the place of\n"
             "the first flaw. If segment is None, the flaw is in the table at the start of\n"
             "the file, and word counts from there. filename is the file as it was given, or\n"
             "None if the bytes come from no file.");

int mmbpy_add_errors(PyObject *module, mmbpy_state *state)
{
    PyObject *bases = PyTuple_Pack(2, PyExc_OSError, PyExc_ValueError);
    if (bases == NULL) {
        return -1;
    }
    state->capacity_error =
        PyErr_NewExceptionWithDoc("mmapbuilder.CapacityError", capacity_error_doc, bases, NULL);
    Py_DECREF(bases);
    if (state->capacity_error == NULL) {
        return -1;
    }

    /* The class has the attributes, so that they exist in every instance. */
    PyObject *attributes = Py_BuildValue("{s:O,s:O,s:s,s:O}", "segment", Py_None, "word", Py_None,
                                         "reason", "", "filename", Py_None);
    if (attributes == NULL) {
        return -1;
    }
    state->invalid_message = PyErr_NewExceptionWithDoc(
        "mmapbuilder.InvalidMessage", invalid_message_doc, PyExc_ValueError, attributes);
    Py_DECREF(attributes);
    if (state->invalid_message == NULL) {
        return -1;
    }

    if (PyModule_AddObjectRef(module, "CapacityError", state->capacity_error) < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "InvalidMessage", state->invalid_message);
}

bool mmbpy_forget(PyObject *kind)
{
    if (PyErr_Occurred() != NULL && PyErr_ExceptionMatches(kind)) {
        PyErr_Clear();
    }
    return PyErr_Occurred() == NULL;
}

bool mmbpy_forget_refusal(void)
{
    return mmbpy_forget(PyExc_BufferError) || mmbpy_forget(PyExc_TypeError) ||
           mmbpy_forget(PyExc_ValueError);
}

PyObject *mmbpy_error(mmbpy_state *state, int error, PyObject *name)
{
    PyObject *type = error == MMB_ECAPACITY ? state->capacity_error : PyExc_OSError;
    /* The system's words come in the encoding of the locale. */
    PyObject *words = PyUnicode_DecodeLocale(mmb_strerror(error), "surrogateescape");
    if (words == NULL) {
        return NULL;
    }
    return PyObject_CallFunction(type, "iNO", mmb_errno(error), words,
                                 name != NULL ? name : Py_None);
}

/* Raise `exception`, a new reference, which may be NULL. Always return NULL. */
static PyObject *raise_it(PyObject *exception)
{
    /* Raise it as its own type: OSError chooses a subclass, such as PermissionError, by errno. */
    if (exception != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    }
    Py_XDECREF(exception);
    return NULL;
}

PyObject *mmbpy_raise(mmbpy_state *state, int error, PyObject *name)
{
    return raise_it(mmbpy_error(state, error, name));
}

PyObject *mmbpy_none_or_raise(mmbpy_state *state, int error, PyObject *name)
{
    return error == 0 ? Py_NewRef(Py_None) : mmbpy_raise(state, error, name);
}

int mmbpy_zero_or_raise(mmbpy_state *state, int error, PyObject *name)
{
    if (error != 0) {
        mmbpy_raise(state, error, name);
    }
    return error == 0 ? 0 : -1;
}

PyObject *mmbpy_raise_text(int error, PyObject *text, PyObject *name)
{
    if (text == NULL) {
        return NULL;
    }
    PyObject *exception = PyObject_CallFunction(PyExc_OSError, "iOO", mmb_errno(error), text, name);
    Py_DECREF(text);
    return raise_it(exception);
}

/* Make a CapacityError. This takes `text` over, which may be NULL with an exception. */
static PyObject *capacity_error(mmbpy_state *state, PyObject *text, PyObject *name)
{
    return text == NULL
               ? NULL
               : PyObject_CallFunction(state->capacity_error, "iNO", mmb_errno(MMB_ECAPACITY), text,
                                       name != NULL ? name : Py_None);
}

PyObject *mmbpy_map_error(const mmbpy_map *map, int error)
{
    if (error != MMB_ECAPACITY) {
        return mmbpy_error(map->state, error, map->name);
    }
    PyObject *text = PyUnicode_FromFormat("capacity exceeded: it is %llu bytes, set a larger one "
                                          "with capacity=",
                                          (unsigned long long)map->capacity);
    return capacity_error(map->state, text, map->name);
}

PyObject *mmbpy_map_raise(const mmbpy_map *map, int error)
{
    return raise_it(mmbpy_map_error(map, error));
}

PyObject *mmbpy_raise_capacity(mmbpy_state *state, PyObject *text, PyObject *name)
{
    return raise_it(capacity_error(state, text, name));
}

PyObject *mmbpy_raise_closed(void)
{
    PyErr_SetString(PyExc_ValueError, "I/O operation on closed builder");
    return NULL;
}

static int set_number(PyObject *object, const char *attribute, long long value)
{
    if (value < 0) {
        return 0; /* it stays None, as the class says */
    }
    PyObject *number = PyLong_FromLongLong(value);
    if (number == NULL) {
        return -1;
    }
    int result = PyObject_SetAttrString(object, attribute, number);
    Py_DECREF(number);
    return result;
}

/* Return a text that says what is wrong, where, and in which file. */
static PyObject *text_of_flaw(const mmb_flaw *flaw, PyObject *name)
{
    long long word = (long long)flaw->word;
    PyObject *text = flaw->segment == MMB_IN_TABLE
                         ? PyUnicode_FromFormat("%s (word %lld)", flaw->reason, word)
                         : PyUnicode_FromFormat("%s (segment %u, word %lld)", flaw->reason,
                                                (unsigned)flaw->segment, word);
    if (text != NULL && name != Py_None) {
        PyObject *named = PyUnicode_FromFormat("%U: %R", text, name);
        Py_DECREF(text);
        text = named;
    }
    return text;
}

PyObject *mmbpy_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name)
{
    long long segment = flaw->segment == MMB_IN_TABLE ? -1 : (long long)flaw->segment;
    long long word = (long long)flaw->word;
    PyObject *text = text_of_flaw(flaw, name);
    if (text == NULL) {
        return NULL;
    }
    PyObject *exception = PyObject_CallFunctionObjArgs(state->invalid_message, text, NULL);
    Py_DECREF(text);
    PyObject *reason = PyUnicode_FromString(flaw->reason);
    if (exception == NULL || reason == NULL ||
        PyObject_SetAttrString(exception, "reason", reason) < 0 ||
        PyObject_SetAttrString(exception, "filename", name) < 0 ||
        set_number(exception, "segment", segment) < 0 || set_number(exception, "word", word) < 0) {
        Py_CLEAR(exception);
    }
    Py_XDECREF(reason);
    return exception;
}

PyObject *mmbpy_raise_invalid(mmbpy_state *state, const mmb_flaw *flaw)
{
    return raise_it(mmbpy_invalid_in(state, flaw, Py_None));
}

PyObject *mmbpy_raise_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name)
{
    return raise_it(mmbpy_invalid_in(state, flaw, name));
}

bool mmbpy_as_uint64(PyObject *object, const char *what, uint64_t *out)
{
    if (PyBool_Check(object) || !PyIndex_Check(object)) {
        PyObject *type_name = PyType_GetName(Py_TYPE(object));
        if (type_name != NULL) {
            PyErr_Format(PyExc_TypeError, "%s must be an int, not %U", what, type_name);
            Py_DECREF(type_name);
        }
        return false;
    }
    PyObject *number = PyNumber_Index(object);
    if (number == NULL) {
        return false;
    }
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (value == -1 && overflow == 0 && PyErr_Occurred()) {
        return false;
    }
    if (overflow < 0 || (overflow == 0 && value < 0)) {
        PyErr_Format(PyExc_ValueError, "%s must not be negative", what);
        return false;
    }
    *out = overflow > 0 ? UINT64_MAX : (uint64_t)value;
    return true;
}
