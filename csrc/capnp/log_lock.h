/* log_lock.h - the lock that lets one writer of a log in at a time. Private to csrc/capnp. */
#ifndef MMB_LOG_LOCK_H
#define MMB_LOG_LOCK_H

#include "log_state.h"

/* Become known as a writer of the log: choose a token, and hold its byte of the file. The caller
 * holds the gate. Return 0 or an errno. mmb__log_unregister gives the byte up. */
int mmb__log_register(mmb_log_writer *w);
void mmb__log_unregister(mmb_log_writer *w);

/* Take the lock, which may need a long wait. `*inherited` becomes true if its owner was killed
 * while it held the lock. Return 0, or EINTR if the wait was given up. */
int mmb__log_lock(mmb_log_writer *w, bool *inherited);
void mmb__log_unlock(mmb_log_writer *w);

/* If `*word` still is `value`, sleep for `most` ns, or until another writer wakes `*word`. With
 * NULL nothing wakes the sleep. Other threads may use the writer meanwhile. */
void mmb__log_pause(const mmb_log_writer *w, const _Atomic uint32_t *word, uint32_t value,
                    uint64_t most);

/* Return whether a wait is to be given up. */
bool mmb__log_gives_up(const mmb_log_writer *w);

uint64_t mmb__log_now(void); /* monotonic time in ns */

#endif
