/* test_full_disk.c - the disk is full, at any point and on any file system: the
 * process lives, the cause is known, and what was stored stays in memory. */
#include "disk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

enum { SECONDS = 280, PAGE = 4096 };

static mmb_map *open_map_in(const char *directory, int *fd, uint64_t capacity)
{
    *fd = make_file_in(directory, NULL);
    return open_map(*fd, capacity);
}

static uint64_t word_for(uint64_t page)
{
    return (page + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t *page_at(mmb_map *map, uint64_t page)
{
    return (uint64_t *)(void *)(mmb_map_base(map) + page * PAGE);
}

static void store_page(mmb_map *map, uint64_t page)
{
    uint64_t *words = page_at(map, page);
    words[0] = word_for(page);
    words[511] = word_for(page);
}

static void check_page(mmb_map *map, uint64_t page)
{
    const uint64_t *words = page_at(map, page);
    if (words[0] != word_for(page) || words[511] != word_for(page)) {
        fprintf(stderr, "page %llu is lost\n", (unsigned long long)page);
        exit(1);
    }
}

/* Memory after poisoning: all that was stored, and room for more, that never fails. */
static void check_poisoned(mmb_map *map, int cause, uint64_t pages)
{
    CHECK_EQ(mmb_map_poison(map), cause);
    for (uint64_t page = 0; page < pages; page++) {
        check_page(map, page);
    }
    uint64_t last = mmb_map_capacity(map) / PAGE - 1;
    for (uint64_t page = pages; page < pages + 3000 && page < last; page++) {
        store_page(map, page);
    }
    store_page(map, last);
    for (uint64_t page = 0; page < pages + 3000 && page < last; page++) {
        check_page(map, page);
    }
    check_page(map, last);
    CHECK_EQ(mmb_map_write(map, 0, "x", 1), cause);
    CHECK_EQ(mmb_map_reserve(map, 0, PAGE), cause);
    CHECK_EQ(mmb_map_ensure(map, PAGE), cause);
    CHECK_EQ(mmb_map_detach(map), 0);
    check_page(map, 0);
    check_page(map, last);
    store_page(map, last - 1);
    check_page(map, last - 1);
}

/* Leave about `bytes` free; the ballast, to be closed. */
static int fill_disk(const char *directory, uint64_t bytes)
{
    int ballast = make_file_in(directory, NULL);
    static unsigned char junk[1 << 20];
    memset(junk, 1, sizeof junk);
    for (;;) {
        struct statvfs now;
        CHECK(fstatvfs(ballast, &now) == 0);
        uint64_t available = (uint64_t)now.f_bavail * now.f_frsize;
        if (available <= bytes) {
            return ballast;
        }
        uint64_t step = available - bytes < sizeof junk ? available - bytes : sizeof junk;
        if (write(ballast, junk, step) <= 0) {
            return ballast;
        }
    }
}

/* ---- stores ------------------------------------------------------------------- */

static int sequential_stores(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd, GIB);
    uint64_t pages = 0;
    while (mmb_map_poison(map) == 0) {
        store_page(map, pages++);
        CHECK(pages < GIB / PAGE);
    }
    CHECK(pages > 1);
    /* The last steps were small ones: there is no space left that could be had. */
    struct statvfs now;
    CHECK(statvfs(directory, &now) == 0);
    CHECK(now.f_bavail <= now.f_blocks / 8);
    check_poisoned(map, ENOSPC, pages);
    mmb_map_free(map);
    close(fd);

    /* Space is there again: so is everything else. */
    map = open_map_in(directory, &fd, GIB);
    for (uint64_t page = 0; page < pages / 2; page++) {
        store_page(map, page);
    }
    close_map(map, pages / 2 * PAGE);
    CHECK_EQ(file_size(fd), pages / 2 * PAGE);
    close(fd);
    return 0;
}

/* EOF is far away already; each page of the hole needs a block of its own. */
static int stores_into_a_hole(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd, 2 * GIB);
    mmb_map_base(map)[GIB + 5] = 7;
    uint64_t pages = 0;
    while (mmb_map_poison(map) == 0) {
        store_page(map, pages++);
        CHECK(pages < GIB / PAGE);
    }
    CHECK_EQ(mmb_map_base(map)[GIB + 5], 7);
    check_poisoned(map, ENOSPC, pages);
    CHECK_EQ(mmb_map_base(map)[GIB + 5], 7);
    mmb_map_free(map);
    close(fd);
    return 0;
}

typedef struct {
    mmb_map *map;
    uint64_t first; /* page */
    uint64_t stored;
} storer;

static void *store_until_poisoned(void *argument)
{
    storer *self = argument;
    while (mmb_map_poison(self->map) == 0) {
        store_page(self->map, self->first + self->stored * 4);
        self->stored++;
        CHECK(self->stored < GIB / PAGE / 4);
    }
    /* And on, for a while: nobody can be stopped at once. */
    for (int i = 0; i < 500; i++) {
        store_page(self->map, self->first + self->stored * 4);
        self->stored++;
    }
    return NULL;
}

static int stores_of_threads(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd, 2 * GIB);
    pthread_t threads[4];
    storer storers[4];
    for (uint64_t i = 0; i < 4; i++) {
        storers[i] = (storer){map, i, 0};
        CHECK_EQ(pthread_create(&threads[i], NULL, store_until_poisoned, &storers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(mmb_map_poison(map), ENOSPC);
    for (int i = 0; i < 4; i++) {
        for (uint64_t k = 0; k < storers[i].stored; k++) {
            check_page(map, storers[i].first + k * 4);
        }
    }
    mmb_map_free(map);
    close(fd);
    return 0;
}

/* ---- calls -------------------------------------------------------------------- */

static int calls_report_it(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd, 12 * GIB);
    for (uint64_t page = 0; page < 100; page++) {
        store_page(map, page);
    }
    /* Too much at once: an error, no more. */
    CHECK_EQ(mmb_map_reserve(map, 0, 10 * GIB), ENOSPC);
    CHECK_EQ(mmb_map_poison(map), 0);
    static unsigned char block[1 << 18];
    memset(block, 0x5a, sizeof block);
    uint64_t end = 100 * PAGE;
    int error;
    while ((error = mmb_map_write(map, end, block, sizeof block)) == 0) {
        end += sizeof block;
        CHECK(end < 2 * GIB);
    }
    CHECK_EQ(error, ENOSPC);
    CHECK_EQ(mmb_map_poison(map), 0);
    for (uint64_t page = 0; page < 100; page++) {
        check_page(map, page);
    }
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK(used >= end);
    for (uint64_t at = 100 * PAGE; at < end; at += 511) {
        CHECK_EQ(mmb_map_base(map)[at], 0x5a);
    }
    close_map(map, end);
    CHECK_EQ(file_size(fd), end);
    close(fd);
    return 0;
}

/* A write that finds no room has written nothing, where the file system has fallocate. */
static int a_write_into_a_hole(void *directory)
{
    static unsigned char block[16 << 20], zeros[PAGE], bytes[PAGE];
    int fd;
    mmb_map *map = open_map_in(directory, &fd, GIB);
    mmb_map_base(map)[GIB / 2] = 1;
    bool all_or_nothing = fallocate(fd, FALLOC_FL_KEEP_SIZE, GIB / 2, 1) == 0;
    int ballast = fill_disk(directory, sizeof block / 3);
    memset(block, 0x5a, sizeof block);
    CHECK_EQ(mmb_map_write(map, 0, block, sizeof block), ENOSPC);
    CHECK_EQ(mmb_map_poison(map), 0);
    for (uint64_t at = 0; all_or_nothing && at < sizeof block; at += PAGE) {
        CHECK(pread(fd, bytes, PAGE, (off_t)at) == PAGE && memcmp(bytes, zeros, PAGE) == 0);
    }
    mmb_map_free(map);
    close(ballast);
    close(fd);
    return 0;
}

/* What a failed reserve leaves behind must not hide what is stored afterwards. */
static int stores_after_a_failed_reserve(void *directory)
{
    int fd;
    mmb_map *map = open_map_in(directory, &fd, 12 * GIB);
    store_page(map, 0);
    CHECK_EQ(mmb_map_reserve(map, 0, 8 * GIB), ENOSPC);
    CHECK_EQ(mmb_map_reserve(map, 4 * GIB, 8 * GIB), ENOSPC);
    int other_fd;
    mmb_map *other = open_map_in(directory, &other_fd, 12 * GIB);
    mmb_map_free(other);
    close(other_fd);
    store_page(map, 700);
    CHECK_EQ(mmb_map_poison(map), 0);
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK_EQ(used, 701 * PAGE);
    close_map(map, used);
    uint64_t word = 0;
    CHECK_EQ(pread(fd, &word, 8, 700 * PAGE), 8);
    CHECK_EQ(word, word_for(700));
    close(fd);
    return 0;
}

/* An existing file is opened, changed and closed though there is not a block left. */
static int open_for_more_on_a_full_disk(void *directory)
{
    char path[PATH_MAX];
    int fd = make_file_in(directory, path);
    CHECK_EQ(write(fd, "here already", 12), 12);
    CHECK(fsync(fd) == 0);
    int ballast = fill_disk(directory, 0);
    fsync(ballast);
    mmb_options options = {.capacity = GIB, .max_growth = MIB};
    mmb_map *map = NULL;
    int error = mmb_map_open(fd, &options, &map, NULL);
    if (error == 0) {
        CHECK_EQ(ask_for_memory(map), 0);
        memcpy(mmb_map_base(map), "there", 5);
        close_map(map, 12);
    } else {
        /* btrfs copies on write, and now has no block for that either. */
        struct statfs fs;
        enum { BTRFS_TYPE = 0x9123683e };
        CHECK_EQ(error, ENOSPC);
        CHECK(fstatfs(fd, &fs) == 0 && fs.f_type == BTRFS_TYPE);
    }
    char text[32] = "";
    CHECK_EQ(pread(fd, text, sizeof text, 0), 12);
    CHECK(memcmp(text, error == 0 ? "therealready" : "here already", 12) == 0);
    unlink(path);
    close(ballast);
    close(fd);
    return 0;
}

static int with_little_left(void *directory)
{
    /* Odd rests: less than a granule, a few pages, next to nothing. */
    static const uint64_t rests[] = {3 << 20, 1 << 20, 300 << 10, 40 << 10, 5000, 0};
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        int fd;
        mmb_map *map = open_map_in(directory, &fd, GIB);
        int ballast = fill_disk(directory, rests[i]);
        uint64_t pages = 0;
        while (mmb_map_poison(map) == 0) {
            store_page(map, pages++);
            CHECK(pages < GIB / PAGE);
        }
        check_poisoned(map, ENOSPC, pages);
        mmb_map_free(map);
        close(fd);
        close(ballast);
    }
    return 0;
}

/* ---- everywhere ---------------------------------------------------------------- */

typedef struct {
    const disk_kind *kind;
    uint64_t size;
} disk;

static const disk disks[] = {
    {&disk_tmpfs, 48 << 20},    {&disk_tmpfs, 1 << 20}, {&disk_ext4, 64 << 20},
    {&disk_ext4_1k, 40 << 20},  {&disk_xfs, 300 << 20}, {&disk_btrfs, 128 << 20},
    {&disk_ext4_old, 48 << 20},
};

static const struct {
    const char *name;
    int (*work)(void *);
    uint64_t least; /* bytes that the disk must have for it */
} attacks[] = {
    {"sequential stores", sequential_stores, 0},
    {"stores into a hole", stores_into_a_hole, 0},
    {"stores of threads", stores_of_threads, 0},
    {"calls report it", calls_report_it, 0},
    {"a write into a hole", a_write_into_a_hole, 20 << 20},
    {"stores after a failed reserve", stores_after_a_failed_reserve, 20 << 20},
    {"open for more on a full disk", open_for_more_on_a_full_disk, 0},
    {"with little left", with_little_left, 20 << 20},
};

/* ---- a quota -------------------------------------------------------------------- */

static int beyond_the_quota(void *top)
{
    char directory[PATH_MAX + 8];
    snprintf(directory, sizeof directory, "%s/limited", (const char *)top);
    if (!run_command("btrfs quota enable %s && btrfs subvolume create %s >/dev/null && "
                     "btrfs qgroup limit 20M %s",
                     top, directory, directory)) {
        skip("btrfs cannot set a quota");
        return 0;
    }
    for (int holes = 0; holes < 2; holes++) {
        int fd;
        mmb_map *map = open_map_in(directory, &fd, GIB);
        if (holes) {
            mmb_map_base(map)[GIB / 2] = 1;
        }
        CHECK_EQ(mmb_map_reserve(map, 0, 60 * MIB), EDQUOT);
        CHECK_EQ(mmb_map_poison(map), 0);
        uint64_t pages = 0;
        while (mmb_map_poison(map) == 0) {
            store_page(map, pages++);
            CHECK(pages < 30 * MIB / PAGE);
        }
        check_poisoned(map, EDQUOT, pages);
        mmb_map_free(map);
        close(fd);
    }
    return 0;
}

/* ---- a limit on the file's size -------------------------------------------------- */

static int limit_lowered_later(void *unused)
{
    (void)unused;
    signal(SIGXFSZ, SIG_IGN); /* as every Python has it */
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    store_page(map, 0);
    struct rlimit limit = {10 * MIB, 10 * MIB};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_EQ(mmb_map_reserve(map, 0, 20 * MIB), EFBIG);
    CHECK_EQ(mmb_map_poison(map), 0);
    uint64_t pages = 0;
    while (mmb_map_poison(map) == 0) {
        store_page(map, pages++);
        CHECK(pages < GIB / PAGE);
    }
    CHECK(pages * PAGE <= 10 * MIB + PAGE);
    check_poisoned(map, EFBIG, pages);
    mmb_map_free(map);
    mmb_options options = {.capacity = GIB, .max_growth = MIB};
    mmb_limit cause;
    CHECK_EQ(mmb_map_open(fd, &options, &map, &cause), EFBIG);
    CHECK_EQ(cause, MMB_LIMIT_FSIZE);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    CHECK_EXITED(run_child(limit_lowered_later, NULL, SECONDS));
    fprintf(stderr, "  btrfs: beyond the quota\n");
    on_disk(&disk_btrfs, 200 * MIB, beyond_the_quota, SECONDS);
    for (size_t i = 0; i < sizeof disks / sizeof *disks; i++) {
        const disk *at = &disks[i];
        for (size_t k = 0; k < sizeof attacks / sizeof *attacks; k++) {
            bool wanted = argc < 2 || strcmp(argv[1], at->kind->name) == 0;
            if (!wanted || at->size < attacks[k].least) {
                continue;
            }
            fprintf(stderr, "  %s, %llu MiB: %s\n", at->kind->name,
                    (unsigned long long)(at->size / MIB), attacks[k].name);
            if (!on_disk(at->kind, at->size, attacks[k].work, SECONDS)) {
                break;
            }
        }
    }
    return 0;
}
