/* turn.h - turns and locks of a file: one at a time, so that nobody's move of EOF undoes
 * another's.
 *
 * A *turn* is among the threads of a process; the *lock on EOF* is among processes, and is
 * taken from one that died holding it. Their order stands in file.h. Both are compare-and-swap
 * and giving up the processor: they must work in a signal handler. All signals are blocked in
 * whoever holds the turn on EOF, since a handler that ran there and stored beyond EOF would
 * wait for its own thread. */
#ifndef MMB_FILE_TURN_H
#define MMB_FILE_TURN_H

#include "file.h"

#include <signal.h>

/* The turn on EOF: no other thread of this process moves it meanwhile. Handler: yes. */
void mmb__begin_turn(mmb__file *file, sigset_t *before);
void mmb__end_turn(mmb__file *file, const sigset_t *before);

/* The lock on EOF, for those who have the turn. Handler: yes. */
void mmb__lock_eof(const mmb__file *file);
void mmb__unlock_eof(const mmb__file *file);

/* Both. Meanwhile no other thread or process gives blocks to what lies below EOF, notes
 * them, or takes them away. Handler: no. */
void mmb__begin_blocks(mmb__file *file, sigset_t *before);
void mmb__end_blocks(mmb__file *file, const sigset_t *before);

/* The turn on the file offset, which belongs to the caller's fd as well, of which ours is a
 * duplicate: the end puts it back to where the beginning found it. Handler: no. */
off_t mmb__begin_offset_turn(mmb__file *file);
void mmb__end_offset_turn(mmb__file *file, off_t before);

/* In a forked child: whoever had a turn is not there. Handler: no. */
void mmb__turns_after_fork(mmb__file *file);

#endif
