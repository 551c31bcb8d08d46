/* fuzz_log.c - libFuzzer: any bytes as a log, and as the index of one.
 *
 * Besides the sanitizers these must hold:
 *  - the places of all messages are found, in order, back to back, whole;
 *  - the index of the log tells the same places;
 *  - an index with any bytes in it leads to nothing beyond the committed end.
 */
#define _GNU_SOURCE

#include "check.h"
#include "mmb_log.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 1 << 16, INDEX_ROOM = 1 << 20 };

static int file_with(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz_log", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    return fd;
}

/* An index in which everything behind the header is the input. */
static void follow_nonsense(const mmb_places *places, const uint8_t *data, size_t size,
                            unsigned char *index)
{
    mmb_places nonsense = *places;
    uint64_t start, bytes;
    for (size_t at = MMB_INDEX_HEADER; at < INDEX_ROOM && size != 0; at++) {
        index[at] = data[(at * 7) % size];
    }
    /* And what recovery makes of it. */
    mmb_places good = {0};
    bool unchecked;
    memset(index + 256, size != 0 ? data[0] : 0, 64); /* the header, too */
    mmb_tail tail;
    CHECK_EQ(mmb_log_trust(index, INDEX_ROOM, data, places->end, &good, &tail, &unchecked), 0);
    CHECK(good.count <= places->count && good.end <= places->end);
    mmb_places_clear(&good);
    nonsense.index = index;
    nonsense.indexed = nonsense.count;
    for (uint64_t i = 0; i < nonsense.count; i += MMB_INDEX_BLOCK) {
        (void)mmb_index_compare(&nonsense, data, i);
    }
    for (uint64_t i = 0; i < nonsense.count; i++) {
        if (mmb_places_find(&nonsense, data, i, &start, &bytes) == 0) {
            CHECK(bytes >= 16 && start <= places->end && bytes <= places->end - start);
        }
    }
}

static void check_index(int fd, const mmb_places *places, const uint8_t *data, size_t size)
{
    static unsigned char index[INDEX_ROOM];
    mmb_log_identity identity;
    uint64_t count, end, start, bytes, expected;
    int index_fd = memfd_create("fuzz_log_index", MFD_CLOEXEC);
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    CHECK_EQ(mmb_index_write(index_fd, places, data, &identity), 0);
    ssize_t length = pread(index_fd, index, INDEX_ROOM, 0);
    CHECK(length > 0 && mmb_index_check(index, (uint64_t)length, &identity, &count, &end));
    CHECK(count == places->count && end == places->end);
    mmb_places indexed = {.index = index, .indexed = count, .count = count, .end = end};
    for (uint64_t i = 0; i < count; i++) {
        CHECK_EQ(mmb_places_find(&indexed, data, i, &start, &bytes), 0);
        CHECK_EQ(mmb_places_find(places, data, i, &expected, &bytes), 0);
        CHECK_EQ(start, expected);
    }
    follow_nonsense(places, data, size, index);
    close(index_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mmb_places places = {0};
    mmb_tail tail;
    uint64_t file_bytes, start, bytes, next = 0;
    const char *reason = NULL;
    if (size > MAX_INPUT) {
        return 0;
    }
    int fd = file_with(data, size);
    int error = mmb_log_hop(fd, &places, &tail, &file_bytes, &reason);
    CHECK(error == 0 || (error == MMB_EMESSAGE && reason != NULL));
    CHECK(file_bytes == size && places.end <= size);
    CHECK(error != 0 || (tail == MMB_TAIL_NONE) == (places.end == size));
    for (uint64_t i = 0; i < places.count; i++) {
        CHECK_EQ(mmb_places_find(&places, data, i, &start, &bytes), 0);
        CHECK_EQ(start, next);
        next = start + bytes;
    }
    CHECK_EQ(next, places.end);
    check_index(fd, &places, data, size);
    mmb_places_clear(&places);
    close(fd);
    return 0;
}
