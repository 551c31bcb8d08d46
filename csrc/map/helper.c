/* helper.c - the helper thread of a map: its work, its start and its end. */
#include "helper.h"

#include "os/process.h"
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define CHUNK ((uint64_t)4 << 20)          /* bytes that one call brings in */
#define BEHIND ((uint64_t)64 << 20)        /* bytes at the end that stores may still change */
#define WRITEBACK_STEP ((uint64_t)8 << 20) /* bytes whose write-back one call starts */

struct mmb__helper {
    pthread_t thread;
    mmb__os_event *moved; /* posted by growth: EOF is higher, or `stop` is set */
    _Atomic bool stop;
    bool prefault;
    bool writeback;
    bool runs;            /* there is a thread; guarded by the registry's lock */
    unsigned long number; /* of the thread; set by itself, read when it has ended */
    uint64_t process;     /* where the thread lives: mmb_this_process() */
};

static bool stopped(const mmb__helper *self)
{
    return atomic_load_explicit(&self->stop, memory_order_acquire);
}

/* Bring in [at, end). If the kernel refuses a page, ordinary faults get the rest, and report what
 * is wrong. */
static bool bring_in(mmb_map *map, uint64_t at, uint64_t end)
{
    while (at < end && !stopped(map->helper) &&
           atomic_load_explicit(&map->file.shared->poison, memory_order_relaxed) == 0) {
        uint64_t length = mmb__min(CHUNK, end - at);
        if (mmb__os_populate(mmb__base(map) + at, length, true) != 0) {
            return false;
        }
        at += length;
        atomic_fetch_add_explicit(&map->file.shared->prefaulted, length, memory_order_relaxed);
    }
    return at >= end;
}

/* Bring in the range to which growth has given blocks. At this moment the program stores at its
 * start, and this thread would only get in its way there. So it leaves the first quarter to the
 * program and begins behind it: when the stores get there, most of the pages are in. The first
 * quarter comes last, for a program that is slow. */
static void populate(mmb_map *map)
{
    uint64_t fresh = atomic_exchange_explicit(&map->file.fresh, 0, memory_order_relaxed);
    uint64_t at = (fresh >> MMB__FRESH_BITS) * MMB_GRANULE;
    uint64_t count = fresh & MMB__MOST_FRESH;
    uint64_t end = at + count * MMB_GRANULE, middle = at + count / 4 * MMB_GRANULE;
    if (bring_in(map, middle, end)) {
        (void)bring_in(map, at, middle);
    }
}

static void start_writeback(const mmb_map *map, uint64_t *done, uint64_t backed)
{
    while (*done + BEHIND + WRITEBACK_STEP <= backed && !stopped(map->helper)) {
        mmb__os_start_writeback(map->file.fd, *done, WRITEBACK_STEP);
        *done += WRITEBACK_STEP;
    }
}

static void *work(void *argument)
{
    mmb_map *map = argument;
    mmb__helper *self = map->helper;
    self->number = mmb__os_thread();
    uint64_t written = atomic_load_explicit(&map->file.shared->backed, memory_order_acquire);
    while (!stopped(self)) {
        mmb__os_event_wait(self->moved);
        if (self->prefault) {
            populate(map);
        }
        if (self->writeback) {
            uint64_t backed = atomic_load_explicit(&map->file.shared->backed, memory_order_acquire);
            start_writeback(map, &written, backed);
        }
    }
    return NULL;
}

/* Make the thread, all signals blocked in it. */
static int begin(mmb_map *map)
{
    mmb__helper *self = map->helper;
    atomic_store_explicit(&self->stop, false, memory_order_relaxed);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&self->thread, NULL, work, map);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    self->runs = error == 0;
    return error;
}

/* Let the thread end, and wait for that. */
static void end(mmb__helper *self)
{
    atomic_store_explicit(&self->stop, true, memory_order_release);
    mmb__os_event_post(self->moved);
    pthread_join(self->thread, NULL);
    mmb__os_await_end_of_thread(self->number);
}

int mmb__helper_start(mmb_map *map, bool prefault, bool writeback)
{
    mmb__helper *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return ENOMEM;
    }
    self->prefault = prefault;
    self->writeback = writeback;
    self->process = mmb_this_process();
    int error = mmb__os_event_new(&self->moved);
    if (error != 0) {
        free(self);
        return error;
    }
    mmb__registry_lock(); /* a fork of another thread may be looking at it */
    map->helper = self;
    map->file.grown = self->moved;
    error = begin(map);
    if (error != 0) {
        map->helper = NULL;
        map->file.grown = NULL;
        mmb__os_event_free(self->moved);
        free(self);
    }
    mmb__registry_unlock();
    return error;
}

void mmb__helper_pause(mmb_map *map)
{
    mmb__helper *self = map->helper;
    if (self != NULL && self->runs && self->process == mmb_this_process()) {
        end(self);
        self->runs = false;
        atomic_store_explicit(&map->helper_paused, true, memory_order_release);
    }
}

void mmb_map_resume_helper(mmb_map *map)
{
    if (!atomic_load_explicit(&map->helper_paused, memory_order_relaxed)) {
        return;
    }
    mmb__registry_lock();
    bool paused = atomic_exchange_explicit(&map->helper_paused, false, memory_order_acq_rel);
    mmb__helper *self = map->helper;
    if (paused && self != NULL && !self->runs && self->process == mmb_this_process()) {
        (void)begin(map); /* without the thread everything works, only slower */
    }
    mmb__registry_unlock();
}

void mmb__helper_stop(mmb_map *map)
{
    mmb__registry_lock(); /* a fork of another thread may be looking at it */
    mmb__helper *self = map->helper;
    bool runs = self != NULL && self->runs && self->process == mmb_this_process();
    if (self != NULL) {
        self->runs = false;
    }
    mmb__registry_unlock();
    if (runs) {
        end(self);
    }
    mmb__registry_lock();
    map->helper = NULL;
    map->file.grown = NULL;
    mmb__registry_unlock();
    if (self != NULL) {
        mmb__os_event_free(self->moved);
        free(self);
    }
}
