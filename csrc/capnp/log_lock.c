/* log_lock.c - lets one writer of a log at a time append. See log_lock.h.
 *
 * The lock is a word of the index. It holds the *token* of its owner, a number that no other writer
 * has. While a writer lives, it holds a lock on one byte of the log's file, and the place of that
 * byte follows from its token. So the kernel knows which owners are alive. A pid could not tell
 * that: it means nothing here if the owner runs in a container, and it may belong to another
 * process by now. An owner that is only slow is never taken for dead. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_lock.h"

#include "os/os.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

/* The bytes that writers lock lie far beyond the end of any file. */
#define GATE ((uint64_t)1 << 61)
#define TOKENS (GATE + 1) /* the byte for token t is TOKENS + t */
#define MOST_TOKENS ((uint64_t)1 << 31)

/* ---- the gate -------------------------------------------------------------------------------- */

int mmb_log_enter_gate(int fd, bool wait)
{
    int error;
    do {
        error = mmb__os_hold_byte(fd, GATE, true, wait);
    } while (error == EINTR);
    return error;
}

int mmb_log_enter_gate_to_index(int fd)
{
    int error = mmb__os_hold_byte(fd, GATE, false, false);
    if (error == ENOTSUP) {
        return 0;
    }
    if (error == 0 && mmb_log_has_writers(fd)) {
        mmb_log_leave_gate(fd);
        error = EBUSY;
    }
    return error;
}

void mmb_log_leave_gate(int fd)
{
    mmb__os_release_byte(fd, GATE);
}

bool mmb_log_has_writers(int fd)
{
    return mmb__os_bytes_are_held(fd, TOKENS, MOST_TOKENS);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

uint64_t mmb__log_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Atomic uint32_t *lock_of(const mmb_log_writer *w)
{
    return &mmb__index_header_of(mmb_map_base(w->index))->lock;
}

int mmb__log_register(mmb_log_writer *w)
{
    enum { ATTEMPTS = 1000 };
    uint64_t seed = mmb__log_now() ^ (uint64_t)getpid() << 32 ^ (uint64_t)(uintptr_t)w;
    for (int i = 0; i < ATTEMPTS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t token = (uint32_t)(seed >> 33);
        uint32_t owner = atomic_load_explicit(lock_of(w), memory_order_relaxed) & ~MMB__CONTENDED;
        if (token == 0 || token == owner) {
            continue;
        }
        int error = mmb__os_hold_byte(w->fd, TOKENS + token, true, false);
        if (error == 0) {
            w->token = token;
        }
        if (error != EAGAIN) {
            return error;
        }
    }
    return EAGAIN;
}

void mmb__log_unregister(mmb_log_writer *w)
{
    /* A forked child shares the open file with its parent, so it would free the parent's locks. */
    if (w->token != 0 && w->process == mmb_this_process()) {
        mmb__os_release_byte(w->fd, TOKENS + w->token);
    }
    w->token = 0;
}

static bool is_dead(const mmb_log_writer *w, uint32_t token)
{
    return !mmb__os_bytes_are_held(w->fd, TOKENS + token, 1);
}

/* ---- waiting --------------------------------------------------------------------------------- */

void mmb__log_pause(const mmb_log_writer *w, const _Atomic uint32_t *word, uint32_t value,
                    uint64_t most)
{
    const mmb_log_wait *wait = &w->wait;
    void *context = wait->begin != NULL ? wait->begin() : NULL;
    if (word != NULL) {
        mmb__os_wait_for_word((const uint32_t *)word, value, most);
    } else {
        const struct timespec pause = {.tv_sec = (time_t)(most / 1000000000u),
                                       .tv_nsec = (long)(most % 1000000000u)};
        nanosleep(&pause, NULL);
    }
    if (wait->end != NULL) {
        wait->end(context);
    }
}

bool mmb__log_gives_up(const mmb_log_writer *w)
{
    return w->wait.give_up != NULL && w->wait.give_up();
}

static bool try_lock(mmb_log_writer *w)
{
    uint32_t owner = 0;
    return atomic_compare_exchange_strong_explicit(lock_of(w), &owner, w->token,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Look now and then whether the lock is free. */
static bool spin(mmb_log_writer *w)
{
    enum { LONGEST_SPIN = 100000 };
    const mmb__index_header *header = mmb__index_header_of(mmb_map_base(w->index));
    uint64_t begun = mmb__log_now(), now = begun;
    uint64_t count = atomic_load_explicit(&header->count, memory_order_relaxed);
    mmb__log_turns_wait(&w->turns, begun);
    while (now - begun < LONGEST_SPIN) {
        uint64_t others = atomic_load_explicit(&header->count, memory_order_relaxed) - count;
        uint64_t pause = mmb__log_turns_pause(&w->turns, now - begun, others);
        for (uint64_t looked = now; now - looked < pause; now = mmb__log_now()) {
            mmb__os_relax();
        }
        if (atomic_load_explicit(lock_of(w), memory_order_relaxed) == 0 && try_lock(w)) {
            w->turns.got = now; /* before it only looked: a store takes the line from the owner */
            return true;
        }
    }
    return false;
}

/* Sleep until the lock is free. */
static int sleep_for_lock(mmb_log_writer *w, bool *inherited)
{
    enum { PATIENCE = 5000000 };
    mmb__index_header *header = mmb__index_header_of(mmb_map_base(w->index));
    uint64_t begun = mmb__log_now();
    w->turns.let_go = 0; /* sleeping is not working elsewhere */
    for (;;) {
        bool patient = mmb__log_now() - begun < PATIENCE;
        uint32_t word = atomic_load_explicit(&header->lock, memory_order_relaxed);
        uint32_t owner = word & ~MMB__CONTENDED;
        bool dead = owner != 0 && is_dead(w, owner);
        bool can_have = dead || word == 0 || (owner == 0 && !patient);
        /* Others may still sleep, and the next unlock must wake them. */
        uint32_t wanted = (can_have ? w->token : owner) | MMB__CONTENDED;
        if (!patient) {
            atomic_store_explicit(&header->starving, !can_have, memory_order_relaxed);
        }
        if (!atomic_compare_exchange_strong_explicit(&header->lock, &word, wanted,
                                                     memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        if (can_have) {
            *inherited = dead;
            return 0;
        }
        mmb__log_pause(w, &header->lock, wanted, PATIENCE);
        if (mmb__log_gives_up(w)) {
            return EINTR;
        }
    }
}

int mmb__log_lock(mmb_log_writer *w, bool *inherited)
{
    *inherited = false;
    w->turns.tries++;
    return w->token == 0 || try_lock(w) || spin(w) ? 0 : sleep_for_lock(w, inherited);
}

/* To wake up takes longer than to take the lock again, so a writer that sleeps might never get it.
 * After some milliseconds it says that it starves, and then the lock is kept for it. If that were
 * done for everyone who sleeps, writers that share a processor would change places at each message.
 * If the one that starves was killed, another one has the lock as soon as it starves itself. */
static void release(const mmb_log_writer *w)
{
    mmb__index_header *header = mmb__index_header_of(mmb_map_base(w->index));
    const uint32_t *lock = (const uint32_t *)&header->lock;
    uint32_t owner = w->token;
    if (atomic_compare_exchange_strong_explicit(&header->lock, &owner, 0, memory_order_release,
                                                memory_order_relaxed)) {
        return;
    }
    if (atomic_exchange_explicit(&header->starving, 0, memory_order_relaxed) != 0) {
        atomic_store_explicit(&header->lock, MMB__CONTENDED, memory_order_release);
        mmb__os_wake_word(lock);
    } else {
        atomic_store_explicit(&header->lock, 0, memory_order_release);
        mmb__os_wake_one_of_word(lock);
    }
}

void mmb__log_unlock(mmb_log_writer *w)
{
    if (w->token == 0) {
        return;
    }
    release(w);
    if (w->turns.got != 0) {
        mmb__log_turns_let_go(&w->turns, mmb__log_now());
    }
}
