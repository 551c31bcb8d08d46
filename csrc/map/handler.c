/* handler.c - the SIGBUS handler, and how it gets along with the handlers of others.
 *
 * The handler calls nothing that allocates or prints. It uses atomics and system calls such as
 * fstat, fallocate, ftruncate, madvise, mmap, sigaction, getpid, gettid and sched_yield. It takes
 * no lock but those on EOF (file/turn.h). A thread that holds one of these has all signals
 * blocked, so the handler never waits for the thread that it runs in. The handler runs with all
 * signals blocked, on the stack that the thread has for signals.
 *
 * A program that installs a handler after us keeps the address of our handler as its "previous",
 * and may call it or put it back at any time. We keep the address of theirs. If we simply
 * installed our handler over theirs again, the two would call each other for ever. So we have
 * several entry points, which differ only in a number, the *level*. Each level has a "previous" of
 * its own, which never changes while the level may be called. To get on top again we take a level
 * that is not in use yet, or one whose previous is the very handler that we found on top. A
 * program that calls or puts back the entry point of a lower level reaches the handler below that
 * level, and never itself. */
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
    /* The previous handler was to be called only once (SA_RESETHAND), and was called. The next
     * signal is for the default action. The handler sets it. Relaxed: it is a flag alone. */
    _Atomic bool spent;
} level;

static level levels[LEVELS];
static const struct sigaction default_action = {.sa_handler = SIG_DFL};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void mmb__handler_after_fork(void)
{
    /* Another thread of the parent may have held the mutex at the fork. The child's only thread did
     * not, since nothing forks while it holds the mutex. */
    pthread_mutex_init(&mutex, NULL);
}

/* Answer the fault of a signal. True if the access can be tried again. */
static bool answer(const mmb__signal *signal)
{
    if (signal->cause == MMB__OTHER_FAULT || signal->cause == MMB__SENT) {
        return false;
    }
    /* A handler above us, like faulthandler's, may take a growth fault for a crash, put our handler
     * back, and raise SIGBUS again. We have not answered that fault yet: we answer it now, and
     * ignore the raise. But if we have answered the thread's last fault, then the program raised
     * SIGBUS by itself and wants to die. */
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

/* Return the action that the signal would have met without this level. */
static const struct sigaction *below(level *at)
{
    const struct sigaction *previous = &at->previous;
    if ((previous->sa_flags & (int)SA_RESETHAND) != 0 &&
        atomic_exchange_explicit(&at->spent, true, memory_order_relaxed)) {
        return &default_action;
    }
    return previous;
}

/* Pass the signal on to the handler below this level. */
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
    /* The kernel finds the restored action when the fault comes again. A signal that does not come
     * again by itself is sent once more; it arrives when we return. */
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

/* Return a level whose previous is `found`; NULL if all levels are in use. A level never gets
 * another previous: a handler that was installed over it may still call it, and if that handler
 * were its previous, the two would call each other for ever. */
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
