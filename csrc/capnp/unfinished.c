/* unfinished.c - reads the form of a message that is being built, which layout.h describes. */
#include "unfinished.h"

#include "layout.h"
#include "mmb_file.h"
#include "words.h"

#include <string.h>

static int report_slot(mmb_flaw *flaw, uint32_t slot, const char *reason)
{
    *flaw = (mmb_flaw){
        .segment = MMB_IN_TABLE, .word = mmb__slot_place(slot) / MMB_WORD, .reason = reason};
    return MMB_EMESSAGE;
}

/* Return the full words of segment `index`, which begins at `start` of a region of `capacity`
 * bytes; 0 if no builder has got this segment. */
static uint32_t full_words(const unsigned char *head, bool head_counts, uint32_t index,
                           uint64_t start, uint64_t capacity)
{
    if (head_counts) {
        return mmb__noted_words(head, index);
    }
    uint64_t room = start < capacity ? (capacity - start) / MMB_WORD : 0;
    return room < MMB_MAX_SEGMENT_WORDS ? (uint32_t)room : MMB_MAX_SEGMENT_WORDS;
}

/* Compute where the segments lie. The first `there` bytes of the message exist. */
static void frame_segments(mmb__unfinished *out, uint32_t count, uint64_t there)
{
    uint64_t start = mmb__set_aside(out->entries);
    out->framing.unfinished = true;
    out->framing.count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t words = start < there ? (there - start) / MMB_WORD : 0;
        out->framing.start[i] = start;
        out->framing.words[i] = words < out->full[i] ? (uint32_t)words : out->full[i];
        start += (uint64_t)out->full[i] * MMB_WORD;
    }
    out->framing.file_bytes = start;
}

/* Return where the lost part of the message begins. It is never beyond the end of the file:
 * bytes there may have been only zeros, but the disk may have no room for them now. */
static uint64_t lost_from(const unsigned char *head, uint64_t offset, uint64_t file_bytes)
{
    uint64_t lost = mmb_loss_offset(mmb__load64(head));
    if (lost == UINT64_MAX) {
        return MMB__NO_ZEROS;
    }
    lost = lost < file_bytes ? lost : file_bytes;
    return lost > offset ? (lost - offset) / MMB_WORD * MMB_WORD : 0;
}

int mmb__unfinished_parse(const unsigned char *head, uint64_t offset, uint64_t file_bytes,
                          uint64_t capacity, mmb__unfinished *out, mmb_flaw *flaw)
{
    memset(out, 0, sizeof *out);
    out->zeros_from = MMB__NO_ZEROS;
    out->lost_from = lost_from(head, offset, file_bytes);
    out->entries = mmb__load32(head + 4) & MMB__ENTRIES_MASK;
    uint64_t there = file_bytes > offset ? file_bytes - offset : 0;
    if (there < MMB__HEAD) {
        return report_slot(flaw, 0, "the file is too short for a table");
    }
    if (out->entries == 0 || out->entries > MMB_MAX_SEGMENTS) {
        return report_slot(flaw, 1, "the unfinished table has an impossible number of entries");
    }
    if (capacity < mmb__set_aside(out->entries) + MMB_WORD) {
        return report_slot(flaw, 1, "the unfinished table has more entries than there is room for");
    }
    /* If the head lies in two sectors, only one may have been written; then there is one
     * segment. */
    bool head_counts = (head[8] & 7) == MMB__BUILDING;
    if (!head_counts && (out->entries > 1 || !mmb__head_is_split(offset))) {
        return report_slot(flaw, 2,
                           "the mark is not followed by the table of an unfinished message");
    }
    uint64_t start = mmb__set_aside(out->entries);
    uint32_t count = 0;
    while (count < out->entries) {
        uint32_t words = full_words(head, head_counts, count, start, capacity);
        if (words == 0) {
            break;
        }
        if (words > MMB_MAX_SEGMENT_WORDS) {
            return report_slot(flaw, 1 + count, "a segment is larger than segments can be");
        }
        out->full[count++] = words;
        start += (uint64_t)words * MMB_WORD;
    }
    out->root_is_lost = out->lost_from < mmb__set_aside(out->entries) + MMB_WORD;
    out->untouched = count == 0 || out->root_is_lost;
    /* A builder leaves a file that ends at a granule, and the bytes beyond it are zeros. Other
     * files were cut, or copied in part, and we do not know the bytes that they lack. If the
     * builder lost something, all beyond the end is lost, so it does not matter how it would
     * read. */
    if ((file_bytes % MMB_GRANULE == 0 || out->lost_from != MMB__NO_ZEROS) && there < capacity) {
        out->zeros_from = there;
        there = capacity;
    }
    frame_segments(out, count, there < capacity ? there : capacity);
    return 0;
}
