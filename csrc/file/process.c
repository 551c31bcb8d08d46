/* process.c - the pid of this process, and the count of forks that led to it. */
#include "process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Only a forked child writes it, before it has other threads. */
static _Atomic uint32_t forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

uint64_t mmb__this_process(void)
{
    return (uint64_t)atomic_load(&forks) << 32 | (uint32_t)getpid();
}

uint64_t mmb_this_process(void)
{
    pthread_once(&once, watch_forks);
    return mmb__this_process();
}

bool mmb__is_this_process(uint64_t process)
{
    return process == mmb__this_process();
}
