/* test_dead_disk.c - the file system fails as a whole: shut down, or read-only on an error. A
 * program that stores on lives, and every call says what is wrong. */
#include "disk.h"

#include <sys/syscall.h>
#include <sys/sysmacros.h>

enum { SECONDS = 100, PAGE = 4096 };

static const disk_kind disk_ext4_ro = {"ext4", "mkfs.ext4 -q -F", 1 << 20,
                                       "loop,errors=remount-ro"};

/* As a disk that is gone: nothing is read or written any more. ext4 and xfs share the request. */
static void shut_down(int fd)
{
    enum { WITHOUT_A_LOG = 2 };
    const unsigned long request = 0x8004587d; /* _IOR('X', 125, uint32_t) */
    const uint32_t flags = WITHOUT_A_LOG;
    CHECK_EQ(syscall(SYS_ioctl, fd, request, &flags), 0);
}

/* As a file system that has found damage in itself. */
static void meet_an_error(int fd)
{
    struct stat now;
    char name[PATH_MAX], target[PATH_MAX];
    CHECK(fstat(fd, &now) == 0);
    snprintf(name, sizeof name, "/sys/dev/block/%u:%u", major(now.st_dev), minor(now.st_dev));
    ssize_t length = readlink(name, target, sizeof target - 1);
    CHECK(length > 0);
    target[length] = '\0';
    snprintf(name, sizeof name, "/sys/fs/ext4/%s/trigger_fs_error", strrchr(target, '/') + 1);
    int trigger = open(name, O_WRONLY);
    CHECK(trigger >= 0 && write(trigger, "1", 1) == 1);
    close(trigger);
}

static void (*kill_disk)(int fd);

static mmb_map *filled(const char *directory, int *fd, uint64_t size)
{
    *fd = make_file_in(directory, NULL);
    mmb_map *map = open_map(*fd, GIB);
    for (uint64_t at = 0; at < size; at += PAGE) {
        mmb_map_base(map)[at] = (unsigned char)(at / PAGE + 1);
    }
    return map;
}

static void check_filled(const mmb_map *map, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += PAGE) {
        CHECK_EQ(mmb_map_base(map)[at], (unsigned char)(at / PAGE + 1));
    }
}

/* Store everywhere; what was stored can be read. */
static void store_all_over(const mmb_map *map, uint64_t size)
{
    for (uint64_t at = 100; at < size; at += 3 * PAGE) {
        mmb_map_base(map)[at] = 7;
    }
    for (uint64_t at = 100; at < size; at += 3 * PAGE) {
        CHECK_EQ(mmb_map_base(map)[at], 7);
    }
}

static int it_dies_under_stores(void *directory)
{
    int fd;
    mmb_map *map = filled(directory, &fd, 3 * MIB);
    kill_disk(fd);
    store_all_over(map, 20 * MIB);
    int poison = mmb_map_poison(map);
    CHECK(poison == EIO || poison == EROFS);
    CHECK(mmb_map_lost_from(map) < 20 * MIB);
    int error = mmb_map_write(map, 0, "x", 1);
    CHECK(error == EIO || error == EROFS);
    error = mmb_map_ensure(map, 500 * MIB);
    CHECK(error == EIO || error == EROFS);
    check_filled(map, 3 * MIB);
    mmb_map_seal(map);
    (void)mmb_map_cut(map, 3 * MIB);
    (void)mmb_map_detach(map);
    check_filled(map, 3 * MIB);
    store_all_over(map, 40 * MIB);
    check_filled(map, 3 * MIB);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static int it_dies_before_the_close(void *directory)
{
    int fd;
    mmb_map *map = filled(directory, &fd, 3 * MIB);
    kill_disk(fd);
    int error = mmb_map_flush(map, true);
    CHECK(error == EIO || error == EROFS);
    CHECK_EQ(mmb_map_poison(map), error); /* the kernel tells it once */
    mmb_map_seal(map);
    (void)mmb_map_cut(map, 3 * MIB);
    (void)mmb_map_detach(map);
    check_filled(map, 3 * MIB);
    store_all_over(map, 40 * MIB);
    int own = mmb_map_take_fd(map);
    CHECK(own >= 0); /* ours still, though fstat may fail */
    close(own);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static int it_dies_after_the_close(void *directory)
{
    int fd;
    mmb_map *map = filled(directory, &fd, 3 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, 3 * MIB), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    kill_disk(fd);
    check_filled(map, 3 * MIB);
    store_all_over(map, 40 * MIB);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static int nothing_is_there_when_it_dies(void *directory)
{
    int fd = make_file_in(directory, NULL);
    mmb_map *map = open_map(fd, GIB);
    kill_disk(fd);
    mmb_map_base(map)[5 * MIB] = 7;
    CHECK_EQ(mmb_map_base(map)[5 * MIB], 7);
    int error = mmb_map_poison(map);
    CHECK(error == EIO || error == EROFS);
    CHECK_EQ(mmb_map_lost_from(map), 5 * MIB);
    store_all_over(map, 9 * MIB);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static void on_all(const disk_kind *kind, void (*how)(int fd))
{
    kill_disk = how;
    on_disk(kind, 64 * MIB, it_dies_under_stores, SECONDS);
    on_disk(kind, 64 * MIB, it_dies_before_the_close, SECONDS);
    on_disk(kind, 64 * MIB, it_dies_after_the_close, SECONDS);
    on_disk(kind, 64 * MIB, nothing_is_there_when_it_dies, SECONDS);
}

static void ext4_is_shut_down(void)
{
    on_all(&disk_ext4, shut_down);
}

static void xfs_is_shut_down(void)
{
    on_all(&disk_xfs, shut_down);
}

static void ext4_becomes_read_only(void)
{
    on_all(&disk_ext4_ro, meet_an_error);
}

int main(void)
{
    RUN(ext4_is_shut_down);
    RUN(xfs_is_shut_down);
    RUN(ext4_becomes_read_only);
    return 0;
}
