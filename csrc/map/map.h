/* map.h - the whole of a map: its file, its memory, its place in the registry.
 *
 * The files of csrc/map stand above each other: registry and memory, then private and answer,
 * then the handler and the helper thread, then fork, then what opens, closes and uses a map.
 *
 * Lock order, each taken only while those before it may be held:
 *   1. the mutex of the registry;
 *   2. the turn and the lock on EOF (file/file.h).
 * The mutex of the handler's levels (handler.c) is taken alone. The moves of `state` to a lock
 * are taken with nothing else held, and nothing else is taken under them. */
#ifndef MMB_MAP_MAP_H
#define MMB_MAP_MAP_H

#include "file/file.h"
#include "mmb_map.h"

typedef struct mmb__helper mmb__helper;

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
    mmb__file file;
    uint32_t slot; /* in the registry, or MMB__NO_SLOT */

    /* The memory, NULL until there is some; written before `mapped`, which is set (release)
     * when the registry has its range, too, under the registry's mutex. Whoever does not know
     * that there is memory, by having its address, asks `mapped` (acquire) first. */
    unsigned char *base;
    _Atomic bool mapped;

    /* One of the enum above; moves to a lock are by compare-and-swap, from it by a
     * store (release). A forked child takes both back: their holder is not there. */
    _Atomic int state;
    /* This process, not the owner, stored beyond EOF when the owner had sealed the map:
     * an error of its own, which must not spoil the owner's close. Relaxed. */
    _Atomic bool stored_late;
    /* Nobody in this process has the address of the memory. Cleared once (release) by
     * mmb_map_show. */
    _Atomic bool hidden;

    /* The page tried in vain last, and how often in a row. Relaxed; a heuristic
     * against endless loops. */
    _Atomic uint64_t retry_offset;
    _Atomic uint32_t retries;

    /* Owned by the one thread that closes the map. */
    mmb__cut *cuts; /* what was collapsed, descending offsets */
    size_t cut_count;
    bool detached;       /* the memory is no longer the file's */
    mmb__helper *helper; /* NULL without prefault and writeback */
};

static inline bool mmb__is_mapped(const mmb_map *map)
{
    return atomic_load_explicit(&map->mapped, memory_order_acquire);
}

#endif
