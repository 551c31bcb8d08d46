/* growth.h - a *growth* of a file: EOF moves up to where the growth policy wants it, and the bytes
 * that a store needs get blocks.
 *
 * Growths of one file may happen at the same time in any number of threads and forked processes,
 * and in their signal handlers. These rules make that safe:
 *
 * 1. fallocate raises EOF or leaves it where it is, so processes need no order among themselves.
 *    Where there is no fallocate, ftruncate runs under the lock on EOF, and we look at EOF again
 *    inside the lock.
 * 2. The first move of a file, from below a granule, is always made under that lock. For a small
 *    file this move is an ftruncate, which takes no blocks and costs a tenth of an fallocate.
 * 3. Blocks beyond EOF are allocated first; then EOF moves in one step from one good place to the
 *    next. If one call did both, ext4 would move EOF from extent to extent. On a full disk it
 *    would leave EOF in the middle of a page, and wipe the bytes that another thread has stored
 *    behind it in that page.
 * 4. Only one thread of a process moves EOF at a time. The others would do the same work again,
 *    and delay the last look at EOF of the first.
 * 5. `backed` is raised after the file has become longer. So a value of `backed` that was read
 *    before fstat is a lower bound of EOF. Only a truncation by another program can break it.
 * 6. We look at the file twice. The first look comes before we do anything to it, since the
 *    descriptor may belong to another file. The second comes right before EOF moves: the less
 *    time lies between the two, the less can another program's truncation come between them. */
#ifndef MMB_FILE_GROWTH_H
#define MMB_FILE_GROWTH_H

#include "file.h"

typedef enum { MMB__READ, MMB__WRITE } mmb__access;

/* Extend the file by the growth policy, so that [from, to) is below EOF. For a store the range
 * gets blocks; for a load it is enough that EOF is beyond it. `*moved` is false if EOF stood there
 * already. Return 0, an errno, or an MMB_E value. It poisons nothing. Handler: yes. */
int mmb__grow(mmb__file *file, uint64_t from, uint64_t to, mmb__access access, bool *moved);

/* The same for a store, with a look at EOF first: for callers that mostly find it moved already.
 * Handler: no. */
int mmb__ensure(mmb__file *file, uint64_t from, uint64_t to);

/* Move EOF to a multiple of MMB_GRANULE, and keep it at such places from now on. A store between
 * EOF and the end of its page would raise no signal, and the next growth would wipe its bytes.
 * Return EBADF, or the errno of the move. Other faults of the file are left for stores to
 * find. Handler: no. */
int mmb__prepare_for_stores(mmb__file *file);

/* Call this before a fork: from then on, writes of this process are not the only ones that move
 * EOF. Handler: no. */
void mmb__prepare_for_fork(mmb__file *file);

#endif
