/* test_used.c - the end of the content, against a plain look at every byte; and what
 * is made zero again. */
#include "tempfile.h"

#include <sys/mman.h>

/* One past the last byte that is not zero. */
static uint64_t naive_used(const mmb_map *map, const uint64_t *stored, size_t count, uint64_t floor)
{
    uint64_t used = floor;
    for (size_t i = 0; i < count; i++) {
        if (stored[i] + 1 > used && mmb_map_base(map)[stored[i]] != 0) {
            used = stored[i] + 1;
        }
    }
    return used;
}

static void check_used(mmb_map *map, const uint64_t *stored, size_t count, uint64_t floor)
{
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, floor, &used), 0);
    CHECK_EQ(used, naive_used(map, stored, count, floor));
}

static uint64_t some_offset(uint64_t *seed, uint64_t capacity)
{
    uint64_t value = next_random(seed);
    switch (value % 4) {
    case 0:
        return value / 4 % capacity; /* anywhere */
    case 1:
        return value / 4 % (MIB < capacity ? MIB : capacity); /* near the start */
    case 2: {
        /* The edges of pages and granules. */
        uint64_t unit = (value & 4) != 0 ? 4096 : MMB_GRANULE;
        uint64_t edge = value / 8 % (capacity / unit + 1) * unit;
        uint64_t at = edge - ((value & 8) != 0 && edge > 0);
        return at < capacity ? at : capacity - 1;
    }
    default:
        return capacity - 1 - value / 4 % (capacity < 100 ? capacity : 100);
    }
}

static void random_stores_are_found(void)
{
    enum { STORES = 12 };
    uint64_t seed = 11;
    for (int round = 0; round < LESS_UNDER_TSAN(150); round++) {
        static const uint64_t capacities[] = {GIB, 5 * MIB + 77, 64 * MIB, 2 * MIB, 100};
        uint64_t capacity = capacities[next_random(&seed) % 5];
        int fd = temp_file();
        mmb_map *map = open_map(fd, capacity);
        uint64_t stored[STORES];
        size_t count = 0;
        check_used(map, stored, 0, 0);
        for (int i = 0; i < STORES; i++) {
            uint64_t at = some_offset(&seed, capacity);
            stored[count++] = at;
            switch (next_random(&seed) % 6) {
            case 0:
                mmb_map_base(map)[at] = 0; /* data to the file system, but nothing */
                break;
            case 1:
                CHECK_EQ(mmb_map_reserve(map, 0, at + 1 < 32 * MIB ? at + 1 : 1), 0);
                break;
            case 2:
                CHECK_EQ(mmb_map_write(map, at, "w", 1), 0);
                break;
            default:
                mmb_map_base(map)[at] = (unsigned char)(1 + i);
            }
            check_used(map, stored, count, 0);
            if (next_random(&seed) % 4 == 0) {
                check_used(map, stored, count, next_random(&seed) % capacity);
            }
            if (next_random(&seed) % 8 == 0) {
                CHECK_EQ(mmb_map_flush(map, true), 0);
                check_used(map, stored, count, 0);
            }
        }
        mmb_map_seal(map);
        check_used(map, stored, count, 0);
        mmb_map_free(map);
        close(fd);
    }
}

static void what_is_made_zero_is_zero(void)
{
    uint64_t seed = 23;
    for (int round = 0; round < LESS_UNDER_TSAN(60); round++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, 64 * MIB);
        const uint64_t size = 7 * MIB + 33;
        memset(mmb_map_base(map), 5, size);
        uint64_t backed = stats_of(map).backed;
        uint64_t from =
            round % 4 == 0 ? next_random(&seed) % 4 * 4096 : next_random(&seed) % (size + 2 * MIB);
        CHECK_EQ(mmb_map_truncate(map, from), 0);
        CHECK_EQ(file_size(fd), backed); /* EOF stays */
        for (uint64_t at = 0; at < size; at += 57) {
            CHECK_EQ(mmb_map_base(map)[at], at < from ? 5 : 0);
        }
        if (from < size && from > 0) {
            CHECK_EQ(mmb_map_base(map)[from - 1], 5);
            CHECK_EQ(mmb_map_base(map)[from], 0);
        }
        uint64_t used = 0;
        CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
        CHECK_EQ(used, from < size ? from : size);
        /* And can be had again. */
        CHECK_EQ(mmb_map_reserve(map, 0, size), 0);
        mmb_map_base(map)[size - 1] = 6;
        CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
        CHECK_EQ(used, size);
        close_map(map, size);
        close(fd);
    }
}

static void the_position_of_the_fd_stays(void)
{
    int fd = temp_file();
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[100 * MIB] = 1;
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK_EQ(used, 100 * MIB + 1);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    close_map(map, used);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
    close(fd);
}

int main(void)
{
    RUN(random_stores_are_found);
    RUN(what_is_made_zero_is_zero);
    RUN(the_position_of_the_fd_stays);
    return 0;
}
