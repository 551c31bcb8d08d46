/* file.h - a growing file: one regular file, held by a descriptor of our own, whose EOF only
 * moves up until its owner truncates it in the end.
 *
 * This floor knows descriptors, offsets and blocks, and no memory: what is mapped over the
 * file is the business of csrc/map.
 *
 * Invariants:
 * 1. EOF never moves down while the file is not sealed.
 * 2. EOF stands at multiples of MMB_GRANULE, or at `limit`, whenever somebody can store in a
 *    mapping of the file; until then (`eof_is_exact`) it may stand where writes end.
 * 3. A descriptor is only believed in after fstat has said that it is our file's still: a
 *    program that closes all its descriptors gives our number to another file, which must
 *    neither be extended nor truncated.
 * 4. [0, shared->backed) is below EOF, unless somebody else has truncated the file.
 *
 * Lock order, each taken only while those before it may be held:
 *   1. the turn of the process on EOF (turn.h), all signals blocked;
 *   2. the lock of all processes on EOF (turn.h).
 * The turn on the file offset (turn.h) is taken alone. */
#ifndef MMB_FILE_FILE_H
#define MMB_FILE_FILE_H

#include "mmb_file.h"
#include "os/os.h"
#include "shared.h"

#include <sys/types.h>

/* Most files of programs that write many stay below this: until they outgrow it, they
 * get blocks one by one. A multiple of every page size in use. */
#define MMB__SMALL ((uint64_t)64 << 10)

/* Where growth has put blocks last, for a helper thread that brings them in: the first granule
 * << MMB__FRESH_BITS | the number of granules, in one word, lest halves of two growths make a
 * range with a hole in it. */
#define MMB__FRESH_BITS 24
#define MMB__MOST_FRESH (((uint64_t)1 << MMB__FRESH_BITS) - 1)

typedef struct {
    /* Written when the file is opened, read by anyone. */
    uint64_t limit;    /* bytes; EOF never goes beyond: the capacity rounded up to a page */
    uint64_t capacity; /* bytes; content never goes beyond */
    uint64_t max_growth;
    uint64_t first_step; /* bytes; near its end the file grows by no less, if it has room */
    uint64_t small;      /* bytes; a first growth for no more than these gets no blocks */
    bool marks;          /* it is marked while EOF stands beyond the content (mark.h) */
    dev_t dev;
    ino_t ino;
    mmb__traits traits; /* of the file system */
    uint64_t owner;     /* mmb_this_process() of the one that opened the file */
    mmb__shared *shared;

    /* Taken away, and set to -1, by the thread that closes the map, when no handler is inside
     * or will look at it. */
    int fd;

    /* Sealed in this process (a child may seal its own view only). seq_cst, for
     * the same reason as mmb__shared.sealed. */
    _Atomic bool sealed;
    /* EOF may stand where writes end: no other process has the file, and nobody in this one can
     * store in a mapping of it. Cleared once (release) in the turn on EOF, by whoever is to make
     * memory known, or forks; read (acquire) by writes, and again in the turn. */
    _Atomic bool eof_is_exact;
    /* A fork happened while the file was open: another process may store in it, too. Set
     * (release) before the fork, read (acquire) by the closer. */
    _Atomic bool was_forked;
    /* Taken by the one thread of this process that moves EOF; the others wait and find
     * it done. A forked child takes it back. */
    _Atomic bool eof_turn;
    /* Taken by the one thread of this process that has moved the file offset, which the
     * caller's fd shares, and will put it back. A forked child takes it back. */
    _Atomic bool offset_turn;
    /* The largest step worth trying, lowered when the disk runs full, then raised again step
     * by step. Relaxed. */
    _Atomic uint64_t step_limit;

    /* Posted after each growth, if there is one. Set by the helper thread's starter before
     * others know the file, and taken away by its stopper when nobody grows it any more. */
    mmb__os_event *grown;
    /* See MMB__FRESH_BITS. Written by growth, taken (set to 0) by the helper thread; what is
     * overwritten is left to faults. Relaxed. */
    _Atomic uint64_t fresh;
} mmb__file;

/* 0 and EOF in `*size` if the fd is still that of our file; EBADF if it is closed, or another
 * file's by now; another errno where a failed file system does not say. Handler: yes. */
int mmb__our_file(const mmb__file *file, uint64_t *size);

/* True if writes go to the end of the file, wherever they should go: whoever shares the open
 * file, as the program that gave us its descriptor does, can make it so. Handler: no. */
bool mmb__appends(const mmb__file *file);

/* 0 if the file may grow: its fd our file still (EBADF), not poisoned, not sealed
 * (ESTALE), as long as it must be (MMB_ETRUNCATED). `*size` is EOF. Handler: yes. */
int mmb__check(const mmb__file *file, uint64_t *size);

/* True if someone has truncated the file since growth put blocks to it, whatever EOF is by
 * now: the blocks are gone. Only where the file system counts them at once. Handler: yes. */
bool mmb__lacks_blocks(const mmb__file *file);

/* Blocks for [start, start + length), beyond EOF as well: as mmb__os_allocate, and with all
 * signals blocked. Handler: yes. */
int mmb__allocate(const mmb__file *file, uint64_t start, uint64_t length);

/* Note that EOF has been moved to `end`, if not further. Handler: yes. */
void mmb__note_backed(const mmb__file *file, uint64_t end);

/* Note that [from, to) has blocks now. Handler: yes. */
void mmb__note_allocated(const mmb__file *file, uint64_t from, uint64_t to);

/* Poison the file; the first cause stays. Handler: yes. */
void mmb__poison(const mmb__file *file, int cause);

/* True in the process that opened the file, false in a forked child. Handler: yes. */
bool mmb__is_owner(const mmb__file *file);

/* Set EOF, which is the owner's right (EPERM), and give back the blocks beyond it.
 * Handler: no. */
int mmb__truncate(const mmb__file *file, uint64_t size);

static inline bool mmb__can_allocate(const mmb__file *file)
{
    return !atomic_load_explicit(&file->shared->cannot_allocate, memory_order_relaxed);
}

static inline uint64_t mmb__round_down(uint64_t value, uint64_t unit)
{
    return value - value % unit;
}

static inline uint64_t mmb__round_up(uint64_t value, uint64_t unit)
{
    return mmb__round_down(value + unit - 1, unit);
}

static inline uint64_t mmb__min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t mmb__max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
