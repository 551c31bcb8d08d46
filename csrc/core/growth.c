/* growth.c - moving the end of a file up, and judging the faults that ask for it.
 *
 * Everything here may run in the signal handler, in any number of threads and
 * forked processes at once, for the same map. What makes that safe:
 *
 * - fallocate raises EOF or leaves it, so processes need no order. Where it is missing,
 *   ftruncate runs under a compare-and-swap lock and looks at EOF again inside it.
 * - The first move of a file, from below a granule, is made under that lock in any case: for
 *   a small file it is an ftruncate, which takes no blocks and costs a tenth.
 * - Blocks are allocated beyond EOF first, then EOF moves in one step from one good
 *   place to the next. In one call, ext4 would move it from extent to extent, leave it
 *   in the middle of a page when the disk is full, and wipe what another thread has
 *   stored behind it there.
 * - Of the threads of a process only one moves EOF at a time. The others would only do
 *   the same again, and hold up its last look at EOF, which is worth the more the
 *   sooner the move follows: what someone else cuts off between is not noticed.
 * - `backed` is raised after the file was. Read before fstat, it is a lower bound
 *   that only someone else's truncation can break.
 *
 * EOF is put at multiples of MMB_GRANULE, or at the end of the map; hidden.c says what else
 * there is as long as nobody can store in the memory. */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

/* Gives up the processor while another thread is at it. Not on the list of
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

bool mmb__was_cut(const mmb_map *map)
{
    /* A cut can slip in between our look at EOF and our move of it, the more so when
     * both wait for another thread's allocation, and then EOF tells nothing. But the
     * blocks are gone. Believed if it stays so: blocks are looked at before the number
     * that should be there, and both may be changing. */
    enum { LOOKS = 100 };
    if (!map->traits.counts_blocks || atomic_load(&map->shared->solid) == 0) {
        return false;
    }
    for (int i = 0; i < LOOKS; i++) {
        struct stat now;
        if (fstat(map->fd, &now) != 0 || now.st_ino != map->ino ||
            (uint64_t)now.st_blocks * 512 >= atomic_load(&map->shared->solid)) {
            return false;
        }
        pause_briefly();
    }
    return true;
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

void mmb__note_backed(const mmb_map *map, uint64_t end)
{
    _Atomic uint64_t *backed = &map->shared->backed;
    uint64_t seen = atomic_load_explicit(backed, memory_order_relaxed);
    while (seen < end && !atomic_compare_exchange_weak_explicit(
                             backed, &seen, end, memory_order_release, memory_order_relaxed)) {
    }
}

void mmb__note_solid(mmb_map *map, uint64_t from, uint64_t to)
{
    uint64_t seen = atomic_load(&map->shared->solid);
    while (from <= seen && seen < to &&
           !atomic_compare_exchange_weak(&map->shared->solid, &seen, to)) {
    }
}

/* ---- one at a time --------------------------------------------------------- */

/* All signals are blocked meanwhile: a handler that ran here and stored beyond EOF
 * would wait for its own thread. */
void mmb__begin_growing(mmb_map *map, sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (atomic_exchange(&map->growing, true)) {
        pause_briefly();
    }
}

void mmb__end_growing(mmb_map *map, const sigset_t *before)
{
    atomic_store(&map->growing, false);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* Take the lock on ftruncate, from a process that died holding it if need be. The threads of
 * this process take turns as it is: if it seems to hold the lock, one that is gone had its
 * number. */
static void lock_truncation(mmb__shared *shared)
{
    int self = (int)getpid();
    for (;;) {
        int holder = 0;
        if (atomic_compare_exchange_strong(&shared->truncating, &holder, self)) {
            return;
        }
        if (holder == self) {
            return;
        }
        if (!mmb__os_is_alive(holder)) {
            atomic_compare_exchange_strong(&shared->truncating, &holder, 0);
            continue;
        }
        pause_briefly();
    }
}

void mmb__begin_blocks(mmb_map *map, sigset_t *before)
{
    mmb__begin_growing(map, before);
    lock_truncation(map->shared);
}

void mmb__end_blocks(mmb_map *map, const sigset_t *before)
{
    atomic_store(&map->shared->truncating, 0);
    mmb__end_growing(map, before);
}

int mmb__allocate(const mmb_map *map, uint64_t start, uint64_t length)
{
    atomic_store(&map->shared->allocated, true);
    return mmb__os_allocate(map->fd, start, length);
}

/* ---- one move of EOF ------------------------------------------------------- */

/* Blocks for [start, solid), EOF at `end`. */
typedef struct {
    uint64_t start;
    uint64_t solid;
    uint64_t end;
} move;

/* Raise EOF to `end` on a file system without fallocate. */
static int raise_by_truncation(const mmb_map *map, uint64_t end)
{
    lock_truncation(map->shared);
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    if (error == 0 && eof < end && ftruncate(map->fd, (off_t)end) != 0) {
        error = errno;
    }
    if (error == 0) {
        mmb__note_backed(map, end); /* before the next in turn looks */
    }
    atomic_store(&map->shared->truncating, 0);
    return error;
}

static int raise_by_allocation(const mmb_map *map, const move *wanted)
{
    uint64_t from = wanted->end - 1;
    if (wanted->solid > wanted->start) {
        int error = mmb__allocate(map, wanted->start, wanted->solid - wanted->start);
        if (error == EOPNOTSUPP) {
            from = wanted->start; /* NFS: only blocks and EOF together */
        } else if (error != 0) {
            return error;
        }
    }
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    return error != 0 ? error : mmb__os_raise(map->fd, from, wanted->end);
}

static int raise_from_somewhere(const mmb_map *map, const move *wanted)
{
    if (mmb__can_allocate(map)) {
        int error = raise_by_allocation(map, wanted);
        if (error != EOPNOTSUPP) {
            return error;
        }
        atomic_store_explicit(&map->shared->cannot_allocate, true, memory_order_relaxed);
    }
    return raise_by_truncation(map, wanted->end);
}

/* Raise EOF over a hole, but for the blocks of a few pages. */
static int raise_sparsely(const mmb_map *map, const move *wanted)
{
    if (wanted->solid > wanted->start) {
        int error = mmb__allocate(map, wanted->start, wanted->solid - wanted->start);
        if (error != 0) {
            return error;
        }
    }
    return ftruncate(map->fd, (off_t)wanted->end) == 0 ? 0 : errno;
}

/* The first move, from below a granule: from 0, as a rule. Nobody else's move can get in
 * between, since it would be a first one too; so ftruncate cannot shrink what another
 * process has raised. */
static int raise_first(const mmb_map *map, const move *wanted)
{
    lock_truncation(map->shared);
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    bool first = error == 0 && eof < MMB_GRANULE;
    if (first && wanted->solid == wanted->end) {
        error = raise_by_allocation(map, wanted);
    } else if (first) {
        error = raise_sparsely(map, wanted);
    }
    if (first && error == 0) {
        mmb__note_backed(map, wanted->end);
    }
    atomic_store(&map->shared->truncating, 0);
    if (first ? error == EOPNOTSUPP : error == 0) {
        /* Another process was first: EOF may be high enough, but its blocks are not
         * those that are wanted here. */
        error = raise_from_somewhere(map, wanted);
    }
    return error;
}

static int raise_eof(const mmb_map *map, uint64_t eof, const move *wanted)
{
    return eof < MMB_GRANULE ? raise_first(map, wanted) : raise_from_somewhere(map, wanted);
}

/* ---- policy ---------------------------------------------------------------- */

static bool no_space(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

/* Near the end the file doubles, from a first step up to a limit; a jump far beyond it gets its
 * own granule and leaves a hole. The first granule of a file that is expected to stay small, or
 * is filled by small calls, gets no blocks, they come by and by; the second move gives it its
 * own. Where closing would write out a file that was cut, the first pages get theirs at once,
 * which spares that. */
static move plan(const mmb_map *map, uint64_t from, uint64_t to, uint64_t eof, bool large)
{
    bool called = 0 < eof && eof <= map->small && to <= MMB_GRANULE && to - from <= map->small;
    if (eof < MMB_GRANULE) {
        eof = 0; /* what a call wrote at the start of a file makes it no larger than an empty one */
    }
    uint64_t most =
        mmb__min(map->max_growth, atomic_load_explicit(&map->step_limit, memory_order_relaxed));
    uint64_t step = mmb__min(mmb__max(mmb__round_up(eof, MMB_GRANULE), map->first_step), most);
    bool near = from <= eof + step;
    uint64_t wanted = near ? mmb__max(to, eof + step) : to;
    uint64_t end = mmb__min(mmb__round_up(wanted, MMB_GRANULE), map->length);
    uint64_t start = near ? eof : mmb__round_down(from, MMB_GRANULE);
    if (near && eof <= MMB_GRANULE) {
        start = mmb__min(eof, atomic_load_explicit(&map->shared->solid, memory_order_relaxed));
    }
    uint64_t solid = end;
    if (called) {
        solid = start;
    } else if (eof == 0 && to <= map->small && !large) {
        solid = map->traits.writes_cut ? to : start;
    }
    return (move){.start = start, .solid = solid, .end = end};
}

/* The disk cannot give a whole step: try what is needed and no more, first in
 * granules, then in pages. */
static int raise_tightly(mmb_map *map, uint64_t from, uint64_t to, uint64_t eof, move *wanted)
{
    atomic_store_explicit(&map->step_limit, MMB_GRANULE, memory_order_relaxed);
    wanted->start = mmb__max(eof, mmb__round_down(from, MMB_GRANULE));
    wanted->end = mmb__min(mmb__round_up(to, MMB_GRANULE), map->length);
    wanted->solid = wanted->end;
    int error = raise_eof(map, eof, wanted);
    if (no_space(error)) {
        wanted->start = mmb__max(eof, mmb__round_down(from, mmb__os_page()));
        wanted->solid = mmb__round_up(to, mmb__os_page());
        error = raise_eof(map, eof, wanted);
    }
    return error;
}

/* A full disk is not full for ever: after each step that it could give, try a larger one. */
static void loosen(mmb_map *map)
{
    uint64_t limit = atomic_load_explicit(&map->step_limit, memory_order_relaxed);
    if (limit < map->max_growth) {
        atomic_store_explicit(&map->step_limit, mmb__min(2 * limit, map->max_growth),
                              memory_order_relaxed);
    }
}

static int extend(mmb_map *map, uint64_t from, uint64_t to, uint64_t eof, mmb__access access)
{
    bool large = eof == 0 && to <= map->small && access == MMB__WRITE && mmb__expect_large(map);
    move wanted = plan(map, from, to, eof, large);
    if (access == MMB__READ) {
        wanted.solid = wanted.start;
    }
    int error = raise_eof(map, eof, &wanted);
    if (no_space(error) && access == MMB__WRITE) {
        mmb__expect_no_more(map); /* a huge page wants blocks for all of it */
        error = raise_tightly(map, from, to, eof, &wanted);
    } else if (error == 0) {
        loosen(map);
    }
    if (error == 0) {
        mmb__note_backed(map, wanted.end);
        if (mmb__can_allocate(map)) {
            mmb__note_solid(map, wanted.start, wanted.solid);
        }
        atomic_fetch_add_explicit(&map->shared->growths, 1, memory_order_relaxed);
        mmb__assist_wake(map, wanted.start, wanted.solid);
        error = mmb__was_cut(map) ? MMB_ETRUNCATED : 0;
    }
    return error;
}

int mmb__grow(mmb_map *map, uint64_t from, uint64_t to, mmb__access access)
{
    if (to > map->length) {
        return MMB_ECAPACITY;
    }
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    if (error != 0 || to <= eof) {
        return error;
    }
    sigset_t before;
    uint32_t entry = mmb__growers_enter(map->shared);
    mmb__begin_growing(map, &before);
    error = mmb__check(map, &eof);
    if (error == 0 && to > eof) {
        error = extend(map, from, to, eof, access);
    }
    mmb__end_growing(map, &before);
    mmb__growers_leave(map->shared, entry);
    return error;
}

/* ---- faults ---------------------------------------------------------------- */

/* Faults come again after an answer that did not help: the limit on believing in it.
 * Systems that cannot say whether a page can be had are asked so often. */
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
    if (error != EFAULT && !mmb__tried_too_often(map, start)) {
        return 0; /* there by now, or for the kernel to say at the next try */
    }
    /* No page. Asking for its block by hand tells a full disk from a failing
     * one; should that help, it was full only for a moment. */
    error = mmb__allocate(map, start, page);
    if (error != 0 && error != EOPNOTSUPP) {
        return error;
    }
    if (mmb__os_populate(map->base + start, page, access == MMB__WRITE) == 0) {
        return 0;
    }
    uint64_t eof = 0;
    error = mmb__check(map, &eof);
    if (error != 0) {
        return error; /* cut since we looked */
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
    if (error != ESTALE) {
        mmb_map_set_poison(map, error);
    } else if (!mmb_map_is_owner(map)) {
        /* The owner's own close is on its way; here a store is lost. */
        atomic_store_explicit(&map->stored_late, true, memory_order_relaxed);
    }
    return mmb__cover(map, offset) ? MMB__SERVED : MMB__NOT_OURS;
}
