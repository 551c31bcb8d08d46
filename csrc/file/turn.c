/* turn.c - turns and locks, made of compare-and-swap and sched_yield. POSIX does not list
 * sched_yield as async-signal-safe, but it is one system call without state. */
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

/* True if the holder of the lock will never give it back. Of a holder in another pid namespace
 * nobody can say that, so for it we only wait for a limited time. */
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
    uint64_t self = mmb__this_process();
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
