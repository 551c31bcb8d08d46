/* build.h - a message in the making, in a real map, as the tests of finishing want it. */
#ifndef MMB_TESTS_BUILD_H
#define MMB_TESTS_BUILD_H

#include "message.h"

/* The message of message.h: `count` segments, lists of `list` words. */
typedef struct {
    mmb_map *map;
    int fd;
    uint64_t offset; /* of the message in its file */
    uint32_t entries;
    uint32_t count;
    uint32_t list;
    mmb_building building;
    uint32_t used[MMB_MAX_SEGMENTS];
} built;

/* Words of segment `index`: each some more than it uses, about `slack`, none alike. */
static inline uint32_t built_full(uint32_t count, uint32_t index, uint32_t list, uint32_t slack)
{
    return many_used(count, index, list) + (slack > 0 ? slack + index % 3 : 0);
}

/* Bytes that the unfinished message takes. */
static inline uint64_t built_bytes(uint32_t entries, uint32_t count, uint32_t list, uint32_t slack)
{
    uint64_t bytes = mmb_table_set_aside(entries) + 8;
    for (uint32_t i = 0; i < count; i++) {
        bytes += (uint64_t)built_full(count, i, list, slack) * 8;
    }
    return bytes;
}

/* Where segment `index` begins in the file. */
static inline uint64_t built_start(const built *b, uint32_t index)
{
    return mmb_message_start(&b->building, index);
}

/* Begin a message at `offset` of a map, hand out its segments and fill them. */
static inline void build_at(built *b, mmb_map *map, uint64_t offset, uint32_t entries,
                            uint32_t count, uint32_t list, uint32_t slack, bool durable)
{
    *b = (built){.map = map, .fd = -1, .offset = offset, .entries = entries, .count = count};
    b->list = list;
    mmb_region region = {map, offset, built_bytes(entries, count, list, slack)};
    CHECK_EQ(mmb_message_begin(&b->building, &region, entries, durable), 0);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t full = built_full(count, i, list, slack);
        b->used[i] = many_used(count, i, list);
        CHECK_EQ(mmb_message_hand_out(&b->building, full, full), 0);
        CHECK_EQ(b->building.full[i], full);
        many_fill(mmb_map_base(map) + built_start(b, i), count, i, list);
    }
}

/* The same in the empty file `fd`. */
static inline void build_in(built *b, int fd, uint32_t entries, uint32_t count, uint32_t list,
                            uint32_t slack, bool durable)
{
    mmb_map *map;
    mmb_options options = {
        .capacity = built_bytes(entries, count, list, slack) + 64,
        .max_growth = MMB_GRANULE,
    };
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    build_at(b, map, 0, entries, count, list, slack, durable);
    b->fd = fd;
}

/* The same in a new file. */
static inline void build(built *b, const char *directory, uint32_t entries, uint32_t count,
                         uint32_t list, uint32_t slack, bool durable)
{
    build_in(b, make_file_in(directory, NULL), entries, count, list, slack, durable);
}

static inline int finish(built *b, bool durable, uint64_t *bytes)
{
    return mmb_message_finish_file(&b->building, b->used, b->count > 1, durable, bytes);
}

static inline void put_away(built *b)
{
    mmb_map_free(b->map);
    close(b->fd);
}

/* Bytes of the finished message. */
static inline uint64_t message_bytes(const built *b)
{
    return b->count == 0
               ? mmb_table_set_aside(b->entries) + 8
               : built_start(b, b->count - 1) - b->offset + (uint64_t)b->used[b->count - 1] * 8;
}

/* `table` is that of the finished message `b`, as the specification has it. */
static inline void check_table(const unsigned char *table, const built *b)
{
    uint32_t skipped = (uint32_t)(mmb_table_set_aside(b->entries) / 8 - 1);
    if (b->count < 2) {
        CHECK_EQ(get32(table), 0);
        CHECK_EQ(get32(table + 4), skipped + (b->count == 0 ? 1 : b->used[0]));
        CHECK_EQ(get64(table + 8), b->count == 0 ? 0 : p_struct(skipped, 1, 1));
        return;
    }
    CHECK_EQ(get32(table), b->entries - 1);
    for (uint32_t i = 0; i < b->entries; i++) {
        CHECK_EQ(get32(table + 4 + (size_t)i * 4), i + 1 < b->count    ? b->building.full[i]
                                                   : i + 1 == b->count ? b->used[i]
                                                                       : 0);
    }
    if (b->entries % 2 == 0) { /* the padding */
        CHECK_EQ(get32(table + 4 + (size_t)b->entries * 4), 0);
    }
}

/* The file holds the message, whole: its table, its content. */
static inline void check_message_at(int fd, const built *b)
{
    mmb_report report;
    uint64_t size = message_bytes(b);
    unsigned char *bytes = malloc(size);
    CHECK(bytes != NULL);
    CHECK(pread(fd, bytes, size, (off_t)b->offset) == (ssize_t)size);
    check_table(bytes, b);
    for (uint32_t i = 0; i < b->count; i++) {
        CHECK(many_is_right(bytes + built_start(b, i) - b->offset, b->count, i, b->list));
    }
    CHECK_EQ(mmb_verify(fd, b->offset, NULL, &report), 0);
    CHECK_EQ(report.file_bytes, size);
    CHECK_EQ(report.segments, b->count == 0 ? 1 : b->count);
    CHECK_EQ(report.entries, b->count < 2 ? 1 : b->entries);
    CHECK_EQ(report.totals.objects, b->count == 0 ? 0 : b->count + 1);
    free(bytes);
}

/* The same, and the file ends where the message does. */
static inline void check_message(int fd, const built *b)
{
    check_message_at(fd, b);
    CHECK_EQ(file_size(fd), b->offset + message_bytes(b));
}

/* True if the message at `offset` is finished; otherwise it must be one that no reader
 * takes: the mark in front, and no pointer where a flat reader would look for one. */
static inline bool is_finished_at(int fd, uint64_t offset)
{
    unsigned char head[MMB_HEAD_BYTES] = {0};
    mmb_framing framing;
    mmb_flaw flaw;
    CHECK(pread(fd, head, sizeof head, (off_t)offset) >= 8);
    if (mmb_framing_parse(head, file_size(fd) - offset, &framing, &flaw) == 0) {
        return true;
    }
    CHECK(framing.unfinished);
    CHECK(offset != 0 || (head[8] & 7) == 7);
    return false;
}

static inline bool is_finished(int fd)
{
    return is_finished_at(fd, 0);
}

/* The file holds the whole message `b`, or can be made to. If it begins the file, it also
 * ends it. */
static inline void check_recovers(int fd, const built *b, bool durable)
{
    mmb_report report;
    uint64_t size = file_size(fd);
    uint64_t capacity = b->offset == 0 ? MMB_TO_END : b->building.region.capacity;
    bool finished = is_finished_at(fd, b->offset);
    CHECK_EQ(mmb_recover(fd, b->offset, capacity, durable, NULL, &report), 0);
    CHECK_EQ(report.unfinished, !finished);
    CHECK_EQ(report.file_bytes, message_bytes(b));
    check_message_at(fd, b);
    CHECK_EQ(file_size(fd), b->offset == 0 ? message_bytes(b) : size);
}

#endif
