/* internal.h - what the files of the core share with each other, and with nobody else.
 *
 * Who may touch a field, and under which memory order, is said at the field. */
#ifndef MMB_INTERNAL_H
#define MMB_INTERNAL_H

/* POSIX and what systems commonly add to it, which plain C11 hides. Takes effect
 * because this header comes first in every file but os.c. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif

#include "mmb_core.h"
#include "os.h"

/* Most files of programs that write many stay below this: until they outgrow it, they
 * get blocks one by one. A multiple of every page size in use. */
#define MMB__SMALL ((uint64_t)64 << 10)

#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

typedef struct mmb__assist mmb__assist;

/* Processes that can move the EOF of a map at once and be told apart. */
#define MMB__GROWERS 32

/* The part of a map that a forked child shares with its parent: it lies in
 * shared anonymous memory, so that a disk found full by the child reaches the
 * parent's close, and a map sealed by the parent is not grown by the child. */
typedef struct {
    /* EOF as moved by us. Raised (release) after the file was extended, never
     * lowered: whoever reads it (acquire) *before* fstat must find the file at
     * least this long, or someone else has cut it. */
    _Atomic uint64_t backed;
    /* [0, solid) is known to have blocks. Raised (compare-and-swap) by whoever has
     * allocated them, lowered before some are punched out; too low is always safe, too
     * high would make a cut of a hole. What was below EOF when it got blocks, and what
     * is punched out, is so under mmb__begin_blocks. */
    _Atomic uint64_t solid;
    /* 0, or the first cause of poisoning. Set once by compare-and-swap. */
    _Atomic int poison;
    /* Set by the owner's seal (seq_cst), read by growers (seq_cst) after they
     * count themselves in below: either the grower sees the seal, or the seal
     * sees the grower and waits. */
    _Atomic bool sealed;
    /* pid << 32 | threads of that process inside mmb__grow; 0 when free. Those that
     * find no entry are counted in `crowd`. Written and read by growers.c, seq_cst. */
    _Atomic uint64_t growers[MMB__GROWERS];
    _Atomic uint32_t crowd;
    /* pid of the process that extends by ftruncate, or makes the first move of EOF, now;
     * 0 when free. */
    _Atomic int truncating;
    /* Set once the file system has said that it has no fallocate. Relaxed: being late
     * costs one more refused call. */
    _Atomic bool cannot_allocate;
    /* Set (seq_cst) before blocks are allocated: there may be some beyond EOF since, whether
     * or not the growth came off. Read by the owner's cut. */
    _Atomic bool allocated;
    /* Counters, relaxed: they order nothing. */
    _Atomic uint64_t growths;
    _Atomic uint64_t faults;
    _Atomic uint64_t prefaulted;
} mmb__shared;

/* What has become of the memory of a map. It is the file at first and private in the
 * end; the states between are locks, each held by one thread for a few system calls. */
enum {
    MMB__SHARED_FILE, /* the file itself, growing */
    MMB__CONVERTING,  /* one thread is replacing it by a private copy */
    MMB__PRIVATE,     /* a private copy: stores no longer reach the file */
    MMB__COVERING,    /* one thread puts zeros where the private copy has no page */
};

typedef struct {
    uint64_t offset; /* in the map, bytes */
    uint64_t length;
} mmb__cut;

struct mmb_map {
    /* Written by mmb_map_open only, read by anyone. */
    uint64_t length;   /* of the mapping: capacity rounded up to a page */
    uint64_t capacity; /* as asked for */
    uint64_t max_growth;
    uint64_t first_step; /* bytes; near its end the file grows by no less, if it has room */
    uint64_t small;      /* bytes; a first growth for no more than these gets no blocks */
    dev_t dev;
    ino_t ino;
    mmb__traits traits; /* of the file system */
    pid_t owner;
    mmb__shared *shared;
    uint32_t slot; /* in the registry, or MMB__NO_SLOT */

    /* The memory, NULL until there is some; written before `mapped`, which is set (release)
     * when the registry has its range, too, under the registry's mutex. Whoever does not know
     * that there is memory, by having its address, asks `mapped` (acquire) first. */
    unsigned char *base;
    _Atomic bool mapped;

    /* Taken away, and set to -1, by the thread that closes the map, when no handler is inside
     * or will look at it. */
    int fd;

    /* Sealed in this process (a child may seal its own view only). seq_cst, for
     * the same reason as mmb__shared.sealed. */
    _Atomic bool sealed;
    /* One of the enum above; moves to a lock are by compare-and-swap, from it by a
     * store (release). A forked child takes both back: their holder is not there. */
    _Atomic int memory;
    /* This process, not the owner, stored beyond EOF when the owner had sealed the map:
     * an error of its own, which must not spoil the owner's close. Relaxed. */
    _Atomic bool stored_late;
    /* Nobody in this process has the address of the memory. Cleared once (release) by
     * mmb_map_show, under mmb__begin_blocks; read (acquire) by writes, and again between
     * mmb__begin_growing and its end. */
    _Atomic bool hidden;
    /* It was expected to become large: its first granule has got blocks and is to be a huge
     * page. Relaxed: what follows from it is advice. */
    _Atomic bool large;
    /* No other process has the map. Cleared (release) before a fork, between
     * mmb__begin_growing and its end; read as `hidden` is. */
    _Atomic bool alone;
    /* Taken by the one thread of this process that moves EOF; the others wait and find
     * it done. A forked child takes it back. */
    _Atomic bool growing;
    /* Taken by the one thread of this process that has moved the file offset, which the
     * caller's fd shares, and will put it back. A forked child takes it back. */
    _Atomic bool seeking;
    /* The largest step worth trying, lowered when the disk runs full, then raised again step
     * by step. Relaxed. */
    _Atomic uint64_t step_limit;

    /* The page tried in vain last, and how often in a row. Relaxed; a heuristic
     * against endless loops. */
    _Atomic uint64_t retry_offset;
    _Atomic uint32_t retries;

    /* Owned by the one thread that closes the map. */
    mmb__cut *cuts; /* what was collapsed, descending offsets */
    size_t cut_count;
    bool detached;       /* the memory is no longer the file's */
    mmb__assist *assist; /* NULL without prefault and writeback */
};

/* ---- registry.c: address -> map, lock-free for readers -------------------- */

#define MMB__NO_SLOT UINT32_MAX

/* Give `map` a slot. EMFILE when full. Handler: no. */
int mmb__registry_add(mmb_map *map);

/* Make `base` the memory of `map` and let handlers find it; a fork finds all of that or
 * nothing. False if another thread has been faster, with another base. Handler: no. */
bool mmb__registry_publish(mmb_map *map, unsigned char *base);

/* Take the map out and wait until no handler is inside. Handler: no. */
void mmb__registry_remove(mmb_map *map);

/* Wait until no handler that found `map` before this call is still inside. Handler: no. */
void mmb__registry_drain(const mmb_map *map);

/* The map whose range holds `address`, pinned until mmb__registry_leave, or
 * NULL. Handler: yes. */
mmb_map *mmb__registry_enter(uintptr_t address);
void mmb__registry_leave(mmb_map *map);

/* ---- growth.c: moving EOF up ---------------------------------------------- */

typedef enum { MMB__READ, MMB__WRITE } mmb__access;

typedef enum {
    MMB__NOT_OURS, /* the fd no longer is our file: not for us to answer */
    MMB__SERVED,   /* the access will succeed when it is tried again */
    MMB__FINE,     /* there was nothing to do: it would have succeeded anyway */
} mmb__verdict;

/* Answer an access at `offset` that the kernel refused. Handler: yes. */
mmb__verdict mmb__serve(mmb_map *map, uint64_t offset, mmb__access access);

/* Extend the file so that [from, to) is below EOF, by the growth policy; a
 * store gets blocks, a load only needs EOF beyond it. Returns 0, an errno, or an
 * MMB_E value; poisons nothing. Handler: yes. */
int mmb__grow(mmb_map *map, uint64_t from, uint64_t to, mmb__access access);

/* 0 if `map` may grow: its fd our file still (EBADF), not poisoned, not sealed
 * (ESTALE), the file as long as it must be (MMB_ETRUNCATED). `*size` is EOF.
 * Handler: yes. */
int mmb__check(const mmb_map *map, uint64_t *size);

/* 0 and EOF in `*size` if the fd is still that of our file, else EBADF: a program
 * that closes all its fds gives our number to another file, which must neither be
 * extended nor cut. Handler: yes. */
int mmb__our_file(const mmb_map *map, uint64_t *size);

/* True if someone has cut the file since growth put blocks to it, whatever EOF is by
 * now. Handler: yes. */
bool mmb__was_cut(const mmb_map *map);

/* True if the fault at `offset` came back so often that our answer cannot be what it
 * needs. Handler: yes. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset);

/* Between these, no other thread of this process moves EOF; all signals are blocked in the
 * calling thread. Handler: yes. */
void mmb__begin_growing(mmb_map *map, sigset_t *before);
void mmb__end_growing(mmb_map *map, const sigset_t *before);

/* Blocks for [start, start + length), beyond EOF as well: as mmb__os_allocate. Handler: yes. */
int mmb__allocate(const mmb_map *map, uint64_t start, uint64_t length);

/* Between these, no other thread or process gives blocks to what lies below EOF, notes
 * them, or takes them away; all signals are blocked in the calling thread. Handler: no. */
void mmb__begin_blocks(mmb_map *map, sigset_t *before);
void mmb__end_blocks(mmb_map *map, const sigset_t *before);

/* Note that EOF has been moved to `end`, if not further. Handler: yes. */
void mmb__note_backed(const mmb_map *map, uint64_t end);

/* Note that [from, to) has blocks now. Handler: yes. */
void mmb__note_solid(mmb_map *map, uint64_t from, uint64_t to);

/* ---- hidden.c: small files that are only written to by calls ---------------- */

/* Write [offset, offset + length), EOF following, if the memory is hidden and the file is
 * small. True if that was so, with 0 or what stopped it in *error; part of the bytes may be
 * written then. False if it is to be written in the usual way. Handler: no. */
bool mmb__write_hidden(mmb_map *map, uint64_t offset, const void *data, uint64_t length,
                       int *error);

/* To be called before a fork: the map is not this process's alone any more. Handler: no. */
void mmb__share(mmb_map *map);

/* ---- expect.c: small or large ------------------------------------------------ */

/* True if `map`, which is empty yet, is expected to become large: give it blocks for all of
 * its first granule before a page comes in, which will be huge. Handler: yes. */
bool mmb__expect_large(mmb_map *map);

/* There are no blocks for so much. Handler: yes. */
void mmb__expect_no_more(mmb_map *map);

/* A file was finished with `size` bytes. Handler: yes. */
void mmb__learn_size(uint64_t size);

/* ---- shared.c: what forked children share ---------------------------------- */

/* A new one, zeroed, or NULL. Handler: no. */
mmb__shared *mmb__shared_new(void);

/* Give one back. Children that have it too go on using theirs. Handler: no. */
void mmb__shared_free(mmb__shared *shared);

/* ---- growers.c: who is moving EOF ------------------------------------------ */

/* Count the calling thread in and out. Handler: yes. */
uint32_t mmb__growers_enter(mmb__shared *shared);
void mmb__growers_leave(mmb__shared *shared, uint32_t index);

/* Wait until all that were in have left, or died. Handler: no. */
void mmb__growers_wait(mmb__shared *shared);

/* ---- snapshot.c: a private copy in place of the file ---------------------- */

/* Let the access at `offset` succeed in private memory, whatever the file's
 * state: the whole map becomes a private copy first, a page of zeros covers what
 * even then cannot be had. False if the kernel grants no memory for it, or if that
 * does not help. Handler: yes. */
bool mmb__cover(mmb_map *map, uint64_t offset);

/* ---- map.c ---------------------------------------------------------------- */

/* Map the file, if that is not done: whoever is to touch `base` without having got it from
 * mmb_map_base asks for this first. EBADF, an errno of mmap, or ESTALE when the memory was
 * detached or taken away. Handler: no. */
int mmb__have_memory(mmb_map *map);

/* ---- fault.c -------------------------------------------------------------- */

void mmb__fault_after_fork(void); /* in the child, from the registry's fork handler */

/* ---- assist.c: a thread that works ahead of and behind the writer ---------- */

/* Start the thread, all signals blocked in it. Handler: no. */
int mmb__assist_start(mmb_map *map, bool prefault, bool writeback);
/* Tell it that EOF has moved, and that [start, solid) has got blocks. Handler: yes. */
void mmb__assist_wake(mmb_map *map, uint64_t start, uint64_t solid);
/* Stop it and wait for its end; in a forked child, where it does not exist, only
 * free its memory. Nobody may be growing the map any more. Handler: no. */
void mmb__assist_stop(mmb_map *map);

static inline bool mmb__is_mapped(const mmb_map *map)
{
    return atomic_load_explicit(&map->mapped, memory_order_acquire);
}

static inline bool mmb__can_allocate(const mmb_map *map)
{
    return !atomic_load_explicit(&map->shared->cannot_allocate, memory_order_relaxed);
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
