/* snapshot.c - a private copy in place of the file: for poisoned and closed maps.
 *
 * A private mapping of the file shows its content at the old addresses, costs
 * nothing until it is written, and keeps every later store out of the file; zeros
 * stand where the file has nothing. So a full disk needs no other memory than the
 * pages that are written after it, and a closed message stays readable. What it
 * cannot do: whoever cuts the file later takes the pages away, changed ones too. */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Map [offset, offset + length) of the map privately on the file at `source`; what
 * lies beyond EOF becomes zeros. Handler: yes. */
static int show_file(const mmb_map *map, uint64_t offset, uint64_t length, uint64_t source,
                     uint64_t eof)
{
    uint64_t there = source < eof ? mmb__min(length, eof - source) : 0;
    there = mmb__min(mmb__round_up(there, mmb__os_page()), length);
    int error = 0;
    if (there > 0) {
        error = mmb__os_map_private(map->base + offset, there, map->fd, source);
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
    int error = mmb__our_file(map, &eof);
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
    return error != 0 ? error : show_file(map, at, map->length - at, at - gone, eof);
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
           mmb__os_map_zeros(map->base + start, map->length - start) == 0;
}

bool mmb__cover(mmb_map *map, uint64_t offset)
{
    int state = MMB__SHARED_FILE;
    if (atomic_compare_exchange_strong(&map->memory, &state, MMB__CONVERTING)) {
        /* On failure the pages are covered one by one as they fault. */
        (void)show_all(map);
        atomic_store_explicit(&map->memory, MMB__PRIVATE, memory_order_release);
        return true;
    }
    if (state == MMB__PRIVATE &&
        atomic_compare_exchange_strong(&map->memory, &state, MMB__COVERING)) {
        bool covered = cover_page(map, mmb__round_down(offset, mmb__os_page()));
        atomic_store_explicit(&map->memory, MMB__PRIVATE, memory_order_release);
        return covered;
    }
    sched_yield();
    return true; /* and fault again until the other thread is done */
}

int mmb_map_collapse(mmb_map *map, uint64_t offset, uint64_t length)
{
    if (!mmb_map_is_owner(map)) {
        return EPERM;
    }
    mmb__cut *cuts = realloc(map->cuts, (map->cut_count + 1) * sizeof *cuts);
    if (cuts == NULL) {
        return ENOMEM;
    }
    map->cuts = cuts;
    uint64_t eof = 0;
    int error = mmb__our_file(map, &eof);
    if (error == 0) {
        error = mmb__os_collapse(map->fd, offset, length);
    }
    if (error == 0) {
        cuts[map->cut_count++] = (mmb__cut){.offset = offset, .length = length};
    }
    return error;
}

uint64_t mmb_map_collapse_unit(const mmb_map *map)
{
    return mmb__can_allocate(map) ? mmb__os_collapse_unit(map->fd) : 0;
}

int mmb_map_detach(mmb_map *map)
{
    mmb_map_seal(map);
    if (map->detached || map->slot == MMB__NO_SLOT) {
        return 0;
    }
    map->detached = true;
    /* No handler grows the file any more. A store that came after the seal may
     * have made the copy already, but before the file was cut and collapsed: make
     * it anew. That of a poisoned map stays: its stores are nowhere else. */
    int error = 0;
    int state = MMB__SHARED_FILE;
    while (!atomic_compare_exchange_weak(&map->memory, &state, MMB__CONVERTING) &&
           state != MMB__PRIVATE) {
        sched_yield();
        state = MMB__SHARED_FILE;
    }
    if (mmb__is_mapped(map) && (state != MMB__PRIVATE || mmb_map_poison(map) == 0)) {
        error = show_all(map);
    }
    atomic_store_explicit(&map->memory, MMB__PRIVATE, memory_order_release);
    mmb__registry_drain(map);
    return error;
}
