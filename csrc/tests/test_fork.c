/* test_fork.c - a map in a parent and its children: all may fill it, one owns it, and
 * no process that has closed our fd harms the file that got its number. */
#include "tempfile.h"

#include "file/in_flight.h"
#include "file/process.h"
#include "file/turn.h"
#include "map/map.h"

#include <pthread.h>
#include <sched.h>

/* Whoever waits for the dead waits a minute: less than that, and more than any of it
 * takes on a slow machine. */
enum { SECONDS = 100, PAGE = 4096 };
static const double patience = 30;

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
        CHECK_EQ(mmb_map_zero_from(map, 0), EPERM);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        mmb_map_base(map)[200 * MIB] = 2;
        _exit(mmb_map_poison(map) == 0 ? 0 : 3);
    }
    CHECK_EQ(mmb_map_zero_from(map, 10), 0);
    CHECK_EQ(write(go[1], &byte, 1), 1);
    CHECK_EXITED(wait_for(pid, SECONDS));
    CHECK_EQ(mmb_map_base(map)[200 * MIB], 2);
    CHECK_EQ(mmb_map_base(map)[10], 0);
    close_map(map, 200 * MIB + 1);
    close(go[0]);
    close(go[1]);
    close(fd);
}

/* A disk may take longer over an allocation than anybody's patience lasts. */
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

/* More than have their shared part in one page of memory. */
enum { MANY = 40 };

static void poison_all(mmb_map **maps)
{
    for (int i = 0; i < MANY; i++) {
        mmb_map_set_poison(maps[i], EIO);
    }
}

static void free_all(mmb_map **maps)
{
    for (int i = 0; i < MANY; i++) {
        mmb_map_free(maps[i]);
    }
}

/* Maps that either process opens afterwards must not be given the state of one that the
 * other still has, whichever of them was closed meanwhile. */
static void the_state_of_a_closed_map_is_not_given_out_again(void)
{
    int fd = temp_file(), closed[2], tried[2];
    CHECK(pipe(closed) == 0 && pipe(tried) == 0);
    mmb_map *old[MANY], *parents[MANY], *childs[MANY];
    char word = 0;
    for (int i = 0; i < MANY; i++) {
        old[i] = open_map(fd, MIB);
    }
    mmb_map_free(open_map(fd, MIB)); /* so that the place of the next was in use once */
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    close(pid == 0 ? closed[1] : closed[0]); /* so that nobody waits for who has failed */
    close(pid == 0 ? tried[0] : tried[1]);
    for (int i = 0; pid == 0 && i < MANY; i++) {
        childs[i] = open_map(fd, MIB);
    }
    if (pid == 0) {
        CHECK_EQ(read(closed[0], &word, 1), 1);
        poison_all(old);
        poison_all(childs);
        free_all(old);
        CHECK_EQ(write(tried[1], "", 1), 1);
        CHECK_EQ(read(closed[0], &word, 1), 1);
        free_all(childs);
        _exit(0);
    }
    free_all(old);
    for (int i = 0; i < MANY; i++) {
        parents[i] = open_map(fd, MIB);
    }
    CHECK_EQ(write(closed[1], "", 1), 1);
    CHECK_EQ(read(tried[0], &word, 1), 1);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(mmb_map_poison(parents[i]), 0);
    }
    CHECK_EQ(write(closed[1], "", 1), 1);
    CHECK_EXITED(wait_for(pid, SECONDS));
    free_all(parents);
    close(closed[1]);
    close(tried[0]);
    close(fd);
}

static int lines_of_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int lines = 0;
    for (int c = 0; maps != NULL && (c = getc(maps)) != EOF;) {
        lines += c == '\n';
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return lines;
}

static void closed_maps_leave_no_memory(void)
{
    int fd = temp_file();
    mmb_map *maps[MANY];
    int before = 0;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < MANY; i++) {
            maps[i] = open_map(fd, MIB);
        }
        for (int i = 0; i < MANY; i++) {
            mmb_map_free(maps[(i * 7 + round) % MANY]);
        }
        before = round == 4 ? lines_of_memory() : before;
    }
    CHECK(lines_of_memory() <= before + 2);
    close(fd);
}

/* ---- a process that closes every fd ----------------------------------------------- */

/* An unrelated file under the number that the map's fd had. */
static int reuse_number(const mmb_map *map)
{
    int number = mmb_map_fd(map);
    CHECK(close(number) == 0);
    int other = temp_file();
    if (other != number) {
        CHECK_EQ(dup2(other, number), number);
        close(other);
    }
    CHECK_EQ(write(number, "unrelated", 9), 9);
    return number;
}

static void a_store_there_dies_as_without_us(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int number = reuse_number(map);
        struct stat now;
        pid_t inner = fork();
        if (inner == 0) {
            mmb_map_base(map)[GIB / 2] = 1;
            _exit(9);
        }
        CHECK_KILLED(wait_for(inner, SECONDS), SIGBUS);
        CHECK(fstat(number, &now) == 0);
        CHECK_EQ(now.st_size, 9);
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    mmb_map_free(map);
    close(fd);
}

static int every_call_with_another_file_there(void *argument)
{
    mmb_map *map = argument;
    uint64_t used = 0;
    int number = reuse_number(map);
    CHECK_EQ(mmb_map_ensure(map, 100 * MIB), EBADF);
    CHECK_EQ(mmb_map_reserve(map, 0, 100 * MIB), EBADF);
    CHECK_EQ(mmb_map_write(map, 0, "x", 1), EBADF);
    CHECK_EQ(mmb_map_zero_from(map, 0), EBADF);
    CHECK_EQ(mmb_map_flush(map, true), EBADF);
    CHECK_EQ(mmb_map_find_used(map, 0, &used), EBADF);
    mmb_map_seal(map);
    int expected = mmb_map_is_owner(map) ? EBADF : EPERM;
    CHECK_EQ(mmb_map_cut(map, 0), expected);
    CHECK_EQ(mmb_map_detach(map), EBADF);
    CHECK_EQ(mmb_map_take_fd(map), -1);
    mmb_map_free(map);
    char text[16] = "";
    CHECK_EQ(pread(number, text, sizeof text, 0), 9); /* open, and whole */
    CHECK(memcmp(text, "unrelated", 9) == 0);
    return 0;
}

static int owner_that_closed_every_fd(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    return every_call_with_another_file_there(map);
}

static int poisoned_with_another_file_there(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    memset(mmb_map_base(map), 7, 100);
    mmb_map_set_poison(map, ENOSPC);
    int number = reuse_number(map);
    CHECK_EQ(mmb_map_detach(map), EBADF);
    CHECK_EQ(mmb_map_base(map)[0], 7); /* not the other's content */
    CHECK_EQ(fcntl(number, F_GETFD) >= 0, 1);
    mmb_map_free(map);
    CHECK_EQ(fcntl(number, F_GETFD) >= 0, 1);
    return 0;
}

static void no_call_there_touches_the_other_file(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    CHECK_EXITED(run_child(every_call_with_another_file_there, map, SECONDS));
    mmb_map_free(map);
    close(fd);
    CHECK_EXITED(run_child(owner_that_closed_every_fd, NULL, SECONDS));
    CHECK_EXITED(run_child(poisoned_with_another_file_there, NULL, SECONDS));
}

static int number_of_a_standard_stream(void *unused)
{
    (void)unused;
    int fd = temp_file();
    close(STDOUT_FILENO);
    mmb_map *map = open_map(fd, MIB);
    CHECK(mmb_map_fd(map) > STDERR_FILENO);
    CHECK((fcntl(mmb_map_fd(map), F_GETFD) & FD_CLOEXEC) != 0);
    mmb_map_free(map);
    return 0;
}

static void a_closed_standard_stream_is_not_taken(void)
{
    CHECK_EXITED(run_child(number_of_a_standard_stream, NULL, SECONDS));
}

/* ---- killed inside ------------------------------------------------------------------ */

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
        mmb__lock_eof(&map->file);
        CHECK_EQ(atomic_load(&seen[0]), 1); /* it was given back */
        mmb__unlock_eof(&map->file);
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
    RUN(the_state_of_a_closed_map_is_not_given_out_again);
    RUN(closed_maps_leave_no_memory);
    RUN(a_store_there_dies_as_without_us);
    RUN(no_call_there_touches_the_other_file);
    RUN(a_closed_standard_stream_is_not_taken);
    RUN(children_killed_at_any_moment_hang_nobody);
    RUN(what_a_dead_process_held_is_taken_back);
    RUN(what_threads_held_is_free_in_the_child);
    RUN(a_pid_namespace_makes_no_owner);
    RUN(a_holder_in_another_pid_namespace_is_waited_for);
    RUN(a_fork_while_threads_grow_leaves_no_lock);
    return 0;
}
