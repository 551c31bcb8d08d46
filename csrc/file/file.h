/* file.h - a *growing file*: one regular file that we hold by a descriptor of our own. Its EOF only
 * moves up, until its owner truncates it at the end. This header has its state, and says who is at
 * work on it. growth.h says how it grows.
 *
 * This floor knows descriptors, offsets and blocks. It knows no memory: csrc/map maps the file.
 *
 * Invariants:
 * 1. EOF never moves down while the file is not sealed.
 * 2. While a program can store in a mapping of the file, EOF stands at a multiple of MMB_GRANULE
 *    or at `limit`. Before that (`eof_is_exact`) it may stand where writes end.
 * 3. We use the descriptor only after fstat has said that it still is our file's. A program may
 *    close all its descriptors, and the system may give our number to another file. We must
 *    neither extend nor truncate that one.
 * 4. [0, shared->backed) is below EOF, unless another program has truncated the file.
 *
 * Lock order, each taken only while those before it may be held:
 *   1. the turn of the process on EOF, all signals blocked;
 *   2. the lock of all processes on EOF.
 * The turn on the file offset (content.c) is taken alone. */
#ifndef MMB_FILE_FILE_H
#define MMB_FILE_FILE_H

#include "mmb_file.h"
#include "os/os.h"
#include "shared.h"

#include <signal.h>
#include <sys/types.h>

/* Bytes. A program that writes many files writes small ones mostly. A file below this size gets
 * its blocks one by one. The number is a multiple of every page size in use. */
#define MMB__SMALL ((uint64_t)64 << 10)

/* The range to which the last growth has given blocks; a helper thread brings its pages in. It is
 * (first granule << MMB__FRESH_BITS | number of granules): one word, so that no thread can read the
 * start that one growth wrote and the length that another one wrote. */
#define MMB__FRESH_BITS 24
#define MMB__MOST_FRESH (((uint64_t)1 << MMB__FRESH_BITS) - 1)

typedef struct {
    /* These are written when the file is opened, and constant afterwards. */
    uint64_t limit;    /* bytes; EOF never goes beyond: the capacity rounded up to a page */
    uint64_t capacity; /* bytes; content never goes beyond */
    uint64_t max_growth;
    uint64_t first_step; /* bytes; the least step of a growth near the end, if there is room */
    uint64_t small;      /* bytes; a first growth up to this end gets no blocks */
    bool is_shared;      /* the program shares the open file, and can set it to append */
    bool takes_label;    /* the file has a label while EOF stands beyond the content (label.h) */
    dev_t dev;
    ino_t ino;
    mmb__traits traits; /* of the file system */
    uint64_t owner;     /* mmb_this_process() in the process that opened the file */
    mmb__shared *shared;

    /* The thread that closes the map takes it and sets it to -1. At that time no handler uses
     * the map, and none will. */
    int fd;

    /* The file is sealed in this process; a child may seal its own view only. seq_cst, for the
     * same reason as mmb__shared.sealed. */
    _Atomic bool sealed;
    /* EOF may stand where writes end, since no other process has the file and no code of this one
     * can store in a mapping of it. It is cleared once (release), in the turn on EOF, before any
     * code learns the address of the memory and before a fork. Writes read it (acquire) before the
     * turn, and again in it. */
    _Atomic bool eof_is_exact;
    /* A fork happened while the file was open, so another process may store in it, too. It is set
     * (release) before the fork; the thread that closes the file reads it (acquire). */
    _Atomic bool was_forked;
    /* The one thread of this process that moves EOF has taken this. The others wait; then they
     * find EOF moved. A forked child clears it. */
    _Atomic bool eof_turn;
    uint64_t turn_process; /* mmb_this_process() of that thread, which has the turn to set it */
    /* The one thread of this process that has moved the file offset has taken this, until it puts
     * the offset back: the caller's fd shares it. A forked child clears it. */
    _Atomic bool offset_turn;
    /* Bytes; the largest step that a growth tries. A full disk lowers it; each growth that
     * succeeds then doubles it. Relaxed. */
    _Atomic uint64_t step_limit;

    /* Growth posts this event, if there is one. The thread that starts the helper sets it before
     * others know the file, and the thread that stops the helper takes it away when no thread grows
     * the file any more. */
    mmb__os_event *grown;
    /* See MMB__FRESH_BITS. Growth writes it, the helper thread takes it (sets it to 0). If growth
     * overwrites a range, ordinary faults bring its pages in. Relaxed. */
    _Atomic uint64_t fresh;
} mmb__file;

/* ---- looks at the file ----------------------------------------------------- */

/* Return 0, and EOF in `*size`, if the fd still is that of our file. EBADF: the fd is closed, or
 * another file has its number by now. A failed file system may give another errno.
 * Handler: yes. */
int mmb__our_file(const mmb__file *file, uint64_t *size);

/* Return true if the descriptor has O_APPEND by now, so that every write goes to the end of the
 * file. The program that gave us its descriptor shares it, and can set the flag. Always false where
 * our writes go to their offset in spite of the flag (mmb__traits). Handler: no. */
bool mmb__appends(const mmb__file *file);

/* Return 0 if the file may grow, and EOF in `*size`. Otherwise: EBADF, as mmb__our_file; what
 * poisoned the file; ESTALE if it is sealed; MMB_ETRUNCATED if it is shorter than it must be.
 * Handler: yes. */
int mmb__check(const mmb__file *file, uint64_t *size);

/* Look whether another program has truncated the file, before its owner does so. This returns
 * MMB_ETRUNCATED if the file is shorter than it must be. It also does if EOF was raised again,
 * since the blocks are gone; that works where the file system counts blocks at once. EOF is in
 * `*size`. Other errors are those of mmb__our_file. Handler: no. */
int mmb__look_last(const mmb__file *file, uint64_t *size);

/* ---- notes about it -------------------------------------------------------- */

/* Give blocks to [start, start + length), beyond EOF as well, as mmb__os_allocate does, with all
 * signals blocked. Handler: yes. */
int mmb__allocate(const mmb__file *file, uint64_t start, uint64_t length);

/* Note that EOF stands at `end` or beyond. Handler: yes. */
void mmb__note_backed(const mmb__file *file, uint64_t end);

/* Note that [from, to) has blocks now. Handler: yes. */
void mmb__note_allocated(const mmb__file *file, uint64_t from, uint64_t to);

/* Return false if the file system has said that it has no fallocate. Handler: yes. */
static inline bool mmb__can_allocate(const mmb__file *file)
{
    return !atomic_load_explicit(&file->shared->cannot_allocate, memory_order_relaxed);
}

/* Poison the file; the first cause stays. Handler: yes. */
void mmb__poison(const mmb__file *file, int cause);

/* Return true in the process that opened the file, and false in a forked child. Handler: yes. */
bool mmb__is_owner(const mmb__file *file);

/* ---- who is at work on it --------------------------------------------------
 *
 * A thread is *in flight* while it may move EOF or writes below EOF. The owner's close must not
 * truncate the file while a thread of any process is in flight, but it must not wait for a thread
 * whose process was killed. One count cannot tell these two cases apart. So each process counts its
 * threads in entries of its own, which have its pid and its pid namespace.
 *
 * A *turn* excludes the other threads of a process from moving EOF. The *lock on EOF* excludes
 * other processes; if its holder has died, the next one takes it over. A thread that has the turn
 * has all signals blocked: a handler that ran in it and stored beyond EOF would wait for its own
 * thread. */

/* Count the calling thread in. Give the returned entry to mmb__in_flight_leave, which counts it
 * out. Handler: yes. */
uint32_t mmb__in_flight_enter(mmb__shared *shared);
void mmb__in_flight_leave(mmb__shared *shared, uint32_t entry);

/* Wait until each thread that was in flight has left or has died. Handler: no. */
void mmb__in_flight_wait(mmb__shared *shared);

/* What a thread needs to end its turn. */
typedef struct {
    sigset_t signals; /* that were blocked before */
    uint32_t entry;   /* the thread is in flight during its turn */
} mmb__turn;

/* Take and give back the turn on EOF. Meanwhile no other thread of this process moves EOF.
 * Handler: yes. */
void mmb__begin_turn(mmb__file *file, mmb__turn *turn);
void mmb__end_turn(mmb__file *file, const mmb__turn *turn);

/* Take and give back the lock on EOF. The caller has the turn. Handler: yes. */
void mmb__lock_eof(const mmb__file *file);
void mmb__unlock_eof(const mmb__file *file);

/* Take and give back both. Meanwhile no other thread or process allocates blocks below EOF, notes
 * them, or gives them back. Handler: no. */
void mmb__begin_blocks(mmb__file *file, mmb__turn *turn);
void mmb__end_blocks(mmb__file *file, const mmb__turn *turn);

/* A forked child calls this: threads that had a turn do not exist there. Handler: no. */
void mmb__turns_after_fork(mmb__file *file);

/* ---- the end --------------------------------------------------------------- */

/* Set EOF, and give back the blocks beyond it. Only the owner may. MMB_ETRUNCATED, and nothing is
 * done, if another program has truncated the file below `size`. Handler: no. */
int mmb__truncate(const mmb__file *file, uint64_t size);

/* ---- arithmetic ------------------------------------------------------------ */

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
