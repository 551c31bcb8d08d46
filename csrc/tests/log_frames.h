/* log_frames.h - messages for the tests of a log's writer, and a look at the files. */
#ifndef MMB_TESTS_LOG_FRAMES_H
#define MMB_TESTS_LOG_FRAMES_H

#include "check.h"
#include "message.h"
#include "mmb_log.h"
#include "tempfile.h"

#include <sys/mman.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };

/* A frame of one segment of `words` words, which all say its number. */
static inline uint64_t frame(unsigned char *to, uint32_t words, uint64_t number)
{
    put32(to, 0);
    put32(to + 4, words);
    for (uint32_t i = 0; i < words; i++) {
        put64(to + 8 + (size_t)i * 8, number + 1);
    }
    return 8 + (uint64_t)words * 8;
}

/* True if the frame at `start` was made by `frame`, for that number. */
static inline bool is_frame(int fd, uint64_t start, uint64_t size, uint64_t number)
{
    static unsigned char bytes[ROOM], wanted[ROOM];
    CHECK(size <= ROOM && pread(fd, bytes, size, (off_t)start) == (ssize_t)size);
    return frame(wanted, get32(bytes + 4), number) == size && memcmp(bytes, wanted, size) == 0;
}

/* What stands in the file: whole messages, counted from 0, and then a fence that reaches
 * beyond its end, or nothing. Their number. */
static inline uint64_t look(int fd, bool open)
{
    mmb_places places = {0};
    mmb_tail tail;
    const char *reason;
    uint64_t file_bytes, start, size;
    CHECK_EQ(mmb_log_hop(fd, &places, &tail, &file_bytes, &reason), 0);
    CHECK_EQ(tail, open ? MMB_TAIL_FENCE : MMB_TAIL_NONE);
    if (places.count > 0) {
        unsigned char *data = mmap(NULL, file_bytes, PROT_READ, MAP_SHARED, fd, 0);
        CHECK(data != MAP_FAILED);
        CHECK_EQ(mmb_places_find(&places, data, places.count - 1, &start, &size), 0);
        CHECK(is_frame(fd, start, size, places.count - 1));
        munmap(data, file_bytes);
    }
    uint64_t count = places.count;
    mmb_places_clear(&places);
    return count;
}

static inline int index_for(int fd)
{
    mmb_log_identity identity;
    mmb_places none = {0};
    int index_fd = memfd_create("index", MFD_CLOEXEC);
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    CHECK_EQ(mmb_index_write(index_fd, &none, NULL, &identity), 0);
    return index_fd;
}

#endif
