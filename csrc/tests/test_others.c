/* test_others.c - other programs at work on a file while it is built: it is cut, deleted, replaced.
 *
 * Whoever cuts a file takes data away that nobody can bring back. It must be found,
 * reported and never grown over. */
#include "tempfile.h"

#include "os/os.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SECONDS = 100, PAGE = 4096 };

static void check_truncated(mmb_map *map)
{
    CHECK_EQ(mmb_map_poison(map), MMB_ETRUNCATED);
    CHECK_EQ(mmb_map_write(map, 0, "x", 1), MMB_ETRUNCATED);
    CHECK_EQ(mmb_map_reserve(map, 0, 1), MMB_ETRUNCATED);
    mmb_map_base(map)[5 * MIB] = 5;
    CHECK_EQ(mmb_map_base(map)[5 * MIB], 5);
}

static void a_cut_is_found_by_the_next_growth(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    memset(mmb_map_base(map), 1, 3 * MIB);
    CHECK(ftruncate(fd, 100) == 0);
    mmb_map_base(map)[600 * MIB] = 1;
    check_truncated(map);
    CHECK_EQ(file_size(fd), 100); /* not grown back */
    CHECK_EQ(mmb_map_base(map)[99], 1);
    CHECK_EQ(mmb_map_base(map)[100], 0);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), 100);
    close(fd);
}

static void a_cut_is_found_by_a_store_below_the_old_end(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    memset(mmb_map_base(map), 1, 3 * MIB);
    CHECK(ftruncate(fd, 0) == 0);
    mmb_map_base(map)[2 * MIB] = 1;
    check_truncated(map);
    CHECK_EQ(file_size(fd), 0);
    mmb_map_free(map);
    close(fd);
}

static void a_cut_is_found_by_each_call(void)
{
    for (int call = 0; call < 4; call++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, GIB);
        mmb_map_base(map)[MIB] = 1;
        CHECK(ftruncate(fd, 0) == 0);
        int error = call == 0   ? mmb_map_ensure(map, 10)
                    : call == 1 ? mmb_map_reserve(map, 0, 10)
                    : call == 2 ? mmb_map_write(map, 0, "x", 1)
                                : mmb_map_truncate(map, 0);
        CHECK_EQ(error, MMB_ETRUNCATED);
        CHECK_EQ(file_size(fd), 0);
        mmb_map_free(map);
        close(fd);
    }
}

static void a_cut_is_found_by_the_seal(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[MIB] = 1;
    CHECK(ftruncate(fd, MIB + 1) == 0); /* nothing but zeros was lost: who knows */
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_poison(map), MMB_ETRUNCATED);
    mmb_map_free(map);
    close(fd);
}

static void a_cut_after_the_seal_is_found_by_our_own(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[MIB] = 1;
    mmb_map_seal(map);
    CHECK(ftruncate(fd, 100) == 0);
    CHECK_EQ(mmb_map_cut(map, MIB + 1), MMB_ETRUNCATED);
    CHECK_EQ(file_size(fd), 100);       /* not made longer, which would hide it */
    CHECK_EQ(mmb_map_cut(map, 100), 0); /* none of these bytes is missing */
    mmb_map_free(map);
    close(fd);
}

static void what_others_append_is_no_harm(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    CHECK(ftruncate(fd, 50 * MIB + 77) == 0);
    mmb_map_base(map)[50 * MIB + 70] = 2;
    mmb_map_base(map)[90 * MIB] = 3;
    CHECK_EQ(mmb_map_poison(map), 0);
    CHECK_EQ(mmb_map_base(map)[50 * MIB + 70], 2);
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK_EQ(used, 90 * MIB + 1);
    close_map(map, used);
    close(fd);
}

static void a_file_without_a_name_is_finished(void)
{
    char path[PATH_MAX];
    int fd = make_file_in(temp_directory(), path);
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    CHECK(unlink(path) == 0);
    /* Another one of that name is none of ours. */
    int other = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(other >= 0 && write(other, "other", 5) == 5);
    mmb_map_base(map)[100 * MIB] = 2;
    close_map(map, 100 * MIB + 1);
    CHECK_EQ(file_size(fd), 100 * MIB + 1);
    CHECK_EQ(file_size(other), 5);
    CHECK(unlink(path) == 0);
    close(other);
    close(fd);
}

/* ---- cut at any moment, while threads grow ------------------------------------- */

static _Atomic bool stop;

typedef struct {
    mmb_map *map;
    uint64_t number;
} grower;

/* What has blocks before they start. In a file as small as a few large pages, threads that
 * store can put back all the blocks which a cut has taken, and then nothing tells of it. */
#define AHEAD (16 * MIB)

static void *grow_in_steps(void *argument)
{
    const grower *self = argument;
    unsigned char *base = mmb_map_base(self->map);
    for (uint64_t page = AHEAD / PAGE + self->number; page * PAGE < mmb_map_capacity(self->map);
         page += 4) {
        if (atomic_load(&stop) || mmb_map_poison(self->map) != 0) {
            break;
        }
        base[page * PAGE] = 1;
    }
    return NULL;
}

/* A cut may come between the look at EOF and its move. That is found where the file
 * system has fallocate and counts blocks; elsewhere a moment of risk remains. */
static bool every_cut_can_be_found(int fd)
{
    mmb__traits traits;
    return fallocate(fd, 0, 0, 1) == 0 && ftruncate(fd, 0) == 0 &&
           mmb__os_look_at(fd, &traits) == 0 && traits.block_count_is_exact;
}

static void a_cut_at_any_moment_is_found(void)
{
    uint64_t seed = (uint64_t)getpid() * 77 + 1;
    int rounds = LESS_UNDER_TSAN(200), missed = 0;
    const char *more = getenv("MMB_TEST_ROUNDS");
    rounds = more != NULL ? atoi(more) : rounds;
    for (int round = 0; round < rounds; round++) {
        int fd = temp_file();
        mmb_options options = {.capacity = GIB, .max_growth = 2 * MIB};
        mmb_map *map = open_map_by(fd, &options);
        CHECK_EQ(mmb_map_reserve(map, 0, AHEAD), 0);
        atomic_store(&stop, false);
        pthread_t threads[4];
        grower growers[4];
        for (uint64_t i = 0; i < 4; i++) {
            growers[i] = (grower){map, i};
            CHECK_EQ(pthread_create(&threads[i], NULL, grow_in_steps, &growers[i]), 0);
        }
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            const struct timespec pause = {.tv_nsec = (long)(next_random(&seed) % 20000000)};
            nanosleep(&pause, NULL);
            uint64_t rest = round % 2 == 0 ? 0 : file_size(fd) / 2;
            _exit(ftruncate(fd, (off_t)rest) == 0 ? 0 : 1);
        }
        (void)next_random(&seed);
        CHECK_EXITED(wait_for(pid, SECONDS));
        sleep_ms(1);
        atomic_store(&stop, true);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        mmb_map_seal(map);
        int poison = mmb_map_poison(map);
        CHECK(poison == 0 || poison == MMB_ETRUNCATED);
        missed += poison == 0;
        mmb_map_free(map);
        close(fd);
    }
    fprintf(stderr, "  (%d of %d cuts grown over)\n", missed, rounds);
    int fd = temp_file();
    CHECK(missed == 0 || !every_cut_can_be_found(fd));
    close(fd);
}

int main(void)
{
    RUN(a_cut_is_found_by_the_next_growth);
    RUN(a_cut_is_found_by_a_store_below_the_old_end);
    RUN(a_cut_is_found_by_each_call);
    RUN(a_cut_is_found_by_the_seal);
    RUN(a_cut_after_the_seal_is_found_by_our_own);
    RUN(what_others_append_is_no_harm);
    RUN(a_file_without_a_name_is_finished);
    RUN(a_cut_at_any_moment_is_found);
    return 0;
}
