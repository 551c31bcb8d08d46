/* mappings_in.c - turns values that have names into a dict. See rows_in.h. */

#include "rows_in.h"

/* Return the attribute, or NULL. If the attribute is missing, no exception is set. */
static PyObject *attribute(PyObject *object, const char *name)
{
    PyObject *found = PyObject_GetAttrString(object, name);
    if (found == NULL) {
        mmbpy_forget(PyExc_AttributeError);
    }
    return found;
}

static PyObject *items_of(PyObject *record, PyObject *names)
{
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i < PyTuple_Size(names); i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        PyObject *value = PyObject_GetItem(record, name);
        if (value == NULL || PyDict_SetItem(dict, name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

/* Return a struct of NumPy as a dict: its type has the names of its fields. Return NULL without
 * an exception if the value is no such struct. */
static PyObject *numpy_struct(PyObject *value)
{
    PyObject *dtype = attribute(value, "dtype");
    if (dtype == NULL) {
        return NULL;
    }
    PyObject *names = attribute(dtype, "names");
    Py_DECREF(dtype);
    PyObject *dict = names != NULL && PyTuple_Check(names) ? items_of(value, names) : NULL;
    Py_XDECREF(names);
    return dict;
}

PyObject *mmbpy_as_dict(PyObject *value)
{
    if (PyUnicode_Check(value) || PyTuple_Check(value) || PyList_Check(value) ||
        !PyMapping_Check(value)) {
        return NULL;
    }
    PyObject *keys = attribute(value, "keys");
    if (keys == NULL) {
        return PyErr_Occurred() ? NULL : numpy_struct(value);
    }
    Py_DECREF(keys);
    PyObject *dict = PyDict_New();
    if (dict != NULL && PyDict_Update(dict, value) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}
