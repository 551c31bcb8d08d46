/* calls.c - what is done to a map by calls, which can return an error: reserving, writing,
 * flushing. What stores do stands in growth.c. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int check_range(const mmb_map *map, uint64_t end)
{
    return end > map->capacity ? MMB_ECAPACITY : 0;
}

/* As much as is allocated, with all signals blocked, or written at once. */
#define PIECE ((uint64_t)256 << 20)

int mmb_map_ensure(mmb_map *map, uint64_t end)
{
    if (end > map->length) {
        return MMB_ECAPACITY;
    }
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    while (error == 0 && eof < end) {
        uint64_t next = mmb__min(end, eof + PIECE);
        error = mmb__grow(map, eof, next, MMB__WRITE);
        eof = next;
    }
    return error;
}

/* Blocks are not all that a store may need: a file system with large folios wants them
 * for the whole folio, of which the ends of a range have only a part. On a disk that
 * is almost full bring those in, to see whether they can be had. */
static int try_ends(mmb_map *map, uint64_t start, uint64_t stop)
{
    if (!mmb__os_is_full(map->fd, 4 * MMB_GRANULE)) {
        return 0;
    }
    uint64_t first = mmb__min(stop, mmb__round_up(start + 1, MMB_GRANULE));
    uint64_t last = mmb__max(first, mmb__round_down(stop - 1, MMB_GRANULE));
    int error = mmb__have_memory(map);
    if (error != 0) {
        return error;
    }
    error = mmb__os_populate(map->base + start, first - start, true);
    if ((error == 0 || error == ENOSYS) && last < stop) {
        error = mmb__os_populate(map->base + last, stop - last, true);
    }
    return error == EFAULT ? ENOSPC : error == ENOSYS ? 0 : error;
}

/* A file that is small has got no blocks yet. Who reserves in it is likely to go on: give
 * it blocks from where they end, and some ahead, so that the next calls find them. */
static bool reserve_ahead(mmb_map *map, uint64_t solid, uint64_t stop)
{
    uint64_t ahead = mmb__min(mmb__round_up(stop, MMB__SMALL), map->length);
    if (stop > MMB_GRANULE || mmb__allocate(map, solid, ahead - solid) != 0) {
        return false;
    }
    mmb__note_solid(map, solid, ahead);
    return true;
}

/* Blocks for [start, stop), which is below EOF and may have holes from `solid` on. */
static int reserve_holes(mmb_map *map, uint64_t solid, uint64_t start, uint64_t stop)
{
    sigset_t before;
    mmb__begin_blocks(map, &before);
    if (reserve_ahead(map, solid, stop)) {
        mmb__end_blocks(map, &before);
        return 0;
    }
    int error = mmb__allocate(map, start, stop - start);
    if (error == EOPNOTSUPP) {
        error = mmb__os_raise(map->fd, start, stop); /* NFS */
    }
    if (error == 0) {
        mmb__note_solid(map, start, stop);
    }
    mmb__end_blocks(map, &before);
    if (error == EOPNOTSUPP) {
        /* The next best: the pages themselves. */
        error = mmb__have_memory(map);
        if (error == 0) {
            error = mmb__os_populate(map->base + start, stop - start, true);
        }
        return error == EFAULT ? ENOSPC : error == ENOSYS ? 0 : error;
    }
    return error;
}

/* Back whole pages. */
static int reserve_piece(mmb_map *map, uint64_t start, uint64_t stop)
{
    int error = mmb__grow(map, start, stop, MMB__WRITE);
    uint64_t solid = atomic_load(&map->shared->solid);
    if (error != 0 || stop <= solid) {
        return error;
    }
    /* The owner's close waits for this, lest blocks come after it has cut the file. */
    uint32_t entry = mmb__growers_enter(map->shared);
    uint64_t eof = 0;
    error = mmb__check(map, &eof);
    if (error == 0) {
        error = reserve_holes(map, solid, start, stop);
    }
    mmb__growers_leave(map->shared, entry);
    return error;
}

int mmb_map_reserve(mmb_map *map, uint64_t from, uint64_t end)
{
    int error = check_range(map, end);
    if (error != 0 || from >= end) {
        return error;
    }
    uint64_t start = mmb__round_down(from, mmb__os_page());
    uint64_t stop = mmb__round_up(end, mmb__os_page());
    for (uint64_t at = start; error == 0 && at < stop; at += PIECE) {
        error = reserve_piece(map, at, mmb__min(stop, at + PIECE));
    }
    return error != 0 ? error : try_ends(map, start, stop);
}

/* Some of a write, below EOF; the number of bytes in *done. */
static int write_some(mmb_map *map, uint64_t offset, const void *data, uint64_t length,
                      uint64_t *done)
{
    ssize_t written = pwrite(map->fd, data, (size_t)length, (off_t)offset);
    if (written < 0 && errno == EFAULT) {
        /* The source lies beyond EOF of a map: only a load of our own can make it
         * grow there, the kernel's cannot. */
        int error = mmb__have_memory(map);
        if (error != 0) {
            return error;
        }
        written = (ssize_t)mmb__min(length, mmb__os_page());
        memmove(map->base + offset, data, (size_t)written);
    }
    *done = written > 0 ? (uint64_t)written : 0;
    return written > 0 || (written < 0 && errno == EINTR) ? 0 : written < 0 ? errno : EIO;
}

/* Back [offset, offset + length) if a write there could find the disk full half way: the growth
 * of one piece gives it blocks, but holes below EOF have none, and of several pieces a later
 * one may have no room. What is short is not worth the calls, and where there is no fallocate
 * to give blocks, bringing in the pages would take longer than the write. */
static int make_room(mmb_map *map, uint64_t offset, uint64_t length)
{
    bool is_new = offset >= atomic_load(&map->shared->backed) && length <= PIECE;
    bool has_blocks = offset + length <= atomic_load(&map->shared->solid);
    if (length <= MMB__SMALL || is_new || has_blocks || !mmb__can_allocate(map)) {
        return 0;
    }
    return mmb_map_reserve(map, offset, offset + length);
}

/* Write with the kernel's help: it copies without zeroing what is overwritten. */
static int write_from_elsewhere(mmb_map *map, uint64_t offset, const unsigned char *from,
                                uint64_t length)
{
    int error = make_room(map, offset, length);
    while (error == 0 && length > 0) {
        uint64_t piece = mmb__min(length, PIECE), done = 0;
        /* The owner's close waits for all of this, lest it cut the file first. */
        uint32_t entry = mmb__growers_enter(map->shared);
        error = mmb__grow(map, offset, offset + piece, MMB__WRITE);
        if (error == 0) {
            error = write_some(map, offset, from, piece, &done);
        }
        mmb__growers_leave(map->shared, entry);
        from += done;
        offset += done;
        length -= done;
    }
    return error;
}

static bool overlaps(const mmb_map *map, uint64_t offset, const void *data, uint64_t length)
{
    if (!mmb__is_mapped(map)) {
        return false;
    }
    uintptr_t from = (uintptr_t)data, to = (uintptr_t)(map->base + offset);
    return from < to + length && to < from + length;
}

int mmb_map_write(mmb_map *map, uint64_t offset, const void *data, uint64_t length)
{
    if (offset > map->capacity || length > map->capacity - offset) {
        return MMB_ECAPACITY;
    }
    int error = 0;
    if (mmb__write_hidden(map, offset, data, length, &error)) {
        return error;
    }
    if (!overlaps(map, offset, data, length)) {
        return write_from_elsewhere(map, offset, data, length);
    }
    /* The kernel copies forward, and would read what it has just written. */
    error = mmb_map_reserve(map, offset, offset + length);
    if (error == 0) {
        memmove(map->base + offset, data, (size_t)length);
    }
    return error;
}

int mmb_map_flush(mmb_map *map, bool durable)
{
    uint64_t eof = 0;
    int error = mmb__our_file(map, &eof);
    if (error != 0) {
        return error;
    }
    uint64_t length = mmb__min(eof, map->length);
    if (length > 0 && mmb__is_mapped(map) && msync(map->base, (size_t)length, MS_ASYNC) != 0) {
        return errno;
    }
    return durable ? mmb__os_datasync(map->fd) : 0;
}
