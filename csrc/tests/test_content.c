/* test_content.c - the cursor and the size that processes share. */
#include "tempfile.h"

#include <sched.h>

enum { SECONDS = 120, CHILDREN = 4 };

static uint64_t size_of(mmb_map *map)
{
    uint64_t size = UINT64_MAX;
    CHECK_EQ(mmb_map_size(map, &size), 0);
    return size;
}

static void what_was_declared_is_exact(void)
{
    static const unsigned char zeros[100];
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    CHECK_EQ(size_of(map), 0);
    CHECK_EQ(mmb_map_append(map, zeros, 33), 0);
    CHECK_EQ(size_of(map), 33);
    CHECK_EQ(mmb_map_cursor(map), 33);
    CHECK_EQ(mmb_map_write(map, 60, zeros, 7), 0);
    CHECK_EQ(size_of(map), 67);
    CHECK_EQ(mmb_map_cursor(map), 33);
    uint64_t start = 0;
    CHECK_EQ(mmb_map_allocate(map, 100, 64, &start), 0);
    CHECK_EQ(start, 64);
    CHECK_EQ(mmb_map_cursor(map), 164);
    CHECK_EQ(size_of(map), 164);
    CHECK_EQ(mmb_map_truncate(map, 5 * MIB + 1), 0);
    CHECK_EQ(size_of(map), 5 * MIB + 1);
    CHECK_EQ(mmb_map_truncate(map, 3), 0);
    CHECK_EQ(size_of(map), 3);
    CHECK_EQ(mmb_map_cursor(map), 164);
    close_map(map, 3);
    close(fd);
}

static void what_was_stored_ends_at_a_whole_scalar(void)
{
    int fd = temp_file();
    const uint64_t capacity = 4 * MIB + 5;
    mmb_map *map = open_map(fd, capacity);
    CHECK_EQ(mmb_map_append(map, "0123456789", 10), 0);
    mmb_map_base(map)[9] = 0; /* within what was declared */
    CHECK_EQ(size_of(map), 10);
    mmb_map_base(map)[10] = 1;
    CHECK_EQ(size_of(map), 16);
    mmb_map_base(map)[15] = 1;
    CHECK_EQ(size_of(map), 16);
    mmb_map_base(map)[16] = 1;
    CHECK_EQ(size_of(map), 32);
    mmb_map_base(map)[capacity - 1] = 1;
    CHECK_EQ(size_of(map), capacity);
    close_map(map, 32);
    close(fd);
}

static void what_does_not_fit_leaves_the_cursor(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 100);
    uint64_t start = 0;
    mmb_map_set_cursor(map, 90);
    CHECK_EQ(mmb_map_append(map, "0123456789x", 11), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_allocate(map, 5, 32, &start), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_truncate(map, 101), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_write(map, 95, "012345", 6), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_cursor(map), 90);
    CHECK_EQ(size_of(map), 0);
    CHECK_EQ(mmb_map_append(map, "0123456789", 10), 0);
    mmb_map_set_cursor(map, UINT64_MAX - 3);
    CHECK_EQ(mmb_map_append(map, "0123", 4), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_allocate(map, 4, 1, &start), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_allocate(map, 4, 4096, &start), MMB_ECAPACITY);
    CHECK_EQ(size_of(map), 100);
    close_map(map, 100);
    close(fd);
}

static void appends_of_forked_children_lose_nothing(void)
{
    enum { RECORD = 24, RECORDS = LESS_UNDER_TSAN(2000) };
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    CHECK_EQ(mmb_map_append(map, "head", 4), 0);
    pid_t children[CHILDREN];
    for (int child = 0; child < CHILDREN; child++) {
        fflush(NULL);
        children[child] = fork();
        CHECK(children[child] >= 0);
        if (children[child] == 0) {
            unsigned char record[RECORD];
            memset(record, 1 + child, sizeof record);
            for (int i = 0; i < RECORDS; i++) {
                CHECK_EQ(mmb_map_append(map, record, sizeof record), 0);
            }
            _exit(0);
        }
    }
    for (int child = 0; child < CHILDREN; child++) {
        CHECK_EXITED(wait_for(children[child], SECONDS));
    }
    const uint64_t end = 4 + (uint64_t)CHILDREN * RECORDS * RECORD;
    CHECK_EQ(mmb_map_cursor(map), end);
    CHECK_EQ(size_of(map), end);
    int counts[CHILDREN + 1] = {0};
    for (uint64_t at = 4; at < end; at += RECORD) {
        const unsigned char *record = mmb_map_base(map) + at;
        CHECK(1 <= record[0] && record[0] <= CHILDREN);
        for (int i = 1; i < RECORD; i++) {
            CHECK_EQ(record[i], record[0]);
        }
        counts[record[0]]++;
    }
    for (int child = 1; child <= CHILDREN; child++) {
        CHECK_EQ(counts[child], RECORDS);
    }
    close_map(map, end);
    close(fd);
}

/* Each append that a child was told of counts, zeros too, whenever the owner closes. */
static void an_append_counts_or_fails_when_the_owner_closes(void)
{
    static const unsigned char zeros[100];
    for (int round = 0; round < LESS_UNDER_TSAN(40); round++) {
        int fd = temp_file(), told[2];
        mmb_map *map = open_map(fd, GIB);
        CHECK(pipe(told) == 0);
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            uint64_t done = 0;
            while (mmb_map_append(map, zeros, sizeof zeros) == 0) {
                done += sizeof zeros;
            }
            CHECK_EQ(write(told[1], &done, sizeof done), sizeof done);
            _exit(0);
        }
        while (mmb_map_declared_size(map) < (uint64_t)(1 + round) * sizeof zeros) {
            sched_yield();
        }
        mmb_map_seal(map);
        uint64_t size = size_of(map), done = 0;
        CHECK_EQ(read(told[0], &done, sizeof done), sizeof done);
        CHECK_EQ(size, done);
        CHECK_EXITED(wait_for(child, SECONDS));
        mmb_map_free(map);
        close(told[0]);
        close(told[1]);
        close(fd);
    }
}

int main(void)
{
    RUN(what_was_declared_is_exact);
    RUN(what_was_stored_ends_at_a_whole_scalar);
    RUN(what_does_not_fit_leaves_the_cursor);
    RUN(appends_of_forked_children_lose_nothing);
    RUN(an_append_counts_or_fails_when_the_owner_closes);
    return 0;
}
