/* log_type.h - what the files of `_core.LogWriter` and `_core.LogBuild` share. */
#ifndef MMBPY_LOG_TYPE_H
#define MMBPY_LOG_TYPE_H

#include "file_type.h"
#include "mmb_log.h"

/* The one who appends to a log. All fields below `state` are read and written under the object's
 * lock. */
typedef struct {
    PyObject_HEAD PyObject *name; /* for error texts; set once, when it is opened */
    mmbpy_state *state;
    mmbpy_file *file;       /* whose descriptor the writer has borrowed; NULL until it is open */
    mmb_log_writer *writer; /* NULL until it is open, and once closed */
    uint64_t owner;         /* mmb_this_process() of the one that opened it */
    bool building;          /* a message is being built in place */
    int last_error;         /* what closing has met, or 0 */
    PyObject *encoder;      /* makes messages of values; NULL before the first. Set once */
    PyObject *framers;      /* dict: class -> what gives frames of its objects, or None; or NULL */
} mmbpy_log_writer;

/* The writer, if something can be appended now. NULL with an exception. Under the lock. */
mmb_log_writer *mmbpy_log_usable(mmbpy_log_writer *self);

/* Append checked frames: the number of the first, or NULL with an exception. Under the lock. */
PyObject *mmbpy_log_append(mmbpy_log_writer *self, const unsigned char *frames, uint64_t bytes);

/* Methods of it: messages of values. (log_append.c) */
extern const char mmbpy_log_append_doc[], mmbpy_log_extend_doc[], mmbpy_log_extend_table_doc[];
PyObject *mmbpy_log_append_message(PyObject *self, PyObject *const *args, Py_ssize_t count,
                                   PyObject *names);
PyObject *mmbpy_log_extend(PyObject *self, PyObject *args);
PyObject *mmbpy_log_extend_table(PyObject *self, PyObject *columns);

#endif
