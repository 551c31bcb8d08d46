/* meanings.c - converts times, dates, durations and decimals of rows. See rows_in.h.
 *
 * Python code (mmapbuilder.columns.meanings) knows what a stored number or Data means. The plan has
 * its functions for each such type. */

#include "rows_in.h"

/* Put the place of the stager before the text of a converter's exception. */
static void say_where(const mmbpy_stager *w)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    bool ours = PyErr_GivenExceptionMatches(type, PyExc_TypeError) ||
                PyErr_GivenExceptionMatches(type, PyExc_ValueError) ||
                PyErr_GivenExceptionMatches(type, PyExc_OverflowError);
    if (!ours) {
        PyErr_Restore(type, value, traceback);
        return;
    }
    PyObject *kind = PyErr_GivenExceptionMatches(type, PyExc_TypeError)    ? PyExc_TypeError
                     : PyErr_GivenExceptionMatches(type, PyExc_ValueError) ? PyExc_ValueError
                                                                           : PyExc_OverflowError;
    mmbpy_stager_fail(w, kind, "%S", value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

PyObject *mmbpy_stored_of(const mmbpy_stager *w, const mmb_plan_type *type, PyObject *value)
{
    PyObject *into = w->self->into[type - w->plan->types];
    PyObject *stored = PyObject_CallFunctionObjArgs(into, value, NULL);
    if (stored == NULL) {
        say_where(w);
    }
    return stored;
}

PyObject *mmbpy_meant_by(const mmbpy_plan *self, const mmb_plan_type *type, PyObject *stored)
{
    if (stored == NULL) {
        return NULL;
    }
    PyObject *out_of = self->out_of[type - self->plan->types];
    PyObject *value = PyObject_CallFunctionObjArgs(out_of, stored, NULL);
    Py_DECREF(stored);
    return value;
}
