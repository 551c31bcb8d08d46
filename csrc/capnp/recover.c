/* recover.c - mmb_verify and mmb_recover, for messages that another process has written. */
#include "finish.h"
#include "layout.h"
#include "mmb_capnp.h"
#include "unfinished.h"
#include "walk.h"
#include "words.h"

#include "os/os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

/* A message in a file. Only its start is known at first. */
typedef struct {
    int fd;
    uint64_t offset;                    /* of the message */
    uint64_t file_bytes;                /* size of the whole file */
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

/* Return how many bytes the file has from the start of the message on. */
static uint64_t bytes_there(const found *m)
{
    return m->file_bytes > m->offset ? m->file_bytes - m->offset : 0;
}

static bool is_marked(const found *m)
{
    return bytes_there(m) >= 4 && mmb__load32(m->head) == MMB_UNFINISHED;
}

static int walk_file(const found *m, const mmb_framing *framing, uint64_t zeros_from,
                     const mmb__way *way, uint32_t *used, mmb_report *report)
{
    mmb__words message;
    int error = mmb__words_of_file(&message, m->fd, m->offset, framing);
    if (error == 0) {
        message.zeros_from = zeros_from;
        error = mmb__walk(&message, way, used, &report->totals, &report->flaw);
        mmb__words_close(&message);
    }
    if (error == MMB__ESHORT) {
        report->flaw.segment = MMB_IN_TABLE;
        report->flaw.reason = "the file became shorter while it was read";
        error = MMB_EMESSAGE;
    }
    return error;
}

/* ---- finished messages ------------------------------------------------------------- */

/* Read the table of a finished message of `length` bytes, and report what it says. */
static int parse_finished(const void *head, uint64_t length, mmb_framing *framing,
                          mmb_report *report)
{
    int error = mmb_framing_parse(head, length, framing, &report->flaw);
    report->unfinished = framing->unfinished;
    if (error != 0) {
        return error;
    }
    report->entries = framing->count;
    for (uint32_t i = 0; i < framing->count; i++) {
        report->segments += framing->words[i] > 0 ? 1 : 0;
    }
    report->file_bytes = framing->file_bytes;
    report->trailing = length - framing->file_bytes;
    return 0;
}

static int check_finished(const found *m, const mmb_interrupt *interrupt, mmb_report *report)
{
    const mmb__way way = {.interrupt = interrupt, .lost_from = MMB__NO_ZEROS};
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb_framing framing;
    int error = parse_finished(m->head, bytes_there(m), &framing, report);
    if (error != 0) {
        return error;
    }
    return walk_file(m, &framing, MMB__NO_ZEROS, &way, used, report);
}

int mmb_verify(int fd, uint64_t offset, const mmb_interrupt *interrupt, mmb_report *report)
{
    found m;
    *report = (mmb_report){0};
    int error = look_at(fd, offset, &m);
    if (error != 0) {
        return error;
    }
    return check_finished(&m, interrupt, report);
}

int mmb_verify_memory(const void *bytes, uint64_t length, const mmb_interrupt *interrupt,
                      mmb_report *report)
{
    const mmb__way way = {.interrupt = interrupt, .lost_from = MMB__NO_ZEROS};
    mmb_segment segments[MMB_MAX_SEGMENTS];
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb__words message;
    mmb_framing framing;
    *report = (mmb_report){0};
    int error = parse_finished(bytes, length, &framing, report);
    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < framing.count; i++) {
        segments[i] =
            (mmb_segment){(const unsigned char *)bytes + framing.start[i], framing.words[i]};
    }
    mmb__words_of_memory(&message, segments, framing.count);
    return mmb__walk(&message, &way, used, &report->totals, &report->flaw);
}

/* ---- unfinished messages ------------------------------------------------------------- */

/* Decide the sizes to finish with. All segments keep their full sizes, except the last one that has
 * something: it ends at the last word that the walk found. */
static void plan_from_used(const mmb__unfinished *message, const uint32_t *used,
                           bool has_far_pointers, mmb__outcome *outcome)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < message->framing.count; i++) {
        last = used[i] > 0 ? i : last;
    }
    outcome->entries = message->entries;
    outcome->count = last + 1;
    outcome->has_far_pointers = has_far_pointers;
    outcome->null_root = message->untouched;
    memcpy(outcome->words, message->full, outcome->count * sizeof *outcome->words);
    outcome->words[last] = message->untouched ? 1 : used[last];
}

/* Walk the unfinished message, unless it is empty, and decide its sizes. `used` has room for
 * MMB_MAX_SEGMENTS. */
static int check_unfinished(const found *m, const mmb__unfinished *message, const mmb__way *way,
                            uint32_t *used, mmb__outcome *outcome, mmb_report *report)
{
    int error = 0;
    memset(used, 0, MMB_MAX_SEGMENTS * sizeof *used);
    if (message->untouched) {
        report->totals.words = 1; /* the message will have a null root */
        report->totals.lost = message->root_is_lost ? 1 : 0;
    } else {
        error = walk_file(m, &message->framing, message->zeros_from, way, used, report);
    }
    if (error != 0) {
        return error;
    }
    plan_from_used(message, used, report->totals.far > 0, outcome);
    report->entries = mmb__outcome_entries(outcome);
    report->segments = mmb__outcome_segments(outcome);
    report->file_bytes = mmb__outcome_bytes(outcome);
    return 0;
}

/* Allocate blocks for the holes of the message. On tmpfs a reader that maps the message needs
 * blocks for its holes, and dies if the disk is still as full as it was for the builder. */
static int fill_holes(const found *m, const mmb__unfinished *message, const uint32_t *used)
{
    mmb__traits traits = {.holes_take_blocks = false};
    int error = 0;
    (void)mmb__os_look_at(m->fd, &traits);
    if (!traits.holes_take_blocks || message->lost_from == MMB__NO_ZEROS) {
        return 0;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; error == 0 && i < message->framing.count; i++) {
        uint64_t length = (uint64_t)used[i] * MMB_WORD;
        uint64_t start = m->offset + message->framing.start[i];
        error = length > 0 ? mmb__os_allocate(m->fd, start, length) : 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Let the file end with the message if the region ends with the file, or if the file is too
 * short. */
static int set_end(const found *m, uint64_t capacity, uint64_t end)
{
    return capacity == MMB_TO_END || end > m->file_bytes ? mmb__os_truncate(m->fd, end) : 0;
}

/* Mend in the file what was lost, and check the result. The file ends with the message already,
 * so a pointer that will become null may lead beyond the end. Where objects of a hostile message
 * overlap, to mend one changes another, and the message may end elsewhere then. */
static int mend(const found *m, uint64_t capacity, mmb__unfinished *message, mmb__outcome *outcome,
                mmb_report *report)
{
    const mmb__way writing = {.mends = true, .writes = true, .lost_from = message->lost_from};
    const mmb__way strict = {.lost_from = MMB__NO_ZEROS};
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb_report mended = {0};
    if (report->file_bytes < message->zeros_from) {
        message->zeros_from = report->file_bytes;
    }
    int error = check_unfinished(m, message, &writing, used, outcome, &mended);
    if (error == 0) { /* overlapping objects may not all be mended */
        mended = (mmb_report){0};
        error = check_unfinished(m, message, &strict, used, outcome, &mended);
    }
    if (error == 0 && mended.file_bytes != report->file_bytes) {
        error = set_end(m, capacity, m->offset + mended.file_bytes);
    }
    mended.unfinished = report->unfinished;
    mended.totals.lost = report->totals.lost;
    mended.totals.lost_values = report->totals.lost_values;
    *report = mended;
    return error;
}

/* Write what was found valid: this makes it a message. */
static int finish_unfinished(const found *m, uint64_t capacity, mmb__unfinished *message,
                             const uint32_t *used, bool durable, mmb__outcome *outcome,
                             mmb_report *report)
{
    mmb__message_file file = {NULL, m->fd, m->offset, durable};
    int error = fill_holes(m, message, used);
    if (error == 0 && report->totals.lost > 0) {
        error = mend(m, capacity, message, outcome, report);
    }
    return error != 0 ? error : mmb__finish(&file, outcome);
}

/* Let a loss that an attribute of the file tells count as if it stood in the head. */
static void take_told_loss(found *m)
{
    uint64_t told, head = mmb__load64(m->head);
    if (mmb_loss_told(m->fd, &told) && told < mmb_loss_offset(head)) {
        mmb__store64(m->head, mmb_loss_record(head, told));
    }
}

int mmb_recover(int fd, uint64_t offset, uint64_t capacity, bool durable,
                const mmb_interrupt *interrupt, mmb_report *report)
{
    uint32_t used[MMB_MAX_SEGMENTS];
    mmb__unfinished message;
    mmb__outcome outcome;
    found m;

    *report = (mmb_report){0};
    int error = look_at(fd, offset, &m);
    if (error != 0) {
        return error;
    }
    if (!is_marked(&m)) {
        return check_finished(&m, interrupt, report);
    }
    report->unfinished = true;
    take_told_loss(&m);
    error = mmb__unfinished_parse(m.head, offset, m.file_bytes, capacity, &message, &report->flaw);
    if (error == 0) {
        const mmb__way way = {interrupt, .mends = true, .lost_from = message.lost_from};
        error = check_unfinished(&m, &message, &way, used, &outcome, report);
    }
    if (error == 0) {
        error = set_end(&m, capacity, offset + report->file_bytes);
    }
    if (error == 0) {
        error = finish_unfinished(&m, capacity, &message, used, durable, &outcome, report);
    }
    if (error == 0) {
        mmb_loss_forget(fd);
    }
    return error;
}

/* ---- the message of a map ---------------------------------------------------------------- */

/* Take over the segments that other processes of the map got. The last of them may be smaller
 * than its note says, if the region had no more room. */
static void take_over(mmb_building *b, const mmb__unfinished *message, uint32_t *used_words)
{
    for (uint32_t i = b->count; i < message->framing.count; i++) {
        uint64_t room = (b->region.capacity - b->end) / MMB_WORD;
        uint32_t words = message->full[i] < room ? message->full[i] : (uint32_t)room;
        used_words[i] = 0;
        b->full[i] = words;
        b->end += (uint64_t)words * MMB_WORD;
        b->count = i + 1;
    }
}

/* Restore the head of a message from what this process knows, since others may write into the
 * file. */
static void restore_head(const mmb_building *b, unsigned char *head)
{
    memset(head, 0, MMB_HEAD_BYTES);
    mmb__store32(head, MMB_UNFINISHED);
    mmb__store32(head + 4, b->entries);
    mmb__store64(head + MMB_WORD, mmb__building_word(b->full, b->count));
    for (uint32_t i = MMB__CODED_SEGMENTS; i < b->count; i++) {
        mmb__store32(head + mmb__slot_place(1 + i), b->full[i]);
    }
}

int mmb_message_measure(mmb_building *b, uint32_t *used_words, bool *has_far_pointers,
                        mmb_flaw *flaw)
{
    const mmb__way way = {.lost_from = MMB__NO_ZEROS};
    uint32_t reached[MMB_MAX_SEGMENTS] = {0};
    mmb_report report = {0};
    mmb__unfinished message;
    found m;

    const mmb_region *region = &b->region;
    int error = look_at(mmb_map_fd(region->map), region->offset, &m);
    if (error != 0) {
        return error;
    }
    error = mmb__unfinished_parse(m.head, m.offset, m.file_bytes, region->capacity, &message, flaw);
    if (error != 0 || !is_marked(&m)) {
        restore_head(b, m.head);
        error =
            mmb__unfinished_parse(m.head, m.offset, m.file_bytes, region->capacity, &message, flaw);
    }
    if (error != 0 || message.untouched) {
        return error;
    }
    take_over(b, &message, used_words);
    error = walk_file(&m, &message.framing, message.zeros_from, &way, reached, &report);
    *flaw = report.flaw;
    *has_far_pointers = report.totals.far > 0;
    for (uint32_t i = 0; error == 0 && i < b->count; i++) {
        used_words[i] = used_words[i] > reached[i] ? used_words[i] : reached[i];
    }
    return error;
}
