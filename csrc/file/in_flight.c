/* in_flight.c - the entries of those who are moving EOF. */
#include "in_flight.h"

#include "process.h"

/* An entry: pid, namespace, and how many threads. */
enum { COUNT_BITS = 64 - MMB__PID_BITS - MMB__NAMESPACE_BITS };

static uint64_t entry_of(mmb__identity who, uint32_t count)
{
    return (uint64_t)who.pid << (64 - MMB__PID_BITS) | (uint64_t)who.namespace << COUNT_BITS |
           count;
}

static mmb__identity who_is(uint64_t entry)
{
    return (mmb__identity){.pid = (uint32_t)(entry >> (64 - MMB__PID_BITS)),
                           .namespace =
                               (uint32_t)(entry >> COUNT_BITS) & ((1u << MMB__NAMESPACE_BITS) - 1)};
}

static uint64_t count_of(uint64_t entry)
{
    return entry & (((uint64_t)1 << COUNT_BITS) - 1);
}

/* Count one more in entry `at` if it is that of `none`, who has a count of 0. */
static bool join(_Atomic uint64_t *at, uint64_t none)
{
    uint64_t seen = atomic_load(at);
    while (seen - count_of(seen) == none) {
        if (atomic_compare_exchange_weak(at, &seen, seen + 1)) {
            return true;
        }
    }
    return false;
}

uint32_t mmb__in_flight_enter(mmb__shared *shared)
{
    uint64_t self = entry_of(mmb__identity_of(mmb__this_process()), 0);
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        if (join(&shared->in_flight[i], self)) {
            return i;
        }
    }
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&shared->in_flight[i], &none, self + 1)) {
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
    while (!atomic_compare_exchange_weak(at, &seen, count_of(seen) == 1 ? 0 : seen - 1)) {
    }
}

/* Whoever has our own entry, as a thread of ours does, is waited for. */
static bool is_dead(uint64_t entry, uint64_t self)
{
    return entry - count_of(entry) != self && mmb__life_of(who_is(entry)) == MMB__DEAD;
}

void mmb__in_flight_wait(mmb__shared *shared)
{
    /* Of those without an entry nothing is known but their number; a living process may be
     * stopped; and of some nothing is known. None of them holds up a close for ever. */
    enum { OVERFLOW_ROUNDS = 1000 };
    uint64_t self = entry_of(mmb__identity_of(mmb__this_process()), 0);
    uint32_t round = 0;
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        uint64_t seen;
        while ((seen = atomic_load(&shared->in_flight[i])) != 0) {
            mmb__wait_a_moment(round);
            if (++round >= MMB__PATIENCE || (round > 100 && is_dead(seen, self))) {
                break;
            }
        }
    }
    for (round = 0; atomic_load(&shared->in_flight_overflow) != 0 && round < OVERFLOW_ROUNDS;
         round++) {
        mmb__wait_a_moment(round);
    }
}
