/* log_turns.h - decides how often a writer looks for a lock that another writer has. Private to
 * csrc/capnp.
 *
 * When the lock goes to another writer, the lines of the caches that an append needs go with it
 * from one processor to another. Such a *cold* append takes several times as long as the next one
 * of the same writer. How long depends on the machine, and on where its processors lie. So it is
 * measured.
 *
 * Writers that do something else between two appends, for longer than a cold append takes, should
 * have the lock in turns, message by message: each does its other work while the other one appends.
 * Writers that only append should keep the lock for some dozens of messages. */
#ifndef MMB_LOG_TURNS_H
#define MMB_LOG_TURNS_H

#include <stdint.h>

/* What a writer knows of its own appends. It belongs to the thread that is inside. Times are
 * monotonic, in ns. */
typedef struct {
    uint64_t got;    /* when it got the lock after a wait; 0: it did not wait for the last append */
    uint64_t let_go; /* when it let go of the lock after its last cold append; 0: there was none */
    uint64_t cold;   /* how long that append took */
    uint64_t tries;  /* how often it has wanted the lock since then */
    int32_t votes;   /* how often it was better to take turns; below 0: not to */
} mmb__log_turns;

/* The writer finds the lock taken. */
void mmb__log_turns_wait(mmb__log_turns *turns, uint64_t now);

/* Return how many ns it waits before it looks again. It has `waited` by now, and others have
 * appended `count` messages in that time. */
uint64_t mmb__log_turns_pause(const mmb__log_turns *turns, uint64_t waited, uint64_t count);

/* The writer lets go of the lock that it got after a wait. */
void mmb__log_turns_let_go(mmb__log_turns *turns, uint64_t now);

#endif
