/* test_log_cut.c - hopping over a log that a writer cuts at the same moment: a read that began
 * before the cut may find zeros where the fence was. */
#define _GNU_SOURCE

#include "log_frames.h"

#ifdef __linux__
#include <sys/syscall.h>

static int moment = 2; /* 0: the cut begins; 1: the file is cut; 2: it has grown again */
static off_t cut_at;

/* In place of the C library's. */
ssize_t pread(int fd, void *to, size_t length, off_t offset)
{
    ssize_t got = (ssize_t)syscall(SYS_pread64, fd, to, length, offset);
    if (moment < 2 && got > 0 && offset + got > cut_at) {
        ssize_t left = offset < cut_at ? (ssize_t)(cut_at - offset) : 0;
        memset((char *)to + left, 0, (size_t)(got - left));
        got = moment++ == 0 ? got : left;
    }
    return got;
}

/* A log of one message, and behind it `tail` as one word. */
static int make(uint64_t tail)
{
    unsigned char bytes[64];
    uint64_t size = frame(bytes, 3, 0);
    int fd = memfd_create("log", MFD_CLOEXEC);
    put64(bytes + size, tail);
    CHECK(write(fd, bytes, size + 8) == (ssize_t)size + 8);
    cut_at = (off_t)size;
    return fd;
}

static mmb_tail tail_of(int fd)
{
    mmb_places places = {0};
    mmb_tail tail;
    const char *reason;
    uint64_t file_bytes;
    CHECK_EQ(mmb_log_hop(fd, &places, &tail, &file_bytes, &reason), 0);
    CHECK_EQ(places.count, 1);
    mmb_places_clear(&places);
    return tail;
}

static void a_fence_is_found_again(void)
{
    int fd = make(mmb_fence_of(MMB_FENCE_BYTES));
    moment = 0;
    CHECK_EQ(tail_of(fd), MMB_TAIL_FENCE);
    CHECK_EQ(moment, 2);
    close(fd);
}

static void zeros_that_stay_are_told(void)
{
    int fd = make(0);
    CHECK_EQ(tail_of(fd), MMB_TAIL_ZEROS);
    close(fd);
}

int main(void)
{
    RUN(a_fence_is_found_again);
    RUN(zeros_that_stay_are_told);
    return 0;
}

#else

int main(void)
{
    return 77;
}

#endif
