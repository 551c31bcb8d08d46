/* log_lock.h - one writer of a log at a time. Private to csrc/capnp. */
#ifndef MMB_LOG_LOCK_H
#define MMB_LOG_LOCK_H

#include "log_state.h"

/* Become known as a writer of the log: choose a token, and hold its byte. The caller has the gate.
 * Returns 0 or an errno. */
int mmb__log_register(mmb_log_writer *w);
void mmb__log_unregister(mmb_log_writer *w);

/* Take the lock, which may take long; `*inherited` is whether its owner was killed in the middle of
 * something. Returns 0, or EINTR if the wait was given up. */
int mmb__log_lock(mmb_log_writer *w, bool *inherited);
void mmb__log_unlock(mmb_log_writer *w);

/* Sleep for `most` ns, or until `*word` is woken (NULL: nothing wakes it), if it is `value` still.
 * Other threads may use the writer meanwhile. */
void mmb__log_pause(const mmb_log_writer *w, const _Atomic uint32_t *word, uint32_t value,
                    uint64_t most);

/* Whether a wait is to be given up. */
bool mmb__log_gives_up(const mmb_log_writer *w);

uint64_t mmb__log_now(void); /* monotonic, ns */

#endif
