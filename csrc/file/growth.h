/* growth.h - a growth of a file: EOF moves up, to where the growth policy wants it, and what
 * a store is to find below it gets blocks.
 *
 * A growth may happen in the signal handler, in any number of threads and forked processes
 * at once, for the same file. What makes that safe:
 *
 * 1. fallocate raises EOF or leaves it, so processes need no order. Where it is missing,
 *    ftruncate runs under the lock on EOF, and looks at EOF again inside it.
 * 2. The first move of a file, from below a granule, is made under that lock in any case: for
 *    a small file it is an ftruncate, which takes no blocks and costs a tenth.
 * 3. Blocks are allocated beyond EOF first, then EOF moves in one step from one good
 *    place to the next. In one call, ext4 would move it from extent to extent, leave it
 *    in the middle of a page when the disk is full, and wipe what another thread has
 *    stored behind it there.
 * 4. Of the threads of a process only one moves EOF at a time. The others would only do
 *    the same again, and hold up its last look at EOF.
 * 5. `backed` is raised after the file was. Read before fstat, it is a lower bound
 *    that only someone else's truncation can break.
 * 6. The file is looked at twice: before anything is done to it, since the descriptor may be
 *    another file's, and right before EOF moves, since the sooner the move follows, the less
 *    room is left for somebody else's truncation between the two. */
#ifndef MMB_FILE_GROWTH_H
#define MMB_FILE_GROWTH_H

#include "file.h"

typedef enum { MMB__READ, MMB__WRITE } mmb__access;

/* Extend the file so that [from, to) is below EOF, by the growth policy; a store gets blocks,
 * a load only needs EOF beyond it. `*moved` is false if that was so already. Returns 0, an
 * errno, or an MMB_E value; poisons nothing. Handler: yes. */
int mmb__grow(mmb__file *file, uint64_t from, uint64_t to, mmb__access access, bool *moved);

/* The same, for calls that mostly find that there is nothing to do: a look first.
 * Handler: no. */
int mmb__ensure(mmb__file *file, uint64_t from, uint64_t to);

/* Move EOF to a multiple of MMB_GRANULE, and keep it so from now on: bytes stored between EOF
 * and the end of its page raise no signal, and are wiped when the file grows. Fails with EBADF,
 * or the errno of the move; what else is wrong with the file is left for stores to find.
 * Handler: no. */
int mmb__prepare_for_stores(mmb__file *file);

/* To be called before a fork: EOF is not moved by writes of this process alone any more.
 * Handler: no. */
void mmb__prepare_for_fork(mmb__file *file);

#endif
