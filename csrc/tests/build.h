/* build.h - a message in the making, in a real map, as the tests of finishing want it. */
#ifndef MMB_TESTS_BUILD_H
#define MMB_TESTS_BUILD_H

#include "message.h"

/* The message of message.h: `count` segments, lists of `list` words. */
typedef struct {
    mmb_map *map;
    int fd;
    uint32_t entries;
    uint32_t count;
    uint32_t list;
    uint32_t full[MMB_MAX_SEGMENTS];
    uint32_t used[MMB_MAX_SEGMENTS];
} built;

static inline uint64_t built_start(const built *b, uint32_t index)
{
    uint64_t start = mmb_table_bytes(b->entries);
    for (uint32_t i = 0; i < index; i++) {
        start += (uint64_t)b->full[i] * 8;
    }
    return start;
}

/* Begin a message in the empty file `fd` and hand out and fill its segments, each with
 * some words more than it uses: about `slack`, none alike. */
static inline void build_in(built *b, int fd, uint32_t entries, uint32_t count, uint32_t list,
                            uint32_t slack, bool durable)
{
    *b = (built){.fd = fd, .entries = entries, .count = count, .list = list};
    for (uint32_t i = 0; i < count; i++) {
        b->used[i] = many_used(count, i, list);
        b->full[i] = b->used[i] + (slack > 0 ? slack + i % 3 : 0);
    }
    mmb_options options = {
        .capacity = built_start(b, count) + 64,
        .max_growth = MMB_GRANULE,
    };
    CHECK_EQ(mmb_map_open(b->fd, &options, &b->map, NULL), 0);
    CHECK_EQ(mmb_message_begin(b->map, entries, durable), 0);
    for (uint32_t i = 0; i < count; i++) {
        mmb_message_note_segment(b->map, entries, i, b->full[i]);
        many_fill(mmb_map_base(b->map) + built_start(b, i), count, i, list);
    }
}

/* The same in a new file. */
static inline void build(built *b, const char *directory, uint32_t entries, uint32_t count,
                         uint32_t list, uint32_t slack, bool durable)
{
    build_in(b, temporary_file(directory), entries, count, list, slack, durable);
}

static inline int finish(built *b, bool durable, uint64_t *bytes)
{
    return mmb_message_finish(b->map, b->entries, b->full, b->used, b->count, durable, bytes);
}

static inline void put_away(built *b)
{
    mmb_map_free(b->map);
    close(b->fd);
}

/* The file holds the message, whole: its table, its content, its length. Segments but
 * the last may have lost words, but not used ones. */
static inline void check_message(int fd, const built *b)
{
    mmb_framing framing;
    mmb_report report;
    mmb_flaw flaw;
    uint64_t size = size_of(fd);
    unsigned char *bytes = malloc(size + MMB_HEAD_BYTES);
    CHECK(bytes != NULL);
    CHECK(pread(fd, bytes, size, 0) == (ssize_t)size);

    CHECK_EQ(mmb_framing_parse(bytes, size, &framing, &flaw), 0);
    CHECK_EQ(framing.count, b->entries);
    CHECK_EQ(framing.file_bytes, size);
    for (uint32_t i = 0; i < b->entries; i++) {
        uint32_t most = i + 1 < b->count ? b->full[i] : i + 1 == b->count ? b->used[i] : 0;
        uint32_t least = i < b->count ? b->used[i] : 0;
        if (b->count == 0 && i == 0) {
            least = most = 1;
        }
        CHECK(framing.words[i] >= least && framing.words[i] <= most);
        CHECK(b->count == 0 || least == 0 ||
              many_is_right(bytes + framing.start[i], b->count, i, b->list));
    }
    if (b->entries % 2 == 0) { /* the padding of the table */
        CHECK_EQ(get32(bytes + 4 + (size_t)b->entries * 4), 0);
    }
    CHECK_EQ(mmb_verify(fd, &report), 0);
    CHECK_EQ(report.file_bytes, size);
    CHECK_EQ(report.trailing, 0);
    CHECK_EQ(report.segments, b->count == 0 ? 1 : b->count);
    CHECK_EQ(report.entries, b->entries);
    CHECK_EQ(report.totals.objects, b->count == 0 ? 0 : b->count + 1);
    free(bytes);
}

/* True if the file is a finished message; otherwise it must be one that no reader
 * takes: the mark in front, and no pointer where a flat reader would look for one. */
static inline bool is_finished(int fd)
{
    unsigned char head[MMB_HEAD_BYTES] = {0};
    mmb_framing framing;
    mmb_flaw flaw;
    CHECK(pread(fd, head, sizeof head, 0) >= 8);
    if (mmb_framing_parse(head, size_of(fd), &framing, &flaw) == 0) {
        return true;
    }
    CHECK(framing.unfinished);
    if (get32(head + 4) > 1) {
        CHECK((head[8] & 3) == 3 && get32(head + 8) != 3);
    }
    return false;
}

/* The file is the whole message `b`, or can be made so. */
static inline void check_recovers(int fd, const built *b, bool durable)
{
    mmb_report report;
    bool finished = is_finished(fd);
    CHECK_EQ(mmb_recover(fd, durable, &report), 0);
    CHECK_EQ(report.unfinished, !finished);
    CHECK_EQ(report.file_bytes, size_of(fd));
    CHECK_EQ(report.trailing, 0);
    check_message(fd, b);
}

#endif
