/* waiting.h - what a thread does now and then while C works for it.
 *
 * A thread that is *waiting* has given its state up, and takes it back for a moment whenever it is
 * asked: to look for signals, and to tell whoever wants to know how far the work is. */
#ifndef MMBPY_WAITING_H
#define MMBPY_WAITING_H

#include "state.h"

typedef struct {
    PyObject *progress; /* borrowed: called with a number of bytes, or None */
    PyThreadState *thread;
} mmbpy_waiting;

/* For mmb_interrupt, with an mmbpy_waiting. True with an exception set, if a signal handler or the
 * callable raised it. */
bool mmbpy_is_asked(void *waiting, uint64_t words);

#endif
