/* test_table.c - the segment table: sizes, parsing of every length, the unfinished form. */
#define _GNU_SOURCE

#include "message.h"

static unsigned char head[MMB_HEAD_BYTES];
static mmb_framing framing;
static mmb_flaw flaw;

static const uint64_t GiB = (uint64_t)1 << 30;

static void sizes(void)
{
    CHECK_EQ(mmb_table_bytes(1), 8);
    CHECK_EQ(mmb_table_bytes(2), 16);
    CHECK_EQ(mmb_table_bytes(3), 16);
    CHECK_EQ(mmb_table_bytes(4), 24);
    CHECK_EQ(mmb_table_bytes(16), 72);
    CHECK_EQ(mmb_table_bytes(511), 2048);
    CHECK(mmb_table_bytes(MMB_MAX_SEGMENTS) <= MMB_HEAD_BYTES);

    CHECK_EQ(mmb_table_entries(0), 1);
    CHECK_EQ(mmb_table_entries(1), 1);
    CHECK_EQ(mmb_table_entries(4 * GiB), 1);
    CHECK_EQ(mmb_table_entries(4 * GiB + 1), 2);
    CHECK_EQ(mmb_table_entries(8 * GiB), 2);
    CHECK_EQ(mmb_table_entries(64 * GiB), 16);
    CHECK_EQ(mmb_table_entries(511 * 4 * GiB), 511);
    CHECK_EQ(mmb_table_entries(511 * 4 * GiB + 1), 0);
    CHECK_EQ(mmb_table_entries(UINT64_MAX), 0);
}

/* A table of `count` segments, segment i of i % 7 words (at least 1 for the first). */
static uint64_t make_table(uint32_t count)
{
    uint64_t end = mmb_table_bytes(count);
    memset(head, 0, sizeof head);
    put32(head, count - 1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t words = i == 0 ? 1 : i % 7;
        put32(head + 4 + (size_t)i * 4, words);
        end += (uint64_t)words * 8;
    }
    return end;
}

/* Every count, and for some every length of the file. */
static void finished(void)
{
    for (uint32_t count = 1; count <= MMB_MAX_SEGMENTS; count++) {
        uint64_t end = make_table(count);
        CHECK_EQ(mmb_framing_parse(head, end, &framing, &flaw), 0);
        CHECK(flaw.reason == NULL && !framing.unfinished);
        CHECK_EQ(framing.count, count);
        CHECK_EQ(framing.file_bytes, end);
        uint64_t start = mmb_table_bytes(count);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_EQ(framing.start[i], start);
            CHECK_EQ(framing.words[i], i == 0 ? 1 : i % 7);
            start += (uint64_t)framing.words[i] * 8;
        }
        CHECK_EQ(mmb_framing_parse(head, end + 8, &framing, &flaw), 0);
        CHECK_EQ(framing.file_bytes, end);
        if (count > 3 && count != 16 && count != MMB_MAX_SEGMENTS) {
            continue;
        }
        for (uint64_t length = 0; length < end; length++) {
            CHECK_EQ(mmb_framing_parse(head, length, &framing, &flaw), MMB_EMESSAGE);
            CHECK(flaw.reason != NULL && flaw.segment == MMB_IN_TABLE);
            CHECK_EQ(framing.count, 0);
        }
    }
}

static void refused(void)
{
    make_table(2);
    for (uint32_t last = MMB_MAX_SEGMENTS; last != 0; last = last < 1u << 31 ? last * 2 + 1 : 0) {
        put32(head, last);
        CHECK_EQ(mmb_framing_parse(head, UINT64_MAX / 2, &framing, &flaw), MMB_EMESSAGE);
        CHECK_EQ(framing.unfinished, last == UINT32_MAX);
    }
    put32(head, 1);
    put32(head + 8, MMB_MAX_SEGMENT_WORDS);
    CHECK_EQ(mmb_framing_parse(head, 64 * GiB, &framing, &flaw), 0);
    CHECK_EQ(framing.words[1], MMB_MAX_SEGMENT_WORDS);
    put32(head + 8, MMB_MAX_SEGMENT_WORDS + 1);
    CHECK_EQ(mmb_framing_parse(head, 64 * GiB, &framing, &flaw), MMB_EMESSAGE);
    CHECK_EQ(flaw.word, 1);
}

/* What mmb_message_begin and mmb_message_note_segment leave in the file. */
static void unfinished(const char *directory, uint32_t entries)
{
    int fd = temporary_file(directory);
    mmb_options options = {.capacity = (uint64_t)64 << 20, .max_growth = MMB_GRANULE};
    mmb_map *map;
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    CHECK_EQ(mmb_message_begin(map, entries, entries % 2 == 0), 0);
    CHECK(size_of(fd) >= mmb_table_bytes(entries) + 8);
    CHECK_EQ(mmb_message_begin(map, entries, false), EINVAL); /* it is not empty any more */

    for (uint32_t i = 0; i <= entries; i++) {
        CHECK(pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head);
        CHECK_EQ(mmb_framing_parse(head, size_of(fd), &framing, &flaw), MMB_EMESSAGE);
        CHECK(framing.unfinished && framing.count == 0);
        CHECK_EQ(get32(head), 0xFFFFFFFF);
        CHECK_EQ(get32(head + 4), entries);
        if (entries == 1) {
            CHECK_EQ(get64(head + 8), i == 0 ? 7 : 0);
        } else {
            CHECK_EQ(get32(head + 8), i == 0 ? 7 : (100 << 3 | 7));
        }
        for (uint32_t slot = 1; slot < entries && 8 + slot * 4 < mmb_table_bytes(entries); slot++) {
            CHECK_EQ(get32(head + 8 + (size_t)slot * 4), slot < i ? 100 + slot : 0);
        }
        if (i < entries) {
            mmb_message_note_segment(map, entries, i, 100 + i);
        }
    }
    mmb_map_free(map);
    close(fd);
}

static void unfinished_files(void)
{
    static const uint32_t some[] = {1, 2, 3, 4, 5, 16, 17, 510, 511};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        unfinished("/tmp", some[i]);
    }
}

static void bad_calls(void)
{
    int fd = temporary_file("/tmp");
    mmb_options options = {.capacity = 4 << 20, .max_growth = MMB_GRANULE};
    mmb_map *map;
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    CHECK_EQ(mmb_message_begin(map, 0, false), EINVAL);
    CHECK_EQ(mmb_message_begin(map, MMB_MAX_SEGMENTS + 1, false), EINVAL);
    CHECK_EQ(size_of(fd), 0);
    mmb_map_free(map);

    options.capacity = 8; /* no room for a table */
    CHECK_EQ(mmb_map_open(fd, &options, &map, NULL), 0);
    CHECK_EQ(mmb_message_begin(map, 1, false), MMB_ECAPACITY);
    mmb_map_free(map);
    close(fd);
}

int main(void)
{
    RUN(sizes);
    RUN(finished);
    RUN(refused);
    RUN(unfinished_files);
    RUN(bad_calls);
    return 0;
}
