/* log_turns.c - decides how often a writer looks for a lock that another writer has. See
 * log_turns.h. */
#include "log_turns.h"

#include <stdbool.h>

/* A single time says little: the kernel may have stopped the writer meanwhile. So each wait is a
 * vote, and the last few decide. */
void mmb__log_turns_wait(mmb__log_turns *turns, uint64_t now)
{
    enum { VOTES = 8 };
    if (turns->let_go == 0) {
        return;
    }
    bool busy_elsewhere = (now - turns->let_go) / turns->tries >= turns->cold;
    if (busy_elsewhere && turns->votes < VOTES) {
        turns->votes++;
    } else if (!busy_elsewhere && turns->votes > -VOTES) {
        turns->votes--;
    }
}

/* Look closely if this writer or the owner does something else between its appends. But each look
 * takes a line from the owner. So if the owner keeps the lock for long, look seldom. */
uint64_t mmb__log_turns_pause(const mmb__log_turns *turns, uint64_t waited, uint64_t count)
{
    enum { CLOSE = 100, FIRST = 1000, FAR = 10000 };
    bool owner_is_elsewhere = waited >= FIRST && count * turns->cold < waited;
    if (waited < FAR && (turns->votes >= 0 || owner_is_elsewhere)) {
        return CLOSE;
    }
    return waited == 0 ? FIRST : FAR;
}

void mmb__log_turns_let_go(mmb__log_turns *turns, uint64_t now)
{
    turns->cold = now - turns->got;
    turns->let_go = now;
    turns->got = 0;
    turns->tries = 0;
}
