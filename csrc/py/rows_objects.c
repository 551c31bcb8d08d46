/* rows_objects.c - writes one struct from an object with its fields as attributes. */

#include "rows_in.h"

/* Take the fields of a class that names them. All of them must be fields of the struct. */
static bool take_names(mmbpy_writer *w, uint32_t number, PyObject *names, mmbpy_row_class *known)
{
    Py_ssize_t count = PyTuple_Size(names);
    if (count < 0) {
        return false;
    }
    known->fields = PyMem_Calloc((size_t)count + 1, sizeof *known->fields);
    if (known->fields == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        uint32_t field;
        if (mmbpy_row_field(w, number, name, &field) < 0) {
            return false;
        }
        if (field != MMB_NONE) {
            known->fields[known->count++] = field;
        } else if (!mmbpy_row_unknown(w, name)) {
            return false;
        }
    }
    known->says = true;
    return true;
}

static bool take_all(mmbpy_writer *w, uint32_t number, mmbpy_row_class *known)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    known->fields = PyMem_Calloc((size_t)type->count + 1, sizeof *known->fields);
    if (known->fields == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        known->fields[known->count++] = type->first + i;
    }
    return true;
}

/* Find which attributes of a class are fields of the struct. The result is kept until another
 * class comes. */
static bool learn_class(mmbpy_writer *w, uint32_t number, PyTypeObject *class)
{
    mmbpy_row_class *known = &w->classes[number];
    mmbpy_row_class found = {0};
    PyObject *names = PyObject_CallFunctionObjArgs(w->describe, (PyObject *)class, NULL);
    bool good = names != NULL && (names == Py_None ? take_all(w, number, &found)
                                                   : take_names(w, number, names, &found));
    Py_XDECREF(names);
    if (!good) {
        PyMem_Free(found.fields);
        return false;
    }
    PyTypeObject *old = known->type;
    PyMem_Free(known->fields);
    *known = found;
    known->type = (PyTypeObject *)Py_NewRef((PyObject *)class);
    Py_XDECREF((PyObject *)old);
    return true;
}

static bool no_row(const mmbpy_writer *w, PyObject *value)
{
    PyObject *name = mmbpy_type_name(value);
    if (name != NULL) {
        mmbpy_writer_fail(w, PyExc_TypeError,
                          "a struct is made of a dict, a tuple or an object with its fields as "
                          "attributes, not of %U",
                          name);
        Py_DECREF(name);
    }
    return false;
}

bool mmbpy_write_object(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *value)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    mmbpy_union state = MMBPY_NO_UNION;
    if (PyUnicode_Check(value) || PyBytes_Check(value) || PyLong_Check(value) ||
        PyFloat_Check(value) || value == Py_None) {
        return no_row(w, value);
    }
    if (w->classes == NULL) {
        w->classes = PyMem_Calloc((size_t)w->plan->struct_count + 1, sizeof *w->classes);
        if (w->classes == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    mmbpy_row_class *known = &w->classes[number];
    if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
        return false;
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t field = known->fields[i];
        PyObject *attribute = PyObject_GetAttr(value, w->self->names[field]);
        if (attribute == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return false;
            }
            PyErr_Clear();
            if (!mmbpy_row_missing(w, field)) {
                return false;
            }
            continue;
        }
        found++;
        bool good = mmbpy_row_put(w, target, type, field, attribute, &state);
        Py_DECREF(attribute);
        if (!good) {
            return false;
        }
        /* The code of an attribute may have written rows of another class. */
        if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
            return false;
        }
    }
    if (found == 0 && !known->says && type->count != 0) {
        return no_row(w, value);
    }
    for (uint32_t i = type->first; w->wants_all && known->says && i < type->first + type->count;
         i++) {
        bool has = false;
        for (uint32_t k = 0; k < known->count; k++) {
            has = has || known->fields[k] == i;
        }
        if (!has && !mmbpy_row_missing(w, i)) {
            return false;
        }
    }
    return mmbpy_row_finish_union(w, target, type, &state);
}
