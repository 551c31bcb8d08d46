/* growers.c - who is moving EOF at this moment, over all processes of a map.
 *
 * The owner's close must not cut the file while somebody is still extending it,
 * and must not wait for somebody who was killed doing so. A mere count cannot tell
 * the two apart, so each process counts in an entry that has its pid. */
#include "internal.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

static uint64_t entry_of(pid_t pid, uint32_t count)
{
    return (uint64_t)(uint32_t)pid << 32 | count;
}

static pid_t pid_of(uint64_t entry)
{
    return (pid_t)(entry >> 32);
}

/* Count one more in entry `at` if it is `pid`'s. */
static bool join(_Atomic uint64_t *at, pid_t pid)
{
    uint64_t seen = atomic_load(at);
    while (pid_of(seen) == pid) {
        if (atomic_compare_exchange_weak(at, &seen, seen + 1)) {
            return true;
        }
    }
    return false;
}

uint32_t mmb__growers_enter(mmb__shared *shared)
{
    pid_t self = getpid();
    for (uint32_t i = 0; i < MMB__GROWERS; i++) {
        if (join(&shared->growers[i], self)) {
            return i;
        }
    }
    for (uint32_t i = 0; i < MMB__GROWERS; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&shared->growers[i], &none, entry_of(self, 1))) {
            return i;
        }
    }
    atomic_fetch_add(&shared->crowd, 1);
    return MMB__GROWERS;
}

void mmb__growers_leave(mmb__shared *shared, uint32_t index)
{
    if (index == MMB__GROWERS) {
        atomic_fetch_sub(&shared->crowd, 1);
        return;
    }
    _Atomic uint64_t *at = &shared->growers[index];
    uint64_t seen = atomic_load(at);
    while (!atomic_compare_exchange_weak(at, &seen, (uint32_t)seen == 1 ? 0 : seen - 1)) {
    }
}

/* A little longer each time; false when patience is at an end. */
static bool wait_a_moment(uint32_t *round, uint32_t most)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    if (*round < 100) {
        sched_yield();
    } else {
        nanosleep(&millisecond, NULL);
    }
    return ++*round < most;
}

void mmb__growers_wait(mmb__shared *shared)
{
    /* Of those without an entry nothing is known but their number; a living process
     * may be stopped. Neither holds up a close for ever. */
    enum { CROWD_ROUNDS = 1000, ROUNDS = 60000 };
    pid_t self = getpid();
    uint32_t round = 0;
    for (uint32_t i = 0; i < MMB__GROWERS; i++) {
        uint64_t seen;
        while ((seen = atomic_load(&shared->growers[i])) != 0) {
            bool more = wait_a_moment(&round, ROUNDS);
            if (pid_of(seen) != self &&
                (!more || (round > 100 && !mmb__os_is_alive((int)pid_of(seen))))) {
                break;
            }
        }
    }
    round = 0;
    while (atomic_load(&shared->crowd) != 0 && wait_a_moment(&round, CROWD_ROUNDS)) {
    }
}
