/* use.c - the calls that work on a map and can return an error: reserving, writing, flushing,
 * finding the end of the content. handler.c has what stores need. */
#include "file/content.h"
#include "file/growth.h"
#include "file/io.h"
#include "file/label.h"
#include "map.h"
#include "memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* ---- room ------------------------------------------------------------------- */

int mmb_map_ensure(mmb_map *map, uint64_t end)
{
    return mmb__extend_to(&map->file, end);
}

static int bring_in(mmb_map *map, uint64_t start, uint64_t stop)
{
    unsigned char *base = NULL;
    int error = mmb_map_memory(map, &base);
    if (error == 0) {
        error = mmb__os_populate(base + start, stop - start, true);
    }
    return error == EFAULT ? ENOSPC : error == ENOSYS ? 0 : error;
}

/* Bring in the pages of a range, for file systems that cannot promise blocks. The owner's close
 * waits for this: the pages must not come after it has truncated the file. */
static int reserve_pages(mmb_map *map, uint64_t start, uint64_t stop)
{
    uint32_t entry = mmb__in_flight_enter(map->file.shared);
    uint64_t eof = 0;
    int error = mmb__check(&map->file, &eof);
    if (error == 0) {
        error = bring_in(map, start, stop);
    }
    mmb__in_flight_leave(map->file.shared, entry);
    return error;
}

/* Bring in the pages at both ends of a range. A file system with large folios needs blocks for the
 * whole folio of a page, and the range may hold only a part of that folio. On a disk that is
 * almost full such a page may not be had although the range has its blocks. */
static int try_ends(mmb_map *map, uint64_t start, uint64_t stop)
{
    if (!mmb__os_is_full(map->file.fd, 4 * MMB_GRANULE)) {
        return 0;
    }
    uint64_t first = mmb__min(stop, mmb__round_up(start + 1, MMB_GRANULE));
    uint64_t last = mmb__max(first, mmb__round_down(stop - 1, MMB_GRANULE));
    int error = bring_in(map, start, first);
    return error == 0 && last < stop ? bring_in(map, last, stop) : error;
}

int mmb_map_reserve(mmb_map *map, uint64_t from, uint64_t end)
{
    if (end > map->file.capacity) {
        return MMB_ECAPACITY;
    }
    if (from >= end) {
        return 0;
    }
    uint64_t start = mmb__round_down(from, mmb__os_page());
    uint64_t stop = mmb__round_up(end, mmb__os_page());
    int error = mmb__reserve(&map->file, start, stop);
    if (error == EOPNOTSUPP) {
        return reserve_pages(map, start, stop);
    }
    return error == 0 ? try_ends(map, start, stop) : error;
}

/* ---- writing ---------------------------------------------------------------- */

static bool overlaps(const mmb_map *map, uint64_t offset, const void *data, uint64_t length)
{
    const unsigned char *base = mmb__base(map);
    uintptr_t from = (uintptr_t)data, to = (uintptr_t)base + offset;
    return base != NULL && from < to + length && to < from + length;
}

int mmb_map_write(mmb_map *map, uint64_t offset, const void *data, uint64_t length)
{
    if (offset > map->file.capacity || length > map->file.capacity - offset) {
        return MMB_ECAPACITY;
    }
    if (length == 0) {
        return 0;
    }
    if (!overlaps(map, offset, data, length)) {
        return mmb__write(&map->file, offset, data, length);
    }
    /* The kernel copies forward: it would read bytes that it has just written. */
    uint32_t entry = mmb__in_flight_enter(map->file.shared);
    int error = mmb_map_reserve(map, offset, offset + length);
    if (error == 0) {
        memmove(mmb__base(map) + offset, data, (size_t)length);
        mmb__declare(&map->file, offset + length);
    }
    mmb__in_flight_leave(map->file.shared, entry);
    return error;
}

int mmb_map_put(mmb_map *map, uint64_t offset, const void *data, uint64_t length)
{
    const mmb__file *file = &map->file;
    return mmb__os_write_all(file->fd, file->is_shared, data, (size_t)length, offset, NULL);
}

int mmb_map_make_hole(mmb_map *map, uint64_t offset, uint64_t length)
{
    return mmb__make_hole(&map->file, offset, length);
}

/* Move EOF to the declared size, so that others see a file of that length. The new bytes are a
 * hole, and cost nothing. */
static int reach_declared_size(mmb_map *map, uint64_t *eof)
{
    uint64_t declared = atomic_load(&map->file.shared->declared_size);
    int error = mmb__our_file(&map->file, eof);
    bool moved = false;
    if (error == 0 && *eof < declared) {
        error = mmb__grow(&map->file, declared - 1, declared, MMB__READ, &moved);
    }
    return error == 0 && moved ? mmb__our_file(&map->file, eof) : error;
}

static int push(mmb_map *map, bool durable)
{
    uint64_t eof = 0;
    int error = reach_declared_size(map, &eof);
    unsigned char *base = mmb__base(map);
    uint64_t length = mmb__min(eof, map->file.limit);
    if (error == 0 && base != NULL && length > 0 && msync(base, (size_t)length, MS_ASYNC) != 0) {
        error = errno;
    }
    if (error == 0) {
        mmb__renew_label(&map->file);
    }
    return error == 0 && durable ? mmb__os_datasync(map->file.fd) : error;
}

/* The kernel reports a failed write only once. */
static int remember(mmb_map *map, int error)
{
    if (error != 0 && error != EBADF) {
        mmb__poison(&map->file, error);
    }
    return error;
}

int mmb_map_flush(mmb_map *map, bool durable)
{
    return remember(map, push(map, durable));
}

/* What was written by calls lies in the same pages as what was stored. */
static int push_range(mmb_map *map, uint64_t offset, uint64_t length)
{
    uint64_t eof = 0;
    int error = reach_declared_size(map, &eof);
    unsigned char *base = mmb__base(map);
    if (error != 0 || base == NULL) {
        return error != 0 ? error : mmb__os_datasync(map->file.fd);
    }
    uint64_t limit = mmb__min(eof, map->file.limit);
    uint64_t start = mmb__round_down(offset, mmb__os_page());
    uint64_t stop = length < limit - mmb__min(offset, limit) ? offset + length : limit;
    if (start < stop && msync(base + start, (size_t)(stop - start), MS_SYNC) != 0) {
        error = errno;
    }
    return error;
}

int mmb_map_flush_range(mmb_map *map, uint64_t offset, uint64_t length)
{
    return remember(map, push_range(map, offset, length));
}

/* ---- looking ----------------------------------------------------------------- */

int mmb_map_find_used(mmb_map *map, uint64_t floor, uint64_t *used)
{
    int error = mmb__publish_stores(map);
    return error != 0 ? error : mmb__find_used(&map->file, floor, used);
}
