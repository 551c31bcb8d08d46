/* turn.h - the turns and the lock of a file, so that no move of EOF undoes another one.
 *
 * A *turn* excludes the other threads of a process. The *lock on EOF* excludes other processes;
 * if its holder has died, the next one takes it over. Their order stands in file.h. Both must work
 * in a signal handler, so they are made of compare-and-swap and sched_yield. A thread that holds
 * the turn on EOF has all signals blocked: a handler that ran in it and stored beyond EOF would
 * wait for its own thread. */
#ifndef MMB_FILE_TURN_H
#define MMB_FILE_TURN_H

#include "file.h"

#include <signal.h>

/* Take and give back the turn on EOF. Meanwhile no other thread of this process moves EOF.
 * Handler: yes. */
void mmb__begin_turn(mmb__file *file, sigset_t *before);
void mmb__end_turn(mmb__file *file, const sigset_t *before);

/* Take and give back the lock on EOF. The caller has the turn. Handler: yes. */
void mmb__lock_eof(const mmb__file *file);
void mmb__unlock_eof(const mmb__file *file);

/* Take and give back both. Meanwhile no other thread or process allocates blocks below EOF, notes
 * them, or gives them back. Handler: no. */
void mmb__begin_blocks(mmb__file *file, sigset_t *before);
void mmb__end_blocks(mmb__file *file, const sigset_t *before);

/* Take the turn on the file offset, and give it back. Our fd is a duplicate of the caller's, so
 * both have one offset: the end puts it back to where the beginning found it. Handler: no. */
off_t mmb__begin_offset_turn(mmb__file *file);
void mmb__end_offset_turn(mmb__file *file, off_t before);

/* A forked child calls this: threads that had a turn do not exist there. Handler: no. */
void mmb__turns_after_fork(mmb__file *file);

#endif
