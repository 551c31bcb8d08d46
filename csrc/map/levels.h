/* levels.h - the *levels* of our SIGBUS handler: how it works together with the handlers of others.
 *
 * A program that installs a handler after us keeps the address of our handler as its "previous",
 * and may call it or put it back at any time. We keep the address of theirs. If we simply
 * installed our handler over theirs again, the two would call each other forever. So we have
 * several entry points, which differ only in a number, the level. Each level has a "previous" of
 * its own, which never changes while the level may be called. To get on top again we take a level
 * that is not in use yet, or one whose previous is the very handler that we found on top. A
 * program that calls or puts back the entry point of a lower level reaches the handler below that
 * level, and never itself. */
#ifndef MMB_MAP_LEVELS_H
#define MMB_MAP_LEVELS_H

#include <signal.h>

#define MMB__LEVELS 16

typedef void (*mmb__entry)(int number, siginfo_t *info, void *context);

/* Install one of the MMB__LEVELS entry points, if none of them is on top. Return 0, an errno, or
 * EBUSY if all levels are in use. Handler: no. */
int mmb__install_on_top(const mmb__entry *entries);

/* Return the action that a signal would have met without this level. Handler: yes. */
const struct sigaction *mmb__below_level(unsigned int number);

/* A forked child calls this. Handler: no. */
void mmb__levels_after_fork(void);

#endif
