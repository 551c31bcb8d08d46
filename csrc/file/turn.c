/* turn.c - turns and locks, by compare-and-swap and by giving up the processor. (sched_yield
 * is not on the list of async-signal-safe functions, but one system call without state.) */
#include "turn.h"

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

/* The threads of this process take turns as it is: if it seems to hold the lock, one that is
 * gone had its number. */
void mmb__lock_eof(mmb__shared *shared)
{
    int self = (int)getpid();
    for (;;) {
        int holder = 0;
        if (atomic_compare_exchange_strong(&shared->eof_lock_pid, &holder, self) ||
            holder == self) {
            return;
        }
        if (!mmb__os_is_alive(holder)) {
            atomic_compare_exchange_strong(&shared->eof_lock_pid, &holder, 0);
            continue;
        }
        sched_yield();
    }
}

void mmb__unlock_eof(mmb__shared *shared)
{
    atomic_store(&shared->eof_lock_pid, 0);
}

void mmb__begin_blocks(mmb__file *file, sigset_t *before)
{
    mmb__begin_turn(file, before);
    mmb__lock_eof(file->shared);
}

void mmb__end_blocks(mmb__file *file, const sigset_t *before)
{
    mmb__unlock_eof(file->shared);
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
