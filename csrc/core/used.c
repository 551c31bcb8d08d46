/* used.c - where the content of a file ends, and making what follows zeros. */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* Is there data at or after `offset` and below `end`? */
static int has_data(const mmb_map *map, uint64_t offset, uint64_t end, bool *answer)
{
    uint64_t found = 0;
    int error = mmb__os_next_data(map->fd, offset, &found);
    *answer = error == 0 && found < end;
    return error == ENXIO ? 0 : error;
}

/* One past the page of the last data below `end`, by halving: "is there data from x
 * on" is true up to that data and false beyond it. `floor` if none. The first page is
 * tried on its own, since many files have no other. */
static int last_data(const mmb_map *map, uint64_t floor, uint64_t end, uint64_t *last)
{
    bool some = false;
    int error = has_data(map, floor, end, &some);
    if (error != 0) {
        return error;
    }
    if (!some) {
        *last = floor;
        return 0;
    }
    uint64_t page = mmb__os_page();
    uint64_t low = floor; /* data from here on */
    uint64_t high = end;  /* none from here on */
    uint64_t step = page;
    while (error == 0 && mmb__round_down(high - 1, page) > low) {
        uint64_t middle = mmb__round_up(low + step, page);
        middle = middle < high ? middle : mmb__round_down(high - 1, page);
        error = has_data(map, middle, end, &some);
        if (some) {
            low = middle;
        } else {
            high = middle;
        }
        step = (high - low) / 2;
    }
    *last = high;
    return error;
}

/* One past the last non-zero byte of `bytes`, or 0. */
static size_t last_nonzero(const unsigned char *bytes, size_t length)
{
    uint64_t word = 0;
    while (length % sizeof word != 0 && bytes[length - 1] == 0) {
        length--;
    }
    if (length % sizeof word == 0) {
        while (length > 0) {
            memcpy(&word, bytes + length - sizeof word, sizeof word);
            if (word != 0) {
                break;
            }
            length -= sizeof word;
        }
        while (length > 0 && bytes[length - 1] == 0) {
            length--;
        }
    }
    return length;
}

/* The same for [from, to) of the file; `from` if there is none. */
static int last_used(const mmb_map *map, uint64_t from, uint64_t to, uint64_t *last)
{
    unsigned char bytes[1 << 14];
    *last = from;
    while (to > from) {
        size_t length = (size_t)mmb__min(to - from, sizeof bytes), got = 0;
        uint64_t at = to - length;
        const unsigned char *base = mmb__is_mapped(map) ? map->base : NULL;
        int error = mmb__os_read(map->fd, base, at, bytes, length, &got);
        if (error != 0) {
            return error;
        }
        size_t end = last_nonzero(bytes, got);
        if (end > 0) {
            *last = at + end;
            return 0;
        }
        to = at;
    }
    return 0;
}

/* The work of mmb_map_find_used; moves the file offset. */
static int find_used(const mmb_map *map, uint64_t floor, uint64_t end, uint64_t *used)
{
    while (end > floor) {
        uint64_t last = end;
        int error = map->traits.finds_data ? last_data(map, floor, end, &last) : EOPNOTSUPP;
        if (error == EOPNOTSUPP) {
            last = end; /* all of it must be read */
        } else if (error != 0) {
            return error;
        }
        if (last <= floor) {
            break;
        }
        /* Read one granule; on to the one before if it holds nothing but zeros. */
        uint64_t start = mmb__max(floor, mmb__round_down(last - 1, MMB_GRANULE));
        uint64_t found = start;
        error = last_used(map, start, last, &found);
        if (error != 0) {
            return error;
        }
        if (found > start) {
            *used = found;
            return 0;
        }
        end = start;
    }
    *used = floor;
    return 0;
}

int mmb_map_find_used(mmb_map *map, uint64_t floor, uint64_t *used)
{
    uint64_t eof = 0;
    int error = mmb__our_file(map, &eof);
    if (error != 0) {
        return error;
    }
    if (floor >= mmb__min(eof, map->capacity)) {
        *used = floor;
        return 0;
    }
    /* The file offset belongs to the caller's fd as well, of which ours is a
     * duplicate: leave it where it was. One at a time, or the second would take where
     * the first is for where it was. */
    while (atomic_exchange(&map->seeking, true)) {
        sched_yield();
    }
    off_t before = lseek(map->fd, 0, SEEK_CUR);
    error = find_used(map, floor, mmb__min(eof, map->capacity), used);
    if (before >= 0) {
        lseek(map->fd, before, SEEK_SET);
    }
    atomic_store(&map->seeking, false);
    return error;
}

/* Where no hole can be made. */
static int write_zeros(const mmb_map *map, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[1 << 16];
    while (from < to) {
        ssize_t done =
            pwrite(map->fd, zeros, (size_t)mmb__min(to - from, sizeof zeros), (off_t)from);
        if (done < 0 && errno != EINTR) {
            return errno;
        }
        if (done == 0) {
            return EIO;
        }
        from += done > 0 ? (uint64_t)done : 0;
    }
    return 0;
}

int mmb_map_zero_from(mmb_map *map, uint64_t from)
{
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    if (error == 0 && !mmb_map_is_owner(map)) {
        return EPERM;
    }
    if (error != 0 || from >= eof) {
        return error;
    }
    /* A huge page must find blocks for all of it when it comes in again, or the disk could be
     * full by then, and the file is not large as it is. */
    bool huge = atomic_load_explicit(&map->large, memory_order_relaxed) && from < MMB_GRANULE;
    uint64_t punched = huge ? MMB_GRANULE : mmb__round_up(from, mmb__os_page());
    punched = mmb__min(punched, eof);
    error = write_zeros(map, from, punched);
    if (error != 0 || punched == eof) {
        return error;
    }
    sigset_t before;
    mmb__begin_blocks(map, &before);
    _Atomic uint64_t *solid = &map->shared->solid;
    uint64_t seen = atomic_load(solid);
    while (seen > punched && !atomic_compare_exchange_weak(solid, &seen, punched)) {
    }
    error = mmb__os_punch(map->fd, punched, eof - punched);
    mmb__end_blocks(map, &before);
    return error == EOPNOTSUPP ? write_zeros(map, punched, eof) : error;
}
