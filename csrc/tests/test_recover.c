/* test_recover.c - builders that die: at every step of building, of finishing, of
 * recovering; by SIGKILL and by power cuts that keep any part of what was not synced. */
#define _GNU_SOURCE

#include "build.h"
#include "image.h"

#include <errno.h>

#ifdef __linux__
#include "trace.h"
#endif

/* ---- building --------------------------------------------------------------------------- */

/* Killed with all segments filled, for every shape; with the file longer or shorter
 * than the message, as copies are. */
static void killed_while_building(void)
{
    static const uint32_t entries[] = {1, 2, 3, 4, 5, 6, 16, 17, 510, 511};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        uint32_t counts[] = {0, 1, 2, 3, 4, 7, entries[e] - 1, entries[e]};
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            for (uint32_t slack = 0; slack < 3 && counts[c] <= entries[e]; slack++) {
                built b;
                build(&b, "/tmp", entries[e], counts[c], 5, slack * 2, false);
                uint64_t end = counts[c] == 0 ? 16 : message_bytes(&b);
                mmb_map_free(b.map);
                if (slack == 1) {
                    CHECK(ftruncate(b.fd, (off_t)end) == 0);
                } else if (slack == 2) {
                    CHECK(ftruncate(b.fd, (off_t)(end + 123456)) == 0);
                }
                check_recovers(b.fd, &b, c % 2 == 0);
                close(b.fd);
            }
        }
    }
}

/* Died right after the mark was written. */
static void killed_after_the_mark(void)
{
    for (uint32_t entries = 1; entries <= MMB_MAX_SEGMENTS; entries += 51) {
        unsigned char mark[16] = {0xFF, 0xFF, 0xFF, 0xFF};
        built b = {.entries = entries};
        int fd = make_file_in("/tmp", NULL);
        put32(mark + 4, entries);
        mark[8] = 7;
        CHECK(pwrite(fd, mark, 16, 0) == 16);
        check_recovers(fd, &b, false);
        close(fd);
    }
}

/* Refused, and not a byte changed. */
static void refuse(int fd, const char *part)
{
    mmb_report report;
    image before = image_take(fd);
    CHECK_EQ(mmb_recover(fd, 0, MMB_TO_END, false, NULL, &report), MMB_EMESSAGE);
    if (report.flaw.reason == NULL || strstr(report.flaw.reason, part) == NULL) {
        fprintf(stderr, "\"%s\" is not about \"%s\"\n", report.flaw.reason, part);
        exit(1);
    }
    image after = image_take(fd);
    CHECK(image_equal(&before, &after));
    free(before.bytes);
    free(after.bytes);
}

static void refused(void)
{
    unsigned char bytes[64] = {0};
    int fd = make_file_in("/tmp", NULL);
    refuse(fd, "empty");
    for (off_t size = 1; size < 64; size++) {
        CHECK(ftruncate(fd, size) == 0);
        if (size < 8) {
            refuse(fd, "too short");
        }
    }
    memset(bytes, 0xFF, sizeof bytes);
    CHECK(pwrite(fd, bytes, 12, 0) == 12);
    CHECK(ftruncate(fd, 12) == 0);
    refuse(fd, "too short");
    CHECK(pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes);
    refuse(fd, "larger than segments can be");
    put32(bytes + 4, 0);
    CHECK(pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes);
    refuse(fd, "impossible number");
    put32(bytes + 4, 4);
    put32(bytes + 8, 8); /* no tag */
    CHECK(pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes);
    refuse(fd, "not followed by the table");
    put32(bytes + 8, 7); /* a fourth segment, too large */
    put32(bytes + 16, 1u << 29);
    for (int i = 0; i < 3; i++) {
        put64(bytes + 8, get64(bytes + 8) | (uint64_t)1 << (3 + 20 * i));
    }
    CHECK(pwrite(fd, bytes, sizeof bytes, 0) == sizeof bytes);
    refuse(fd, "larger than segments can be");
    close(fd);

    /* Pointers that lead out of the message, and beyond the end of the file. */
    built b;
    build(&b, "/tmp", 16, 3, 5, 2, false);
    unsigned char *word = mmb_map_base(b.map) + built_start(&b, 1);
    put64(word, p_list(0, EIGHT, b.building.full[1]));
    refuse(b.fd, "list reaches beyond");
    put64(word, p_list(0, EIGHT, 5));
    CHECK(ftruncate(b.fd, (off_t)built_start(&b, 2)) == 0);
    refuse(b.fd, "pad of the far pointer is out of bounds");
    put_away(&b);
}

/* What the pointers do not reach is dropped, and segments with it. */
static void unreachable_segments(void)
{
    for (uint32_t lost = 1; lost < 5; lost++) {
        built b;
        build(&b, "/tmp", 9, 6, 5, 2, false);
        for (uint32_t i = 6 - lost; i < 6; i++) {
            put64(mmb_map_base(b.map) + built_start(&b, 0) + 16 + (size_t)i * 8, 0);
        }
        mmb_map_free(b.map);
        mmb_report report;
        CHECK_EQ(mmb_recover(b.fd, 0, MMB_TO_END, false, NULL, &report), 0);
        CHECK_EQ(report.segments, 6 - lost);
        CHECK_EQ(report.file_bytes, built_start(&b, 5 - lost) + (uint64_t)b.used[5 - lost] * 8);
        CHECK_EQ(file_size(b.fd), report.file_bytes);
        CHECK_EQ(mmb_verify(b.fd, 0, NULL, &report), 0);
        CHECK_EQ(report.totals.objects, 7 - lost);
        close(b.fd);
    }
}

/* A builder died between a far pointer and its landing pad: recovered, the pointer is
 * null, and what it was going to lead to is not there. */
static void far_pointers_that_lead_to_nothing(void)
{
    for (uint32_t lost = 1; lost < 6; lost++) {
        built b;
        build(&b, "/tmp", 9, 6, 5, 2, false);
        put64(mmb_map_base(b.map) + built_start(&b, lost), 0);
        mmb_map_free(b.map);
        mmb_report report;
        CHECK_EQ(mmb_recover(b.fd, 0, MMB_TO_END, lost % 2 == 0, NULL, &report), 0);
        CHECK_EQ(report.totals.objects, 6);
        CHECK_EQ(report.totals.lost, 1);
        CHECK_EQ(mmb_verify(b.fd, 0, NULL, &report), 0);
        CHECK_EQ(report.totals.objects, 6);
        unsigned char pointer[8];
        off_t place = (off_t)built_start(&b, 0) + 16 + (off_t)lost * 8;
        CHECK(pread(b.fd, pointer, sizeof pointer, place) == sizeof pointer);
        CHECK_EQ(get64(pointer), 0);
        close(b.fd);
    }
}

/* What was made but not filled lies beyond the end that the file had grown to: zeros, if
 * the file is as a builder leaves it, and lost if it was cut. */
static void objects_beyond_the_end(void)
{
    static const uint32_t entries[] = {1, 2, 3, 16};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        for (int composite = 0; composite < 2; composite++) {
            unsigned char word[8];
            mmb_report report;
            built b;
            build(&b, "/tmp", entries[e], 0, 5, 2, false);
            b.building.region.capacity = (uint64_t)4 << 30;
            CHECK_EQ(mmb_message_hand_out(&b.building, 1, MMB_MAX_SEGMENT_WORDS), 0);
            mmb_map_free(b.map);
            CHECK(ftruncate(b.fd, (off_t)MMB_GRANULE) == 0);
            off_t start = (off_t)built_start(&b, 0);
            put64(word, composite ? p_list(0, COMPOSITE, 1000000) : p_list(0, POINTER, 1000000));
            CHECK(pwrite(b.fd, word, sizeof word, start) == sizeof word);
            memset(word, 0, sizeof word);
            if (composite) {
                put64(word, p_tag(500000, 1, 1));
            }
            for (off_t at = 8; at < 100; at += 8) {
                CHECK(pwrite(b.fd, word, sizeof word, start + at) == sizeof word);
                memset(word, 0, sizeof word);
            }
            image before = image_take(b.fd);
            CHECK(ftruncate(b.fd, (off_t)MMB_GRANULE - 8) == 0);
            refuse(b.fd, "list reaches beyond");
            image_put(b.fd, &before);
            free(before.bytes);
            CHECK_EQ(mmb_recover(b.fd, 0, MMB_TO_END, false, NULL, &report), 0);
            uint64_t end = (uint64_t)start + 8 + 8000000 + (composite ? 8 : 0);
            CHECK_EQ(file_size(b.fd), end);
            CHECK_EQ(report.file_bytes, end);
            CHECK_EQ(mmb_verify(b.fd, 0, NULL, &report), 0);
            CHECK_EQ(report.totals.objects, 1);
            close(b.fd);
        }
    }
}

static void finished_files_are_left_alone(void)
{
    built b;
    build(&b, "/tmp", 4, 3, 5, 2, false);
    CHECK_EQ(finish(&b, false, NULL), 0);
    CHECK(ftruncate(b.fd, (off_t)file_size(b.fd) + 5) == 0);
    image before = image_take(b.fd);
    mmb_report report;
    CHECK_EQ(mmb_recover(b.fd, 0, MMB_TO_END, false, NULL, &report), 0);
    CHECK(!report.unfinished);
    CHECK_EQ(report.trailing, 5);
    image after = image_take(b.fd);
    CHECK(image_equal(&before, &after));
    free(before.bytes);
    free(after.bytes);
    put_away(&b);
}

static void files_that_cannot_be_written(void)
{
    char name[PATH_MAX];
    mmb_report report;
    built b;
    int fd = make_file_in("/tmp", name);
    build(&b, "/tmp", 4, 1, 5, 2, false);
    image i = image_take(b.fd);
    image_put(fd, &i);
    close(fd);
    put_away(&b);

    fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    int error = mmb_recover(fd, 0, MMB_TO_END, false, NULL, &report);
    CHECK(error == EBADF || error == EINVAL);
    image after = image_take(fd);
    CHECK(image_equal(&i, &after));
    close(fd);
    CHECK(unlink(name) == 0);
    free(i.bytes);
    free(after.bytes);
}

/* ---- in regions ---------------------------------------------------------------------------- */

/* Places in a file at which messages begin; the head of the last lies in two sectors. */
static const uint64_t places[] = {8, 4088, 10000, 512 * 100 - 8};

static bool may_begin(uint32_t entries, uint64_t place)
{
    return entries == 1 || place % 512 != 504;
}

/* Messages one after the other in one map: each is finished while the next is built, and
 * one that was not is recovered without a change to its neighbours. */
static void many_messages_in_one_map(void)
{
    enum { MESSAGES = 60 };
    static built all[MESSAGES];
    mmb_options options = {.capacity = 4 << 20, .max_growth = MMB_GRANULE};
    mmb_map *map;
    uint64_t offset = 40;
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        uint32_t entries = i % 17 + 1;
        while (!may_begin(entries, offset)) {
            offset += 8;
        }
        build_at(&all[i], map, offset, entries, i % (entries + 1), 5, i % 4, i % 9 == 0);
        offset += all[i].building.region.capacity;
        if (i > 0 && i % 5 != 1) { /* this one is still being built */
            built *b = &all[i - 1];
            uint64_t bytes;
            CHECK_EQ(mmb_message_finish(&b->building, b->used, b->count > 1, i % 2 == 0, &bytes),
                     0);
            CHECK_EQ(bytes, message_bytes(b));
        }
    }
    mmb_map_free(map);
    uint64_t size = file_size(fd);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        CHECK_EQ(is_finished_at(fd, all[i].offset), i % 5 != 0 && i + 1 < MESSAGES);
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        check_recovers(fd, &all[i], i % 2 == 0);
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        check_message_at(fd, &all[i]);
    }
    CHECK_EQ(file_size(fd), size);
    close(fd);
}

#ifdef __linux__

/* ---- killed at every step --------------------------------------------------------------- */

static history steps;
static int untraceable; /* children that were refused ptrace */

/* What a child builds and finishes; `finished` gets what it was. */
typedef struct {
    uint32_t entries, count, slack;
    bool durable;
    const char *directory;
    int fd;
    uint64_t offset;
} plan;

static int finish_planned(void *argument)
{
    const plan *p = argument;
    built b;
    CHECK(ftruncate(p->fd, 0) == 0);
    build_in(&b, p->fd, p->entries, p->count, 5, p->slack, p->durable);
    trace_me();
    return finish(&b, p->durable, NULL) == 0 ? 0 : 1;
}

/* The same behind other bytes, in a map that goes on. */
static int finish_in_region(void *argument)
{
    const plan *p = argument;
    mmb_options options = {.capacity = 1 << 20, .max_growth = MMB_GRANULE};
    mmb_map *map;
    built b;
    CHECK(ftruncate(p->fd, 0) == 0);
    CHECK_EQ(mmb_map_open(p->fd, &options, &map, NULL), 0);
    build_at(&b, map, p->offset, p->entries, p->count, 5, p->slack, p->durable);
    trace_me();
    return mmb_message_finish(&b.building, b.used, p->count > 1, p->durable, NULL) == 0 ? 0 : 1;
}

static int recover_planned(void *argument)
{
    const plan *p = argument;
    mmb_report report;
    trace_me();
    return mmb_recover(p->fd, p->offset, MMB_TO_END, p->durable, NULL, &report) == 0 ? 0 : 1;
}

/* Collect the states of `job` in `steps`. False if it cannot be traced. */
static bool watch(int (*job)(void *), plan *p)
{
    history_clear(&steps);
    steps.fd = p->fd;
    int code = trace(job, p, history_visit, &steps);
    if (code == 77) {
        untraceable++;
        return false;
    }
    CHECK_EQ(code, 0);
    CHECK(steps.count >= 2);
    return true;
}

/* What `p` builds, as sizes; nothing is left open. */
static built expected(const plan *p)
{
    mmb_options options = {.capacity = 1 << 20, .max_growth = MMB_GRANULE};
    mmb_map *map;
    built b;
    int fd = make_file_in(p->directory, NULL);
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    build_at(&b, map, p->offset, p->entries, p->count, 5, p->slack, false);
    mmb_map_free(map);
    close(fd);
    return b;
}

static int (*finish_of(const plan *p))(void *)
{
    return p->offset == 0 ? finish_planned : finish_in_region;
}

/* Recovering from `state` is killed at every step as well. */
static void recover_killed(plan *p, const built *b, const image *state)
{
    image_put(p->fd, state);
    if (is_finished_at(p->fd, p->offset) || !watch(recover_planned, p)) {
        return;
    }
    for (int i = 0; i < steps.count; i++) {
        image_put(p->fd, &steps.images[i]);
        check_recovers(p->fd, b, false);
    }
}

static void kill_one(plan p)
{
    built b = expected(&p);
    p.fd = make_file_in(p.directory, NULL);
    if (watch(finish_of(&p), &p)) {
        history states = steps;
        steps.count = 0;
        for (int i = 0; i < states.count; i++) {
            image_put(p.fd, &states.images[i]);
            check_recovers(p.fd, &b, p.durable);
            if (p.entries < 20) {
                recover_killed(&p, &b, &states.images[i]);
            }
        }
        image_put(p.fd, &states.images[states.count - 1]);
        CHECK(is_finished_at(p.fd, p.offset));
        history_clear(&states);
    }
    close(p.fd);
}

static void killed_while_finishing(void)
{
    static const uint32_t entries[] = {1, 2, 3, 4, 5, 16, 511};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        uint32_t counts[] = {0, 1, 2, 3, 5, 16, entries[e]};
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            if (counts[c] > entries[e]) {
                continue;
            }
            kill_one((plan){entries[e], counts[c], c % 2 == 0 ? 3 : 0, c % 3 == 0, "/tmp", -1, 0});
            kill_one((plan){entries[e], counts[c], 2, c % 3 == 1, "/dev/shm", -1, 0});
        }
    }
}

static void killed_while_finishing_in_a_region(void)
{
    static const uint32_t entries[] = {1, 2, 3, 4, 16};
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        uint32_t counts[] = {0, 1, 2, entries[e]};
        for (size_t i = 0; i < 16; i++) {
            uint32_t count = counts[i % 4];
            uint64_t place = places[i / 4];
            if (count <= entries[e] && may_begin(entries[e], place)) {
                kill_one((plan){entries[e], count, 3, i % 3 == 0, "/dev/shm", -1, place});
            }
        }
    }
}

/* ---- power cuts ---------------------------------------------------------------------------
 *
 * A change is a new length or the new content of one sector. Between two syncs any
 * of the changes may reach the device, in any order. */

enum { SECTOR = 512, MAX_CHANGES = 14 };

typedef struct {
    bool is_length;
    uint64_t offset; /* or the new length */
    uint64_t length;
    unsigned char bytes[SECTOR];
} change;

/* Append what leads from `a` to `b`. */
static int changes_between(const image *a, const image *b, change *out, int count)
{
    uint64_t common = a->size < b->size ? a->size : b->size;
    if (a->size != b->size) {
        out[count++] = (change){.is_length = true, .offset = b->size};
    }
    for (uint64_t at = 0; at < b->size; at += SECTOR) {
        uint64_t end = at + SECTOR < b->size ? at + SECTOR : b->size;
        bool same = true;
        for (uint64_t i = at; i < end; i++) {
            same = same && b->bytes[i] == (i < common ? a->bytes[i] : 0);
        }
        if (!same) {
            CHECK(count < MAX_CHANGES);
            change *c = &out[count++];
            *c = (change){.offset = at, .length = end - at};
            memcpy(c->bytes, b->bytes + at, end - at);
        }
    }
    return count;
}

/* Put `base` with some of the changes into the file. */
static void put_part(int fd, const image *base, const change *changes, int count, unsigned kept)
{
    uint64_t length = base->size;
    image_put(fd, base);
    for (int i = 0; i < count; i++) {
        if ((kept >> i & 1) != 0 && changes[i].is_length) {
            length = changes[i].offset;
            CHECK(ftruncate(fd, (off_t)length) == 0);
        }
    }
    for (int i = 0; i < count; i++) {
        if ((kept >> i & 1) != 0 && !changes[i].is_length && changes[i].offset < length) {
            uint64_t room = length - changes[i].offset;
            uint64_t bytes = changes[i].length < room ? changes[i].length : room;
            CHECK(pwrite(fd, changes[i].bytes, bytes, (off_t)changes[i].offset) == (ssize_t)bytes);
        }
    }
}

/* The steps from `first` to `last`, with nothing synced in between: any part of them. */
static void cut_power_between(const plan *p, const built *b, const history *h, int first, int last)
{
    change changes[MAX_CHANGES];
    int count = 0;
    for (int i = first; i < last; i++) {
        count = changes_between(&h->images[i], &h->images[i + 1], changes, count);
    }
    for (unsigned kept = 0; kept < 1u << count; kept++) {
        put_part(p->fd, &h->images[first], changes, count, kept);
        check_recovers(p->fd, b, false);
    }
}

static void cut_power(int (*job)(void *), plan *p, const built *b)
{
    if (!watch(job, p)) {
        return;
    }
    int first = 0;
    for (int i = 1; i < steps.count; i++) {
        if (steps.images[i].synced || i == steps.count - 1) {
            cut_power_between(p, b, &steps, first, i);
            first = i;
        }
    }
    CHECK(steps.images[steps.count - 1].synced);
}

static void cut_power_everywhere(plan p)
{
    built b = expected(&p);
    p.fd = make_file_in(p.directory, NULL);
    cut_power(finish_of(&p), &p, &b);
    for (int s = 0; s < 3; s++) { /* and while recovering from something on the way */
        if (watch(finish_of(&p), &p) && steps.count > s) {
            image state = steps.images[s];
            image_put(p.fd, &state);
            if (!is_finished_at(p.fd, p.offset)) {
                cut_power(recover_planned, &p, &b);
            }
        }
    }
    close(p.fd);
}

static void power_cuts(void)
{
    static const struct {
        uint32_t entries, count;
    } shapes[] = {{1, 0}, {1, 1}, {2, 1},  {2, 2},  {3, 3},   {4, 2},     {4, 3},
                  {4, 4}, {5, 5}, {16, 2}, {16, 3}, {16, 16}, {200, 200}, {511, 511}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (size_t at = 0; at < 5; at++) {
            uint64_t place = at == 0 ? 0 : places[at - 1];
            if (may_begin(shapes[i].entries, place) && (at == 0 || shapes[i].entries <= 16)) {
                cut_power_everywhere(
                    (plan){shapes[i].entries, shapes[i].count, 3, true, "/dev/shm", -1, place});
            }
        }
    }
}

static void traced(void)
{
    RUN(killed_while_finishing);
    RUN(killed_while_finishing_in_a_region);
    RUN(power_cuts);
    history_clear(&steps);
    if (untraceable > 0) {
        fprintf(stderr, "    %d runs skipped: ptrace is not allowed here\n", untraceable);
    }
}
#endif

int main(void)
{
    RUN(killed_while_building);
    RUN(killed_after_the_mark);
    RUN(refused);
    RUN(unreachable_segments);
    RUN(far_pointers_that_lead_to_nothing);
    RUN(objects_beyond_the_end);
    RUN(finished_files_are_left_alone);
    RUN(files_that_cannot_be_written);
    RUN(many_messages_in_one_map);
#ifdef __linux__
    RUN(traced);
#endif
    return 0;
}
