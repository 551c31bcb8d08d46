/* test_io_error.c - the device below fails: in reading, and in writing.
 *
 * The device is a loop image without room: it lies on a tmpfs that is smaller than
 * the image, so that writing to most of it fails, and reading what has been cut off
 * it fails as well. */
#include "disk.h"

enum { SECONDS = 100 };

static const disk_kind disk_failing = {"ext4", "mkfs.ext4 -q -F -O ^has_journal", 1 << 20, "loop"};

static mmb_map *open_map_in(const char *directory, int *fd)
{
    *fd = make_file_in(directory, NULL);
    return open_map(*fd, GIB);
}

/* Blocks can be had, but the device does not take what is written to them. */
static int writing_fails(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd);
    unsigned char *base = mmb_map_base(map);
    for (uint64_t at = 0; at < 100 * MIB; at += 512) {
        base[at] = (unsigned char)(at / 512 + 1);
    }
    CHECK_EQ(mmb_map_poison(map), 0);
    int error = mmb_map_flush(map, true);
    CHECK(error == EIO || error == ENOSPC);
    CHECK_EQ(mmb_map_poison(map), error); /* the kernel tells it once */
    for (uint64_t at = 0; at < 100 * MIB; at += 512) {
        CHECK_EQ(base[at], (unsigned char)(at / 512 + 1)); /* in memory still */
    }
    mmb_map_seal(map);
    (void)mmb_map_cut(map, 100 * MIB);
    (void)mmb_map_detach(map);
    base[5] = 1;
    mmb_map_free(map);
    close(fd);
    return 0;
}

/* What has been written cannot be read back. */
static int reading_fails(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd);
    memset(mmb_map_base(map), 7, 12 * MIB);
    CHECK_EQ(mmb_map_flush(map, true), 0);
    close_map(map, 12 * MIB);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    char image[PATH_MAX];
    snprintf(image, sizeof image, "%s/../image", (const char *)directory);
    struct stat was;
    CHECK(stat(image, &was) == 0 && truncate(image, 4 * MIB) == 0);

    map = open_map(fd, GIB);
    volatile unsigned char *base = mmb_map_base(map);
    unsigned sum = 0;
    for (uint64_t at = 0; at < 12 * MIB; at += 4096) {
        sum += base[at]; /* lives */
    }
    CHECK(sum < 7 * 12 * MIB / 4096);
    CHECK_EQ(mmb_map_poison(map), EIO);
    base[11 * MIB] = 1;
    CHECK_EQ(base[11 * MIB], 1);
    CHECK_EQ(mmb_map_ensure(map, 20 * MIB), EIO);
    mmb_map_free(map);
    close(fd);
    CHECK(truncate(image, was.st_size) == 0);
    return 0;
}

static int (*inner)(void *);

static int on_the_failing_disk(void *directory)
{
    CHECK(setenv("MMB_TEST_DIR", directory, 1) == 0);
    return on_disk(&disk_failing, 200 * MIB, inner, SECONDS) ? 0 : 1;
}

static void run_on_failing_disk(int (*work)(void *))
{
    inner = work;
    on_disk(&disk_tmpfs, 24 * MIB, on_the_failing_disk, SECONDS);
}

static void a_write_error_is_reported_by_the_sync(void)
{
    run_on_failing_disk(writing_fails);
}

static void a_read_error_poisons(void)
{
    run_on_failing_disk(reading_fails);
}

int main(void)
{
    RUN(a_write_error_is_reported_by_the_sync);
    RUN(a_read_error_poisons);
    return 0;
}
