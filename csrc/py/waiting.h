/* waiting.h - asks the interpreter now and then while C works.
 *
 * A thread is *waiting* while it has given its thread state up. Whenever it is asked, it takes the
 * state back for a moment: it looks for signals, and reports how far the work is. */
#ifndef MMBPY_WAITING_H
#define MMBPY_WAITING_H

#include "state.h"

typedef struct {
    PyObject *progress; /* borrowed; called with a number of bytes; or None */
    PyThreadState *thread;
} mmbpy_waiting;

/* Pass this to mmb_interrupt, with an mmbpy_waiting. Return true with an exception if a signal
 * handler or the callable raised it. */
bool mmbpy_is_asked(void *waiting, uint64_t words);

#endif
