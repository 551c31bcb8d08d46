/* map.h - the whole of a map: its file, its memory, its place in the registry.
 *
 * The files of csrc/map stand above each other: registry and memory, then private and answer,
 * then the handler and the helper thread, then fork, then what opens, closes and uses a map.
 *
 * Lock order, each taken only while those before it may be held:
 *   1. the mutex of the registry;
 *   2. the turn and the lock on EOF (file/file.h).
 * The mutex of the handler's levels (handler.c) is taken alone; so is `remapping`, by threads
 * that have all signals blocked. */
#ifndef MMB_MAP_MAP_H
#define MMB_MAP_MAP_H

#include "file/file.h"
#include "mmb_map.h"

typedef struct mmb__helper mmb__helper;

/* What the memory of a map is. It only moves on in this order. */
typedef enum {
    MMB__NO_MEMORY, /* nobody has an address: EOF may stand where writes end */
    MMB__SHARED,    /* the file itself, growing: stores reach it. After a loss, up to
                     * `private_from` only; beyond, stores are the process's own */
    MMB__PRIVATE,   /* a private copy of the file, or none, and none will come */
} mmb__memory;

struct mmb_map {
    mmb__file file;
    uint32_t slot; /* in the registry, or MMB__NO_SLOT */

    /* Where the memory is mapped; NULL until it is, which may be before anybody asks for it.
     * Set once (release) under the registry's mutex, when the registry has its range, too; taken
     * away by the thread that closes the map. Whoever does not know that there is memory asks
     * (acquire). */
    _Atomic(unsigned char *) base;
    /* One of mmb__memory. Moved on by compare-and-swap (release), read (acquire). */
    _Atomic int memory;
    /* Bytes; memory from here on is private: `limit` at first. Lowered (release) by who has
     * `remapping`, after that memory was replaced; read (acquire) by handlers. */
    _Atomic uint64_t private_from;
    /* Taken by the one thread of this process that is replacing memory. A forked child takes it
     * back. */
    _Atomic bool remapping;

    /* This process, not the owner, stored beyond EOF when the owner had sealed the map:
     * an error of its own, which must not spoil the owner's close. Relaxed. */
    _Atomic bool stored_late;
    /* The page tried in vain last, and how often in a row. Relaxed; a heuristic
     * against endless loops. */
    _Atomic uint64_t retry_offset;
    _Atomic uint32_t retries;

    /* Owned by the thread that opens, then by the one that closes the map. */
    mmb__helper *helper;        /* NULL without prefault and writeback */
    _Atomic bool helper_paused; /* its thread was stopped for a fork. Written under the registry's
                                 * lock; read without it as a hint */
};

static inline unsigned char *mmb__base(const mmb_map *map)
{
    return atomic_load_explicit(&map->base, memory_order_acquire);
}

#endif
