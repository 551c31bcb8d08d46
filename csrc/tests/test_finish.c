/* test_finish.c - messages of 0 to 511 segments finished in real files. */
#define _GNU_SOURCE

#include "build.h"
#include "file/loss.h"
#include "map/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static const char *const directories[] = {"/tmp", "/dev/shm"};

/* After the end of a message its memory is a snapshot: all at the old places. */
static void check_snapshot(const built *b)
{
    CHECK_EQ(mmb_map_detach(b->map), 0);
    for (uint32_t i = 0; i < b->count; i++) {
        unsigned char *base = mmb_map_base(b->map) + built_start(b, i);
        CHECK(many_is_right(base, b->count, i, b->list));
        memset(base, 0x55, (size_t)b->building.full[i] * 8);
    }
}

static void finish_one(const char *directory, uint32_t entries, uint32_t count, uint32_t slack,
                       bool durable)
{
    built b;
    uint64_t bytes = 0;
    build(&b, directory, entries, count, 5, slack, durable);
    CHECK_EQ(finish(&b, durable, &bytes), 0);
    CHECK_EQ(bytes, message_bytes(&b));
    CHECK_EQ(file_size(b.fd), bytes);
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
 * the sizes that were noted for them. */
static void unused_segments(void)
{
    for (uint32_t extra = 1; extra <= 4; extra++) {
        built b;
        build(&b, "/tmp", 9, 4, 5, 30, false);
        b.building.region.capacity = 10000;
        for (uint32_t i = 0; i < extra; i++) {
            CHECK_EQ(mmb_message_hand_out(&b.building, 7, 7), 0);
        }
        CHECK_EQ(finish(&b, false, NULL), 0);
        check_message(b.fd, &b);
        put_away(&b);
    }

    /* Not even the root pointer was used: it is there nevertheless. */
    built b;
    build(&b, "/tmp", 4, 0, 5, 0, false);
    CHECK_EQ(mmb_message_hand_out(&b.building, 1, 100), 0);
    CHECK_EQ(finish(&b, false, NULL), 0);
    check_message(b.fd, &b);
    put_away(&b);
}

/* ---- the root pointer, moved ------------------------------------------------------------ */

typedef struct {
    mmb_map *map;
    mmb_building building;
    int fd;
} one;

static void begin_one(one *o, uint32_t entries, uint64_t capacity)
{
    mmb_options options = {.capacity = capacity, .max_growth = MMB_GRANULE};
    mmb_region region = {.capacity = capacity};
    o->fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_map_open(o->fd, &options, &o->map, NULL), 0);
    region.map = o->map;
    CHECK_EQ(mmb_message_begin(&o->building, &region, entries, false), 0);
}

static void finish_with(one *o, uint32_t used, bool has_far_pointers)
{
    CHECK_EQ(mmb_message_finish_file(&o->building, &used, has_far_pointers, false, NULL), 0);
    mmb_map_free(o->map);
}

/* Any root that one segment can have means the same where it is moved to. */
static void every_kind_of_root(void)
{
    const struct {
        uint64_t root, moved; /* by one word */
        uint64_t objects;
    } roots[] = {
        {0, 0, 0},
        {p_struct(-1, 0, 0), p_struct(-1, 0, 0), 1},
        {p_struct(3, 0, 0), p_struct(-1, 0, 0), 1},
        {p_struct(0, 1, 0), p_struct(1, 1, 0), 1},
        {p_struct(2, 2, 0), p_struct(3, 2, 0), 1},
        {p_list(0, EIGHT, 4), p_list(1, EIGHT, 4), 1},
        {p_list(0, VOID, 9), p_list(1, VOID, 9), 1},
        {p_capability(5), p_capability(5), 0},
    };
    static const uint32_t entries[] = {1, 2, 3, 4, 16, 511};
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
            uint64_t skipped = mmb_table_set_aside(entries[e]) / 8 - 1;
            unsigned char head[16];
            mmb_report report;
            one o;
            begin_one(&o, entries[e], 1 << 20);
            CHECK_EQ(mmb_message_hand_out(&o.building, 1, 100), 0);
            put64(mmb_map_base(o.map) + mmb_message_start(&o.building, 0), roots[i].root);
            finish_with(&o, 5, false);
            CHECK(pread(o.fd, head, 16, 0) == 16);
            CHECK_EQ(get32(head), 0);
            CHECK_EQ(get32(head + 4), skipped + 5);
            bool moves = roots[i].moved != roots[i].root && roots[i].root != p_struct(3, 0, 0);
            CHECK_EQ(get64(head + 8),
                     moves ? roots[i].moved + ((skipped - 1) << 2) : roots[i].moved);
            CHECK_EQ(mmb_verify(o.fd, 0, NULL, &report), 0);
            CHECK_EQ(report.totals.objects, roots[i].objects);
            CHECK_EQ(file_size(o.fd), 8 + (skipped + 5) * 8);
            close(o.fd);
        }
    }
}

/* Far pointers count words from the start of a segment: that stays where it is, and the table
 * keeps all its entries. */
static void far_pointers_in_one_segment(void)
{
    static const uint32_t entries[] = {1, 2, 3, 16};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        mmb_report report;
        one o;
        begin_one(&o, entries[e], 1 << 20);
        CHECK_EQ(mmb_message_hand_out(&o.building, 1, 100), 0);
        unsigned char *base = mmb_map_base(o.map) + mmb_message_start(&o.building, 0);
        put64(base, p_far(2, 0));
        put64(base + 16, p_struct(0, 1, 0));
        if (e % 2 == 0) {
            finish_with(&o, 4, true);
        } else {
            mmb_map_free(o.map);
            CHECK_EQ(mmb_recover(o.fd, 0, MMB_TO_END, false, NULL, &report), 0);
        }
        CHECK_EQ(mmb_verify(o.fd, 0, NULL, &report), 0);
        CHECK_EQ(report.totals.objects, 1);
        CHECK_EQ(report.entries, entries[e] < 2 ? 2 : entries[e]);
        CHECK_EQ(report.segments, 1);
        close(o.fd);
    }
}

/* A message that ends in zeros which nobody stored, far beyond EOF. */
static void trailing_zeros(void)
{
    mmb_report report;
    one o;
    uint32_t used = (1u << 30) / 8 - 100;
    begin_one(&o, 1, (uint64_t)1 << 30);
    CHECK_EQ(mmb_message_hand_out(&o.building, 1, MMB_MAX_SEGMENT_WORDS), 0);
    put64(mmb_map_base(o.map) + 16, p_list(0, EIGHT, used - 1));
    finish_with(&o, used, false);
    CHECK_EQ(file_size(o.fd), 16 + (uint64_t)used * 8);
    CHECK_EQ(mmb_verify(o.fd, 0, NULL, &report), 0);
    CHECK_EQ(report.totals.words, used);
    close(o.fd);
}

/* The words that are set aside count as words of the segment, which has room for them or
 * keeps its table. */
static void the_largest_segments(void)
{
    for (uint32_t spare = 0; spare < 4; spare++) {
        mmb_report report;
        one o;
        uint32_t used = MMB_MAX_SEGMENT_WORDS - spare;
        begin_one(&o, 3, (uint64_t)9 << 30);
        CHECK_EQ(mmb_message_hand_out(&o.building, 1, MMB_MAX_SEGMENT_WORDS), 0);
        CHECK_EQ(o.building.full[0], MMB_MAX_SEGMENT_WORDS);
        put64(mmb_map_base(o.map) + 16, p_list(0, EIGHT, used - 1));
        finish_with(&o, used, false);
        CHECK_EQ(mmb_verify(o.fd, 0, NULL, &report), 0);
        CHECK_EQ(report.entries, spare == 0 ? 3 : 1);
        CHECK_EQ(report.segments, 1);
        CHECK_EQ(report.file_bytes, 16 + (uint64_t)used * 8);
        CHECK_EQ(report.totals.words, used);
        close(o.fd);
    }
}

/* A size that is handed out can be noted: it has 16 significant bits, or is the largest. */
static void sizes_handed_out(void)
{
    static const uint32_t wanted[][3] = {
        {1, 1, 1},
        {65535, 65535, 65535},
        {1, 65537, 65536},
        {65537, 1, 65538},
        {1, 0x12345678, 0x12344000},
        {0x12345678, 1, 0x12346000},
        {1, 1 << 28, 1 << 28},
        {(1 << 29) - 2, 1, (1 << 29) - 1},
        {(1 << 29) - 1, 1, (1 << 29) - 1},
        {1, (1 << 29) - 1, (1 << 29) - 1},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        one o;
        begin_one(&o, 4, (uint64_t)13 << 30);
        for (uint32_t n = 0; n < 3; n++) {
            CHECK_EQ(mmb_message_hand_out(&o.building, wanted[i][0], wanted[i][1]), 0);
            CHECK_EQ(o.building.full[n], wanted[i][2]);
        }
        mmb_map_free(o.map);
        close(o.fd);
    }
    one o;
    begin_one(&o, 2, 1000003 * 8);
    CHECK_EQ(mmb_message_hand_out(&o.building, 1, 500001), 0);
    CHECK_EQ(o.building.full[0], 500000);
    CHECK_EQ(mmb_message_hand_out(&o.building, 500002, 1), MMB_ECAPACITY);
    CHECK_EQ(mmb_message_hand_out(&o.building, 500001, 1), 0); /* all that is left */
    CHECK_EQ(mmb_message_hand_out(&o.building, 1, 1), MMB_ECAPACITY);
    mmb_map_free(o.map);
    close(o.fd);
}

static void contradictions(void)
{
    built b;
    build(&b, "/tmp", 3, 2, 5, 0, false);
    b.building.full[1]--; /* used is more now */
    CHECK_EQ(finish(&b, false, NULL), EINVAL);
    b.building.full[1]++;
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
    CHECK_EQ(file_size(b.fd), 2048);
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

/* ---- in a map that others store in ---------------------------------------------------- */

typedef struct {
    const mmb_map *map;
    uint64_t least; /* of the losses */
    _Atomic bool begun, enough;
} losing;

/* Lose more and more, as a handler does on a full disk: each time the record is written. */
static void *lose(void *argument)
{
    losing *l = argument;
    for (uint64_t at = l->least + 4096 * 4000; at > l->least && !atomic_load(&l->enough);
         at -= 4096) {
        mmb__note_loss(&l->map->file, at);
        atomic_store(&l->begun, true);
    }
    return NULL;
}

/* Build a message whose list has `list` elements, in a map that goes on behind it. */
static int open_and_build(mmb_map **map, built *b, uint32_t list)
{
    const mmb_options options = {.capacity = (uint64_t)1 << 30, .max_growth = MMB_GRANULE};
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_map_open(fd, &options, map, NULL), 0);
    build_at(b, *map, 0, 1, 1, list, 3, false);
    return fd;
}

/* The record of a loss elsewhere in the map does not come over the finished head. */
static void losses_elsewhere_leave_a_finished_head_alone(void)
{
    for (int round = 0; round < 300; round++) {
        mmb_map *map;
        built b;
        int fd = open_and_build(&map, &b, 5);
        losing l = {.map = map, .least = (uint64_t)16 << 20};
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, lose, &l), 0);
        while (!atomic_load(&l.begun)) {
        }
        CHECK_EQ(mmb_message_finish(&b.building, b.used, false, false, NULL), 0);
        unsigned char head[16];
        CHECK(pread(fd, head, sizeof head, 0) == sizeof head);
        atomic_store(&l.enough, true);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        check_table(head, &b);
        CHECK(pread(fd, head, sizeof head, 0) == sizeof head);
        check_table(head, &b);
        mmb_map_free(map);
        close(fd);
    }
}

/* What was lost in the message itself is no message. */
static void a_loss_in_the_message_leaves_it_unfinished(void)
{
    mmb_map *map;
    built b;
    unsigned char head[8];
    int fd = open_and_build(&map, &b, 2000);
    mmb__note_loss(&map->file, 8192);
    CHECK_EQ(mmb_message_finish(&b.building, b.used, false, false, NULL), EIO);
    CHECK(pread(fd, head, sizeof head, 0) == sizeof head);
    CHECK_EQ(get32(head), MMB_UNFINISHED);
    CHECK_EQ(mmb_loss_offset(get64(head)), 8192);
    mmb_map_free(map);
    close(fd);
}

/* So is what is in a map that has met an error before, wherever that was. */
static void an_error_of_the_map_leaves_the_message_unfinished(void)
{
    mmb_map *map;
    built b;
    int fd = open_and_build(&map, &b, 5);
    mmb_map_set_poison(map, ENOSPC);
    CHECK_EQ(mmb_message_finish(&b.building, b.used, false, false, NULL), ENOSPC);
    CHECK(is_marked(fd));
    mmb_map_free(map);
    close(fd);
}

int main(void)
{
    RUN(every_shape);
    RUN(unused_segments);
    RUN(every_kind_of_root);
    RUN(far_pointers_in_one_segment);
    RUN(trailing_zeros);
    RUN(the_largest_segments);
    RUN(sizes_handed_out);
    RUN(contradictions);
    RUN(cut_by_others);
    RUN(poisoned);
    RUN(only_the_owner);
    RUN(losses_elsewhere_leave_a_finished_head_alone);
    RUN(a_loss_in_the_message_leaves_it_unfinished);
    RUN(an_error_of_the_map_leaves_the_message_unfinished);
    return 0;
}
