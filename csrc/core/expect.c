/* expect.c - small or large: what an empty file gets with the first store in its memory.
 *
 * A huge page for the first granule is zeroed whole, which takes as long as thirty to eighty
 * pages that come in one by one: a waste for a small file, and cheap for a large one. Which of
 * the two it will be, nobody says, but programs have habits. The first file of a process is
 * expected to become large, since one page too many does no harm then; after that, each file
 * that was finished large lets one more be expected so. A program that makes many small ones,
 * or has many open, therefore pays once. */
#include "internal.h"

/* From here on a huge page has paid, whatever the file system. */
#define LARGE ((uint64_t)512 << 10)

/* Whether the next file is expected to become large. It orders nothing. */
static _Atomic bool next_is_large = true;

static uint64_t first_granule(const mmb_map *map)
{
    return mmb__min(MMB_GRANULE, map->length);
}

bool mmb__expect_large(mmb_map *map)
{
    if (!map->traits.has_huge_pages || !mmb__is_mapped(map) ||
        !atomic_exchange_explicit(&next_is_large, false, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&map->large, true, memory_order_relaxed);
    mmb__os_use_huge_pages(map->base, first_granule(map), true);
    return true;
}

void mmb__expect_no_more(mmb_map *map)
{
    if (atomic_exchange_explicit(&map->large, false, memory_order_relaxed)) {
        mmb__os_use_huge_pages(map->base, first_granule(map), false);
    }
}

void mmb__learn_size(uint64_t size)
{
    if (size >= LARGE) {
        atomic_store_explicit(&next_is_large, true, memory_order_relaxed);
    }
}
