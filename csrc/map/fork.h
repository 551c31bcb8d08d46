/* fork.h - what a fork does to the maps of a process: the child shares them, but none of the
 * parent's other threads, nor the locks that these held. */
#ifndef MMB_MAP_FORK_H
#define MMB_MAP_FORK_H

/* Install the fork handlers, once in a process. Handler: no. */
void mmb__watch_forks(void);

#endif
