/* map.h - the state of a *map*: its file, its memory, and its place in the registry.
 *
 * The files of csrc/map stand above each other, from the lowest: registry, private and levels;
 * memory, handler and helper; fork; and those that open, close and use a map.
 *
 * Lock order, each taken only while those before it may be held:
 *   1. the mutex of the registry;
 *   2. the turn and the lock on EOF (file/file.h).
 * The mutex of the handler's levels (levels.c) is taken alone. So is `remapping`, and a thread
 * that takes it has all signals blocked. */
#ifndef MMB_MAP_MAP_H
#define MMB_MAP_MAP_H

#include "file/file.h"
#include "mmb_map.h"

typedef struct mmb__helper mmb__helper;

/* What the memory of a map is. The state only moves on, in this order. */
typedef enum {
    MMB__NO_MEMORY, /* no code has an address, so EOF may stand where writes end */
    MMB__SHARED,    /* the memory is the growing file, and stores reach it. After a loss this holds
                     * below `private_from` only; stores beyond it stay in this process */
    MMB__PRIVATE,   /* the memory is a private copy of the file, or there is none and there never
                     * will be */
} mmb__memory;

struct mmb_map {
    mmb__file file;
    uint32_t slot; /* in the registry, or MMB__NO_SLOT */

    /* The start of the memory; NULL while there is none. It is set once (release), under the
     * registry's mutex, together with the range in the registry. The thread that closes the map
     * takes it away. A thread that does not know whether there is memory reads it (acquire). */
    _Atomic(unsigned char *) base;
    /* One of mmb__memory. It moves on by compare-and-swap (release), and is read (acquire). */
    _Atomic int memory;
    /* Bytes; memory from here on is private. It is `limit` at first. The thread that has
     * `remapping` lowers it (release) after it has replaced the memory; handlers read it
     * (acquire). */
    _Atomic uint64_t private_from;
    /* The one thread of this process that is replacing memory has taken this. A forked child
     * clears it. */
    _Atomic bool remapping;
    /* Bytes; [lazy_from, lazy_end) of a snapshot is to become zeros at its first access. The thread
     * that has `remapping` uses these. */
    uint64_t lazy_from;
    uint64_t lazy_end;

    /* This process is not the owner, and stored beyond EOF after the owner had sealed the map. That
     * is an error of this process, and must not fail the owner's close. Relaxed. */
    _Atomic bool stored_late;
    /* The page whose fault came back last, and how often it came back in a row. Relaxed: this is a
     * heuristic against endless loops. */
    _Atomic uint64_t retry_offset;
    _Atomic uint32_t retries;

    /* These belong to the thread that opens the map, then to the one that closes it. */
    mmb__helper *helper;        /* NULL without prefault and writeback */
    _Atomic bool helper_paused; /* its thread was stopped for a fork. It is written under the
                                 * registry's lock, and read without it as a hint */
};

static inline unsigned char *mmb__base(const mmb_map *map)
{
    return atomic_load_explicit(&map->base, memory_order_acquire);
}

#endif
