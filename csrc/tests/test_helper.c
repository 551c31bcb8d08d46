/* test_helper.c - the thread that works ahead of and behind the writer: it changes
 * nothing that can be seen, and is gone when the map is. */
#include "tempfile.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { SECONDS = 100, PAGE = 4096 };

static mmb_map *open_assisted(int fd, uint64_t capacity, bool prefault, bool writeback)
{
    mmb_options options = {
        .capacity = capacity, .max_growth = 16 * MIB, .prefault = prefault, .writeback = writeback};
    mmb_map *map = open_map_by(fd, &options);
    return map;
}

static int thread_count(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    while (readdir(tasks) != NULL) {
        count++;
    }
    closedir(tasks);
    return count - 2; /* . and .. */
}

static void content_is_the_same(void)
{
    for (int way = 0; way < 4; way++) {
        int fd = temp_file();
        const uint64_t size = 300 * MIB + 5;
        mmb_map *map = open_assisted(fd, GIB, (way & 1) != 0, (way & 2) != 0);
        uint64_t *words = (uint64_t *)(void *)mmb_map_base(map);
        for (uint64_t i = 0; i < size / 8; i += 32) {
            words[i] = i + 1;
        }
        uint64_t used = 0;
        CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
        CHECK(used <= size && used > size - 512);
        close_map(map, size);
        CHECK_EQ(file_size(fd), size);
        const uint64_t *read_back = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        CHECK(read_back != MAP_FAILED);
        for (uint64_t i = 0; i < size / 8; i++) {
            CHECK_EQ(read_back[i], i % 32 == 0 ? i + 1 : 0);
        }
        munmap((void *)(uintptr_t)read_back, size);
        close(fd);
    }
}

static void it_works_ahead(void)
{
    int fd = temp_file();
    mmb_map *map = open_assisted(fd, GIB, true, false);
    mmb_map_base(map)[0] = 1;
    mmb_map_base(map)[3 * MIB] = 1;
    for (int i = 0; i < 1000 && stats_of(map).prefaulted == 0; i++) {
        sleep_ms(1);
    }
    CHECK(stats_of(map).prefaulted > 0);
    CHECK(stats_of(map).prefaulted <= stats_of(map).backed);
    close_map(map, 0);
    close(fd);
}

/* A hole is no work for it: it would fill the disk with zeros. */
static void it_leaves_holes_alone(void)
{
    int fd = temp_file();
    mmb_map *map = open_assisted(fd, 64 * GIB, true, true);
    volatile unsigned char *base = mmb_map_base(map);
    base[0] = 1; /* a whole step, and a granule for each of the others */
    base[8 * GIB] = 1;
    base[60 * GIB] = 1;
    CHECK_EQ(base[62 * GIB], 0); /* a load backs nothing */
    sleep_ms(300);
    CHECK(stats_of(map).prefaulted <= 16 * MIB + 2 * MMB_GRANULE);
    struct stat now;
    CHECK(fstat(fd, &now) == 0);
    CHECK((uint64_t)now.st_blocks * 512 < 64 * MIB);
    close_map(map, 0);
    close(fd);
}

static void it_is_gone_when_the_map_is(void)
{
    int before = thread_count();
    for (int round = 0; round < LESS_UNDER_TSAN(300); round++) {
        int fd = temp_file();
        mmb_map *map = open_assisted(fd, GIB, true, true);
        CHECK_EQ(thread_count(), before + 1);
        for (uint64_t at = 0; at < (uint64_t)(round % 7) * 3 * MIB; at += MIB) {
            mmb_map_base(map)[at] = 1;
        }
        if (round % 3 == 0) {
            CHECK_EQ(mmb_map_detach(map), 0);
        } else if (round % 3 == 1) {
            mmb_map_seal(map);
        }
        mmb_map_free(map);
        CHECK_EQ(thread_count(), before);
        close(fd);
    }
}

static void a_child_has_none_and_can_end(void)
{
    int fd = temp_file();
    mmb_map *map = open_assisted(fd, GIB, true, true);
    mmb_map_base(map)[0] = 1;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(thread_count(), 1);
        mmb_map_base(map)[200 * MIB] = 2;
        mmb_map_free(map);
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(mmb_map_base(map)[200 * MIB], 2);
    close_map(map, 200 * MIB + 1);
    close(fd);
}

/* The process has no thread of ours at a fork; the next call brings it back. */
static void it_is_away_at_a_fork(void)
{
    int fd = temp_file();
    int before = thread_count();
    mmb_map *map = open_assisted(fd, GIB, true, true);
    mmb_map_base(map)[0] = 1;
    mmb_map_resume_helper(map); /* nothing to do */
    CHECK_EQ(thread_count(), before + 1);
    for (int round = 0; round < LESS_UNDER_TSAN(100); round++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            mmb_map_resume_helper(map);
            CHECK_EQ(thread_count(), 1);
            _exit(0);
        }
        CHECK_EQ(thread_count(), before);
        CHECK_EXITED(wait_for(pid, SECONDS));
        mmb_map_base(map)[(uint64_t)round * MIB] = 1; /* growth without it */
        mmb_map_resume_helper(map);
        CHECK_EQ(thread_count(), before + 1);
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    close_map(map, 0); /* while it is away */
    close(fd);
}

static _Atomic bool forks;

static void *fork_on(void *unused)
{
    (void)unused;
    while (atomic_load(&forks)) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            _exit(0);
        }
        CHECK_EXITED(wait_for(pid, SECONDS));
    }
    return NULL;
}

static void others_fork_while_it_starts_and_stops(void)
{
    pthread_t forker;
    atomic_store(&forks, true);
    CHECK_EQ(pthread_create(&forker, NULL, fork_on, NULL), 0);
    for (int round = 0; round < LESS_UNDER_TSAN(200); round++) {
        int fd = temp_file();
        mmb_map *map = open_assisted(fd, GIB, true, true);
        for (uint64_t i = 0; i < 5; i++) {
            mmb_map_base(map)[i * MIB] = 1;
            mmb_map_resume_helper(map);
        }
        close_map(map, 0);
        close(fd);
    }
    atomic_store(&forks, false);
    CHECK_EQ(pthread_join(forker, NULL), 0);
}

static uint64_t blocked_in(const char *task)
{
    char path[PATH_MAX], line[256];
    unsigned long long blocked = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    FILE *status = fopen(path, "r");
    CHECK(status != NULL);
    while (fgets(line, sizeof line, status) != NULL) {
        (void)sscanf(line, "SigBlk: %llx", &blocked);
    }
    fclose(status);
    return blocked;
}

/* No signal of the process may be handled in a thread that nobody knows of. */
static void it_blocks_all_signals(void)
{
    /* What "all" looks like: an emulator keeps some for itself. */
    char own[32];
    sigset_t all, before;
    sigfillset(&all);
    snprintf(own, sizeof own, "%d", (int)getpid());
    sigprocmask(SIG_SETMASK, &all, &before);
    uint64_t wanted = blocked_in(own);
    sigprocmask(SIG_SETMASK, &before, NULL);
    CHECK(wanted != 0 && wanted != blocked_in(own));

    int fd = temp_file();
    mmb_map *map = open_assisted(fd, GIB, true, false);
    mmb_map_base(map)[0] = 1;
    sleep_ms(100); /* every thread is born with all of them blocked */
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    struct dirent *entry;
    int others = 0;
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, own) != 0) {
            others += (blocked_in(entry->d_name) & wanted) == wanted;
        }
    }
    closedir(tasks);
    CHECK_EQ(others, 1);
    close_map(map, 0);
    close(fd);
}

static void *grow(void *argument)
{
    mmb_map *map = argument;
    static _Atomic uint64_t next;
    for (int i = 0; i < LESS_UNDER_TSAN(20000); i++) {
        uint64_t at = atomic_fetch_add(&next, 1) * PAGE % GIB;
        mmb_map_base(map)[at] = (unsigned char)(at / PAGE % 255 + 1);
    }
    return NULL;
}

static void threads_grow_beside_it(void)
{
    int fd = temp_file();
    mmb_map *map = open_assisted(fd, GIB, true, true);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, grow, map), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    uint64_t end = (uint64_t)LESS_UNDER_TSAN(20000) * 4 * PAGE;
    for (uint64_t at = 0; at < end; at += PAGE) {
        CHECK_EQ(mmb_map_base(map)[at], at / PAGE % 255 + 1);
    }
    close_map(map, end);
    close(fd);
}

/* The file is cut under its feet, or the map poisoned: it gives up quietly. */
static void it_gives_up_quietly(void)
{
    for (int round = 0; round < 20; round++) {
        int fd = temp_file();
        mmb_map *map = open_assisted(fd, GIB, true, true);
        for (uint64_t at = 0; at < 64 * MIB; at += MIB) {
            mmb_map_base(map)[at] = 1;
        }
        if (round % 2 == 0) {
            CHECK(ftruncate(fd, 0) == 0);
        } else {
            mmb_map_set_poison(map, ENOSPC);
        }
        mmb_map_base(map)[500 * MIB] = 1;
        CHECK(mmb_map_poison(map) != 0);
        CHECK_EQ(mmb_map_base(map)[500 * MIB], 1);
        mmb_map_free(map);
        close(fd);
    }
}

int main(void)
{
#if defined(__SANITIZE_THREAD__)
    /* It has a thread of its own, which these would count. */
    (void)it_blocks_all_signals;
    (void)it_is_gone_when_the_map_is;
    (void)a_child_has_none_and_can_end;
    (void)it_is_away_at_a_fork;
#else
    if (!is_emulated()) { /* which has threads of its own too */
        RUN(it_blocks_all_signals);
        RUN(it_is_gone_when_the_map_is);
        RUN(a_child_has_none_and_can_end);
        RUN(it_is_away_at_a_fork);
    }
#endif
    RUN(content_is_the_same);
    if (!is_emulated()) {
        RUN(it_works_ahead);
    }
    RUN(it_leaves_holes_alone);
    RUN(threads_grow_beside_it);
    if (!is_emulated()) {
        RUN(others_fork_while_it_starts_and_stops);
    }
    RUN(it_gives_up_quietly);
    return 0;
}
