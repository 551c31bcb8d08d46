/* log_columns.h - shared by the functions of `_core` that read one field of messages of a log. */
#ifndef MMBPY_LOG_COLUMNS_H
#define MMBPY_LOG_COLUMNS_H

#include "plan_type.h"
#include "roots.h"

/* Take the numbers of the fields that form a way in the plan, each in its struct. Return false with
 * an exception. In both cases mmbpy_free_way is to be called; it also takes a way of zeros. */
bool mmbpy_take_way(mmbpy_plan *plan, PyObject *tuple, bool tag, mmb_way *way);
void mmbpy_free_way(mmb_way *way);

/* (log_seek.c) */
extern const char mmbpy_roots_seek_doc[];
PyObject *mmbpy_roots_seek(PyObject *module, PyObject *args);

#endif
