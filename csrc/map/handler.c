/* handler.c - the SIGBUS handler, and how it lives with the handlers of others.
 *
 * The handler calls nothing that allocates or prints: fstat, fallocate, ftruncate,
 * madvise, mmap, sigaction, getpid, gettid, sched_yield and the like, and atomics. It
 * takes no lock but those on EOF (file/turn.h), whose holder has all signals blocked, so it
 * never waits for the thread it runs in. It runs with all signals blocked, on whatever stack
 * the thread has for signals.
 *
 * Living with others. Whoever installs a handler after us keeps our address as
 * its "previous" and may call it, or put it back, at any time; we keep theirs.
 * To be on top again we must not simply install ourselves over them, or the two
 * would call each other for ever. So there are several entry points, alike but
 * for a number: the level. Each level has a "previous" of its own that never
 * changes while the level may be called. Getting on top again takes a level that
 * is not in use yet, or one whose previous is just the handler found there. Who
 * calls, or puts back, the entry point of a lower level reaches what was below
 * that level, not itself. */
#include "handler.h"

#include "answer.h"
#include "registry.h"
#include "served.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#define LEVELS 16

typedef struct {
    struct sigaction previous; /* written before the level is installed for the first time */
    bool used;                 /* guarded by the mutex */
    /* The previous handler wanted to be called once (SA_RESETHAND) and has been: what
     * comes now is for the default action. Set by the handler; relaxed, a flag alone. */
    _Atomic bool spent;
} level;

static level levels[LEVELS];
static const struct sigaction default_action = {.sa_handler = SIG_DFL};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void mmb__handler_after_fork(void)
{
    /* The child's only thread did not hold it: nothing forks under the mutex,
     * but another thread may have held it at that moment. */
    pthread_mutex_init(&mutex, NULL);
}

/* True if the fault is answered and the access can be tried again. */
static bool answer(const mmb__signal *signal)
{
    if (signal->cause == MMB__OTHER_FAULT || signal->cause == MMB__SENT) {
        return false;
    }
    /* A handler above us, like faulthandler's, may take a growth fault for a
     * crash, put us back and raise SIGBUS again. The fault itself is then still
     * to come: answer it now and ignore the raise. But a raise after a fault
     * that we have answered is the program's own wish to die. */
    if (signal->cause == MMB__SENT_BY_US && mmb__was_served(signal->address)) {
        return false;
    }
    mmb_map *map = mmb__registry_enter(signal->address);
    if (map == NULL) {
        return false;
    }
    bool answered = mmb__answer_fault(map, signal->address - (uintptr_t)mmb__base(map),
                                      signal->write ? MMB__WRITE : MMB__READ);
    if (answered) {
        mmb__note_served(signal->address);
        atomic_fetch_add_explicit(&map->file.shared->faults, 1, memory_order_relaxed);
    }
    mmb__registry_leave(map);
    return answered;
}

/* Call a handler under the mask that the kernel would have given it. */
static void call_previous(const struct sigaction *previous, int number, siginfo_t *info,
                          void *context)
{
    const sigset_t *interrupted = mmb__os_interrupted_mask(context);
    if (interrupted != NULL) {
        sigset_t mask = *interrupted;
        for (int other = 1; other < NSIG; other++) {
            if (sigismember(&previous->sa_mask, other) == 1) {
                sigaddset(&mask, other);
            }
        }
        if ((previous->sa_flags & SA_NODEFER) == 0) {
            sigaddset(&mask, number);
        }
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
    }
    if ((previous->sa_flags & SA_SIGINFO) != 0) {
        previous->sa_sigaction(number, info, context);
    } else {
        previous->sa_handler(number);
    }
}

/* Whom the signal would have reached without this level. */
static const struct sigaction *below(level *at)
{
    const struct sigaction *previous = &at->previous;
    if ((previous->sa_flags & (int)SA_RESETHAND) != 0 &&
        atomic_exchange_explicit(&at->spent, true, memory_order_relaxed)) {
        return &default_action;
    }
    return previous;
}

/* Give the signal to whoever had it before this level. */
static void pass_on(level *from, int number, siginfo_t *info, void *context,
                    const mmb__signal *signal)
{
    const struct sigaction *previous = below(from);
    bool function = (previous->sa_flags & SA_SIGINFO) != 0 ||
                    (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN);
    if (function) {
        call_previous(previous, number, info, context);
        return;
    }
    if (previous->sa_handler == SIG_IGN && !signal->again) {
        return;
    }
    /* Restored, the kernel finds it when the fault comes again. A signal that
     * will not come again by itself is sent again, to be met on return. */
    sigaction(number, previous, NULL);
    if (!signal->again) {
        mmb__os_resend(number, info);
    }
}

static void handle(level *at, int number, siginfo_t *info, void *context)
{
    int saved = errno;
    mmb__signal signal = mmb__os_read_signal(info, context);
    if (!answer(&signal)) {
        pass_on(at, number, info, context, &signal);
    }
    errno = saved;
}

#define ENTRY(n)                                                                                   \
    static void entry_##n(int number, siginfo_t *info, void *context)                              \
    {                                                                                              \
        handle(&levels[n], number, info, context);                                                 \
    }
ENTRY(0)
ENTRY(1)
ENTRY(2)
ENTRY(3)
ENTRY(4)
ENTRY(5)
ENTRY(6)
ENTRY(7)
ENTRY(8)
ENTRY(9)
ENTRY(10)
ENTRY(11)
ENTRY(12)
ENTRY(13)
ENTRY(14)
ENTRY(15)

static void (*const entries[LEVELS])(int, siginfo_t *, void *) = {
    entry_0, entry_1, entry_2,  entry_3,  entry_4,  entry_5,  entry_6,  entry_7,
    entry_8, entry_9, entry_10, entry_11, entry_12, entry_13, entry_14, entry_15,
};

static bool is_ours(const struct sigaction *action)
{
    if ((action->sa_flags & SA_SIGINFO) == 0) {
        return false;
    }
    for (int i = 0; i < LEVELS; i++) {
        if (action->sa_sigaction == entries[i]) {
            return true;
        }
    }
    return false;
}

static bool same_handler(const struct sigaction *a, const struct sigaction *b)
{
    bool info_a = (a->sa_flags & SA_SIGINFO) != 0, info_b = (b->sa_flags & SA_SIGINFO) != 0;
    if (info_a != info_b) {
        return false;
    }
    return info_a ? a->sa_sigaction == b->sa_sigaction : a->sa_handler == b->sa_handler;
}

/* A level whose previous is `found`, or NULL with all of them taken. None is ever
 * given another previous: whoever took SIGBUS from it may still call it, and with its
 * own caller below it the two would call each other for ever. */
static level *level_above(const struct sigaction *found)
{
    for (int i = 0; i < LEVELS; i++) {
        level *at = &levels[i];
        if (!at->used) {
            at->previous = *found;
            at->used = true;
        }
        if (same_handler(&at->previous, found)) {
            atomic_store_explicit(&at->spent, false, memory_order_relaxed);
            return at;
        }
    }
    return NULL;
}

int mmb_install_handler(void)
{
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) != 0) {
        return errno;
    }
    if (is_ours(&now)) {
        return 0;
    }
    int error = 0;
    pthread_mutex_lock(&mutex);
    if (sigaction(SIGBUS, NULL, &now) == 0 && !is_ours(&now)) {
        level *above = level_above(&now);
        error = EBUSY;
        if (above != NULL) {
            struct sigaction action;
            memset(&action, 0, sizeof action);
            action.sa_sigaction = entries[above - levels];
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigfillset(&action.sa_mask);
            error = sigaction(SIGBUS, &action, NULL) == 0 ? 0 : errno;
        }
    }
    pthread_mutex_unlock(&mutex);
    return error;
}
