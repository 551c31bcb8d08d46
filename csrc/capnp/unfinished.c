/* unfinished.c - reads the states that layout.h describes. Trusts nothing. */
#include "unfinished.h"

#include "layout.h"
#include "source.h"

#include "os/os.h"

#include <string.h>

static int flaw_in_slot(mmb_flaw *flaw, uint32_t slot, const char *reason)
{
    *flaw = (mmb_flaw){
        .segment = MMB_IN_TABLE, .word = mmb__slot_place(slot) / MMB_WORD, .reason = reason};
    return MMB_EMESSAGE;
}

/* Lay the segments out in a file of `file_bytes` bytes. */
static void frame_segments(mmb_framing *framing, uint32_t entries, const uint32_t *words,
                           uint32_t count, uint64_t file_bytes)
{
    uint64_t start = mmb_table_bytes(entries);
    framing->count = count;
    framing->unfinished = true;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t there = start < file_bytes ? (file_bytes - start) / MMB_WORD : 0;
        framing->start[i] = start;
        framing->words[i] = words[i] < there ? words[i] : (uint32_t)there;
        start += (uint64_t)words[i] * MMB_WORD;
    }
    framing->file_bytes = start;
}

/* ---- building -------------------------------------------------------------------- */

/* Full size of segment `index`, 0 if it was not handed out. */
static uint32_t full_words(const unsigned char *head, uint32_t entries, uint32_t index,
                           uint64_t start, uint64_t file_bytes)
{
    if (mmb__has_slot(entries, index) && entries > 1) {
        uint32_t value = mmb__load32(head + mmb__slot_place(2 + index));
        return index == 0 ? value >> 3 : value;
    }
    if (entries == 1 && mmb__load64(head + MMB_WORD) == MMB__BUILDING) {
        return 0;
    }
    /* The last segment that there can be: the rest of the file is its own. */
    uint64_t rest = start < file_bytes ? (file_bytes - start) / MMB_WORD : 0;
    return rest < MMB_MAX_SEGMENT_WORDS ? (uint32_t)rest : MMB_MAX_SEGMENT_WORDS;
}

static int parse_building(const unsigned char *head, uint64_t file_bytes, mmb__unfinished *out,
                          mmb_flaw *flaw)
{
    mmb__plan *plan = &out->plan;
    uint64_t start = mmb_table_bytes(plan->entries);

    /* Builders leave files that end at a granule; others were cut, or copied in part,
     * and what they lack is lost rather than zero. */
    if (file_bytes % MMB_GRANULE == 0) {
        out->zeros_from = file_bytes;
        file_bytes = UINT64_MAX;
    }
    out->state = MMB__IS_BUILDING;
    for (plan->count = 0; plan->count < plan->entries; plan->count++) {
        uint32_t words = full_words(head, plan->entries, plan->count, start, file_bytes);
        if (words == 0) {
            break;
        }
        if (words > MMB_MAX_SEGMENT_WORDS) {
            return flaw_in_slot(flaw, 2 + plan->count, "a segment is larger than segments can be");
        }
        plan->before[plan->count] = words;
        start += (uint64_t)words * MMB_WORD;
    }
    out->untouched = plan->count == 0;
    frame_segments(&out->framing, plan->entries, plan->before, plan->count, file_bytes);
    return 0;
}

/* ---- planned --------------------------------------------------------------------- */

/* True if a journal that fits the file lies at its end. */
static bool find_journal(int fd, uint64_t file_bytes, mmb__unfinished *out, int *error)
{
    unsigned char journal[MMB__JOURNAL_ROOM];
    uint32_t entries = out->plan.entries;
    uint64_t bytes = mmb__journal_bytes(entries);
    size_t got;

    if (file_bytes < mmb_table_bytes(entries) + bytes) {
        return false;
    }
    *error = mmb__os_read_all(fd, journal, (size_t)bytes, file_bytes - bytes, &got);
    if (*error != 0 || got != bytes || !mmb__journal_decode(journal, entries, &out->plan) ||
        !mmb__plan_reached(&out->plan, file_bytes - bytes)) {
        out->plan.entries = entries;
        return false;
    }
    out->state = MMB__IS_PLANNED;
    frame_segments(&out->framing, entries, out->plan.after, out->plan.count, file_bytes - bytes);
    return true;
}

/* ---- staged ---------------------------------------------------------------------- */

static int parse_staged(const unsigned char *head, uint64_t file_bytes, mmb__unfinished *out,
                        mmb_flaw *flaw)
{
    mmb__plan *plan = &out->plan;
    uint64_t rest = file_bytes;

    out->state = MMB__IS_STAGED;
    plan->count = plan->entries;
    for (uint32_t i = 0; i < plan->entries; i++) {
        uint32_t words = i == 2 ? 0 : mmb__load32(head + mmb__slot_place(i < 2 ? 2 + i : 1 + i));
        words = i == 0 ? words >> 3 : i == 1 ? words & ~MMB__STAGED : words;
        if (words > MMB_MAX_SEGMENT_WORDS) {
            return flaw_in_slot(flaw, i < 2 ? 2 + i : 1 + i,
                                "a segment is larger than segments can be");
        }
        plan->after[i] = words;
    }
    /* Segment 2 has what the others leave. */
    if (plan->entries > 2) {
        plan->after[2] = 0;
    }
    uint64_t end = mmb__plan_end(plan, plan->after);
    rest = rest >= end ? rest - end : UINT64_MAX;
    if (rest % MMB_WORD != 0 || rest / MMB_WORD > (plan->entries > 2 ? MMB_MAX_SEGMENT_WORDS : 0)) {
        return flaw_in_slot(flaw, 2,
                            "the sizes of the segments do not add up to the size of the file");
    }
    if (plan->entries > 2) {
        plan->after[2] = (uint32_t)(rest / MMB_WORD);
    }
    frame_segments(&out->framing, plan->entries, plan->after, plan->count, file_bytes);
    return 0;
}

int mmb__unfinished_parse(int fd, const unsigned char *head, uint64_t file_bytes,
                          mmb__unfinished *out, mmb_flaw *flaw)
{
    uint32_t entries = mmb__load32(head + 4);
    unsigned tag = head[8] & 7;
    int error = 0;

    memset(out, 0, sizeof *out);
    out->zeros_from = MMB__NO_ZEROS;
    out->plan.entries = entries;
    if (file_bytes < MMB__PUBLISH_BYTES) {
        return flaw_in_slot(flaw, 0, "the file is too short for a table");
    }
    if (entries == 0 || entries > MMB_MAX_SEGMENTS) {
        return flaw_in_slot(flaw, 1, "the unfinished table has an impossible number of entries");
    }
    if (entries > 1 && tag == MMB__PLANNED) {
        if (find_journal(fd, file_bytes, out, &error)) {
            return 0;
        }
        if (error != 0) {
            return error;
        }
        if ((mmb__load32(head + mmb__slot_place(3)) & MMB__STAGED) != 0) {
            return parse_staged(head, file_bytes, out, flaw);
        }
    } else if (entries > 1 && tag != MMB__BUILDING) {
        return flaw_in_slot(flaw, 2, "the mark is not followed by the table of an unfinished file");
    }
    return parse_building(head, file_bytes, out, flaw);
}
