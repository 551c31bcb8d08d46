/* stage.c - makes objects in the wire format, in memory that grows. See stage.h. */
#include "stage.h"

#include "blocks.h"
#include "utf8.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- memory --------------------------------------------------------------------------- */

static _Atomic uint64_t most_words; /* 0: as many as a segment has */

uint64_t mmb_stage_most_words(void)
{
    uint64_t words = atomic_load(&most_words);
    return words == 0 ? MMB_MAX_SEGMENT_WORDS - 4 : words; /* 4: a tag, landing pads */
}

void mmb_stage_set_most_words(uint64_t words)
{
    atomic_store(&most_words, words);
}

void mmb_stage_start(mmb_stage *stage, uint32_t data_words, uint32_t pointer_words)
{
    *stage = (mmb_stage){.data_words = data_words, .pointer_words = pointer_words};
    mmb_stage_clear(stage);
}

void mmb_stage_free(mmb_stage *stage)
{
    mmb__block_give_back(stage->rows.bytes, stage->rows.room * MMB_WORD);
    mmb__block_give_back(stage->heap.bytes, stage->heap.room * MMB_WORD);
    free(stage->mask);
    if (stage->file != NULL) {
        close(stage->file->fd);
        free(stage->file->pieces);
        free(stage->file);
    }
    *stage = (mmb_stage){0};
}

/* Let the room be at least `words` words in all. */
static int grow(mmb_stage_part *part, uint64_t words)
{
    uint64_t room = part->room * MMB_WORD;
    if (words <= part->room) {
        return 0;
    }
    int error = mmb__block_grow(&part->bytes, &room, words * MMB_WORD);
    part->room = room / MMB_WORD;
    return error;
}

/* Make room for `words` more words of a part. */
static int have_room(mmb_stage *stage, mmb_stage_part *part, uint64_t words)
{
    if (words > stage->most - stage->rows.words - stage->heap.words) {
        return MMB_ECAPACITY;
    }
    return words > part->room - part->words ? grow(part, part->words + words) : 0;
}

/* Take `words` more words of a part, and zero them. */
static int take(mmb_stage *stage, mmb_stage_part *part, uint64_t words)
{
    int error = have_room(stage, part, words);
    if (error == 0 && words != 0) {
        memset(part->bytes + part->words * MMB_WORD, 0, (size_t)(words * MMB_WORD));
        part->words += words;
    }
    return error;
}

int mmb_stage_expect(mmb_stage *stage, uint64_t count)
{
    uint64_t row = stage->data_words + stage->pointer_words;
    if (row != 0 && count > MMB_MAX_SEGMENT_WORDS / row) {
        return MMB_ECAPACITY;
    }
    uint64_t words = count * row < stage->kept ? count * row : stage->kept;
    int error = words > stage->rows.room ? grow(&stage->rows, words) : 0;
    if (error == 0 && stage->count == 0) {
        stage->shift = count * row;
    }
    return error;
}

int mmb_stage_add_row(mmb_stage *stage, uint64_t *place)
{
    return mmb_stage_add_rows(stage, 1, place);
}

int mmb_stage_add_rows(mmb_stage *stage, uint64_t count, uint64_t *place)
{
    uint64_t row = (uint64_t)stage->data_words + stage->pointer_words;
    *place = stage->rows.words;
    stage->last_rows = stage->rows.words;
    stage->last_heap = stage->heap.words;
    if (stage->kept != UINT64_MAX) {
        stage->most = stage->rows.words + stage->heap.words + stage->most_section;
    }
    if (count > MMB_MAX_SEGMENT_WORDS - stage->count ||
        count * row > MMB_MAX_SEGMENT_WORDS - 2 - mmb_stage_row_words(stage)) {
        return MMB_ECAPACITY;
    }
    int error = row == 0 ? 0 : take(stage, &stage->rows, count * row);
    stage->count += error == 0 ? count : 0;
    return error;
}

int mmb_stage_reserve(mmb_stage *stage, uint64_t words)
{
    return have_room(stage, &stage->heap, words);
}

static int take_heap(mmb_stage *stage, uint64_t words, uint64_t *start)
{
    *start = stage->heap.words;
    return take(stage, &stage->heap, words);
}

bool mmb_is_text(const void *bytes, uint64_t length)
{
    return mmb__is_utf8(bytes, length);
}

int mmb_stage_bytes(mmb_stage *stage, uint64_t pointer, const void *bytes, uint64_t length,
                    bool text)
{
    if (length >= MMB_MAX_SEGMENT_WORDS) {
        return MMB_ECAPACITY;
    }
    int error = have_room(stage, &stage->heap, mmb_stage_byte_words(length, text));
    if (error == 0) {
        mmb_stage_put_bytes(stage, pointer, bytes, length, text);
    }
    return error;
}

int mmb_stage_struct(mmb_stage *stage, uint64_t pointer, uint32_t data_words,
                     uint32_t pointer_words, uint64_t *place)
{
    uint64_t start;
    int error = take_heap(stage, (uint64_t)data_words + pointer_words, &start);
    if (error != 0) {
        return error;
    }
    *place = start | MMB_IN_HEAP;
    if (data_words + pointer_words == 0) {
        /* With another offset the pointer might become null. */
        mmb__store64(mmb_stage_at(stage, pointer), 0xFFFFFFFCu);
    } else {
        mmb_stage_lead(stage, pointer, start, MMB__STRUCT,
                       data_words | (uint64_t)pointer_words << 16);
    }
    return 0;
}

int mmb_stage_list(mmb_stage *stage, uint64_t pointer, mmb_type_kind element, uint64_t count,
                   uint64_t *place)
{
    static const uint8_t sizes[65] = {[1] = 1, [8] = 2, [16] = 3, [32] = 4, [64] = 5};
    uint64_t start;
    bool pointers = mmb_kind_is_pointer(element);
    uint64_t bits = pointers ? 64 : mmb_kind_bits(element);
    uint64_t size = pointers ? MMB__POINTERS : sizes[bits];
    if (count > MMB_MAX_SEGMENT_WORDS) {
        return MMB_ECAPACITY;
    }
    int error = take_heap(stage, (count * bits + 63) / 64, &start);
    if (error != 0) {
        return error;
    }
    *place = start | MMB_IN_HEAP;
    mmb_stage_lead(stage, pointer, start, MMB__LIST, size | count << 3);
    return 0;
}

int mmb_stage_structs(mmb_stage *stage, uint64_t pointer, uint64_t count, uint32_t data_words,
                      uint32_t pointer_words, uint64_t *place)
{
    uint64_t start;
    uint64_t row = (uint64_t)data_words + pointer_words;
    if (count > MMB_MAX_SEGMENT_WORDS || (row != 0 && count > MMB_MAX_SEGMENT_WORDS / row)) {
        return MMB_ECAPACITY;
    }
    int error = take_heap(stage, 1 + count * row, &start);
    if (error != 0) {
        return error;
    }
    mmb__store64(stage->heap.bytes + start * MMB_WORD,
                 mmb_stage_tag(count, data_words, pointer_words));
    *place = (start + 1) | MMB_IN_HEAP;
    mmb_stage_lead(stage, pointer, start, MMB__LIST, MMB__COMPOSITE | (count * row) << 3);
    return 0;
}

void mmb_stage_shift(mmb_stage *stage, uint64_t shift)
{
    uint64_t step = (uint64_t)stage->data_words + stage->pointer_words;
    uint64_t by = shift - stage->shift;
    unsigned char *row = stage->rows.bytes;
    stage->shift = shift;
    if (stage->pointer_words == 0 || by == 0) {
        return;
    }
    for (uint64_t i = 0; i < stage->rows.words; i += step, row += step * MMB_WORD) {
        for (uint32_t k = 0; k < stage->pointer_words; k++) {
            unsigned char *at = row + (stage->data_words + k) * MMB_WORD;
            uint64_t pointer = mmb__load64(at);
            if (mmb_stage_is_relative(pointer)) {
                mmb__store64(at, mmb_stage_moved(pointer, by));
            }
        }
    }
}
