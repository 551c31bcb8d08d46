/* test_memory.c - a map without memory yet, which only calls write to: EOF stands where they
 * end, until somebody asks for the memory. No byte is lost on the way. */
#include "tempfile.h"

#include "map/map.h"
#include "mmb_capnp.h"
#include "os/process.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { SECONDS = 100, SMALL = 64 * 1024 };

/* Where EOF can follow the content; not every file system has that. */
static int memory_file(void)
{
    int fd = memfd_create("unmapped", MFD_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static mmb_map *open_unmapped(int fd, uint64_t capacity)
{
    mmb_options options = {.capacity = capacity, .max_growth = 64 * MIB};
    mmb_map *map = NULL;
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    return map;
}

static void check_content(int fd, uint64_t offset, const char *wanted)
{
    char found[64] = "";
    size_t length = strlen(wanted);
    CHECK(length < sizeof found);
    CHECK_EQ(pread(fd, found, length, (off_t)offset), length);
    CHECK(memcmp(found, wanted, length) == 0);
}

static void eof_follows_the_writes(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(file_size(fd), 5);
    CHECK_EQ(stats_of(map).backed, 5);
    CHECK_EQ(mmb_map_write(map, 10, "second", 6), 0); /* over a gap */
    CHECK_EQ(mmb_map_write(map, 0, "F", 1), 0);
    CHECK_EQ(file_size(fd), 16);
    CHECK_EQ(stats_of(map).backed, 16);
    CHECK_EQ(stats_of(map).growths, 1); /* those that follow the content are not counted */
    CHECK_EQ(stats_of(map).faults, 0);
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK_EQ(used, 16);
    CHECK_EQ(mmb_map_flush(map, true), 0);
    close_map(map, used);
    CHECK_EQ(file_size(fd), 16);
    check_content(fd, 0, "First");
    check_content(fd, 10, "second");
    close(fd);
}

/* ---- the memory comes when somebody asks for it ------------------------------ */

static bool has_memory(const mmb_map *map)
{
    return mmb_map_base(map) != NULL;
}

static void without_memory_everything_else_works(void)
{
    static unsigned char long_one[MIB];
    memset(long_one, 'l', sizeof long_one);
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_flush(map, true), 0);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(mmb_map_flush(map, false), 0);
    CHECK_EQ(mmb_map_write(map, 5, long_one, sizeof long_one), 0);
    CHECK_EQ(mmb_map_reserve(map, 0, 3 * MIB), 0);
    CHECK_EQ(mmb_map_ensure(map, 9 * MIB), 0);
    CHECK_EQ(mmb_map_write(map, 20 * MIB, "last", 4), 0);
    CHECK_EQ(mmb_map_truncate(map, 20 * MIB + 3), 0);
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK_EQ(used, 20 * MIB + 3);
    CHECK(!has_memory(map));
    CHECK_EQ(ask_for_memory(map), 0);
    CHECK(has_memory(map));
    CHECK(memcmp(mmb_map_base(map) + 20 * MIB, "las", 4) == 0);
    CHECK(memcmp(mmb_map_base(map), "firstl", 6) == 0);
    mmb_map_base(map)[100 * MIB] = 'x';
    CHECK_EQ(stats_of(map).faults, 1);
    close_map(map, 100 * MIB + 1);
    check_content(fd, 100 * MIB, "x");

    map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 3, "!", 1), 0);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_detach(map), 0);
    CHECK(!has_memory(map));
    CHECK(msync(NULL, 4096, MS_ASYNC) != 0); /* nothing has been put where it would begin */
    mmb_map_free(map);
    check_content(fd, 0, "fir!t");
    close(fd);
}

/* Detached, unmapped, or both: what comes then is not the finished file's memory. */
static void after_the_end_there_is_none(void)
{
    for (int way = 0; way < 4; way++) {
        int fd = memory_file();
        mmb_map *map = open_unmapped(fd, GIB);
        CHECK_EQ(mmb_map_write(map, 0, "finished", 8), 0);
        mmb_map_seal(map);
        CHECK_EQ(mmb_map_cut(map, 8), 0);
        if (way != 1) {
            CHECK_EQ(mmb_map_detach(map), 0);
        }
        if (way != 0) {
            mmb_map_unmap(map);
        }
        if (way == 3) {
            CHECK_EQ(mmb_map_detach(map), 0);
        }
        CHECK_EQ(ask_for_memory(map), ESTALE);
        CHECK(!has_memory(map));
        mmb_map_free(map);
        CHECK_EQ(file_size(fd), 8);
        close(fd);
    }
}

/* Addresses that cannot be had are met before content is given up. */
static int replace_without_addresses(void *unused)
{
    (void)unused;
    enum { MOST = 6000 };
    int fd = memory_file(), other = memory_file();
    CHECK_EQ(write(fd, "precious", 8), 8);
    void *last = NULL;
    for (int i = 0; i < MOST && last != MAP_FAILED; i++) {
        last = mmap(NULL, (size_t)(64 * GIB), PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    CHECK(last == MAP_FAILED);
    mmb_options options = {.capacity = 64 * GIB, .max_growth = MIB, .replace = true};
    mmb_map *map = NULL;
    mmb_limit limit = MMB_LIMIT_NONE;
    CHECK_EQ(mmb_map_open(fd, &options, &map, &limit), ENOMEM);
    CHECK_EQ(limit, MMB_LIMIT_SPACE);
    check_content(fd, 0, "precious");
    CHECK_EQ(mmb_map_open(other, &options, &map, &limit), 0); /* nothing to lose */
    CHECK_EQ(mmb_map_write(map, 0, "new", 3), 0);
    CHECK_EQ(ask_for_memory(map), ENOMEM);
    CHECK_EQ(mmb_map_write(map, 3, "er", 2), 0);
    close_map(map, 5);
    check_content(other, 0, "newer");
    return 0;
}

static void content_is_not_given_up_for_nothing(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (!is_emulated()) { /* an emulator pays for addresses with memory of its own */
        CHECK_EXITED(run_child(replace_without_addresses, NULL, SECONDS));
    }
#else
    (void)replace_without_addresses; /* they need addresses of their own */
#endif
}

/* Want of addresses is an error of opening wherever that can be told. */
static int little_address_space(void *unused)
{
    (void)unused;
    int fd = memory_file();
    mmb_options options = {.capacity = GIB << 17, .max_growth = 64 * MIB};
    mmb_map *map = NULL;
    mmb_limit limit = MMB_LIMIT_NONE;
    CHECK_EQ(mmb_map_open(fd, &options, &map, &limit), ENOMEM);
    CHECK_EQ(limit, MMB_LIMIT_SPACE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    struct rlimit few = {.rlim_cur = GIB, .rlim_max = GIB};
    void *some = mmap(NULL, (size_t)(8 * MIB), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(some != MAP_FAILED && setrlimit(RLIMIT_AS, &few) == 0);
    if (!is_emulated()) {                 /* an emulator keeps its guest's limits to itself */
        options.capacity = GIB - 4 * MIB; /* less than the limit, more than is left */
        CHECK_EQ(mmb_map_open(fd, &options, &map, &limit), ENOMEM);
        CHECK_EQ(limit, MMB_LIMIT_AS);
    }
#endif
    return 0;
}

static void want_of_addresses_is_an_error_of_opening(void)
{
    CHECK_EXITED(run_child(little_address_space, NULL, SECONDS));
}

/* A program that closes our fd gives its number to another file. */
static void the_memory_is_of_no_other_file(void)
{
    int fd = memory_file(), other = memory_file();
    CHECK_EQ(write(other, "other", 5), 5);
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK(dup2(other, mmb_map_fd(map)) >= 0);
    CHECK_EQ(ask_for_memory(map), EBADF);
    CHECK(!has_memory(map));
    mmb_map_free(map);
    CHECK_EQ(file_size(other), 5);
    close(fd);
    close(other);
}

enum { SHOWERS = 4 };

typedef struct {
    mmb_map *map;
    _Atomic unsigned waiting;
    unsigned char *seen[SHOWERS];
} showing;

static void *show_and_store(void *argument)
{
    showing *all = argument;
    unsigned mine = atomic_fetch_add(&all->waiting, 1);
    while (atomic_load(&all->waiting) < SHOWERS) {
        sched_yield();
    }
    CHECK_EQ(ask_for_memory(all->map), 0);
    all->seen[mine] = mmb_map_base(all->map);
    all->seen[mine][mine * 3 * MIB] = 'x';
    return NULL;
}

/* Mappings of files from memory_file(). */
static int count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    char line[PATH_MAX + 200];
    int count = 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        count += strstr(line, "memfd:unmapped") != NULL;
    }
    fclose(maps);
    return count;
}

static void of_threads_that_ask_at_once_one_makes_it(void)
{
    int before = count_mappings();
    for (int round = 0; round < LESS_UNDER_TSAN(300); round++) {
        int fd = memory_file();
        showing all = {.map = open_unmapped(fd, GIB)};
        pthread_t threads[SHOWERS];
        for (int i = 0; i < SHOWERS; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, show_and_store, &all), 0);
        }
        for (int i = 0; i < SHOWERS; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        for (unsigned i = 0; i < SHOWERS; i++) {
            CHECK(all.seen[i] == mmb_map_base(all.map));
            CHECK_EQ(all.seen[i][i * 3 * MIB], 'x');
        }
        close_map(all.map, 10 * MIB);
        close(fd);
    }
    CHECK_EQ(count_mappings(), before);
}

static void what_is_long_goes_its_usual_way(void)
{
    static char data[SMALL];
    memset(data, 'x', sizeof data);
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, data, sizeof data), 0);
    CHECK_EQ(file_size(fd), sizeof data);
    CHECK_EQ(mmb_map_write(map, sizeof data, "y", 1), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    CHECK_EQ(stats_of(map).growths, 2);
    CHECK_EQ(mmb_map_write(map, 3, "z", 1), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    CHECK_EQ(mmb_map_reserve(map, 0, 3 * MIB), 0);
    CHECK_EQ(file_size(fd) % MMB_GRANULE, 0);
    close_map(map, sizeof data + 1);
    check_content(fd, 0, "xxxzx");
    check_content(fd, sizeof data - 1, "xy");
    close(fd);
}

static void shown_it_is_as_any_other(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(ask_for_memory(map), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    CHECK_EQ(stats_of(map).growths, 2);
    mmb_map_base(map)[5] = '!';
    mmb_map_base(map)[100] = '!';
    CHECK_EQ(mmb_map_write(map, 6, "?", 1), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    CHECK_EQ(ask_for_memory(map), 0);
    CHECK_EQ(stats_of(map).faults, 0);
    close_map(map, 101);
    check_content(fd, 0, "first!?");
    check_content(fd, 100, "!");
    close(fd);

    fd = memory_file();
    map = open_unmapped(fd, GIB);
    CHECK_EQ(ask_for_memory(map), 0); /* nothing is there yet */
    CHECK_EQ(file_size(fd), 0);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    close_map(map, 5);
    close(fd);

    fd = memory_file();
    map = open_unmapped(fd, 5000); /* less than a page more: EOF goes to its end */
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(ask_for_memory(map), 0);
    CHECK_EQ(file_size(fd), 8192);
    mmb_map_base(map)[4999] = '!';
    CHECK_EQ(mmb_map_write(map, 4999, "??", 2), MMB_ECAPACITY);
    close_map(map, 5000);
    check_content(fd, 4999, "!");
    close(fd);
}

static int do_nothing(void *unused)
{
    (void)unused;
    return 0;
}

static void after_a_fork_growth_goes_its_usual_way(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(file_size(fd), 5);
    CHECK_EXITED(run_child(do_nothing, NULL, SECONDS));
    CHECK_EQ(mmb_map_write(map, 1, "IRS", 3), 0);
    CHECK_EQ(file_size(fd), 5);
    CHECK_EQ(mmb_map_write(map, 4, "T!", 2), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    close_map(map, 6);
    check_content(fd, 0, "fIRST!");
    close(fd);
}

static void what_came_by_another_way_is_shown(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(pwrite(fd, "other", 5, 100 * KIB), 5); /* more than is small */
    CHECK_EQ(ask_for_memory(map), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    mmb_map_base(map)[100 * KIB + 5] = '!';
    mmb_map_base(map)[3 * MIB] = '!';
    close_map(map, 4 * MIB);
    check_content(fd, 100 * KIB, "other!");
    close(fd);
}

static int grow_under_a_dead_lock(void *unused)
{
    (void)unused;
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    atomic_store(&map->file.shared->eof_lock_holder,
                 mmb_this_process()); /* of one who had this number */
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(ask_for_memory(map), 0);
    atomic_store(&map->file.shared->eof_lock_holder, mmb_this_process());
    CHECK_EQ(mmb_map_reserve(map, 0, 8 * MIB), 0);
    close_map(map, 5);
    return 0;
}

static void a_lock_in_our_own_name_is_a_dead_ones(void)
{
    CHECK_EXITED(run_child(grow_under_a_dead_lock, NULL, SECONDS));
}

static void without_its_descriptor_there_is_none(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    close(mmb_map_fd(map)); /* as programs do that close all they have */
    CHECK_EQ(ask_for_memory(map), EBADF);
    CHECK_EQ(mmb_map_write(map, 5, "second", 6), EBADF);
    CHECK_EQ(file_size(fd), 5);
    mmb_map_free(map);
    close(fd);
}

/* A map without memory may end where it is long already, or be made longer. */
static void blocks_beyond_the_end_are_given_back(void)
{
    for (uint64_t size = 8192; size <= 65536; size *= 8) {
        int fd = memory_file();
        mmb_map *map = open_unmapped(fd, GIB);
        CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
        CHECK_EQ(mmb_map_write(map, 8191, "!", 1), 0);
        CHECK_EQ(mmb_map_reserve(map, 0, 8192), 0); /* and some ahead */
        struct stat now;
        CHECK(fstat(fd, &now) == 0);
        CHECK_EQ(now.st_size, 8192);
        CHECK(now.st_blocks * 512 > 8192);
        close_map(map, size);
        CHECK(fstat(fd, &now) == 0);
        CHECK_EQ(now.st_size, size);
        CHECK_EQ(now.st_blocks * 512, 8192);
        close(fd);
    }
}

static void a_message_shows_it(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    mmb_building building;
    mmb_region region = {map, 0, GIB};
    CHECK_EQ(mmb_message_begin(&building, &region, 1, false), 0);
    CHECK_EQ(mmb_map_write(map, 1000, "first", 5), 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    mmb_map_free(map);
    close(fd);
}

static void a_cut_by_someone_else_is_told(void)
{
    int fd = memory_file();
    mmb_map *map = open_unmapped(fd, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK(ftruncate(fd, 2) == 0);
    CHECK_EQ(mmb_map_write(map, 5, "second", 6), MMB_ETRUNCATED);
    CHECK_EQ(ask_for_memory(map), 0); /* for stores to find */
    CHECK_EQ(file_size(fd), 2);
    mmb_map_base(map)[MIB] = 1;
    CHECK_EQ(mmb_map_poison(map), MMB_ETRUNCATED);
    mmb_map_seal(map);
    mmb_map_free(map);
    close(fd);
}

/* The kernel cannot make another map grow in the middle of a write. */
static void a_source_beyond_the_eof_of_another_map(void)
{
    int fd = memory_file(), other = temp_file();
    mmb_map *map = open_unmapped(fd, GIB), *from = open_map(other, GIB);
    CHECK_EQ(mmb_map_write(map, 0, "first", 5), 0);
    CHECK_EQ(mmb_map_write(map, 5, mmb_map_base(from) + 100, 6000), 0);
    CHECK_EQ(mmb_map_write(map, 6005, "last", 4), 0);
    close_map(map, 6009);
    char found[6010];
    CHECK_EQ(pread(fd, found, sizeof found, 0), 6009);
    CHECK(memcmp(found, "first", 6) == 0 && memcmp(found + 6005, "last", 4) == 0);
    close_map(from, 0);
    close(fd);
    close(other);
}

/* ---- shown while others write ------------------------------------------------ */

/* One byte is written in the middle of a page, the end of which is stored to. It matters
 * who of the two is first as long as the file is empty: so many files are made. */
enum { WRITTEN = 100, STORED = 4000 };

typedef struct {
    mmb_map *map;
    _Atomic unsigned turn; /* of a new file; 0 at the end */
    _Atomic unsigned done; /* the turn that is over */
} race;

static void *write_in_turn(void *argument)
{
    race *of = argument;
    unsigned turn = 0, next;
    for (;;) {
        for (unsigned spins = 1; (next = atomic_load(&of->turn)) == turn; spins++) {
            if (spins % 20000 == 0) {
                sched_yield(); /* rarely: it is to start at the same moment as the other */
            }
        }
        turn = next;
        if (turn == 0) {
            return NULL;
        }
        CHECK_EQ(mmb_map_write(of->map, WRITTEN, "w", 1), 0);
        atomic_store(&of->done, turn);
    }
}

static void store_late(mmb_map *map, unsigned delay)
{
    for (volatile unsigned i = 0; i < delay; i = i + 1) {
    }
    CHECK_EQ(ask_for_memory(map), 0);
    ((volatile unsigned char *)mmb_map_base(map))[STORED] = 's';
}

static void check_both(mmb_map *map, int fd)
{
    CHECK_EQ(file_size(fd), MMB_GRANULE);
    CHECK_EQ(mmb_map_write(map, SMALL, "e", 1), 0);
    close_map(map, SMALL + 1);
    check_content(fd, WRITTEN, "w");
    check_content(fd, STORED, "s");
    check_content(fd, SMALL, "e");
    close(fd);
}

static void no_store_is_lost_when_a_writer_is_at_work(void)
{
    race of = {0};
    pthread_t writer;
    CHECK_EQ(pthread_create(&writer, NULL, write_in_turn, &of), 0);
    for (unsigned turn = 1; turn <= LESS_UNDER_TSAN(5000u); turn++) {
        int fd = turn % 50 == 0 ? temp_file() : memory_file();
        of.map = open_unmapped(fd, GIB);
        atomic_store(&of.turn, turn);
        store_late(of.map, turn % 2000);
        while (atomic_load(&of.done) != turn) {
            sched_yield();
        }
        check_both(of.map, fd);
    }
    atomic_store(&of.turn, 0);
    CHECK_EQ(pthread_join(writer, NULL), 0);
}

static void nor_when_a_child_stores(void)
{
    for (unsigned round = 0; round < LESS_UNDER_TSAN(400u); round++) {
        int fd = round % 8 == 0 ? temp_file() : memory_file();
        mmb_map *map = open_unmapped(fd, GIB);
        fflush(NULL);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            store_late(map, round);
            _exit(0);
        }
        for (volatile unsigned i = 0; i < round * 200; i = i + 1) {
        }
        CHECK_EQ(mmb_map_write(map, WRITTEN, "w", 1), 0);
        CHECK_EXITED(wait_for(pid, SECONDS));
        check_both(map, fd);
    }
}

int main(void)
{
    RUN(eof_follows_the_writes);
    RUN(without_memory_everything_else_works);
    RUN(after_the_end_there_is_none);
    RUN(content_is_not_given_up_for_nothing);
    RUN(want_of_addresses_is_an_error_of_opening);
    RUN(the_memory_is_of_no_other_file);
    RUN(of_threads_that_ask_at_once_one_makes_it);
    RUN(what_is_long_goes_its_usual_way);
    RUN(shown_it_is_as_any_other);
    RUN(after_a_fork_growth_goes_its_usual_way);
    RUN(what_came_by_another_way_is_shown);
    RUN(a_lock_in_our_own_name_is_a_dead_ones);
    RUN(without_its_descriptor_there_is_none);
    RUN(blocks_beyond_the_end_are_given_back);
    RUN(a_message_shows_it);
    RUN(a_cut_by_someone_else_is_told);
    RUN(a_source_beyond_the_eof_of_another_map);
    RUN(no_store_is_lost_when_a_writer_is_at_work);
    RUN(nor_when_a_child_stores);
    return 0;
}
