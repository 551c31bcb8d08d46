/* turn.c - turns and locks, by compare-and-swap and by giving up the processor. (sched_yield
 * is not on the list of async-signal-safe functions, but one system call without state.) */
#include "turn.h"

#include "process.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

void mmb__begin_turn(mmb__file *file, sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    while (atomic_exchange(&file->eof_turn, true)) {
        sched_yield();
    }
}

void mmb__end_turn(mmb__file *file, const sigset_t *before)
{
    atomic_store(&file->eof_turn, false);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* True if whoever holds the lock will not give it back. In a pid namespace of its own a process
 * may have our pid, so that asking for it is asking for ourselves: then patience has an end. */
static bool is_gone(uint64_t holder, uint64_t self, uint32_t round)
{
    enum { PATIENCE = 1000000 };
    if ((uint32_t)holder == (uint32_t)self) {
        return round > PATIENCE;
    }
    return !mmb__os_is_alive((int)(uint32_t)holder);
}

/* The threads of this process take turns as it is: if it seems to hold the lock, one that is
 * gone had its number. */
void mmb__lock_eof(const mmb__file *file)
{
    _Atomic uint64_t *lock = &file->shared->eof_lock_holder;
    uint64_t self = mmb__this_process();
    for (uint32_t round = 0;; round++) {
        uint64_t holder = 0;
        if (atomic_compare_exchange_strong(lock, &holder, self) || holder == self) {
            return;
        }
        if (is_gone(holder, self, round)) {
            atomic_compare_exchange_strong(lock, &holder, 0);
            continue;
        }
        sched_yield();
    }
}

void mmb__unlock_eof(const mmb__file *file)
{
    atomic_store(&file->shared->eof_lock_holder, 0);
}

void mmb__begin_blocks(mmb__file *file, sigset_t *before)
{
    mmb__begin_turn(file, before);
    mmb__lock_eof(file);
}

void mmb__end_blocks(mmb__file *file, const sigset_t *before)
{
    mmb__unlock_eof(file);
    mmb__end_turn(file, before);
}

off_t mmb__begin_offset_turn(mmb__file *file)
{
    while (atomic_exchange(&file->offset_turn, true)) {
        sched_yield();
    }
    return lseek(file->fd, 0, SEEK_CUR);
}

void mmb__end_offset_turn(mmb__file *file, off_t before)
{
    if (before >= 0) {
        lseek(file->fd, before, SEEK_SET);
    }
    atomic_store(&file->offset_turn, false);
}

void mmb__turns_after_fork(mmb__file *file)
{
    atomic_store(&file->eof_turn, false);
    atomic_store(&file->offset_turn, false);
}
