/* assist.c - a thread that works for a map: ahead of the writer and behind it.
 *
 * Ahead (prefault): pages of what growth has backed are brought in before the
 * writer meets them, so that a second core does the zeroing. Behind (writeback):
 * the kernel is told to start writing what the writer has left, so that a later
 * sync finds little to do. Both are advice: the thread changes no content, never
 * fills a hole, and gives up quietly on any error. */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK ((uint64_t)4 << 20)          /* populated at once */
#define BEHIND ((uint64_t)64 << 20)        /* kept out of write-back: still being written */
#define WRITEBACK_STEP ((uint64_t)8 << 20) /* started at once */

#define COUNT_BITS 24
#define MOST_GRANULES (((uint64_t)1 << COUNT_BITS) - 1)

struct mmb__assist {
    pthread_t thread;
    mmb__os_event *moved; /* posted by growers: EOF is higher, or `stop` is set */
    _Atomic bool stop;
    /* Where growth has put blocks last: first granule << COUNT_BITS | granules, in one
     * word, lest halves of two growths make a range with a hole in it. Written by
     * growers, taken (set to 0) by the thread; what is overwritten is left to faults. */
    _Atomic uint64_t fresh;
    bool prefault;
    bool writeback;
    pid_t process; /* where the thread lives */
};

static bool stopped(const mmb__assist *self)
{
    return atomic_load_explicit(&self->stop, memory_order_acquire);
}

/* Bring in [at, end). The page cache may refuse; then the rest is left to ordinary
 * faults, which report what is wrong. */
static bool bring_in(mmb_map *map, uint64_t at, uint64_t end)
{
    while (at < end && !stopped(map->assist) && mmb_map_poison(map) == 0) {
        uint64_t length = mmb__min(CHUNK, end - at);
        if (mmb__os_populate(map->base + at, length, true) != 0) {
            return false;
        }
        at += length;
        atomic_fetch_add_explicit(&map->shared->prefaulted, length, memory_order_relaxed);
    }
    return at >= end;
}

/* Bring in what growth has put blocks to. The writer is at its start at this moment
 * and does best to go on alone: a thread that started there as well would only get in
 * its way. So leave it a quarter for a head start of ours; by the time it is through,
 * the rest is there, or nearly so. What a slow writer has left is done last. */
static void populate(mmb_map *map)
{
    uint64_t fresh = atomic_exchange_explicit(&map->assist->fresh, 0, memory_order_relaxed);
    uint64_t at = (fresh >> COUNT_BITS) * MMB_GRANULE;
    uint64_t count = fresh & MOST_GRANULES;
    uint64_t end = at + count * MMB_GRANULE, middle = at + count / 4 * MMB_GRANULE;
    if (bring_in(map, middle, end)) {
        (void)bring_in(map, at, middle);
    }
}

static void start_writeback(const mmb_map *map, uint64_t *done, uint64_t backed)
{
    while (*done + BEHIND + WRITEBACK_STEP <= backed && !stopped(map->assist)) {
        mmb__os_start_writeback(map->fd, *done, WRITEBACK_STEP);
        *done += WRITEBACK_STEP;
    }
}

static void *work(void *argument)
{
    mmb_map *map = argument;
    mmb__assist *self = map->assist;
    uint64_t written = atomic_load_explicit(&map->shared->backed, memory_order_acquire);
    while (!stopped(self)) {
        mmb__os_event_wait(self->moved);
        if (self->prefault) {
            populate(map);
        }
        if (self->writeback) {
            uint64_t backed = atomic_load_explicit(&map->shared->backed, memory_order_acquire);
            start_writeback(map, &written, backed);
        }
    }
    return NULL;
}

int mmb__assist_start(mmb_map *map, bool prefault, bool writeback)
{
    mmb__assist *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return ENOMEM;
    }
    self->prefault = prefault;
    self->writeback = writeback;
    self->process = getpid();
    int error = mmb__os_event_new(&self->moved);
    if (error != 0) {
        free(self);
        return error;
    }
    map->assist = self;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&self->thread, NULL, work, map);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        map->assist = NULL;
        mmb__os_event_free(self->moved);
        free(self);
    }
    return error;
}

void mmb__assist_wake(mmb_map *map, uint64_t start, uint64_t solid)
{
    mmb__assist *self = map->assist;
    if (self == NULL) {
        return;
    }
    uint64_t first = mmb__round_up(start, MMB_GRANULE) / MMB_GRANULE;
    uint64_t end = solid / MMB_GRANULE;
    if (first < end) {
        uint64_t count = mmb__min(end - first, MOST_GRANULES);
        atomic_store_explicit(&self->fresh, first << COUNT_BITS | count, memory_order_relaxed);
    }
    mmb__os_event_post(self->moved);
}

void mmb__assist_stop(mmb_map *map)
{
    mmb__assist *self = map->assist;
    if (self == NULL) {
        return;
    }
    if (self->process == getpid()) {
        atomic_store_explicit(&self->stop, true, memory_order_release);
        mmb__os_event_post(self->moved);
        pthread_join(self->thread, NULL);
    }
    map->assist = NULL;
    mmb__os_event_free(self->moved);
    free(self);
}
