/* test_process.c - processes that die, or live in a pid namespace of their own: which of them owns
 * a map, and who waits for whom. */
#include "tempfile.h"

#include "map/map.h"
#include "os/process.h"

#include <sched.h>

/* A thread that waits for a process of which nothing is known gives up after a minute. This is
 * less than a minute, and more than any of it takes on a slow machine. */
enum { SECONDS = 100 };
static const double patience = 30;

static void children_killed_at_any_moment_hang_nobody(void)
{
    uint64_t seed = 5;
    for (int round = 0; round < LESS_UNDER_TSAN(60); round++) {
        int fd = temp_file();
        mmb_options options = {.capacity = 8 * GIB, .max_growth = 2 * MIB};
        mmb_map *map = open_map_by(fd, &options);
        pid_t pids[3];
        for (uint64_t i = 0; i < 3; i++) {
            pids[i] = fork();
            CHECK(pids[i] >= 0);
            if (pids[i] == 0) {
                for (uint64_t at = i * MIB; at < 8 * GIB; at += 3 * MIB) {
                    mmb_map_base(map)[at] = 1;
                }
                _exit(0);
            }
        }
        const struct timespec pause = {.tv_nsec = (long)(next_random(&seed) % 8000000)};
        nanosleep(&pause, NULL);
        for (int i = 0; i < 3; i++) {
            kill(pids[i], SIGKILL); /* and they are not waited for yet */
        }
        double before = now_seconds();
        mmb_map_base(map)[8 * GIB - 1] = 1;
        mmb_map_seal(map);
        CHECK_EQ(mmb_map_cut(map, 0), 0);
        mmb_map_free(map);
        CHECK(now_seconds() - before < patience);
        for (int i = 0; i < 3; i++) {
            int status;
            waitpid(pids[i], &status, 0);
        }
        CHECK_EQ(file_size(fd), 0);
        close(fd);
    }
}

/* The two locks that a dead process can hold, held on its behalf. */
static void what_a_dead_process_held_is_taken_back(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    atomic_store(&map->file.shared->cannot_allocate, true);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        atomic_store(&map->file.shared->eof_lock_holder, mmb_this_process());
        mmb__in_flight_enter(map->file.shared);
        raise(SIGKILL);
    }
    sleep_ms(50); /* dead, and not waited for */
    double before = now_seconds();
    mmb_map_base(map)[100 * MIB] = 1;
    CHECK(file_size(fd) > 100 * MIB);
    mmb_map_seal(map);
    CHECK(now_seconds() - before < patience);
    CHECK_KILLED(wait_for(pid, SECONDS), SIGKILL);
    mmb_map_free(map);
    close(fd);
}

/* A child in a pid namespace of its own may have the pid of its parent, here 1. */
static int the_owner_with_pid_1(void *unused)
{
    (void)unused;
    CHECK_EQ(getpid(), 1);
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[3 * MIB] = 1;
    uint64_t owner = mmb_this_process();
    CHECK(unshare(CLONE_NEWPID) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(getpid(), 1);
        CHECK(mmb_this_process() != owner && mmb_this_process() >> 32 != owner >> 32);
        CHECK(!mmb_map_is_owner(map));
        mmb_map_seal(map);
        CHECK_EQ(mmb_map_cut(map, 5), EPERM);
        mmb_map_free(map);
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK(mmb_map_is_owner(map));
    mmb_map_base(map)[5 * MIB] = 1; /* not sealed by the other */
    close_map(map, 5 * MIB + 1);
    CHECK_EQ(file_size(fd), 5 * MIB + 1);
    close(fd);
    return 0;
}

static int unshare_pids(void *unused)
{
    (void)unused;
    if (unshare(CLONE_NEWPID) != 0) {
        skip("pid namespaces need root");
        return 0;
    }
    return run_child(the_owner_with_pid_1, NULL, SECONDS) == 0 ? 0 : 1;
}

static void a_pid_namespace_makes_no_owner(void)
{
    if (!is_emulated()) {
        CHECK_EXITED(run_child(unshare_pids, NULL, SECONDS));
    }
}

/* In another pid namespace nobody can say whether the holder of a lock lives: it is waited for. */
static int a_child_in_a_namespace(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    _Atomic uint64_t *seen = mmb__os_shared_alloc(4096);
    atomic_store(&map->file.shared->eof_lock_holder, mmb_this_process());
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(getpid(), 1);
        atomic_store(&seen[1], mmb_this_process());
        mmb__turn turn;
        mmb__begin_blocks(&map->file, &turn);
        CHECK_EQ(atomic_load(&seen[0]), 1); /* it was given back */
        mmb__end_blocks(&map->file, &turn);
        _exit(0);
    }
    sleep_ms(300);
    atomic_store(&seen[0], 1);
    mmb__unlock_eof(&map->file);
    CHECK_EXITED(wait_for(pid, SECONDS));
    uint64_t child = atomic_load(&seen[1]);
    CHECK(child >> 32 != mmb_this_process() >> 32);
    CHECK_EQ(mmb__life_of(mmb__identity_of(child)), MMB__UNKNOWN);
    CHECK_EQ(mmb__life_of(mmb__identity_of(mmb_this_process())), MMB__DEAD); /* one before us */
    mmb_map_free(map);
    close(fd);
    return 0;
}

static int try_namespaces(void *unused)
{
    if (unshare(CLONE_NEWPID) != 0) {
        skip("pid namespaces need root");
        return 0;
    }
    return a_child_in_a_namespace(unused);
}

static void a_holder_in_another_pid_namespace_is_waited_for(void)
{
    if (!is_emulated()) {
        CHECK_EXITED(run_child(try_namespaces, NULL, SECONDS));
    }
}

int main(void)
{
    RUN(children_killed_at_any_moment_hang_nobody);
    RUN(what_a_dead_process_held_is_taken_back);
    RUN(a_pid_namespace_makes_no_owner);
    RUN(a_holder_in_another_pid_namespace_is_waited_for);
    return 0;
}
