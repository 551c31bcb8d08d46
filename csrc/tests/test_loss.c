/* test_loss.c - what a store that finds no room leaves behind: where the loss begins, and that
 * each store below it is in the file. */
#include "tempfile.h"

#include "disk.h"

enum { RECORD = 8, SECONDS = 60 };

#define KEPT (((uint64_t)1 << MMB_LOSS_KEPT_BITS) - 3)

static uint64_t record_of(int fd)
{
    unsigned char bytes[8];
    uint64_t value = 0;
    CHECK_EQ(pread(fd, bytes, sizeof bytes, RECORD), 8);
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void nothing_is_lost_at_first(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[5 * MIB] = 1;
    CHECK_EQ(mmb_map_lost_from(map), UINT64_MAX);
    mmb_map_note_loss_at(map, RECORD, KEPT);
    CHECK_EQ(record_of(fd), 0);
    CHECK_EQ(mmb_loss_offset(KEPT), UINT64_MAX);
    mmb_map_set_poison(map, EIO);
    CHECK_EQ(mmb_map_lost_from(map), UINT64_MAX);
    mmb_map_base(map)[500 * MIB + 7] = 1; /* poisoned: it does not grow any more */
    CHECK_EQ(mmb_map_lost_from(map), 500 * MIB);
    CHECK_EQ(mmb_loss_offset(record_of(fd)), 500 * MIB);
    CHECK_EQ(record_of(fd) & (((uint64_t)1 << MMB_LOSS_KEPT_BITS) - 1), KEPT);
    mmb_map_free(map);
    close(fd);
}

int main(void)
{
    RUN(nothing_is_lost_at_first);
    return 0;
}
