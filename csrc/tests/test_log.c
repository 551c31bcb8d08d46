/* test_log.c - hopping over frames, places in bounded memory, the index. */
#define _GNU_SOURCE

#include "check.h"
#include "message.h"
#include "mmb_log.h"
#include "os/os.h"
#include "tempfile.h"

#include <sys/mman.h>
#include <unistd.h>

/* A file in memory that frames are appended to. */
static unsigned char *bytes;
static uint64_t size, room;

static void clear(void)
{
    size = 0;
}

static void put(const void *from, uint64_t count)
{
    if (size + count > room) {
        room = 2 * (size + count) + 4096;
        bytes = realloc(bytes, room);
        CHECK(bytes != NULL);
    }
    if (from != NULL) {
        memcpy(bytes + size, from, count);
    } else {
        memset(bytes + size, 0, count);
    }
    size += count;
}

static void put_number(uint32_t number)
{
    put(&number, 4);
}

/* One message of `words` words in one segment. */
static void put_frame(uint32_t words)
{
    put_number(0);
    put_number(words);
    put(NULL, (uint64_t)words * 8);
}

static int file_of(void)
{
    int fd = memfd_create("test_log", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    return fd;
}

static int hop(mmb_places *places, mmb_tail *tail, const char **reason)
{
    uint64_t file_bytes;
    int fd = file_of();
    int error = mmb_log_hop(fd, places, tail, &file_bytes, reason);
    CHECK_EQ(file_bytes, size);
    close(fd);
    return error;
}

static void measures(void)
{
    uint64_t found;
    const char *reason;
    clear();
    put_frame(5);
    CHECK_EQ(mmb_frame_measure(bytes, size, &found, &reason), 0);
    CHECK_EQ(found, 48);
    CHECK_EQ(mmb_frame_measure(bytes, 8, &found, &reason), 0);
    CHECK_EQ(found, 48);
    CHECK_EQ(mmb_frame_measure(bytes, 7, &found, &reason), MMB_EHEAD);
    CHECK_EQ(found, 8);

    clear();
    put_number(2);
    put_number(3);
    put_number(0);
    put_number(4);
    CHECK_EQ(mmb_frame_measure(bytes, size, &found, &reason), 0);
    CHECK_EQ(found, 16 + 7 * 8);
    CHECK_EQ(mmb_frame_measure(bytes, 8, &found, &reason), MMB_EHEAD);
    CHECK_EQ(found, 16);
}

static void refuse(uint32_t count, uint32_t words, uint32_t more)
{
    uint64_t found;
    const char *reason = NULL;
    clear();
    put_number(count);
    put_number(words);
    put_number(more);
    put(NULL, 4096);
    CHECK_EQ(mmb_frame_measure(bytes, size, &found, &reason), MMB_EMESSAGE);
    CHECK(reason != NULL);
}

static void refuses(void)
{
    refuse(0, 0, 0);
    refuse(1, 0, 5);
    refuse(0, MMB_MAX_SEGMENT_WORDS + 1, 0);
    refuse(1, 1, MMB_MAX_SEGMENT_WORDS + 1);
    refuse(MMB_MAX_SEGMENTS, 1, 1);
    refuse(UINT32_MAX, 1, 1);
}

/* Frames of all sizes, far larger than the window and smaller. */
static void hops(void)
{
    mmb_places places = {0};
    mmb_tail tail;
    const char *reason;
    uint64_t starts[300], start, length;
    clear();
    for (uint32_t i = 0; i < 300; i++) {
        starts[i] = size;
        put_frame(i % 7 == 0 ? 30000 + i : 1 + i % 50);
    }
    CHECK_EQ(hop(&places, &tail, &reason), 0);
    CHECK_EQ(tail, MMB_TAIL_NONE);
    CHECK_EQ(places.count, 300);
    CHECK_EQ(places.end, size);
    for (uint32_t i = 0; i < 300; i++) {
        CHECK_EQ(mmb_places_find(&places, bytes, i, &start, &length), 0);
        CHECK_EQ(start, starts[i]);
        CHECK_EQ(start + length, i + 1 < 300 ? starts[i + 1] : size);
    }
    mmb_places_clear(&places);
}

/* What may follow the last whole frame. */
static void tails(void)
{
    const uint64_t fence = mmb_fence_of(MMB_FENCE_BYTES), torn = (uint64_t)9 << 32;
    const unsigned char garbage[16] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint64_t zeros[] = {1, 8, 9, 100000};
    mmb_places places = {0};
    mmb_tail tail;
    const char *reason;

    for (int with_frames = 0; with_frames < 2; with_frames++) {
        uint64_t begin = with_frames != 0 ? 56 : 0;
        for (int kind = 0; kind < 8; kind++) {
            clear();
            if (with_frames != 0) {
                put_frame(1);
                put_frame(4);
            }
            put(kind == 0 ? (const void *)&fence : &torn, kind < 2 ? 8 : kind < 3 ? 3 : 0);
            put(NULL, kind == 0 ? 100 : kind > 3 ? zeros[kind - 4] : 0);
            CHECK_EQ(hop(&places, &tail, &reason), 0);
            CHECK_EQ(places.count, with_frames != 0 ? 2 : 0);
            CHECK_EQ(places.end, begin);
            CHECK_EQ(tail, kind == 0               ? MMB_TAIL_FENCE
                           : kind < 3 || kind == 4 ? MMB_TAIL_TORN
                           : kind == 3             ? MMB_TAIL_NONE
                                                   : MMB_TAIL_ZEROS);
            mmb_places_clear(&places);
        }
        clear();
        put(garbage, sizeof garbage);
        CHECK_EQ(hop(&places, &tail, &reason), MMB_EMESSAGE);
        clear();
        put(NULL, 100000); /* zeros, and then something else */
        put(garbage, 1);
        CHECK_EQ(hop(&places, &tail, &reason), MMB_EMESSAGE);
        mmb_places_clear(&places);
    }
}

/* Far more messages than anchors. */
static void bounds_memory(void)
{
    enum { MANY = 5 * MMB_MAX_ANCHORS / 2 + 3 };
    mmb_places places = {0};
    mmb_tail tail;
    const char *reason;
    uint64_t start, length;
    static uint64_t starts[MANY];
    clear();
    for (uint32_t i = 0; i < MANY; i++) {
        starts[i] = size;
        put_frame(1 + i % 3);
    }
    CHECK_EQ(hop(&places, &tail, &reason), 0);
    CHECK_EQ(places.count, MANY);
    CHECK_EQ(places.room, MMB_MAX_ANCHORS);
    for (uint64_t i = 0; i < MANY; i += 1 + i % 5) {
        CHECK_EQ(mmb_places_find(&places, bytes, i, &start, &length), 0);
        CHECK_EQ(start, starts[i]);
    }
    static uint64_t listed[MANY];
    CHECK_EQ(mmb_places_list(&places, bytes, 3, MANY - 3, listed), 0);
    CHECK(memcmp(listed, starts + 3, (MANY - 3) * sizeof *listed) == 0);

    memset(bytes + starts[MANY / 2], 0xFF, 8); /* someone changes it */
    CHECK_EQ(mmb_places_find(&places, bytes, MANY / 2, &start, &length), MMB_EMESSAGE);
    CHECK_EQ(mmb_places_list(&places, bytes, 0, MANY, listed), MMB_EMESSAGE);
    mmb_places_clear(&places);
}

/* An index of `count` messages, mapped; its bytes in *length. */
static unsigned char *index_of(const mmb_places *places, const mmb_log_identity *identity,
                               uint64_t *length)
{
    int fd = memfd_create("test_log_index", MFD_CLOEXEC);
    CHECK_EQ(mmb_index_write(fd, places, bytes, identity), 0);
    *length = file_size(fd);
    CHECK_EQ(*length, mmb_index_bytes(places->count));
    void *memory = mmap(NULL, *length + 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(ftruncate(fd, (off_t)(*length + 65536)) == 0);
    close(fd);
    return memory;
}

static void indexes(uint32_t count)
{
    mmb_places places = {0};
    mmb_log_identity identity;
    mmb_tail tail;
    const char *reason;
    uint64_t length, found, end, start, frame;
    clear();
    for (uint32_t i = 0; i < count; i++) {
        put_frame(1 + i % 9);
    }
    CHECK_EQ(hop(&places, &tail, &reason), 0);
    int fd = file_of();
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    unsigned char *memory = index_of(&places, &identity, &length);

    CHECK(mmb_index_check(memory, length, &identity, &found, &end));
    CHECK_EQ(found, count);
    CHECK_EQ(end, size);
    mmb_places indexed = {.index = memory, .indexed = count, .count = count, .end = size};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t expected;
        CHECK_EQ(mmb_places_find(&places, bytes, i, &expected, &frame), 0);
        CHECK_EQ(mmb_places_find(&indexed, bytes, i, &start, &frame), 0);
        CHECK_EQ(start, expected);
    }
    /* Of another file, of an earlier state, or too short. */
    mmb_log_identity other = identity;
    other.inode++;
    CHECK(!mmb_index_check(memory, length, &other, &found, &end));
    other = identity;
    other.mtime++;
    CHECK(!mmb_index_check(memory, length, &other, &found, &end));
    CHECK(!mmb_index_check(memory, length - 1, &identity, &found, &end));
    CHECK(!mmb_index_check(memory, 0, &identity, &found, &end));

    /* Messages are published: it counts what is there, whatever the size and the time. */
    mmb_index_unsettle(memory, &identity);
    other = identity;
    for (uint32_t i = 0; i < 2000; i++) {
        put_frame(2);
        mmb_index_note(memory, count + i + 1, 1, size, bytes + size - 24, 24);
        mmb_index_publish(memory, count + i + 1, size);
        other.size = size;
        other.mtime++;
        CHECK(mmb_index_check(memory, length + 65536, &other, &found, &end));
        CHECK_EQ(found, count + i + 1);
        CHECK_EQ(end, size);
    }
    CHECK(!mmb_index_check(memory, length + 65536, &identity, &found, &end)); /* cut */
    other.boot[3] ^= 1;
    CHECK(!mmb_index_check(memory, length + 65536, &other, &found, &end));
    mmb_places_clear(&places);
    munmap(memory, length + 65536);
    close(fd);
}

/* By the processor and by tables, from any place on, in parts. */
static void checksums(void)
{
    CHECK_EQ(mmb__os_crc32c(0, "123456789", 9), 0xE3069283u);
    CHECK_EQ(mmb__os_crc32c_by_tables(0, "123456789", 9), 0xE3069283u);
    for (size_t start = 0; start < 9; start++) {
        for (size_t part = 0; part < 40; part++) {
            uint32_t whole = mmb__os_crc32c(0, bytes + start, 100);
            CHECK_EQ(mmb__os_crc32c_by_tables(0, bytes + start, 100), whole);
            uint32_t first = mmb__os_crc32c(0, bytes + start, part);
            CHECK_EQ(mmb__os_crc32c(first, bytes + start + part, 100 - part), whole);
        }
    }
}

static void index_of_none(void)
{
    indexes(0);
}

static void index_of_blocks(void)
{
    indexes(1);
    indexes(1023);
    indexes(1024);
    indexes(1025);
    indexes(5000);
}

/* Distances of more than 32 GiB do not fit: there the index goes on from frame to frame. */
static void far_away(void)
{
    if (is_emulated()) {
        fprintf(stderr, "  (not here: an emulator maps no 120 GiB)\n");
        return;
    }
    const uint64_t segment = (uint64_t)MMB_MAX_SEGMENT_WORDS * 8 + 8;
    enum { COUNT = 30 };
    mmb_places places = {0};
    mmb_log_identity identity;
    mmb_tail tail;
    const char *reason;
    uint64_t file_bytes, found, end, start, frame, length;
    int fd = memfd_create("test_log", MFD_CLOEXEC);
    if (ftruncate(fd, (off_t)(COUNT * segment)) != 0) {
        skip("no files of 120 GiB here");
        return;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint32_t header[2] = {0, MMB_MAX_SEGMENT_WORDS};
        CHECK(pwrite(fd, header, 8, (off_t)(i * segment)) == 8);
    }
    unsigned char *data = mmap(NULL, COUNT * segment, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(data != MAP_FAILED);
    CHECK_EQ(mmb_log_hop(fd, &places, &tail, &file_bytes, &reason), 0);
    CHECK_EQ(places.count, COUNT);
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    int index_fd = memfd_create("test_log_index", MFD_CLOEXEC);
    CHECK_EQ(mmb_index_write(index_fd, &places, data, &identity), 0);
    length = file_size(index_fd);
    unsigned char *memory = mmap(NULL, length, PROT_READ, MAP_SHARED, index_fd, 0);
    CHECK(mmb_index_check(memory, length, &identity, &found, &end));
    CHECK_EQ(end, COUNT * segment);
    mmb_places indexed = {.index = memory, .indexed = COUNT, .count = COUNT, .end = end};
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQ(mmb_places_find(&indexed, data, i, &start, &frame), 0);
        CHECK_EQ(start, i * segment);
    }
    mmb_places_clear(&places);
    munmap(memory, length);
    munmap(data, COUNT * segment);
    close(index_fd);
    close(fd);
}

/* A view reads what the file gets later. */
static void views_grow(void)
{
    int fd = make_file_in("/tmp", NULL);
    mmb_view view;
    CHECK(pwrite(fd, "early", 5, 0) == 5);
    CHECK_EQ(mmb_view_map(fd, 5, &view), 0);
    CHECK(memcmp(view.base, "early", 5) == 0);
    CHECK(view.length > 100000 && pwrite(fd, "late", 4, 100000) == 4);
    CHECK(memcmp(view.base + 100000, "late", 4) == 0);
    mmb_view_unmap(&view);
    CHECK(view.base == NULL);
    close(fd);
}

int main(void)
{
    RUN(measures);
    RUN(refuses);
    RUN(hops);
    RUN(tails);
    RUN(bounds_memory);
    RUN(checksums);
    RUN(index_of_none);
    RUN(index_of_blocks);
    RUN(far_away);
    RUN(views_grow);
    free(bytes);
    return 0;
}
