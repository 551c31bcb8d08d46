/* recover.c - mmb_verify and mmb_recover: files that somebody else has written. */
#include "finish.h"
#include "source.h"
#include "unfinished.h"
#include "walk.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The start and the length of a file. */
typedef struct {
    unsigned char head[MMB_HEAD_BYTES]; /* zeros beyond the end of the file */
    uint64_t file_bytes;
} opening;

static int read_opening(int fd, opening *out)
{
    struct stat now;
    size_t got;
    memset(out->head, 0, sizeof out->head);
    if (fstat(fd, &now) != 0) {
        return errno;
    }
    if (!S_ISREG(now.st_mode)) {
        return S_ISDIR(now.st_mode) ? EISDIR : ESPIPE;
    }
    out->file_bytes = (uint64_t)now.st_size;
    return mmb__os_read_all(fd, out->head, sizeof out->head, 0, &got);
}

/* `dangling` and `zeros_from` as in source.h, for unfinished files. */
static int walk_file(int fd, const mmb_framing *framing, mmb__dangling *dangling,
                     uint64_t zeros_from, uint32_t *used, mmb_report *report)
{
    mmb__source source;
    int error = mmb__source_file(&source, fd, framing);
    if (error == 0) {
        source.dangling = dangling;
        source.zeros_from = zeros_from;
        error = mmb__walk(&source, used, &report->totals, &report->flaw);
        mmb__source_close(&source);
    }
    if (error == MMB__ESHORT) {
        report->flaw.segment = MMB_IN_TABLE;
        report->flaw.reason = "the file became shorter while it was read";
        error = MMB_EMESSAGE;
    }
    return error;
}

static uint32_t count_segments(const uint32_t *words, uint32_t count)
{
    uint32_t segments = 0;
    for (uint32_t i = 0; i < count; i++) {
        segments += words[i] > 0 ? 1 : 0;
    }
    return segments;
}

/* The finished file that begins with `start`. */
static int check_finished(int fd, const opening *start, mmb_report *report)
{
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb_framing framing;
    int error = mmb_framing_parse(start->head, start->file_bytes, &framing, &report->flaw);
    if (error != 0) {
        return error;
    }
    report->entries = framing.count;
    report->segments = count_segments(framing.words, framing.count);
    report->file_bytes = framing.file_bytes;
    report->trailing = start->file_bytes - framing.file_bytes;
    return walk_file(fd, &framing, NULL, MMB__NO_ZEROS, used, report);
}

static bool is_marked(const opening *start)
{
    return start->file_bytes >= 4 && mmb__load32(start->head) == MMB__MARK;
}

int mmb_verify(int fd, mmb_report *report)
{
    opening start;
    *report = (mmb_report){0};
    int error = read_opening(fd, &start);
    if (error != 0) {
        return error;
    }
    report->unfinished = is_marked(&start);
    return check_finished(fd, &start, report);
}

/* The sizes to finish with: full ones, but the last segment that has something ends
 * where the walk found its last word. */
static void plan_from_used(mmb__unfinished *file, const uint32_t *used)
{
    mmb__plan *plan = &file->plan;
    uint32_t last = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        last = used[i] > 0 ? i : last;
    }
    plan->count = last + 1;
    plan->before[last] = file->untouched ? 1 : used[last];
    memcpy(plan->after, plan->before, plan->count * sizeof *plan->after);
}

/* Make far pointers that lead to nothing null, which is what they mean. */
static int drop_dangling(int fd, const mmb_framing *framing, const mmb__dangling *dangling)
{
    static const unsigned char null[MMB_WORD];
    for (uint32_t i = 0; i < dangling->count; i++) {
        uint64_t place =
            framing->start[dangling->segment[i]] + (uint64_t)dangling->word[i] * MMB_WORD;
        int error = mmb__os_write_all(fd, null, sizeof null, place, NULL);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Walk the unfinished `file`, unless there is nothing in it, and decide its sizes. */
static int check_unfinished(int fd, mmb__unfinished *file, mmb__dangling *dangling,
                            mmb_report *report)
{
    uint32_t used[MMB_MAX_SEGMENTS] = {0};
    if (file->untouched) {
        report->totals.words = 1; /* the null root to come */
    } else {
        mmb__dangling *noted = file->state == MMB__IS_BUILDING ? dangling : NULL;
        int error;
        do { /* until the message is valid with all of them null */
            dangling->nulled = dangling->count;
            error = walk_file(fd, &file->framing, noted, file->zeros_from, used, report);
        } while (error == 0 && dangling->count > dangling->nulled);
        if (error != 0) {
            return error;
        }
    }
    if (file->state == MMB__IS_BUILDING) {
        plan_from_used(file, used);
    }
    report->entries = file->plan.entries;
    report->segments = count_segments(file->plan.after, file->plan.count);
    report->file_bytes = mmb__plan_end(&file->plan, file->plan.after);
    return 0;
}

int mmb_recover(int fd, bool durable, mmb_report *report)
{
    mmb__dangling dangling = {0};
    mmb__unfinished file;
    opening start;

    *report = (mmb_report){0};
    int error = read_opening(fd, &start);
    if (error != 0) {
        return error;
    }
    if (!is_marked(&start)) {
        return check_finished(fd, &start, report);
    }
    report->unfinished = true;
    error = mmb__unfinished_parse(fd, start.head, start.file_bytes, &file, &report->flaw);
    if (error == 0) {
        error = check_unfinished(fd, &file, &dangling, report);
    }
    if (error == 0) { /* all is well: what is written from here on makes it a message */
        error = drop_dangling(fd, &file.framing, &dangling);
    }
    if (error != 0) {
        return error;
    }
    mmb__target target = {NULL, fd, durable, file.untouched};
    return file.state == MMB__IS_STAGED
               ? mmb__finish_staged(&target, &file.plan)
               : mmb__finish(&target, &file.plan, file.state == MMB__IS_PLANNED);
}
