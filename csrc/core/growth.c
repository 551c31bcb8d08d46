/* growth.c - moving the end of a file up, and judging the faults that ask for it.
 *
 * Everything here may run in the signal handler, in any number of threads and
 * forked processes at once, for the same map. What makes that safe:
 *
 * - fallocate raises EOF or leaves it, so growers need no order. Where it is
 *   missing, ftruncate runs under a compare-and-swap lock and looks at EOF again
 *   inside it.
 * - EOF moves in one step from one good place to the next. Nobody stores behind an
 *   EOF in the middle of a page, whose rest the next move would wipe.
 * - `backed` is raised after the file was. Read before fstat, it is a lower bound
 *   that only someone else's truncation can break.
 *
 * EOF is put at multiples of MMB_GRANULE, or at the end of the map. */
#include "internal.h"
#include "os.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* Gives up the processor while another thread truncates. Not on the list of
 * async-signal-safe functions, but one system call without state. */
static void pause_briefly(void)
{
    sched_yield();
}

int mmb__our_file(const mmb_map *map, uint64_t *size)
{
    struct stat now;
    if (fstat(map->fd, &now) != 0 || now.st_dev != map->dev || now.st_ino != map->ino) {
        return EBADF; /* closed, or its number is another file's by now */
    }
    *size = (uint64_t)now.st_size;
    return 0;
}

int mmb__check(const mmb_map *map, uint64_t *size)
{
    mmb__shared *shared = map->shared;
    uint64_t backed = atomic_load_explicit(&shared->backed, memory_order_acquire);
    int error = mmb__our_file(map, size);
    if (error != 0) {
        return error;
    }
    int poison = atomic_load_explicit(&shared->poison, memory_order_acquire);
    if (poison != 0) {
        return poison;
    }
    if (atomic_load(&map->sealed) || atomic_load(&shared->sealed)) {
        return ESTALE;
    }
    return *size < backed ? MMB_ETRUNCATED : 0;
}

static void note_backed(mmb_map *map, uint64_t end)
{
    _Atomic uint64_t *backed = &map->shared->backed;
    uint64_t seen = atomic_load_explicit(backed, memory_order_relaxed);
    while (seen < end && !atomic_compare_exchange_weak_explicit(
                             backed, &seen, end, memory_order_release, memory_order_relaxed)) {
    }
}

void mmb__note_solid(mmb_map *map, uint64_t from, uint64_t to)
{
    uint64_t seen = atomic_load_explicit(&map->solid, memory_order_relaxed);
    while (from <= seen && seen < to &&
           !atomic_compare_exchange_weak_explicit(&map->solid, &seen, to, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

/* Take the lock on ftruncate, from a process that died holding it if need be. */
static void lock_truncation(mmb__shared *shared)
{
    int self = (int)getpid();
    for (;;) {
        int holder = 0;
        if (atomic_compare_exchange_strong(&shared->truncating, &holder, self)) {
            return;
        }
        if (holder != self && !mmb__os_is_alive(holder)) {
            atomic_compare_exchange_strong(&shared->truncating, &holder, 0);
            continue;
        }
        pause_briefly();
    }
}

/* Raise EOF to `end` on a file system without fallocate. All signals are blocked:
 * a handler that ran here and stored beyond EOF would wait for its own thread. */
static int raise_by_truncation(const mmb_map *map, uint64_t end)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lock_truncation(map->shared);
    struct stat now;
    int error = fstat(map->fd, &now) == 0 ? 0 : errno;
    if (error == 0 && (uint64_t)now.st_size < end && ftruncate(map->fd, (off_t)end) != 0) {
        error = errno;
    }
    atomic_store(&map->shared->truncating, 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static bool no_space(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

/* One move of EOF: blocks for [start, solid), EOF at `end`. */
typedef struct {
    uint64_t start;
    uint64_t solid;
    uint64_t end;
} move;

static int raise_eof(mmb_map *map, const move *wanted)
{
    if (atomic_load_explicit(&map->can_allocate, memory_order_relaxed)) {
        int error = mmb__os_grow(map->fd, wanted->start, wanted->solid, wanted->end);
        if (error != EOPNOTSUPP) {
            return error;
        }
        atomic_store_explicit(&map->can_allocate, false, memory_order_relaxed);
    }
    return raise_by_truncation(map, wanted->end);
}

/* Near the end the file doubles, up to a limit; a jump far beyond it gets its
 * own granule and leaves a hole. Of the first granule only the start gets blocks:
 * small files are many. The second move gives it the rest. */
static move plan(const mmb_map *map, uint64_t from, uint64_t to, uint64_t eof)
{
    uint64_t most =
        mmb__min(map->max_growth, atomic_load_explicit(&map->step_limit, memory_order_relaxed));
    uint64_t step = mmb__min(mmb__max(mmb__round_up(eof, MMB_GRANULE), MMB_GRANULE), most);
    bool near = from <= eof + step;
    uint64_t wanted = near ? mmb__max(to, eof + step) : to;
    uint64_t end = mmb__min(mmb__round_up(wanted, MMB_GRANULE), map->length);
    uint64_t start = near ? eof : mmb__round_down(from, MMB_GRANULE);
    if (near && eof <= MMB_GRANULE) {
        start = mmb__min(eof, atomic_load_explicit(&map->solid, memory_order_relaxed));
    }
    bool small = eof == 0 && to <= map->first_blocks;
    return (move){
        .start = start, .solid = small ? mmb__min(map->first_blocks, end) : end, .end = end};
}

/* The disk cannot give a whole step: try what is needed and no more, first in
 * granules, then in pages. */
static int raise_tightly(mmb_map *map, uint64_t from, uint64_t to, uint64_t eof, move *wanted)
{
    atomic_store_explicit(&map->step_limit, MMB_GRANULE, memory_order_relaxed);
    wanted->start = mmb__max(eof, mmb__round_down(from, MMB_GRANULE));
    wanted->end = mmb__min(mmb__round_up(to, MMB_GRANULE), map->length);
    wanted->solid = wanted->end;
    int error = raise_eof(map, wanted);
    if (no_space(error)) {
        wanted->start = mmb__max(eof, mmb__round_down(from, mmb__os_page()));
        wanted->solid = mmb__round_up(to, mmb__os_page());
        error = raise_eof(map, wanted);
    }
    return error;
}

static int extend(mmb_map *map, uint64_t from, uint64_t to, uint64_t eof, mmb__access access)
{
    move wanted = plan(map, from, to, eof);
    if (access == MMB__READ) {
        wanted.solid = wanted.start;
    }
    int error = raise_eof(map, &wanted);
    if (no_space(error) && access == MMB__WRITE) {
        error = raise_tightly(map, from, to, eof, &wanted);
    }
    if (error == 0) {
        note_backed(map, wanted.end);
        if (atomic_load_explicit(&map->can_allocate, memory_order_relaxed)) {
            mmb__note_solid(map, wanted.start, wanted.solid);
        }
        atomic_fetch_add_explicit(&map->shared->growths, 1, memory_order_relaxed);
        mmb__assist_wake(map, wanted.start, wanted.solid);
    }
    return error;
}

int mmb__grow(mmb_map *map, uint64_t from, uint64_t to, mmb__access access)
{
    if (to > map->length) {
        return MMB_ECAPACITY;
    }
    uint64_t eof = 0;
    uint32_t entry = mmb__growers_enter(map->shared);
    int error = mmb__check(map, &eof);
    if (error == 0 && to > eof) {
        error = extend(map, from, to, eof, access);
    }
    mmb__growers_leave(map->shared, entry);
    return error;
}

/* Faults come again after an answer that did not help: the limit on believing in it,
 * for systems that cannot say whether a page can be had. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset)
{
    enum { ENOUGH = 10000 };
    if (atomic_exchange_explicit(&map->retry_offset, offset, memory_order_relaxed) != offset) {
        atomic_store_explicit(&map->retries, 0, memory_order_relaxed);
        return false;
    }
    return atomic_fetch_add_explicit(&map->retries, 1, memory_order_relaxed) > ENOUGH;
}

/* Why a page below EOF cannot be had; 0 if it can. */
static int page_error(mmb_map *map, uint64_t offset, mmb__access access)
{
    uint64_t page = mmb__os_page();
    uint64_t start = mmb__round_down(offset, page);
    int error = mmb__os_populate(map->base + start, page, access == MMB__WRITE);
    if (error != EFAULT && error != ENOSYS) {
        return 0; /* there by now, or for the kernel to say at the next try */
    }
    if (error == ENOSYS && !mmb__tried_too_often(map, start)) {
        return 0;
    }
    /* No page. Asking for its block by hand tells a full disk from a failing
     * one; should that help, it was full only for a moment. */
    error = mmb__os_allocate(map->fd, start, page);
    if (error != 0 && error != EOPNOTSUPP) {
        return error;
    }
    if (mmb__os_populate(map->base + start, page, access == MMB__WRITE) == 0) {
        return 0;
    }
    /* A file system with large folios wants blocks for all of a granule at once. */
    return mmb__os_is_full(map->fd, MMB_GRANULE) ? ENOSPC : EIO;
}

mmb__verdict mmb__serve(mmb_map *map, uint64_t offset, mmb__access access)
{
    if (atomic_load_explicit(&map->memory, memory_order_acquire) != MMB__SHARED_FILE) {
        return mmb__cover(map, offset) ? MMB__SERVED : MMB__NOT_OURS;
    }
    uint64_t page = mmb__os_page();
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    if (error == EBADF) {
        return MMB__NOT_OURS;
    }
    if (error == 0) {
        if (offset < mmb__round_up(eof, page)) {
            error = page_error(map, offset, access);
            if (error == 0) {
                return MMB__FINE;
            }
        } else {
            uint64_t start = mmb__round_down(offset, page);
            error = mmb__grow(map, start, start + page, access);
            if (error == 0) {
                return MMB__SERVED;
            }
        }
    }
    /* A store after the owner sealed the map is lost: that is an error of this
     * process, unless it is the owner, whose close is on its way. */
    if (error != ESTALE || !mmb_map_is_owner(map)) {
        mmb_map_set_poison(map, error);
    }
    return mmb__cover(map, offset) ? MMB__SERVED : MMB__NOT_OURS;
}
