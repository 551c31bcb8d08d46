/* building.c - begins a message, and adds segments to it. See building.h. */
#include "building.h"

#include "layout.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

uint64_t mmb_table_set_aside(uint32_t entries)
{
    return mmb__set_aside(entries);
}

/* ---- the mark ------------------------------------------------------------------- */

/* Return 0 if the region begins with zeros, or lies beyond the end of the file. */
static int check_zeros(const mmb_region *region)
{
    static const unsigned char zeros[MMB__HEAD];
    unsigned char present[MMB__HEAD];
    size_t got;
    int error =
        mmb__os_read_all(mmb_map_fd(region->map), present, sizeof present, region->offset, &got);
    if (error != 0) {
        return error;
    }
    return memcmp(present, zeros, got) == 0 ? 0 : EINVAL;
}

static int file_is_empty(const mmb_map *map, bool *empty)
{
    struct stat now;
    if (fstat(mmb_map_fd(map), &now) != 0) {
        return errno;
    }
    *empty = now.st_size == 0;
    return 0;
}

/* Write the mark. If the file is empty, it gets the mark before it grows, so that it never has
 * zeros where the mark belongs. */
static int put_mark(const mmb_region *region, const unsigned char *mark)
{
    bool empty = false;
    int error = file_is_empty(region->map, &empty);
    if (error != 0) {
        return error;
    }
    if (region->offset != 0 || !empty) {
        return mmb_map_write(region->map, region->offset, mark, MMB__HEAD);
    }
    return mmb_map_put(region->map, 0, mark, MMB__HEAD);
}

int mmb_message_begin(mmb_building *out, const mmb_region *region, uint32_t entries, bool durable)
{
    unsigned char mark[MMB__HEAD];

    if (entries == 0 || entries > MMB_MAX_SEGMENTS || region->offset % MMB_WORD != 0 ||
        (entries > 1 && mmb__head_is_split(region->offset))) {
        return EINVAL;
    }
    uint64_t start = mmb__set_aside(entries);
    if (start + MMB_WORD > region->capacity) { /* the root pointer must fit, even if it is null */
        return MMB_ECAPACITY;
    }
    unsigned char *base = NULL;
    int error = mmb_map_memory(region->map, &base);
    if (error == 0) {
        error = check_zeros(region);
    }
    if (error != 0) {
        return error;
    }
    out->region = *region;
    out->end = start;
    out->entries = entries;
    out->count = 0;
    mmb__store32(mark, MMB_UNFINISHED);
    mmb__store32(mark + 4, entries);
    mmb__store64(mark + 8, mmb__building_word(out->full, 0));
    error = put_mark(region, mark);
    mmb_map_note_loss_at(region->map, region->offset, mmb__load64(mark));
    if (error == 0 && durable) {
        error = mmb_map_flush(region->map, true);
    }
    return error != 0 ? error : mmb_map_ensure(region->map, region->offset + start + MMB_WORD);
}

/* ---- segments --------------------------------------------------------------------- */

/* Return the full size of the next segment; 0 if the region has no room for it. */
static uint64_t next_size(const mmb_building *b, uint64_t min_words, uint64_t most_words)
{
    uint64_t room = (b->region.capacity - b->end) / MMB_WORD;
    if (min_words == 0 || min_words > MMB_MAX_SEGMENT_WORDS || min_words > room ||
        b->count == b->entries) {
        return 0;
    }
    uint64_t wanted = most_words < MMB_MAX_SEGMENT_WORDS ? most_words : MMB_MAX_SEGMENT_WORDS;
    uint64_t size = mmb__size_below((uint32_t)wanted);
    if (size < min_words) {
        size = mmb__size_above((uint32_t)min_words);
    }
    /* The last segment may have any size, since nothing follows it. */
    return size < room ? size : room;
}

/* Note the last segment in the file. This is one aligned store: a process that is killed leaves
 * either the old number or the new one. volatile keeps the store ahead of what the caller does
 * next. */
static void note_segment(const mmb_building *b)
{
    unsigned char *head = mmb_map_base(b->region.map) + b->region.offset;
    uint32_t index = b->count - 1;
    if (index < MMB__CODED_SEGMENTS) {
        unsigned char bytes[8];
        uint64_t word;
        mmb__store64(bytes, mmb__building_word(b->full, b->count));
        memcpy(&word, bytes, sizeof word);
        *(volatile uint64_t *)(void *)(head + MMB_WORD) = word;
    } else {
        unsigned char bytes[4];
        uint32_t slot;
        mmb__store32(bytes, b->full[index]);
        memcpy(&slot, bytes, sizeof slot);
        *(volatile uint32_t *)(void *)(head + mmb__slot_place(1 + index)) = slot;
    }
}

int mmb_message_hand_out(mmb_building *b, uint64_t min_words, uint64_t most_words)
{
    uint64_t size = next_size(b, min_words, most_words);
    if (size == 0) {
        return MMB_ECAPACITY;
    }
    b->full[b->count++] = (uint32_t)size;
    b->end += size * MMB_WORD;
    note_segment(b);
    return 0;
}

uint64_t mmb_message_start(const mmb_building *b, uint32_t index)
{
    uint64_t start = b->region.offset + mmb__set_aside(b->entries);
    for (uint32_t i = 0; i < index; i++) {
        start += (uint64_t)b->full[i] * MMB_WORD;
    }
    return start;
}
