/* assist.c - a thread that works for a map: ahead of the writer and behind it.
 *
 * Ahead (prefault): pages of what growth has backed are brought in before the
 * writer meets them, so that a second core does the zeroing. Behind (writeback):
 * the kernel is told to start writing what the writer has left, so that a later
 * sync finds little to do. Both are advice: the thread changes no content, never
 * touches what growth has not backed, and gives up quietly on any error. */
#include "internal.h"
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK ((uint64_t)4 << 20)          /* populated at once */
#define BEHIND ((uint64_t)64 << 20)        /* kept out of write-back: still being written */
#define WRITEBACK_STEP ((uint64_t)8 << 20) /* started at once */

struct mmb__assist {
    pthread_t thread;
    mmb__os_event *moved; /* posted by growers: EOF is higher, or `stop` is set */
    _Atomic bool stop;
    bool prefault;
    bool writeback;
    pid_t process; /* where the thread lives */
};

static bool stopped(const mmb__assist *self)
{
    return atomic_load_explicit(&self->stop, memory_order_acquire);
}

/* Bring in [*done, backed). The page cache may refuse; then the rest is left to
 * ordinary faults, which report what is wrong. */
static void populate(mmb_map *map, uint64_t *done, uint64_t backed)
{
    while (*done < backed && !stopped(map->assist)) {
        uint64_t length = mmb__min(CHUNK, backed - *done);
        if (mmb_map_poison(map) != 0 || mmb__os_populate(map->base + *done, length, true) != 0) {
            *done = backed;
            return;
        }
        *done += length;
        atomic_fetch_add_explicit(&map->shared->prefaulted, length, memory_order_relaxed);
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
    uint64_t populated = atomic_load_explicit(&map->shared->backed, memory_order_acquire);
    uint64_t written = populated;
    while (!stopped(self)) {
        mmb__os_event_wait(self->moved);
        uint64_t backed = atomic_load_explicit(&map->shared->backed, memory_order_acquire);
        if (self->prefault) {
            populate(map, &populated, backed);
        }
        if (self->writeback) {
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

void mmb__assist_wake(mmb_map *map)
{
    mmb__assist *self = map->assist;
    if (self != NULL) {
        mmb__os_event_post(self->moved);
    }
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
    /* Handlers may still be about to post: wait until those are gone. New ones
     * find the map sealed and do not grow it. */
    mmb__registry_drain(map);
    map->assist = NULL;
    mmb__os_event_free(self->moved);
    free(self);
}
