/* test_fork.c - a map in a parent and its children: all may fill it, and one owns it. */
#include "tempfile.h"

#include "map/map.h"
#include "os/process.h"

#include <pthread.h>
#include <sched.h>

enum { SECONDS = 100, PAGE = 4096 };

static void a_child_fills_what_the_parent_finishes(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    unsigned char *base = mmb_map_base(map);
    base[0] = 1;
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            CHECK(!mmb_map_is_owner(map));
            for (uint64_t page = (uint64_t)i; page < 20000; page += 4) {
                base[page * PAGE + 1] = (unsigned char)(page % 251 + 1);
            }
            CHECK_EQ(mmb_map_cut(map, 0), EPERM);
            mmb_map_free(map); /* releases, and changes nothing */
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EXITED(wait_for(pids[i], SECONDS));
    }
    for (uint64_t page = 0; page < 20000; page++) {
        CHECK_EQ(base[page * PAGE + 1], page % 251 + 1);
    }
    CHECK_EQ(stats_of(map).backed, file_size(fd));
    close_map(map, 20000 * PAGE);
    CHECK_EQ(file_size(fd), 20000 * PAGE);
    close(fd);
}

static void a_child_that_still_writes_does_not_undo_the_close(void)
{
    for (int round = 0; round < LESS_UNDER_TSAN(60); round++) {
        int fd = temp_file();
        mmb_options options = {.capacity = GIB, .max_growth = 2 * MIB};
        mmb_map *map = open_map_by(fd, &options);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            for (uint64_t at = 0; at < GIB; at += MIB) {
                mmb_map_base(map)[at] = 1;
            }
            /* Late, unless it was through before. */
            int poison = mmb_map_poison(map);
            _exit(poison == ESTALE || poison == 0 ? 0 : 3);
        }
        while (file_size(fd) < (uint64_t)(round + 1) * 2 * MIB) {
            sched_yield();
        }
        close_map(map, MIB + 1);
        CHECK_EQ(file_size(fd), MIB + 1);
        CHECK_EXITED(wait_for(pid, SECONDS));
        CHECK_EQ(file_size(fd), MIB + 1);
        close(fd);
    }
}

/* What the owner gives back is not missing in a child's count of blocks. */
static void a_child_grows_after_the_owner_gave_blocks_back(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    memset(mmb_map_base(map), 1, 100 * MIB);
    int go[2];
    char byte = 0;
    CHECK(pipe(go) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(mmb_map_truncate(map, 0), EPERM);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        mmb_map_base(map)[200 * MIB] = 2;
        _exit(mmb_map_poison(map) == 0 ? 0 : 3);
    }
    CHECK_EQ(mmb_map_truncate(map, 10), 0);
    CHECK_EQ(write(go[1], &byte, 1), 1);
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(mmb_map_base(map)[200 * MIB], 2);
    CHECK_EQ(mmb_map_base(map)[10], 0);
    close_map(map, 200 * MIB + 1);
    close(go[0]);
    close(go[1]);
    close(fd);
}

/* A disk may take longer over an allocation than a close waits for what it knows nothing of. */
static void a_child_that_grows_slowly_is_waited_for(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    int inside[2];
    char byte = 0;
    CHECK(pipe(inside) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        uint32_t entry = mmb__in_flight_enter(map->file.shared);
        CHECK_EQ(write(inside[1], &byte, 1), 1);
        sleep_ms(2500);
        CHECK(ftruncate(fd, 64 * MIB) == 0);
        mmb__in_flight_leave(map->file.shared, entry);
        _exit(0);
    }
    CHECK_EQ(read(inside[0], &byte, 1), 1);
    close(inside[0]);
    close(inside[1]);
    close_map(map, 100);
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(file_size(fd), 100);
    close(fd);
}

/* A child makes the first move of EOF, without blocks, while the parent waits to make
 * it with some: the parent still gets them, and takes nothing for a cut. */
static void a_first_move_that_comes_second_has_its_blocks(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        atomic_store(&map->file.shared->eof_lock_holder, mmb_this_process());
        sleep_ms(200);
        CHECK(ftruncate(fd, (off_t)MMB_GRANULE) == 0);
        atomic_store(&map->file.shared->backed, MMB_GRANULE);
        atomic_store(&map->file.shared->eof_lock_holder, 0);
        _exit(0);
    }
    while (atomic_load(&map->file.shared->eof_lock_holder) == 0) {
        sched_yield();
    }
    CHECK_EQ(mmb_map_ensure(map, MIB), 0); /* waits for the child */
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(mmb_map_reserve(map, 0, MIB), 0);
    struct stat now;
    CHECK(fstat(fd, &now) == 0);
    CHECK((uint64_t)now.st_blocks * 512 >= MIB);
    mmb_map_base(map)[3 * MIB] = 1;
    close_map(map, 3 * MIB + 1);
    close(fd);
}

static void what_poisons_a_child_reaches_the_parent(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        mmb_map_set_poison(map, ENOSPC);
        mmb_map_base(map)[5] = 1;
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(mmb_map_poison(map), ENOSPC);
    mmb_map_free(map);
    close(fd);
}

/* ---- what parent and child share is for one map only ------------------------------- */

/* The locks that a thread of the parent may hold at that moment, held on its behalf. */
static void what_threads_held_is_free_in_the_child(void)
{
    for (int which = 0; which < 2; which++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, GIB);
        mmb_map_base(map)[0] = 1;
        atomic_store(&map->file.eof_turn, which == 0);
        if (which > 0) {
            mmb_map_set_poison(map, EIO);
            atomic_store(&map->remapping, true);
        }
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            mmb_map_base(map)[500 * MIB] = 1;
            _exit(mmb_map_base(map)[500 * MIB] == 1 ? 0 : 3);
        }
        CHECK_EXITED(wait_for(pid, 20));
        atomic_store(&map->file.eof_turn, false);
        atomic_store(&map->remapping, false);
        mmb_map_free(map);
        close(fd);
    }
}

/* ---- forked while threads are at it -------------------------------------------------- */

static _Atomic bool stop;

static void *grow_until_stopped(void *argument)
{
    mmb_map *map = argument;
    static _Atomic uint64_t next = 1;
    while (!atomic_load(&stop)) {
        /* Atomic, since they come by the same places again. */
        uint64_t at = atomic_fetch_add(&next, 1) * 64 * 1024 % (2 * GIB);
        atomic_store_explicit((_Atomic unsigned char *)(mmb_map_base(map) + at), 1,
                              memory_order_relaxed);
    }
    return NULL;
}

static void a_fork_while_threads_grow_leaves_no_lock(void)
{
    int fd = temp_file();
    mmb_options options = {.capacity = 2 * GIB + MIB, .max_growth = 2 * MIB};
    mmb_map *map = open_map_by(fd, &options);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, grow_until_stopped, map), 0);
    }
    for (uint64_t round = 0; round < 100; round++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            for (uint64_t i = 0; i < 20; i++) {
                mmb_map_base(map)[(round * 20 + i) * 4 * MIB % (2 * GIB)] = 1;
            }
            _exit(0);
        }
        CHECK_EXITED(wait_for(pid, SECONDS));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    close_map(map, 0);
    close(fd);
}

int main(void)
{
    RUN(a_child_fills_what_the_parent_finishes);
    RUN(a_child_that_still_writes_does_not_undo_the_close);
    RUN(a_child_grows_after_the_owner_gave_blocks_back);
    RUN(a_child_that_grows_slowly_is_waited_for);
    RUN(a_first_move_that_comes_second_has_its_blocks);
    RUN(what_poisons_a_child_reaches_the_parent);
    RUN(what_threads_held_is_free_in_the_child);
    RUN(a_fork_while_threads_grow_leaves_no_lock);
    return 0;
}
