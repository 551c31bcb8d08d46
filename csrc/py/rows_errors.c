/* rows_errors.c - raises errors of a stager, with the row and the field. See rows_in.h. */

#include "rows_in.h"

#include <stdarg.h>

/* Return "row 7, field phones[2].number: ", or a part of it. The steps are listed from the inside
 * out. */
static PyObject *where(const mmbpy_stager *w)
{
    PyObject *path = PyUnicode_FromString("");
    const mmbpy_step *row = NULL;
    for (const mmbpy_step *step = w->step; path != NULL && step != NULL; step = step->up) {
        if (step->up == NULL && step->name == NULL) {
            row = step;
            break;
        }
        Py_ssize_t length = PyUnicode_GetLength(path);
        bool dot = length > 0 && PyUnicode_ReadChar(path, 0) != '[';
        PyObject *longer =
            step->name != NULL
                ? PyUnicode_FromFormat("%U%s%U", step->name, dot ? "." : "", path)
                : PyUnicode_FromFormat("[%zd]%s%U", step->index, dot ? "." : "", path);
        Py_DECREF(path);
        path = longer;
    }
    if (path == NULL) {
        return NULL;
    }
    const char *field = PyUnicode_GetLength(path) > 0 ? "field " : "";
    PyObject *text;
    if (row != NULL) {
        text = PyUnicode_FromFormat("row %zd%s%s%U: ", row->index, *field ? ", " : "", field, path);
    } else {
        text = PyUnicode_FromFormat("%s%U%s", field, path, *field ? ": " : "");
    }
    Py_DECREF(path);
    return text;
}

bool mmbpy_stager_fail(const mmbpy_stager *w, PyObject *kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *what = PyUnicode_FromFormatV(format, args);
    va_end(args);
    PyObject *place = what == NULL ? NULL : where(w);
    if (place != NULL) {
        PyErr_Format(kind, "%U%U", place, what);
    }
    Py_XDECREF(place);
    Py_XDECREF(what);
    return false;
}

bool mmbpy_stager_fail_stage(const mmbpy_stager *w, int error)
{
    if (error == MMB_ECAPACITY) {
        PyObject *kind = w->state->capacity_error;
        return mmbpy_stager_fail(w, kind,
                                 "more than a list, or the 4 GiB of one segment, can hold; fill "
                                 "large lists by calls of their own");
    }
    PyErr_NoMemory();
    return false;
}
