/* in_flight.c - counting threads in and out, and waiting for them. */
#include "in_flight.h"

#include "os/os.h"

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

/* Count one more thread in entry `at`, if the entry belongs to `pid`. */
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

uint32_t mmb__in_flight_enter(mmb__shared *shared)
{
    pid_t self = getpid();
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        if (join(&shared->in_flight[i], self)) {
            return i;
        }
    }
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&shared->in_flight[i], &none, entry_of(self, 1))) {
            return i;
        }
    }
    atomic_fetch_add(&shared->in_flight_overflow, 1);
    return MMB__IN_FLIGHT;
}

void mmb__in_flight_leave(mmb__shared *shared, uint32_t entry)
{
    if (entry == MMB__IN_FLIGHT) {
        atomic_fetch_sub(&shared->in_flight_overflow, 1);
        return;
    }
    _Atomic uint64_t *at = &shared->in_flight[entry];
    uint64_t seen = atomic_load(at);
    while (!atomic_compare_exchange_weak(at, &seen, (uint32_t)seen == 1 ? 0 : seen - 1)) {
    }
}

/* Wait a little longer each time; false after `most` rounds. */
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

void mmb__in_flight_wait(mmb__shared *shared)
{
    /* Three cases could make a close wait for ever, so each wait has an end: of threads without an
     * entry we know only the number; a living process may be stopped; and a dead process of
     * another pid namespace may have had our pid. */
    enum { OVERFLOW_ROUNDS = 1000, ROUNDS = 60000 };
    pid_t self = getpid();
    uint32_t round = 0;
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        uint64_t seen;
        while ((seen = atomic_load(&shared->in_flight[i])) != 0) {
            if (!wait_a_moment(&round, ROUNDS) ||
                (round > 100 && pid_of(seen) != self && !mmb__os_is_alive((int)pid_of(seen)))) {
                break;
            }
        }
    }
    round = 0;
    while (atomic_load(&shared->in_flight_overflow) != 0 &&
           wait_a_moment(&round, OVERFLOW_ROUNDS)) {
    }
}
