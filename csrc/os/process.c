/* process.c - the identity of this process, and whether other processes live. */
#include "process.h"

#include "os.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* The upper half of the identity: a number for the namespace, and a number that each process draws.
 * It is written when the identity is first asked for. Later only forked children write it, before
 * they have threads. */
static _Atomic uint32_t token;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t fold(uint64_t number, unsigned bits)
{
    return (uint32_t)(number * 0x9E3779B97F4A7C15u >> (64 - bits));
}

static void draw(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t namespace = mmb__os_pid_namespace();
    uint32_t drawn = fold(seed ^ (uint64_t)getpid() << 40, 16), before = atomic_load(&token);
    if (drawn == (before & 0xFFFF)) { /* that of the parent */
        drawn = (drawn + 1) & 0xFFFF;
    }
    uint32_t where = namespace == 0 ? 0 : fold(namespace, MMB__NAMESPACE_BITS) | 1;
    atomic_store(&token, where << 16 | drawn);
}

static void begin(void)
{
    draw();
    pthread_atfork(NULL, NULL, draw);
}

uint64_t mmb__this_process(void)
{
    return (uint64_t)atomic_load(&token) << 32 | (uint32_t)getpid();
}

uint64_t mmb_this_process(void)
{
    pthread_once(&once, begin);
    return mmb__this_process();
}

bool mmb__is_this_process(uint64_t process)
{
    return process == mmb__this_process();
}

mmb__identity mmb__identity_of(uint64_t process)
{
    return (mmb__identity){.pid = (uint32_t)process, .namespace = (uint32_t)(process >> 48)};
}

mmb__life mmb__life_of(mmb__identity other)
{
    mmb__identity self = mmb__identity_of(mmb__this_process());
    if (other.namespace != self.namespace) {
        return MMB__UNKNOWN;
    }
    if (other.pid == self.pid) { /* it had the pid before us, if the namespace is the same */
        return self.namespace != 0 ? MMB__DEAD : MMB__UNKNOWN;
    }
    return mmb__os_is_alive((int)other.pid) ? MMB__ALIVE : MMB__DEAD;
}

void mmb__wait_a_moment(uint32_t round)
{
    if (round < 100) {
        sched_yield();
    } else {
        mmb__os_nap();
    }
}
