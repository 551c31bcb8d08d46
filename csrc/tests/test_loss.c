/* test_loss.c - what a store that finds no room leaves behind: where the loss begins, and that
 * each store below it is in the file. */
#include "tempfile.h"

#include "disk.h"
#include "file/loss.h"
#include "map/map.h"

#include <signal.h>
#include <sys/resource.h>

enum { RECORD = 8, SECONDS = 100, PAGE = 4096 };

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

/* What somebody else has cut off is lost from there on, and the record does not bring it back. */
static void a_truncated_file_is_lost_from_its_end_on(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[5 * MIB] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    CHECK(ftruncate(fd, 3 * MIB + 5) == 0);
    mmb_map_base(map)[7 * MIB] = 1;
    CHECK_EQ(mmb_map_poison(map), MMB_ETRUNCATED);
    CHECK_EQ(mmb_map_lost_from(map), 3 * MIB + 5);
    CHECK_EQ(mmb_loss_offset(record_of(fd)), 3 * MIB);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), 3 * MIB + 5);
    close(fd);

    fd = temp_file();
    map = open_map(fd, GIB);
    mmb_map_base(map)[5 * MIB] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    CHECK(ftruncate(fd, 3) == 0);
    mmb_map_base(map)[7 * MIB] = 1;
    CHECK_EQ(mmb_map_lost_from(map), 3);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), 3);
    close(fd);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* There is no room for the record when something is lost, but there is at the end. */
static void a_record_that_was_refused_is_written_at_the_end(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    uint64_t told = 0;
    signal(SIGXFSZ, SIG_IGN);
    mmb_map_base(map)[5 * MIB] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    limit_files(0);
    mmb__note_loss(&map->file, 4 * MIB);
    limit_files(RLIM_INFINITY);
    CHECK_EQ(record_of(fd), 0);
    bool has_attributes = mmb_loss_told(fd, &told);
    CHECK(!has_attributes || told == 4 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_loss_offset(record_of(fd)), 4 * MIB);
    CHECK(!mmb_loss_told(fd, &told));
    mmb_map_free(map);
    close(fd);
}

/* If there is none even then, the file ends where the loss is, so that nothing behind it counts. */
static void a_file_that_cannot_tell_its_loss_ends_there(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[5 * MIB] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    limit_files(0);
    mmb__note_loss(&map->file, 4 * MIB);
    mmb_map_seal(map);
    limit_files(RLIM_INFINITY);
    CHECK_EQ(file_size(fd), 4 * MIB + 1);
    mmb_map_free(map);
    close(fd);
}

/* ---- a full disk ---------------------------------------------------------------- */

static unsigned char value_of(uint64_t at)
{
    return (unsigned char)(at / PAGE % 251 + 1);
}

/* Store page after page until the disk is full; the end of what was stored. */
static uint64_t fill(mmb_map *map)
{
    uint64_t at = PAGE;
    for (; mmb_map_poison(map) == 0; at += PAGE) {
        CHECK(at < GIB);
        mmb_map_base(map)[at] = value_of(at);
    }
    CHECK_EQ(mmb_map_poison(map), ENOSPC);
    return at;
}

static unsigned char byte_of_file(int fd, uint64_t at)
{
    unsigned char byte = 0;
    CHECK(pread(fd, &byte, 1, (off_t)at) >= 0);
    return byte;
}

static int what_lies_below_the_loss_is_in_the_file(void *directory)
{
    int fd = make_file_in(directory, NULL);
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    uint64_t end = fill(map), lost = mmb_map_lost_from(map);
    CHECK(lost >= PAGE && lost < end && lost % PAGE == 0);
    CHECK_EQ(mmb_loss_offset(record_of(fd)), lost);
    mmb_map_base(map)[100] = 99; /* below it stores still reach the file */
    mmb_map_base(map)[end + 5 * MIB] = 98;
    CHECK_EQ(byte_of_file(fd, 100), 99);
    CHECK_EQ(byte_of_file(fd, end + 5 * MIB), 0);
    mmb_map_base(map)[lost] = 97;
    CHECK_EQ(byte_of_file(fd, lost) == 97, false);
    CHECK_EQ(mmb_map_lost_from(map), lost);
    for (int closed = 0; closed < 2; closed++) {
        for (uint64_t at = PAGE; at < end; at += PAGE) {
            CHECK_EQ(mmb_map_base(map)[at], at == lost ? 97 : value_of(at));
            CHECK(at >= lost || byte_of_file(fd, at) == value_of(at));
        }
        CHECK_EQ(mmb_map_base(map)[end + 5 * MIB], 98);
        CHECK_EQ(mmb_map_detach(map), 0);
        mmb_map_base(map)[200] = 96; /* closed, nothing does */
        CHECK_EQ(byte_of_file(fd, 200), 0);
    }
    mmb_map_free(map);
    close(fd);
    return 0;
}

/* The disk is full of another file; most stores find no room, and the least place counts. */
static int the_least_of_several_losses_counts(void *directory)
{
    int fd = make_file_in(directory, NULL), ballast = make_file_in(directory, NULL);
    mmb_map *map = open_map(fd, GIB), *other = open_map(ballast, GIB);
    mmb_map_base(map)[0] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    fill(other);
    const uint64_t places[] = {500 * MIB, 700 * MIB, 300 * MIB + 5, 300 * MIB - 1, 600 * MIB};
    enum { COUNT = sizeof places / sizeof *places };
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < COUNT; i++) {
        mmb_map_base(map)[places[i]] = (unsigned char)(i + 1);
        uint64_t lost = mmb_map_lost_from(map);
        CHECK(lost <= before);
        CHECK_EQ(mmb_loss_offset(record_of(fd)), lost);
        before = lost;
    }
    CHECK(before < UINT64_MAX && mmb_map_poison(map) == ENOSPC);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ(mmb_map_base(map)[places[i]], i + 1);
        /* A file system may find a block after all. */
        CHECK(places[i] >= before || byte_of_file(fd, places[i]) == i + 1);
    }
    mmb_map_free(map);
    mmb_map_free(other);
    close(fd);
    close(ballast);
    return 0;
}

static int fill_and_stay(void *argument)
{
    mmb_map *map = argument;
    fill(map);
    return 0;
}

static int a_loss_of_a_child_is_known_to_the_parent(void *directory)
{
    int fd = make_file_in(directory, NULL);
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    mmb_map_note_loss_at(map, RECORD, KEPT);
    CHECK_EXITED(run_child(fill_and_stay, map, SECONDS));
    CHECK_EQ(mmb_map_poison(map), ENOSPC);
    uint64_t lost = mmb_map_lost_from(map);
    CHECK_EQ(mmb_loss_offset(record_of(fd)), lost);
    for (uint64_t at = PAGE; at < lost; at += PAGE) {
        CHECK_EQ(mmb_map_base(map)[at], value_of(at));
    }
    mmb_map_base(map)[lost - 1] = 5; /* in the file, as for the child */
    CHECK_EQ(byte_of_file(fd, lost - 1), 5);
    mmb_map_base(map)[900 * MIB] = 6; /* more than the child has lost */
    CHECK_EQ(mmb_map_lost_from(map), lost);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static void on_disks(int (*work)(void *))
{
    on_disk(&disk_tmpfs, 20 * MIB, work, SECONDS);
    on_disk(&disk_ext4, 20 * MIB, work, SECONDS);
    on_disk(&disk_xfs, 20 * MIB, work, SECONDS);
}

static void below_a_loss_nothing_is_lost(void)
{
    on_disks(what_lies_below_the_loss_is_in_the_file);
}

static void several_losses(void)
{
    /* Not xfs, which finds room again for what it has said that it has none. */
    on_disk(&disk_tmpfs, 20 * MIB, the_least_of_several_losses_counts, SECONDS);
    on_disk(&disk_ext4, 20 * MIB, the_least_of_several_losses_counts, SECONDS);
}

static void a_loss_of_a_child(void)
{
    on_disks(a_loss_of_a_child_is_known_to_the_parent);
}

int main(void)
{
    RUN(nothing_is_lost_at_first);
    RUN(a_truncated_file_is_lost_from_its_end_on);
    RUN(a_record_that_was_refused_is_written_at_the_end);
    RUN(a_file_that_cannot_tell_its_loss_ends_there);
    RUN(below_a_loss_nothing_is_lost);
    RUN(several_losses);
    RUN(a_loss_of_a_child);
    return 0;
}
