/* test_finish.c - messages of 0 to 511 segments finished in real files. */
#define _GNU_SOURCE

#include "build.h"

#include <errno.h>
#include <sys/wait.h>

static const char *const directories[] = {"/tmp", "/dev/shm"};

/* After the end of a message its memory is a snapshot: all at the old places. */
static void check_snapshot(const built *b)
{
    CHECK_EQ(mmb_map_detach(b->map), 0);
    for (uint32_t i = 0; i < b->count; i++) {
        unsigned char *base = mmb_map_base(b->map) + built_start(b, i);
        CHECK(many_is_right(base, b->count, i, b->list));
        memset(base, 0x55, (size_t)b->full[i] * 8);
    }
}

static void finish_one(const char *directory, uint32_t entries, uint32_t count, uint32_t slack,
                       bool durable)
{
    built b;
    uint64_t bytes = 0;
    build(&b, directory, entries, count, 5, slack, durable);
    uint64_t unit = mmb_map_collapse_unit(b.map);
    CHECK_EQ(finish(&b, durable, &bytes), 0);
    CHECK_EQ(size_of(b.fd), bytes);

    uint64_t whole = count == 0 ? mmb_table_bytes(entries) + 8
                                : built_start(&b, count - 1) + (uint64_t)b.used[count - 1] * 8;
    if (durable || unit == 0 || count < 2) {
        CHECK_EQ(bytes, whole);
    } else if (slack * 8 >= 3 * unit) {
        CHECK(bytes < whole); /* a tail that is worth it was collapsed */
    }
    check_message(b.fd, &b);
    check_snapshot(&b);
    check_message(b.fd, &b);
    put_away(&b);
}

static void every_shape(void)
{
    static const uint32_t entries[] = {1, 2, 3, 4, 5, 6, 16, 17, 510, 511};
    static const uint32_t slacks[] = {0, 3, 3000};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        uint32_t counts[] = {0, 1, 2, 3, 4, entries[e] - 1, entries[e]};
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            for (size_t s = 0; s < 6 && counts[c] <= entries[e]; s++) {
                if (counts[c] > 100 && slacks[s / 2] > 100) {
                    continue; /* hundreds of collapses take seconds */
                }
                finish_one(directories[c % 2], entries[e], counts[c], slacks[s / 2], s % 2 == 1);
                if (counts[c] < 20) {
                    finish_one(directories[1 - c % 2], entries[e], counts[c], slacks[s / 2],
                               s % 2 == 1);
                }
            }
        }
    }
}

/* Segments that were handed out and hold nothing: at the end they are dropped, with
 * the sizes that note_segment wrote for them. */
static void unused_segments(void)
{
    for (uint32_t extra = 1; extra <= 4; extra++) {
        built b;
        build(&b, "/tmp", 9, 4, 5, 2, false);
        for (uint32_t i = 0; i < extra; i++) {
            b.full[b.count + i] = 7;
            mmb_message_note_segment(b.map, b.entries, b.count + i, 7);
        }
        CHECK_EQ(mmb_message_finish(b.map, b.entries, b.full, b.used, b.count + extra, false, NULL),
                 0);
        check_message(b.fd, &b);
        put_away(&b);
    }

    /* Not even the root pointer was used: it is there nevertheless. */
    built b;
    build(&b, "/tmp", 4, 0, 5, 0, false);
    b.full[0] = 100;
    mmb_message_note_segment(b.map, 4, 0, 100);
    CHECK_EQ(mmb_message_finish(b.map, 4, b.full, b.used, 1, false, NULL), 0);
    check_message(b.fd, &b);
    put_away(&b);
}

/* A message that ends in zeros which nobody stored, far beyond EOF. */
static void trailing_zeros(void)
{
    int fd = temporary_file("/tmp");
    mmb_options options = {.capacity = (uint64_t)1 << 30, .max_growth = MMB_GRANULE};
    uint32_t full = (1u << 30) / 8 - 1, used = full - 5;
    mmb_report report;
    mmb_map *map;
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    CHECK_EQ(mmb_message_begin(map, 1, false), 0);
    mmb_message_note_segment(map, 1, 0, full);
    put64(mmb_map_base(map) + 8, p_list(0, EIGHT, used - 1));
    CHECK_EQ(mmb_message_finish(map, 1, &full, &used, 1, false, NULL), 0);
    CHECK_EQ(size_of(fd), 8 + (uint64_t)used * 8);
    CHECK_EQ(mmb_verify(fd, &report), 0);
    CHECK_EQ(report.totals.words, used);
    mmb_map_free(map);
    close(fd);
}

static void contradictions(void)
{
    built b;
    build(&b, "/tmp", 3, 2, 5, 0, false);
    CHECK_EQ(mmb_message_finish(b.map, 3, b.full, b.used, 4, false, NULL), EINVAL);
    CHECK_EQ(mmb_message_finish(b.map, 0, b.full, b.used, 0, false, NULL), EINVAL);
    CHECK_EQ(mmb_message_finish(b.map, 512, b.full, b.used, 2, false, NULL), EINVAL);
    b.full[1]--; /* used is more now */
    CHECK_EQ(finish(&b, false, NULL), EINVAL);
    b.full[1] = 0;
    CHECK_EQ(finish(&b, false, NULL), EINVAL);
    b.full[1] = MMB_MAX_SEGMENT_WORDS + 1;
    CHECK_EQ(finish(&b, false, NULL), EINVAL);
    b.full[1] = b.used[1];
    CHECK_EQ(finish(&b, false, NULL), 0);
    check_message(b.fd, &b);
    put_away(&b);
}

static bool is_marked(int fd)
{
    unsigned char mark[4];
    return pread(fd, mark, 4, 0) == 4 && get32(mark) == 0xFFFFFFFF;
}

/* Somebody else cut the file: not to be passed off as complete. */
static void cut_by_others(void)
{
    built b;
    build(&b, "/tmp", 16, 2, 5, 0, false);
    CHECK(ftruncate(b.fd, 2048) == 0);
    CHECK_EQ(finish(&b, false, NULL), MMB_ETRUNCATED);
    CHECK_EQ(size_of(b.fd), 2048);
    CHECK(is_marked(b.fd));
    put_away(&b);
}

static void poisoned(void)
{
    built b;
    build(&b, "/tmp", 16, 2, 5, 0, false);
    mmb_map_set_poison(b.map, ENOSPC);
    CHECK_EQ(finish(&b, false, NULL), ENOSPC);
    CHECK(is_marked(b.fd));
    put_away(&b);
}

static void only_the_owner(void)
{
    built b;
    build(&b, "/tmp", 16, 3, 5, 0, false);
    pid_t child = fork();
    if (child == 0) {
        _exit(finish(&b, false, NULL) == EPERM ? 0 : 1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(is_marked(b.fd));
    CHECK_EQ(finish(&b, false, NULL), 0);
    check_message(b.fd, &b);
    put_away(&b);
}

int main(void)
{
    RUN(every_shape);
    RUN(unused_segments);
    RUN(trailing_zeros);
    RUN(contradictions);
    RUN(cut_by_others);
    RUN(poisoned);
    RUN(only_the_owner);
    return 0;
}
