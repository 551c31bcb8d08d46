/* log_adrift.h - a writer that must find its place among the others again. Private to csrc/capnp.
 *
 * A writer is *adrift* if it cannot say in the index what it has done: a store into the index was
 * lost, because the disk was full or failed; or the repair of the log failed. Then it does not
 * release the lock. It gives up its token, as a writer does that is killed. So whoever is inside
 * next repairs the log, and finds all messages that were committed. */
#ifndef MMB_LOG_ADRIFT_H
#define MMB_LOG_ADRIFT_H

#include "log_state.h"

/* Map the index again, and become known as a writer again. This waits for the gate. Return 0, or an
 * error: then the writer stays adrift, and this may be tried again. EBUSY if others have replaced
 * the index. */
int mmb__log_return(mmb_log_writer *w);

#endif
