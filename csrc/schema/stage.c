/* stage.c - makes objects in the wire format, in memory that grows. See stage.h. */
#include "stage.h"

#include "utf8.h"

#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FIRST_WORDS = 64,
    MOST_KEPT = 1 << 18,  /* words of a part that are kept for the next stage: 2 MiB */
    MANY_WORDS = 1 << 19, /* from so many on, huge pages are worth asking for: 4 MiB */
};

/* ---- memory --------------------------------------------------------------------------- */

/* The memory of a rows part and of a heap part that was freed, for the next stage; NULL if there is
 * none. Its first word says how many words fit. The C library would give such memory back to the
 * system, and each page of it would be a fault again: that can take as long as writing the rows. */
static _Atomic(unsigned char *) kept_memory[2];

static void keep_or_free(const mmb_stage_part *part, _Atomic(unsigned char *) *kept)
{
    unsigned char *old = part->bytes;
    if (old != NULL && part->room <= MOST_KEPT && !MMB__OS_LOOKS_FOR_FREED_MEMORY) {
        memcpy(old, &part->room, sizeof part->room);
        old = atomic_exchange(kept, old);
    }
    free(old);
}

static void take_kept(mmb_stage_part *part, _Atomic(unsigned char *) *kept)
{
    part->bytes = atomic_exchange(kept, NULL);
    if (part->bytes != NULL) {
        memcpy(&part->room, part->bytes, sizeof part->room);
    }
}

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
    keep_or_free(&stage->rows, &kept_memory[0]);
    keep_or_free(&stage->heap, &kept_memory[1]);
    free(stage->mask);
    if (stage->file != NULL) {
        close(stage->file->fd);
        free(stage->file->pieces);
        free(stage->file);
    }
    *stage = (mmb_stage){0};
}

/* Ask for huge pages where the part has whole ones. */
static void welcome_huge_pages(const mmb_stage_part *part)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    uintptr_t start = ((uintptr_t)part->bytes + huge - 1) / huge * huge;
    uintptr_t end = ((uintptr_t)part->bytes + part->room * MMB_WORD) / huge * huge;
    mmb__os_use_huge_pages(part->bytes + (start - (uintptr_t)part->bytes), end - start);
}

/* Let the room be at least `words` words in all. */
static int grow(mmb_stage *stage, mmb_stage_part *part, uint64_t words)
{
    if (part->bytes == NULL) {
        take_kept(part, &kept_memory[part == &stage->rows ? 0 : 1]);
    }
    if (words <= part->room) {
        return 0;
    }
    uint64_t room = part->room + part->room / 2;
    room = room > words ? room : words;
    room = room > FIRST_WORDS ? room : FIRST_WORDS;
    unsigned char *bytes = realloc(part->bytes, (size_t)(room * MMB_WORD));
    if (bytes == NULL) {
        return ENOMEM;
    }
    part->bytes = bytes;
    part->room = room;
    if (room >= MANY_WORDS) {
        welcome_huge_pages(part);
    }
    return 0;
}

/* Make room for `words` more words of a part. */
static int have_room(mmb_stage *stage, mmb_stage_part *part, uint64_t words)
{
    if (words > stage->most - stage->rows.words - stage->heap.words) {
        return MMB_ECAPACITY;
    }
    return words > part->room - part->words ? grow(stage, part, part->words + words) : 0;
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
    int error = words > stage->rows.room ? grow(stage, &stage->rows, words) : 0;
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
