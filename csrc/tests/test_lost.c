/* test_lost.c - mmb_recover after stores that did not reach the file: what is kept, to the
 * element, and what is counted. */
#define _GNU_SOURCE

#include "message.h"

/* The loss record tells of pages. The first lost byte of a message is put anywhere by putting
 * the message somewhere before the page LOST. */
enum { LOST = 8192, WORDS = 600 };

static unsigned char words[WORDS * 8];

static void set(uint64_t word, uint64_t value)
{
    put64(words + word * 8, value);
}

/* Put an unfinished message with one segment, `words`, into a file, so that `kept` of its words
 * lie before LOST and the others never reached the file. */
static int file_with(uint64_t kept, uint64_t *offset)
{
    unsigned char head[16] = {0xFF, 0xFF, 0xFF, 0xFF, 1};
    unsigned char zeros[WORDS * 8] = {0};
    int fd = make_file_in("/tmp", NULL);
    *offset = LOST - 16 - kept * 8;
    put32(head + 4, 1 | (LOST / 4096 + 1) << 9);
    head[8] = 7;
    put32(head + 8, 7 | WORDS << 3);
    CHECK(pwrite(fd, head, 16, (off_t)*offset) == 16);
    CHECK(pwrite(fd, words, kept * 8, (off_t)*offset + 16) == (ssize_t)kept * 8);
    CHECK(pwrite(fd, zeros, (WORDS - kept) * 8, LOST) == (ssize_t)(WORDS - kept) * 8);
    return fd;
}

/* Recover it; the file and the places of the finished message are left for more questions. */
static int recovered(uint64_t kept, uint64_t *offset, mmb_report *report)
{
    mmb_report after;
    int fd = file_with(kept, offset);
    CHECK_EQ(mmb_recover(fd, *offset, MMB_TO_END, false, NULL, report), 0);
    CHECK_EQ(mmb_verify(fd, *offset, NULL, &after), 0);
    CHECK_EQ(after.file_bytes, report->file_bytes);
    CHECK_EQ(after.totals.objects, report->totals.objects);
    CHECK_EQ(after.totals.lost, 0);
    CHECK(*offset + report->file_bytes <= LOST || report->totals.lost == 0 || kept == 0);
    return fd;
}

/* What the root of the finished message leads to. */
static mmb_object root_of(int fd, uint64_t offset)
{
    static unsigned char bytes[WORDS * 8 + 64];
    mmb_segment segment = {bytes + 8, 0};
    mmb_object object;
    mmb_flaw flaw;
    ssize_t got = pread(fd, bytes, sizeof bytes, (off_t)offset);
    CHECK(got >= 16 && get32(bytes) == 0);
    segment.words = get32(bytes + 4);
    CHECK_EQ(mmb_resolve(&segment, 1, 0, 0, &object, &flaw), 0);
    return object;
}

/* Lists of every size that are cut off at every word keep the elements before it. */
static void lists_keep_their_whole_elements(void)
{
    static const struct {
        unsigned size;
        uint32_t elements, bits;
    } kinds[] = {{BIT, 1000, 1}, {TWO, 99, 16}, {FOUR, 77, 32}, {EIGHT, 40, 64}, {POINTER, 30, 64}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint64_t end = 1 + ((uint64_t)kinds[i].elements * kinds[i].bits + 63) / 64;
        for (uint64_t kept = 1; kept <= end + 1; kept++) {
            uint64_t offset;
            mmb_report report;
            memset(words, 0, sizeof words);
            set(0, p_list(0, kinds[i].size, kinds[i].elements));
            uint64_t fit = (kept - 1) * 64 / kinds[i].bits;
            uint64_t left = fit < kinds[i].elements ? fit : kinds[i].elements;
            int fd = recovered(kept, &offset, &report);
            CHECK_EQ(report.totals.lost, left < kinds[i].elements ? 1 : 0);
            CHECK_EQ(report.totals.lost_values, kinds[i].elements - left);
            mmb_object object = root_of(fd, offset);
            CHECK_EQ(object.kind, left == 0 ? MMB_TO_NOTHING : MMB_TO_LIST);
            CHECK_EQ(object.elements, left);
            close(fd);
        }
    }
}

/* Lists of structs likewise, and what the structs lead to goes on its own. */
static void lists_of_structs_keep_their_whole_structs(void)
{
    enum { ROWS = 20, STEP = 3, TEXTS = 2 + ROWS * STEP };
    for (uint64_t kept = 1; kept <= TEXTS + ROWS + 1; kept++) {
        uint64_t offset;
        mmb_report report;
        memset(words, 0, sizeof words);
        set(0, p_list(0, COMPOSITE, ROWS * STEP));
        set(1, p_tag(ROWS, 2, 1));
        for (uint64_t row = 0; row < ROWS; row++) { /* each with a Text of one word at the end */
            uint64_t at = 2 + row * STEP + 2;
            set(at, p_list((int64_t)(TEXTS + row - at - 1), BYTE, 8));
            set(TEXTS + row, 0x61);
        }
        uint64_t rows = kept < 2 + STEP ? 0 : (kept - 2) / STEP;
        rows = rows < ROWS ? rows : ROWS;
        uint64_t texts = kept < TEXTS ? 0 : kept - TEXTS;
        texts = texts < ROWS ? texts : ROWS;
        int fd = recovered(kept, &offset, &report);
        mmb_object object = root_of(fd, offset);
        CHECK_EQ(object.elements, rows);
        CHECK_EQ(report.totals.objects, rows == 0 ? 0 : 1 + texts);
        CHECK_EQ(report.totals.lost, (rows < ROWS ? 1 : 0) + (rows - texts));
        close(fd);
    }
}

/* Half a struct, half a Text or Data, is none. */
static void structs_and_texts_are_whole_or_null(void)
{
    const uint64_t pointers[] = {p_struct(0, 5, 3), p_list(0, BYTE, 64)};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t kept = 0; kept <= 10; kept++) {
            uint64_t offset;
            mmb_report report;
            memset(words, 0, sizeof words);
            set(0, pointers[i]);
            int fd = recovered(kept, &offset, &report);
            CHECK_EQ(root_of(fd, offset).kind == MMB_TO_NOTHING, kept < 9);
            CHECK_EQ(report.totals.lost, kept < 9 ? 1 : 0);
            close(fd);
        }
    }
}

/* A list by way of landing pads: the size that is made less stands in the pad. */
static void far_pointers(void)
{
    for (int twice = 0; twice < 2; twice++) {
        for (uint64_t kept = 1; kept <= 25; kept++) {
            uint64_t offset;
            mmb_report report;
            memset(words, 0, sizeof words);
            set(0, twice ? p_double(2, 0) : p_far(2, 0));
            set(2, twice ? p_far(4, 0) : p_list(1, EIGHT, 20));
            set(3, p_list(0, EIGHT, 20));
            int fd = file_with(kept, &offset);
            CHECK_EQ(mmb_recover(fd, offset, MMB_TO_END, false, NULL, &report), 0);
            uint64_t left = kept < 5 ? 0 : kept < 24 ? kept - 4 : 20;
            CHECK_EQ(report.totals.lost_values, left == 0 && kept < 4 ? 1 : 20 - left);
            CHECK_EQ(report.entries, left == 0 ? 1 : 2); /* far pointers count from the table on */
            CHECK_EQ(mmb_verify(fd, offset, NULL, &report), 0);
            CHECK_EQ(report.totals.objects, left == 0 ? 0 : 1);
            close(fd);
        }
    }
}

/* pycapnp goes on in memory that is in no file when a message has no room left. */
static void segments_that_never_were(void)
{
    for (int twice = 0; twice < 2; twice++) {
        mmb_report report;
        uint64_t offset;
        memset(words, 0, sizeof words);
        set(0, p_struct(0, 1, 3));
        set(1, 42);
        set(2, p_list(5, BYTE, 8));
        set(3, twice ? p_double(6, 0) : p_far(77, 1));
        set(4, p_far(0, 500));
        set(6, p_far(3, 7)); /* a pad that leads on to such a segment */
        set(7, p_struct(0, 1, 0));
        set(8, 0x61);
        int fd = file_with(WORDS, &offset);
        put32(words, 1); /* without a loss record */
        CHECK(pwrite(fd, words, 4, (off_t)offset + 4) == 4);
        CHECK_EQ(mmb_recover(fd, offset, MMB_TO_END, false, NULL, &report), 0);
        CHECK_EQ(report.totals.lost, 2);
        CHECK_EQ(report.totals.objects, 2);
        CHECK_EQ(mmb_verify(fd, offset, NULL, &report), 0);
        CHECK_EQ(report.totals.objects, 2);
        close(fd);
    }
}

static bool always(void *asked, uint64_t done)
{
    CHECK(done > 0);
    ++*(int *)asked;
    return true;
}

/* Giving up leaves the file as it was. */
static void interrupted(void)
{
    enum { POINTERS = 1 << 18 };
    int asked = 0;
    const mmb_interrupt interrupt = {always, &asked};
    unsigned char head[24] = {0xFF, 0xFF, 0xFF, 0xFF, 1};
    unsigned char *list = calloc(POINTERS, 8);
    mmb_report report;
    int fd = make_file_in("/tmp", NULL);
    put64(head + 8, 7 | (uint64_t)(3 << 16 | (POINTERS + 16) >> 3) << 3);
    put64(head + 16, p_list(0, POINTER, POINTERS));
    CHECK(list != NULL);
    for (uint64_t i = 0; i < POINTERS; i++) {
        put64(list + i * 8, p_far(0, 9)); /* each would be mended */
    }
    CHECK(pwrite(fd, head, 24, 0) == 24);
    CHECK(pwrite(fd, list, POINTERS * 8, 24) == POINTERS * 8);
    CHECK_EQ(mmb_recover(fd, 0, MMB_TO_END, false, &interrupt, &report), EINTR);
    CHECK_EQ(asked, 1);
    unsigned char *now = malloc(POINTERS * 8);
    CHECK(now != NULL && pread(fd, now, POINTERS * 8, 24) == POINTERS * 8);
    CHECK(memcmp(now, list, POINTERS * 8) == 0);
    CHECK_EQ(mmb_recover(fd, 0, MMB_TO_END, false, NULL, &report), 0);
    CHECK_EQ(report.totals.lost, POINTERS);
    asked = 0;
    CHECK_EQ(mmb_verify(fd, 0, &interrupt, &report), EINTR);
    CHECK_EQ(asked, 1);
    free(list);
    free(now);
    close(fd);
}

/* Holes are stepped over: gigabytes of null pointers in no time, and what lies between is found. */
static void holes(void)
{
    enum { STRUCTS = 1 << 27 };
    unsigned char head[24] = {0}, word[8];
    uint64_t list = (uint64_t)STRUCTS * 3;
    uint64_t place = 24 + (uint64_t)STRUCTS / 2 * 24 + 16;
    mmb_report report;
    int fd = make_file_in("/dev/shm", NULL);
    put32(head + 4, (uint32_t)(2 + list));
    put64(head + 8, p_list(0, COMPOSITE, list));
    put64(head + 16, p_tag(STRUCTS, 1, 2));
    put64(word, p_struct(-1, 0, 0));
    CHECK(pwrite(fd, head, 24, 0) == 24);
    CHECK(pwrite(fd, word, 8, (off_t)place) == 8);
    CHECK(ftruncate(fd, (off_t)(24 + list * 8)) == 0);
    CHECK(lseek(fd, 7, SEEK_SET) == 7);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), 0);
    CHECK_EQ(report.totals.objects, 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    struct stat now;
    CHECK(fstat(fd, &now) == 0 && now.st_blocks < 1000);
    close(fd);
}

int main(void)
{
    RUN(lists_keep_their_whole_elements);
    RUN(lists_of_structs_keep_their_whole_structs);
    RUN(structs_and_texts_are_whole_or_null);
    RUN(far_pointers);
    RUN(segments_that_never_were);
    RUN(interrupted);
    RUN(holes);
    return 0;
}
