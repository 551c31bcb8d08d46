/* framing.c - measures, writes and reads the segment table. See framing.h. */
#include "framing.h"

#include "wire.h"

uint64_t mmb_table_bytes(uint32_t entries)
{
    return (4 + (uint64_t)entries * 4 + 7) / 8 * 8;
}

uint32_t mmb_table_entries(uint64_t capacity)
{
    const uint64_t each = (uint64_t)4 << 30;
    uint64_t entries = capacity / each + (capacity % each != 0 ? 1 : 0);
    if (entries > MMB_MAX_SEGMENTS) {
        return 0;
    }
    return entries == 0 ? 1 : (uint32_t)entries;
}

static int flaw_in_table(mmb_flaw *flaw, uint64_t slot, const char *reason)
{
    *flaw = (mmb_flaw){.segment = MMB_IN_TABLE, .word = slot * 4 / MMB_WORD, .reason = reason};
    return MMB_EMESSAGE;
}

int mmb_framing_parse(const void *head, uint64_t file_bytes, mmb_framing *out, mmb_flaw *flaw)
{
    const unsigned char *slots = head;

    out->unfinished = false;
    out->count = 0;
    out->file_bytes = 0;
    *flaw = (mmb_flaw){0};
    if (file_bytes == 0) {
        return flaw_in_table(flaw, 0, "the file is empty");
    }
    if (file_bytes < MMB_WORD) {
        return flaw_in_table(flaw, 0, "the file is too short for a segment table");
    }
    uint32_t last = mmb__load32(slots);
    if (last == MMB_UNFINISHED) {
        out->unfinished = true;
        return flaw_in_table(flaw, 0, "the message is unfinished: its builder did not close it");
    }
    if (last >= MMB_MAX_SEGMENTS) {
        return flaw_in_table(flaw, 0, "the table has more segments than readers accept");
    }
    uint64_t end = mmb_table_bytes(last + 1);
    if (end > file_bytes) {
        return flaw_in_table(flaw, 0, "the file is too short for its segment table");
    }
    if (mmb__load32(slots + 4) == 0) {
        return flaw_in_table(flaw, 1,
                             last == 0
                                 ? "the file begins with zeros: it is no message, or one that "
                                   "was never written or was lost in a crash"
                                 : "the first segment is empty: there is no root pointer");
    }
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t words = mmb__load32(slots + 4 + 4 * (size_t)i);
        if (words > MMB_MAX_SEGMENT_WORDS) {
            return flaw_in_table(flaw, 1 + i, "a segment is larger than segments can be");
        }
        out->start[i] = end;
        out->words[i] = words;
        end += (uint64_t)words * MMB_WORD;
        if (end > file_bytes) {
            return flaw_in_table(flaw, 1 + i, "the file ends before a segment of its table does");
        }
    }
    out->count = last + 1;
    out->file_bytes = end;
    return 0;
}
