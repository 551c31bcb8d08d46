/* plan_type.h - a plan as a Python object, with the names that dicts and attributes have.
 *
 * All of it is set while it is made, and constant afterwards. */
#ifndef MMBPY_PLAN_TYPE_H
#define MMBPY_PLAN_TYPE_H

#include "read.h"
#include "state.h"

typedef struct {
    PyObject_HEAD mmb_plan *plan; /* owned */
    PyObject **names;             /* names of fields, interned */
    PyObject **into;              /* by type: makes the stored value of a Python value; or NULL */
    PyObject **out_of;            /* by type: makes the Python value of a stored one; or NULL */
    PyObject **fields_by_name; /* for each struct a dict from a name to the number of the field */
    PyObject **enumerants; /* names by number, in the plan's order; NULL: the number has no name */
    PyObject **numbers_by_name; /* for each enum a dict from a name to the number */
} mmbpy_plan;

/* The methods that other files add to the type. */
PyObject *mmbpy_plan_read(PyObject *self, PyObject *args); /* rows_out.c */
extern const char mmbpy_plan_read_doc[];

PyObject *mmbpy_plan_read_roots(PyObject *self, PyObject *args); /* rows_out.c */
extern const char mmbpy_plan_read_roots_doc[];

PyObject *mmbpy_plan_columns_of_roots(PyObject *self, PyObject *args); /* columns_type.c */
extern const char mmbpy_plan_columns_of_roots_doc[];

/* Raise a flaw of message `number` of a log. Return NULL. (log_columns.c) */
PyObject *mmbpy_raise_in_log(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name,
                             uint64_t number);

PyObject *mmbpy_plan_stage(PyObject *self, PyObject *args); /* stage_make.c */
extern const char mmbpy_plan_stage_doc[];

PyObject *mmbpy_plan_columns(PyObject *self, PyObject *args); /* columns_type.c */
extern const char mmbpy_plan_columns_doc[];

PyObject *mmbpy_plan_stage_arrow(PyObject *self, PyObject *args); /* stage_arrow.c */
extern const char mmbpy_plan_stage_arrow_doc[];

/* meanings.c: return what a stored int or bytes mean; their type has a meaning. This takes the
 * reference over, which may be NULL with an exception. */
PyObject *mmbpy_meant_by(const mmbpy_plan *self, const mmb_plan_type *type, PyObject *stored);

#endif
