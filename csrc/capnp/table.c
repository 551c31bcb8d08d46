/* table.c - the segment table: its size, its forms, and the beginning of a file. */
#include "layout.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

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

void mmb__table_encode(unsigned char *table, uint32_t entries, const uint32_t *words,
                       uint32_t count)
{
    memset(table, 0, (size_t)mmb_table_bytes(entries));
    mmb__store32(table, entries - 1);
    for (uint32_t i = 0; i < count; i++) {
        mmb__store32(table + mmb__slot_place(1 + i), words[i]);
    }
}

/* ---- building --------------------------------------------------------------- */

int mmb_message_begin(mmb_map *map, uint32_t entries, bool durable)
{
    unsigned char mark[MMB__PUBLISH_BYTES] = {0};
    struct stat now;

    if (entries == 0 || entries > MMB_MAX_SEGMENTS) {
        return EINVAL;
    }
    uint64_t end = mmb_table_bytes(entries) + MMB_WORD; /* a null root at least */
    if (end > mmb_map_capacity(map)) {
        return MMB_ECAPACITY;
    }
    if (fstat(mmb_map_fd(map), &now) != 0) {
        return errno;
    }
    if (now.st_size != 0) {
        return EINVAL;
    }
    /* The same 16 bytes for every table: with one entry the tag falls on the root. */
    mmb__store32(mark, MMB__MARK);
    mmb__store32(mark + 4, entries);
    mmb__store32(mark + 8, MMB__BUILDING);
    int error = mmb_map_show(map);
    if (error != 0) {
        return error;
    }
    error = mmb__os_write_all(mmb_map_fd(map), mark, sizeof mark, 0, NULL);
    if (error == 0 && durable) {
        error = mmb_map_flush(map, true);
    }
    if (error != 0) {
        return error;
    }
    /* Beyond the mark in any case: stores behind an EOF in mid-page would not fault,
     * and be lost when it moves. (Unless nothing can be stored there.) */
    if (end <= sizeof mark && mmb_map_capacity(map) > sizeof mark) {
        end = sizeof mark + 1;
    }
    return mmb_map_ensure(map, end);
}

void mmb_message_note_segment(mmb_map *map, uint32_t entries, uint32_t index, uint32_t words)
{
    /* Stores of one aligned number each: whoever kills us, a slot is old or new.
     * volatile keeps them single, and ahead of what the caller does next. */
    volatile uint32_t *slot =
        (volatile uint32_t *)(void *)(mmb_map_base(map) + mmb__slot_place(2 + index));
    uint32_t value = index == 0 ? words << 3 | MMB__BUILDING : words;
    unsigned char bytes[4];

    if (entries == 1) {
        value = 0; /* the root pointer: null */
    } else if (!mmb__has_slot(entries, index)) {
        return;
    }
    mmb__store32(bytes, value);
    memcpy(&value, bytes, sizeof value);
    *slot = value;
}

/* ---- reading ------------------------------------------------------------------ */

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
    if (last == MMB__MARK) {
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
    for (uint32_t i = 0; i <= last; i++) {
        uint32_t words = mmb__load32(slots + mmb__slot_place(1 + i));
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
