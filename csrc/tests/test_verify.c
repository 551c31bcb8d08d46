/* test_verify.c - what mmb_verify says of files, good, bad and large. */
#define _GNU_SOURCE

#include "message.h"

static void put_all(int fd, const void *bytes, size_t length, uint64_t offset)
{
    CHECK(pwrite(fd, bytes, length, (off_t)offset) == (ssize_t)length);
}

static void files(void)
{
    unsigned char bytes[8 * 6] = {0};
    mmb_report report;
    int fd = make_file_in("/tmp", NULL);

    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), MMB_EMESSAGE); /* empty */
    CHECK(report.flaw.segment == MMB_IN_TABLE && !report.unfinished);

    put32(bytes + 4, 4);
    put64(bytes + 8, p_struct(0, 1, 1));
    put64(bytes + 24, p_list(0, BYTE, 8));
    put_all(fd, bytes, 48, 0);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), 0);
    CHECK_EQ(report.file_bytes, 40);
    CHECK_EQ(report.trailing, 8);
    CHECK_EQ(report.totals.objects, 2);
    CHECK_EQ(report.entries, 1);
    CHECK_EQ(report.segments, 1);

    CHECK(ftruncate(fd, 39) == 0);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), MMB_EMESSAGE);
    put_all(fd, bytes, 40, 0);
    put64(bytes + 24, p_list(0, BYTE, 9));
    put_all(fd, bytes, 40, 0);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), MMB_EMESSAGE);
    CHECK(report.flaw.segment == 0 && report.flaw.word == 2);

    put32(bytes, 0xFFFFFFFF);
    put_all(fd, bytes, 40, 0);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), MMB_EMESSAGE);
    CHECK(report.unfinished && strstr(report.flaw.reason, "unfinished") != NULL);
    close(fd);

    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), EBADF);
    fd = open("/tmp", O_RDONLY);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), EISDIR);
    close(fd);
    fd = open("/dev/null", O_RDONLY);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), ESPIPE);
    close(fd);
}

static unsigned char *big;

static void set(uint64_t word, uint64_t value)
{
    put64(big + word * 8, value);
}

/* A file larger than the cache, with pointers all over it: all are found. */
static void large_file(void)
{
    enum { TEXTS = 100000, EACH = 5 };
    uint64_t words = 1 + TEXTS + (uint64_t)TEXTS * EACH;
    mmb_report report;
    int fd = make_file_in("/tmp", NULL);

    big = calloc(words + 1, 8);
    CHECK(big != NULL);
    put32(big + 4, (uint32_t)words);
    set(1, p_list(0, POINTER, TEXTS));
    for (uint64_t i = 0; i < TEXTS; i++) {
        uint64_t place = i * 7919 % TEXTS; /* in no order */
        uint64_t at = 2 + i;
        uint64_t text = 2 + TEXTS + place * EACH;
        set(at, p_list((int64_t)(text - at - 1), POINTER, EACH));
    }
    put_all(fd, big, (size_t)(words + 1) * 8, 0);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), 0);
    CHECK_EQ(report.totals.words, words);
    CHECK_EQ(report.totals.objects, TEXTS + 1);

    uint64_t last = 2 + TEXTS + (uint64_t)TEXTS * EACH - 1; /* the last word of the file */
    set(last, 7);
    put_all(fd, big + last * 8, 8, last * 8);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), MMB_EMESSAGE);
    CHECK_EQ(report.flaw.word, last - 1);
    free(big);
    close(fd);
}

int main(void)
{
    RUN(files);
    RUN(large_file);
    return 0;
}
