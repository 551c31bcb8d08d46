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
} mmbpy_log_writer;

/* The writer, if something can be appended now. NULL with an exception. Under the lock. */
mmb_log_writer *mmbpy_log_usable(mmbpy_log_writer *self);

#endif
