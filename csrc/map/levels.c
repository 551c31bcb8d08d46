/* levels.c - the table of levels, and getting on top of the handlers of others. */
#include "levels.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

typedef struct {
    struct sigaction previous; /* written before the level is installed for the first time */
    bool used;                 /* guarded by the mutex */
    /* The previous handler was to be called only once (SA_RESETHAND), and was called. The next
     * signal is for the default action. The handler sets it. Relaxed: it is a flag alone. */
    _Atomic bool spent;
} level;

static level levels[MMB__LEVELS];
static const struct sigaction default_action = {.sa_handler = SIG_DFL};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void mmb__levels_after_fork(void)
{
    /* Another thread of the parent may have held the mutex at the fork. The child's only thread did
     * not, since nothing forks while it holds the mutex. */
    pthread_mutex_init(&mutex, NULL);
}

const struct sigaction *mmb__below_level(unsigned int number)
{
    level *at = &levels[number];
    const struct sigaction *previous = &at->previous;
    if ((previous->sa_flags & (int)SA_RESETHAND) != 0 &&
        atomic_exchange_explicit(&at->spent, true, memory_order_relaxed)) {
        return &default_action;
    }
    return previous;
}

static bool is_ours(const mmb__entry *entries, const struct sigaction *action)
{
    if ((action->sa_flags & SA_SIGINFO) == 0) {
        return false;
    }
    for (int i = 0; i < MMB__LEVELS; i++) {
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
 * were its previous, the two would call each other forever. */
static level *level_above(const struct sigaction *found)
{
    for (int i = 0; i < MMB__LEVELS; i++) {
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

int mmb__install_on_top(const mmb__entry *entries)
{
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) != 0) {
        return errno;
    }
    if (is_ours(entries, &now)) {
        return 0;
    }
    int error = 0;
    pthread_mutex_lock(&mutex);
    if (sigaction(SIGBUS, NULL, &now) == 0 && !is_ours(entries, &now)) {
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
