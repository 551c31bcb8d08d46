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

/* What mmb_message_begin and mmb_message_hand_out leave in the file. */
static void unfinished(const char *directory, uint32_t entries)
{
    int fd = make_file_in(directory, NULL);
    uint64_t capacity = (uint64_t)64 << 20;
    mmb_options options = {.capacity = capacity, .max_growth = MMB_GRANULE};
    mmb_region region = {.capacity = capacity};
    mmb_building b;
    CHECK_EQ(mmb_map_open(fd, &options, &region.map, NULL), 0);
    CHECK_EQ(mmb_message_begin(&b, &region, entries, entries % 2 == 0), 0);
    CHECK(file_size(fd) >= mmb_table_set_aside(entries) + 8);
    CHECK_EQ(mmb_message_begin(&b, &region, entries, false), EINVAL); /* there are no zeros now */

    uint64_t word = 7;
    for (uint32_t i = 0; i <= entries; i++) {
        CHECK(pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head);
        CHECK_EQ(mmb_framing_parse(head, file_size(fd), &framing, &flaw), MMB_EMESSAGE);
        CHECK(framing.unfinished && framing.count == 0);
        CHECK_EQ(get32(head), 0xFFFFFFFF);
        CHECK_EQ(get32(head + 4), entries);
        CHECK_EQ(get64(head + 8), word);
        for (uint32_t segment = 3; segment < entries; segment++) {
            CHECK_EQ(get32(head + 4 + (size_t)segment * 4), segment < i ? 100 + segment : 0);
        }
        if (i < entries) {
            CHECK_EQ(mmb_message_hand_out(&b, 100 + i, 1), 0);
            word |= i < 3 ? (uint64_t)(100 + i) << (3 + 20 * i) : 0;
        }
    }
    CHECK_EQ(mmb_message_hand_out(&b, 1, 1), MMB_ECAPACITY);
    mmb_map_free(region.map);
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
    int fd = make_file_in("/tmp", NULL);
    mmb_options options = {.capacity = 4 << 20, .max_growth = MMB_GRANULE};
    mmb_region region = {.capacity = 4 << 20};
    mmb_building b;
    CHECK_EQ(mmb_map_open(fd, &options, &region.map, NULL), 0);
    CHECK_EQ(mmb_message_begin(&b, &region, 0, false), EINVAL);
    CHECK_EQ(mmb_message_begin(&b, &region, MMB_MAX_SEGMENTS + 1, false), EINVAL);
    region.offset = 4;
    CHECK_EQ(mmb_message_begin(&b, &region, 1, false), EINVAL);
    region.offset = 504; /* the head would lie in two sectors */
    CHECK_EQ(mmb_message_begin(&b, &region, 2, false), EINVAL);
    CHECK_EQ(file_size(fd), 0);
    region.offset = 0;
    region.capacity = 16; /* no room for a root */
    CHECK_EQ(mmb_message_begin(&b, &region, 1, false), MMB_ECAPACITY);
    region.capacity = 24;
    CHECK_EQ(mmb_message_begin(&b, &region, 1, false), 0);
    mmb_map_free(region.map);
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
