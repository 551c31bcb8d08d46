/* fuzz_walk.c - libFuzzer: any bytes as a message file, through everything that reads one.
 *
 * The input is a whole file. Besides the sanitizers these must hold:
 *  - the walk over memory and the walk over the file agree, in the flaw and in the sums;
 *  - used sizes lie in the segments, and the words met are not more than there are;
 *  - mmb_recover either changes nothing and says why, or leaves a valid message.
 */
#define _GNU_SOURCE

#include "check.h"
#include "mmb_capnp.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 1 << 16 };

static int file_of(const uint8_t *data, size_t size)
{
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz_walk", MFD_CLOEXEC);
        CHECK(fd >= 0);
    }
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(pwrite(fd, data, size, 0) == (ssize_t)size);
    return fd;
}

static bool is_unchanged(int fd, const uint8_t *data, size_t size)
{
    static uint8_t now[MAX_INPUT];
    struct stat info;
    CHECK(fstat(fd, &info) == 0);
    return (size_t)info.st_size == size && pread(fd, now, size, 0) == (ssize_t)size &&
           memcmp(now, data, size) == 0;
}

/* Parse and walk in memory. The bytes are copied for each segment, so that the
 * sanitizer sees the end of every one. */
static int walk_in_memory(const uint8_t *data, size_t size, mmb_totals *totals, mmb_flaw *flaw)
{
    static mmb_segment segments[MMB_MAX_SEGMENTS];
    static uint32_t used[MMB_MAX_SEGMENTS];
    static mmb_framing framing;
    uint64_t words = 0;

    int error = mmb_framing_parse(data, size, &framing, flaw);
    if (error != 0) {
        CHECK(flaw->reason != NULL && framing.count == 0);
        return error;
    }
    CHECK(framing.file_bytes <= size);
    for (uint32_t i = 0; i < framing.count; i++) {
        size_t bytes = (size_t)framing.words[i] * MMB_WORD;
        void *copy = malloc(bytes);
        memcpy(copy, data + framing.start[i], bytes);
        segments[i] = (mmb_segment){copy, framing.words[i]};
        words += framing.words[i];
    }
    error = mmb_walk(segments, framing.count, used, totals, flaw);
    for (uint32_t i = 0; i < framing.count; i++) {
        CHECK(used[i] <= segments[i].words);
        free((void *)(uintptr_t)segments[i].base);
    }
    CHECK(totals->words <= words);
    CHECK((error == 0) == (flaw->reason == NULL));
    return error;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mmb_report report, after;
    mmb_totals totals = {0};
    mmb_flaw flaw;

    if (size > MAX_INPUT) {
        return 0;
    }
    int error = walk_in_memory(data, size, &totals, &flaw);
    int fd = file_of(data, size);
    CHECK_EQ(mmb_verify(fd, 0, NULL, &report), error);
    CHECK(report.flaw.reason == flaw.reason && report.flaw.word == flaw.word &&
          report.flaw.segment == flaw.segment);
    CHECK(report.totals.words == totals.words && report.totals.pointers == totals.pointers &&
          report.totals.objects == totals.objects && report.totals.depth == totals.depth);

    error = mmb_recover(fd, 0, MMB_TO_END, false, NULL, &report);
    CHECK(error == 0 || error == MMB_EMESSAGE);
    if (error != 0 || !report.unfinished) {
        CHECK((error == 0) == (report.flaw.reason == NULL));
        CHECK(is_unchanged(fd, data, size));
        return 0;
    }
    CHECK_EQ(mmb_verify(fd, 0, NULL, &after), 0);
    CHECK(after.file_bytes == report.file_bytes && after.trailing == 0);
    CHECK(after.segments == report.segments && after.entries == report.entries);
    CHECK(after.totals.words == report.totals.words || report.totals.words == 1);
    return 0;
}
