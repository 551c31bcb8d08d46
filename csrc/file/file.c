/* file.c - the functions that all code on a growing file needs: they look at the file, keep notes
 * about it in the shared state, and count who is at work on it.
 *
 * Turns and locks are made of compare-and-swap and sched_yield. POSIX does not list sched_yield as
 * async-signal-safe, but it is one system call without state. */
#include "file.h"

#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

/* ---- looks at the file --------------------------------------------------------- */

/* Do the work of mmb__our_file, and tell all that the system knows of the file. */
static int look(const mmb__file *file, struct stat *now)
{
    if (fstat(file->fd, now) != 0) {
        return errno;
    }
    return now->st_dev == file->dev && now->st_ino == file->ino ? 0 : EBADF;
}

int mmb__our_file(const mmb__file *file, uint64_t *size)
{
    struct stat now;
    int error = look(file, &now);
    if (error == 0) {
        *size = (uint64_t)now.st_size;
    }
    return error;
}

bool mmb__appends(const mmb__file *file)
{
    if (file->is_shared && file->traits.ignores_append) {
        return false;
    }
    int flags = fcntl(file->fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND) != 0;
}

int mmb__check(const mmb__file *file, uint64_t *size)
{
    mmb__shared *shared = file->shared;
    uint64_t backed = atomic_load_explicit(&shared->backed, memory_order_acquire);
    int error = mmb__our_file(file, size);
    if (error != 0) {
        return error;
    }
    int poison = atomic_load_explicit(&shared->poison, memory_order_acquire);
    if (poison != 0) {
        return poison;
    }
    if (atomic_load(&file->sealed) || atomic_load(&shared->sealed)) {
        return ESTALE;
    }
    return *size < backed ? MMB_ETRUNCATED : 0;
}

static bool has_its_blocks(const mmb__file *file, const struct stat *now)
{
    return !file->traits.block_count_is_exact ||
           (uint64_t)now->st_blocks * 512 >= atomic_load(&file->shared->allocated_end);
}

int mmb__look_last(const mmb__file *file, uint64_t *size)
{
    /* We read the number of blocks, then the number that should be there. Both may be changing, so
     * blocks count as missing only if they are missing at every look. */
    enum { LOOKS = 100 };
    for (int i = 0; i < LOOKS; i++) {
        uint64_t backed = atomic_load_explicit(&file->shared->backed, memory_order_acquire);
        struct stat now;
        int error = look(file, &now);
        if (error != 0) {
            return error;
        }
        *size = (uint64_t)now.st_size;
        if (*size < backed) {
            return MMB_ETRUNCATED;
        }
        if (has_its_blocks(file, &now)) {
            return 0;
        }
        sched_yield();
    }
    return MMB_ETRUNCATED;
}

/* ---- notes about it ------------------------------------------------------------- */

int mmb__allocate(const mmb__file *file, uint64_t start, uint64_t length)
{
    atomic_store(&file->shared->may_have_blocks_beyond_eof, true);
    return mmb__os_allocate(file->fd, start, length);
}

void mmb__note_backed(const mmb__file *file, uint64_t end)
{
    _Atomic uint64_t *backed = &file->shared->backed;
    uint64_t seen = atomic_load_explicit(backed, memory_order_relaxed);
    while (seen < end && !atomic_compare_exchange_weak_explicit(
                             backed, &seen, end, memory_order_release, memory_order_relaxed)) {
    }
}

void mmb__note_allocated(const mmb__file *file, uint64_t from, uint64_t to)
{
    uint64_t seen = atomic_load(&file->shared->allocated_end);
    while (from <= seen && seen < to &&
           !atomic_compare_exchange_weak(&file->shared->allocated_end, &seen, to)) {
    }
}

void mmb__poison(const mmb__file *file, int cause)
{
    int none = 0;
    atomic_compare_exchange_strong(&file->shared->poison, &none, cause);
}

bool mmb__is_owner(const mmb__file *file)
{
    return mmb__is_this_process(file->owner);
}

/* ---- in flight ------------------------------------------------------------------ */

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

/* Count one more in entry `at` if it is free, or that of `self`, who has a count of 0. */
static bool join(_Atomic uint64_t *at, uint64_t self)
{
    uint64_t seen = atomic_load(at);
    while (seen == 0 || seen - count_of(seen) == self) {
        if (atomic_compare_exchange_weak(at, &seen, (seen == 0 ? self : seen) + 1)) {
            return true;
        }
    }
    return false;
}

/* A process may get a second entry, if one before its first has become free meanwhile. Each entry
 * counts by itself, so that does no harm. */
static uint32_t enter(mmb__shared *shared, uint64_t process)
{
    uint64_t self = entry_of(mmb__identity_of(process), 0);
    for (uint32_t i = 0; i < MMB__IN_FLIGHT; i++) {
        if (join(&shared->in_flight[i], self)) {
            return i;
        }
    }
    atomic_fetch_add(&shared->in_flight_overflow, 1);
    return MMB__IN_FLIGHT;
}

uint32_t mmb__in_flight_enter(mmb__shared *shared)
{
    return enter(shared, mmb__this_process());
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

/* An entry of this process belongs to threads that live, so the close waits for it. */
static bool is_dead(uint64_t entry, uint64_t self)
{
    return entry - count_of(entry) != self && mmb__life_of(who_is(entry)) == MMB__DEAD;
}

void mmb__in_flight_wait(mmb__shared *shared)
{
    /* Of threads without an entry we know only how many there are. A process that lives may be
     * stopped. Of a process in another pid namespace we do not know whether it lives. The close
     * waits for each of these for a limited time. */
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

/* ---- the turn and the lock on EOF -------------------------------------------------- */

void mmb__begin_turn(mmb__file *file, mmb__turn *turn)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &turn->signals);
    uint64_t process = mmb__this_process();
    turn->entry = enter(file->shared, process);
    while (atomic_exchange(&file->eof_turn, true)) {
        sched_yield();
    }
    file->turn_process = process;
}

void mmb__end_turn(mmb__file *file, const mmb__turn *turn)
{
    atomic_store(&file->eof_turn, false);
    mmb__in_flight_leave(file->shared, turn->entry);
    pthread_sigmask(SIG_SETMASK, &turn->signals, NULL);
}

/* Return true if the holder of the lock will never give it back. Of a holder in another pid
 * namespace we cannot know that, so for it we only wait for a limited time. */
static bool is_gone(uint64_t holder, uint32_t round)
{
    mmb__life life = mmb__life_of(mmb__identity_of(holder));
    return life == MMB__DEAD || (life == MMB__UNKNOWN && round > MMB__PATIENCE);
}

/* The threads of this process take turns already. So if this process seems to hold the lock, the
 * holder is a dead process that had the same number. */
void mmb__lock_eof(const mmb__file *file)
{
    _Atomic uint64_t *lock = &file->shared->eof_lock_holder;
    uint64_t self = file->turn_process;
    for (uint32_t round = 0;; round++) {
        uint64_t holder = 0;
        if (atomic_compare_exchange_strong(lock, &holder, self) || holder == self) {
            return;
        }
        if (is_gone(holder, round)) {
            atomic_compare_exchange_strong(lock, &holder, 0);
            continue;
        }
        mmb__wait_a_moment(round);
    }
}

void mmb__unlock_eof(const mmb__file *file)
{
    atomic_store(&file->shared->eof_lock_holder, 0);
}

void mmb__begin_blocks(mmb__file *file, mmb__turn *turn)
{
    mmb__begin_turn(file, turn);
    mmb__lock_eof(file);
}

void mmb__end_blocks(mmb__file *file, const mmb__turn *turn)
{
    mmb__unlock_eof(file);
    mmb__end_turn(file, turn);
}

void mmb__turns_after_fork(mmb__file *file)
{
    atomic_store(&file->eof_turn, false);
    atomic_store(&file->offset_turn, false);
}

/* ---- the end ---------------------------------------------------------------------- */

int mmb__truncate(const mmb__file *file, uint64_t size)
{
    uint64_t backed = atomic_load_explicit(&file->shared->backed, memory_order_acquire), eof = 0;
    int error = mmb__our_file(file, &eof);
    if (error == 0 && eof < mmb__min(backed, size)) {
        return MMB_ETRUNCATED; /* to make the file longer again would hide that */
    }
    /* If ftruncate makes the file longer, blocks that a growth has left beyond EOF would stay. */
    if (error == 0 && eof <= size && atomic_load(&file->shared->may_have_blocks_beyond_eof)) {
        error = mmb__os_truncate(file->fd, eof);
    }
    if (error == 0 && eof != size) {
        error = mmb__os_truncate(file->fd, size);
    }
    return error;
}
