/* log_type.h - shared by the files of `_core.LogWriter` and `_core.LogBuild`. */
#ifndef MMBPY_LOG_TYPE_H
#define MMBPY_LOG_TYPE_H

#include "file_type.h"
#include "mmb_log.h"

/* A writer of a log. The object's lock guards all fields below `state`. */
typedef struct {
    PyObject_HEAD PyObject *name; /* for error texts; set once when the log is opened */
    mmbpy_state *state;
    mmbpy_file *file;       /* the writer has borrowed its descriptor; NULL until the log is open */
    mmb_log_writer *writer; /* NULL until the log is open, and after it is closed */
    uint64_t owner;         /* mmb_this_process() of the process that opened it */
    bool building;          /* a message is being built in place */
    int last_error;         /* the error that the close met, or 0 */
    PyObject *encoder;      /* makes messages of values; NULL before the first; set once */
    /* A dict from a class to the function that gives frames of its objects, or None; or NULL. */
    PyObject *framers;
} mmbpy_log_writer;

/* Return the writer if it can append now; else NULL with an exception. The caller holds the
 * lock. */
mmb_log_writer *mmbpy_log_usable(mmbpy_log_writer *self);

/* Append checked frames. Return the number of the first; NULL with an exception. The caller
 * holds the lock. */
PyObject *mmbpy_log_append(mmbpy_log_writer *self, const unsigned char *frames, uint64_t bytes);

/* The methods that append messages of values. (log_append.c) */
extern const char mmbpy_log_append_doc[], mmbpy_log_extend_doc[], mmbpy_log_extend_table_doc[];
PyObject *mmbpy_log_append_message(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names);
PyObject *mmbpy_log_extend(PyObject *self, PyObject *args);
PyObject *mmbpy_log_extend_table(PyObject *self, PyObject *args);

#endif
