/* used.c - where the content of a file ends, and making what follows zeros. */
#include "internal.h"
#include "os.h"

#include <errno.h>
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

/* One past the granule of the last data below `end`, by halving: "is there data
 * from x on" is true up to that data and false beyond it. `floor` if none. */
static int last_data(const mmb_map *map, uint64_t floor, uint64_t end, uint64_t *last)
{
    bool some = false;
    int error = has_data(map, floor, end, &some);
    if (error != 0 || !some) {
        *last = floor;
        return error;
    }
    uint64_t low = floor; /* data from here on */
    uint64_t high = end;  /* none from here on */
    while (error == 0 && mmb__round_down(high - 1, MMB_GRANULE) > low) {
        uint64_t middle = mmb__round_up(low + (high - low) / 2, MMB_GRANULE);
        middle = middle < high ? middle : mmb__round_down(high - 1, MMB_GRANULE);
        error = has_data(map, middle, end, &some);
        if (some) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *last = high;
    return error;
}

/* One past the last non-zero byte of [from, to), or `from`. */
static uint64_t last_nonzero(const unsigned char *base, uint64_t from, uint64_t to)
{
    while (to > from && to % sizeof(uint64_t) != 0 && base[to - 1] == 0) {
        to--;
    }
    if (to > from && to % sizeof(uint64_t) == 0) {
        uint64_t word = 0;
        while (to - from >= sizeof word) {
            memcpy(&word, base + to - sizeof word, sizeof word);
            if (word != 0) {
                break;
            }
            to -= sizeof word;
        }
        while (to > from && base[to - 1] == 0) {
            to--;
        }
    }
    return to;
}

int mmb_map_find_used(mmb_map *map, uint64_t floor, uint64_t *used)
{
    uint64_t eof = 0;
    int unusable = mmb__our_file(map, &eof);
    if (unusable != 0) {
        return unusable;
    }
    uint64_t end = mmb__min(eof, map->capacity);
    while (end > floor) {
        uint64_t last = end;
        int error = last_data(map, floor, end, &last);
        if (error != 0 && error != EOPNOTSUPP) {
            return error;
        }
        if (last <= floor) {
            break;
        }
        /* Read one granule; on to the one before if it holds nothing but zeros. */
        uint64_t start = mmb__max(floor, mmb__round_down(last - 1, MMB_GRANULE));
        uint64_t found = last_nonzero(map->base, start, last);
        if (found > start) {
            *used = found;
            return 0;
        }
        end = start;
    }
    *used = floor;
    return 0;
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
    if (error != 0 || from >= eof) {
        return error;
    }
    uint64_t page_end = mmb__min(mmb__round_up(from, mmb__os_page()), eof);
    error = write_zeros(map, from, page_end);
    if (error != 0 || page_end == eof) {
        return error;
    }
    uint64_t solid = atomic_load_explicit(&map->solid, memory_order_relaxed);
    while (solid > page_end && !atomic_compare_exchange_weak(&map->solid, &solid, page_end)) {
    }
    error = mmb__os_punch(map->fd, page_end, eof - page_end);
    return error == EOPNOTSUPP ? write_zeros(map, page_end, eof) : error;
}
