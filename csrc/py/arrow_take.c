/* arrow_take.c - takes schemas and arrays of Arrow out of capsules. See arrow_take.h. */

#include "arrow_take.h"

static bool add_array(mmbpy_arrow *in, mmb_arrow_array *array)
{
    mmb_arrow_array *grown = PyMem_Realloc(in->arrays, (in->count + 1u) * sizeof *grown);
    if (grown == NULL) {
        array->release(array);
        PyErr_NoMemory();
        return false;
    }
    in->arrays = grown;
    in->arrays[in->count++] = *array; /* moved, as the interface allows */
    return true;
}

static bool take_stream(PyObject *capsule, mmbpy_arrow *in)
{
    mmb_arrow_stream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (stream == NULL) {
        return false;
    }
    if (stream->release == NULL) {
        PyErr_SetString(PyExc_ValueError, "the stream of Arrow is used up");
        return false;
    }
    int error = stream->get_schema(stream, &in->schema);
    while (error == 0) {
        mmb_arrow_array array = {0};
        error = stream->get_next(stream, &array);
        if (error != 0 || array.release == NULL) {
            break;
        }
        if (!add_array(in, &array)) {
            return false;
        }
    }
    if (error != 0 && !PyErr_Occurred()) {
        const char *text = stream->get_last_error(stream);
        PyErr_Format(PyExc_OSError, "the stream of Arrow failed: %s", text != NULL ? text : "?");
    }
    return error == 0;
}

static bool take_pair(PyObject *pair, mmbpy_arrow *in)
{
    PyObject *first, *second;
    if (!PyArg_ParseTuple(pair, "OO:__arrow_c_array__", &first, &second)) {
        return false;
    }
    mmb_arrow_schema *schema = PyCapsule_GetPointer(first, "arrow_schema");
    mmb_arrow_array *array = PyCapsule_GetPointer(second, "arrow_array");
    if (schema == NULL || array == NULL) {
        return false;
    }
    if (schema->release == NULL || array->release == NULL) {
        PyErr_SetString(PyExc_ValueError, "the array of Arrow is used up");
        return false;
    }
    in->schema = *schema;
    schema->release = NULL;
    mmb_arrow_array moved = *array;
    array->release = NULL;
    return add_array(in, &moved);
}

bool mmbpy_arrow_take(PyObject *given, mmbpy_arrow *out)
{
    return PyTuple_Check(given) ? take_pair(given, out) : take_stream(given, out);
}

void mmbpy_arrow_release(mmbpy_arrow *arrow)
{
    /* The producer may run code of Python, and an exception that is set now would get lost
     * there. */
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    for (uint32_t i = 0; i < arrow->count; i++) {
        arrow->arrays[i].release(&arrow->arrays[i]);
    }
    PyMem_Free(arrow->arrays);
    if (arrow->schema.release != NULL) {
        arrow->schema.release(&arrow->schema);
    }
    *arrow = (mmbpy_arrow){0};
    PyErr_Restore(type, value, traceback);
}
