/* private.c - replacing the memory of a map, in the handler and in the end. */
#include "private.h"

#include <errno.h>
#include <sched.h>

/* Faults come again after an answer that did not help: the limit on believing in it.
 * Systems that cannot say whether a page can be had are asked so often. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset)
{
    enum { ENOUGH = 10000 };
    if (atomic_exchange_explicit(&map->retry_offset, offset, memory_order_relaxed) != offset) {
        atomic_store_explicit(&map->retries, 0, memory_order_relaxed);
        return false;
    }
    return atomic_fetch_add_explicit(&map->retries, 1, memory_order_relaxed) > ENOUGH;
}

/* Map [offset, offset + length) of the map privately on the file at `source`; what
 * lies beyond EOF becomes zeros. Handler: yes. */
static int show_file(const mmb_map *map, uint64_t offset, uint64_t length, uint64_t source,
                     uint64_t eof)
{
    uint64_t there = source < eof ? mmb__min(length, eof - source) : 0;
    there = mmb__min(mmb__round_up(there, mmb__os_page()), length);
    int error = 0;
    if (there > 0) {
        error = mmb__os_map_private(map->base + offset, there, map->file.fd, source);
    }
    if (error == 0 && there < length) {
        /* A kernel that counts private memory strictly may have none for so large a
         * range. Then the shared mapping stays, and each access to it faults and is
         * covered by a page of its own. */
        (void)mmb__os_map_zeros(map->base + offset + there, length - there);
    }
    return error;
}

/* The whole map, with what was collapsed out of the file as zeros, the rest at
 * its old place. Handler: yes. */
static int show_all(const mmb_map *map)
{
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    uint64_t at = 0, gone = 0;
    for (size_t i = map->cut_count; error == 0 && i-- > 0;) {
        const mmb__cut *cut = &map->cuts[i];
        error = show_file(map, at, cut->offset - at, at - gone, eof);
        if (error == 0) {
            error = mmb__os_map_zeros(map->base + cut->offset, cut->length);
        }
        at = cut->offset + cut->length;
        gone += cut->length;
    }
    return error != 0 ? error : show_file(map, at, map->file.limit - at, at - gone, eof);
}

/* Put zeros where even the private copy has no page: beyond the end of a file that
 * someone has cut, on a full disk, or where a block cannot be read. */
static bool cover_page(mmb_map *map, uint64_t start)
{
    uint64_t page = mmb__os_page();
    int error = mmb__os_populate(map->base + start, page, true);
    if (error != EFAULT && mmb__tried_too_often(map, start)) {
        return false;
    }
    if (error != EFAULT && error != ENOSYS) {
        return true; /* another thread was faster, and may have stored there by now */
    }
    return mmb__os_map_zeros(map->base + start, page) == 0 ||
           mmb__os_map_zeros(map->base + start, map->file.limit - start) == 0;
}

bool mmb__make_private(mmb_map *map, uint64_t offset)
{
    int state = MMB__SHARED_FILE;
    if (atomic_compare_exchange_strong(&map->state, &state, MMB__CONVERTING)) {
        /* On failure the pages are covered one by one as they fault. */
        (void)show_all(map);
        atomic_store_explicit(&map->state, MMB__PRIVATE, memory_order_release);
        return true;
    }
    if (state == MMB__PRIVATE &&
        atomic_compare_exchange_strong(&map->state, &state, MMB__COVERING)) {
        bool covered = cover_page(map, mmb__round_down(offset, mmb__os_page()));
        atomic_store_explicit(&map->state, MMB__PRIVATE, memory_order_release);
        return covered;
    }
    sched_yield();
    return true; /* and fault again until the other thread is done */
}

int mmb__make_all_private(mmb_map *map)
{
    /* A store that came after the seal may have made the copy already, but before the file was
     * truncated and collapsed: make it anew. */
    int error = 0;
    int state = MMB__SHARED_FILE;
    while (!atomic_compare_exchange_weak(&map->state, &state, MMB__CONVERTING) &&
           state != MMB__PRIVATE) {
        sched_yield();
        state = MMB__SHARED_FILE;
    }
    if (mmb__is_mapped(map) &&
        (state != MMB__PRIVATE || atomic_load(&map->file.shared->poison) == 0)) {
        error = show_all(map);
    }
    atomic_store_explicit(&map->state, MMB__PRIVATE, memory_order_release);
    return error;
}

void mmb__private_after_fork(mmb_map *map)
{
    int converting = MMB__CONVERTING, covering = MMB__COVERING;
    atomic_compare_exchange_strong(&map->state, &converting, MMB__SHARED_FILE);
    atomic_compare_exchange_strong(&map->state, &covering, MMB__PRIVATE);
}
