/* recover.c - mmb_verify and mmb_recover: messages that somebody else has written. */
#include "finish.h"
#include "layout.h"
#include "mmb_capnp.h"
#include "source.h"
#include "unfinished.h"
#include "walk.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* A message in a file, of which nothing is known but where it begins. */
typedef struct {
    int fd;
    uint64_t offset;                    /* of the message */
    uint64_t file_bytes;                /* of the whole file */
    unsigned char head[MMB_HEAD_BYTES]; /* of the message; zeros beyond the end of the file */
} found;

static int look_at(int fd, uint64_t offset, found *out)
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
    if (offset % MMB_WORD != 0) {
        return EINVAL;
    }
    out->fd = fd;
    out->offset = offset;
    out->file_bytes = (uint64_t)now.st_size;
    return mmb__os_read_all(fd, out->head, sizeof out->head, offset, &got);
}

/* Bytes of the file from the start of the message on. */
static uint64_t bytes_there(const found *m)
{
    return m->file_bytes > m->offset ? m->file_bytes - m->offset : 0;
}

static bool is_marked(const found *m)
{
    return bytes_there(m) >= 4 && mmb__load32(m->head) == MMB_UNFINISHED;
}

/* `dangling` and `zeros_from` as in source.h, for unfinished messages. */
static int walk_file(const found *m, const mmb_framing *framing, mmb__dangling *dangling,
                     uint64_t zeros_from, uint32_t *used, mmb_report *report)
{
    mmb__source source;
    int error = mmb__source_file(&source, m->fd, m->offset, framing);
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

/* ---- finished messages ------------------------------------------------------------- */

static int check_finished(const found *m, mmb_report *report)
{
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb_framing framing;
    int error = mmb_framing_parse(m->head, bytes_there(m), &framing, &report->flaw);
    if (error != 0) {
        return error;
    }
    report->entries = framing.count;
    for (uint32_t i = 0; i < framing.count; i++) {
        report->segments += framing.words[i] > 0 ? 1 : 0;
    }
    report->file_bytes = framing.file_bytes;
    report->trailing = bytes_there(m) - framing.file_bytes;
    return walk_file(m, &framing, NULL, MMB__NO_ZEROS, used, report);
}

int mmb_verify(int fd, uint64_t offset, mmb_report *report)
{
    found m;
    *report = (mmb_report){0};
    int error = look_at(fd, offset, &m);
    if (error != 0) {
        return error;
    }
    report->unfinished = is_marked(&m);
    return check_finished(&m, report);
}

/* ---- unfinished ones ----------------------------------------------------------------- */

/* The sizes to finish with: full ones, but the last segment that has something ends
 * where the walk found its last word. */
static void plan_from_used(const mmb__unfinished *message, const uint32_t *used,
                           bool has_far_pointers, mmb__plan *plan)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < message->framing.count; i++) {
        last = used[i] > 0 ? i : last;
    }
    plan->entries = message->entries;
    plan->count = last + 1;
    plan->has_far_pointers = has_far_pointers;
    plan->null_root = message->untouched;
    memcpy(plan->words, message->full, plan->count * sizeof *plan->words);
    plan->words[last] = message->untouched ? 1 : used[last];
}

/* Make far pointers that lead to nothing null, which is what they mean. */
static int drop_dangling(const found *m, const mmb_framing *framing, const mmb__dangling *dangling)
{
    static const unsigned char null[MMB_WORD];
    for (uint32_t i = 0; i < dangling->count; i++) {
        uint64_t place = m->offset + framing->start[dangling->segment[i]] +
                         (uint64_t)dangling->word[i] * MMB_WORD;
        int error = mmb__os_write_all(m->fd, null, sizeof null, place, NULL);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Walk the unfinished message, unless there is nothing in it, and decide its sizes. */
static int check_unfinished(const found *m, const mmb__unfinished *message, mmb__dangling *dangling,
                            mmb__plan *plan, mmb_report *report)
{
    uint32_t used[MMB_MAX_SEGMENTS] = {0};
    int error = 0;
    if (message->untouched) {
        report->totals.words = 1; /* the null root to come */
    } else {
        do { /* until the message is valid with all of them null */
            dangling->nulled = dangling->count;
            error = walk_file(m, &message->framing, dangling, message->zeros_from, used, report);
        } while (error == 0 && dangling->count > dangling->nulled);
    }
    if (error != 0) {
        return error;
    }
    plan_from_used(message, used, report->totals.far > 0, plan);
    report->entries = mmb__plan_entries(plan);
    report->segments = mmb__plan_segments(plan);
    report->file_bytes = mmb__plan_bytes(plan);
    return 0;
}

int mmb_recover(int fd, uint64_t offset, uint64_t capacity, bool durable, mmb_report *report)
{
    mmb__dangling dangling = {0};
    mmb__unfinished message;
    mmb__plan plan;
    found m;

    *report = (mmb_report){0};
    int error = look_at(fd, offset, &m);
    if (error != 0) {
        return error;
    }
    if (!is_marked(&m)) {
        return check_finished(&m, report);
    }
    report->unfinished = true;
    error = mmb__unfinished_parse(m.head, offset, m.file_bytes, capacity, &message, &report->flaw);
    if (error == 0) {
        error = check_unfinished(&m, &message, &dangling, &plan, report);
    }
    if (error == 0) { /* all is well: what is written from here on makes it a message */
        error = drop_dangling(&m, &message.framing, &dangling);
    }
    uint64_t end = offset + report->file_bytes;
    if (error == 0 && (capacity == MMB_TO_END || end > m.file_bytes)) {
        error = mmb__os_truncate(fd, end);
    }
    if (error != 0) {
        return error;
    }
    mmb__target target = {NULL, fd, offset, durable};
    return mmb__finish(&target, &plan);
}
