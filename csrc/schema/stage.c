/* stage.c - makes objects in the wire format, in memory that grows. See stage.h. */
#include "stage.h"

#include "utf8.h"

#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WORDS = 64,
    MOST_KEPT = 1 << 18,  /* words of a part that are kept for the next stage: 2 MiB */
    MANY_WORDS = 1 << 19, /* from so many on, huge pages are worth asking for: 4 MiB */
};

/* ---- memory --------------------------------------------------------------------------- */

/* The memory of a rows part and of a heap part that was freed, for the next stage; NULL if there is
 * none. Its first word says how many words fit. The C library would give such memory back to the
 * system, and each page of it would be a fault again: that can take as long as laying the rows. */
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

void mmb_stage_start(mmb_stage *stage, uint32_t data_words, uint32_t pointer_words)
{
    *stage = (mmb_stage){.data_words = data_words, .pointer_words = pointer_words};
}

void mmb_stage_free(mmb_stage *stage)
{
    keep_or_free(&stage->rows, &kept_memory[0]);
    keep_or_free(&stage->heap, &kept_memory[1]);
    free(stage->mask);
    *stage = (mmb_stage){0};
}

/* Ask for huge pages where the part has whole ones. */
static void welcome_huge_pages(const mmb_stage_part *part)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    uintptr_t start = ((uintptr_t)part->bytes + huge - 1) / huge * huge;
    uintptr_t end = ((uintptr_t)part->bytes + part->room * MMB_WORD) / huge * huge;
    mmb__os_use_huge_pages(part->bytes + (start - (uintptr_t)part->bytes), end - start, true);
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
    uint64_t all = stage->rows.words + stage->heap.words;
    if (words > MMB_MAX_SEGMENT_WORDS - 4 - all) { /* 4: a tag, landing pads */
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
    int error = count * row > stage->rows.room ? grow(stage, &stage->rows, count * row) : 0;
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
    if (count > MMB_MAX_SEGMENT_WORDS - stage->count) {
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
    uint64_t start = stage->heap.words;
    uint64_t elements = length + (text ? 1 : 0);
    uint64_t words = (elements + MMB_WORD - 1) / MMB_WORD;
    if (length >= MMB_MAX_SEGMENT_WORDS) {
        return MMB_ECAPACITY;
    }
    int error = have_room(stage, &stage->heap, words);
    if (error != 0) {
        return error;
    }
    unsigned char *to = stage->heap.bytes + start * MMB_WORD;
    if (words != 0) { /* the bytes overwrite all of it but the end of the last word */
        mmb__store64(to + (words - 1) * MMB_WORD, 0);
        mmb__copy_bytes(to, bytes, length);
        stage->heap.words += words;
    }
    mmb_stage_lead(stage, pointer, start, MMB__LIST, MMB__BYTES | elements << 3);
    return 0;
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

static uint64_t tag_of(uint64_t count, uint64_t data_words, uint64_t pointer_words)
{
    return count << 2 | data_words << 32 | pointer_words << 48;
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
    mmb__store64(stage->heap.bytes + start * MMB_WORD, tag_of(count, data_words, pointer_words));
    *place = (start + 1) | MMB_IN_HEAP;
    mmb_stage_lead(stage, pointer, start, MMB__LIST, MMB__COMPOSITE | (count * row) << 3);
    return 0;
}

/* ---- into a message ------------------------------------------------------------------ */

/* Return whether a pointer of the rows leads into the heap. */
static bool is_relative(uint64_t pointer)
{
    return pointer != 0 && pointer != 0xFFFFFFFCu;
}

static const unsigned char *row_pointer(const mmb_stage *stage, uint64_t row, uint32_t index)
{
    uint64_t words = (uint64_t)stage->data_words + stage->pointer_words;
    return stage->rows.bytes + (row * words + stage->data_words + index) * MMB_WORD;
}

uint64_t mmb_stage_row_pointers(const mmb_stage *stage)
{
    uint64_t found = 0;
    for (uint64_t row = 0; row < stage->count; row++) {
        for (uint32_t i = 0; i < stage->pointer_words; i++) {
            found += is_relative(mmb__load64(row_pointer(stage, row, i))) ? 1 : 0;
        }
    }
    return found;
}

static unsigned char *address(const mmb_segment *segments, uint32_t segment, uint64_t word)
{
    /* Segments are declared constant, for callers that only read them. */
    return (unsigned char *)(uintptr_t)segments[segment].base + word * MMB_WORD;
}

static int refuse(mmb_flaw *flaw, uint32_t segment, uint64_t word, const char *reason)
{
    *flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

static bool is_inside(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                      uint64_t words)
{
    uint64_t limit = segment < count ? segments[segment].words : 0;
    return word <= limit && words <= limit - word;
}

/* Return `pointer` changed to lead `by` words further. */
static uint64_t moved(uint64_t pointer, uint64_t by)
{
    return (pointer & ~0xFFFFFFFFull) | (uint32_t)((uint32_t)pointer + ((uint32_t)by << 2));
}

static uint64_t far_pointer(uint32_t segment, uint64_t word)
{
    return word << 3 | MMB__FAR | (uint64_t)segment << 32;
}

static int copy(const mmb_stage *stage, unsigned char *to, const mmb_stage_part *part)
{
    size_t bytes = (size_t)(part->words * MMB_WORD);
    if (bytes == 0) {
        return 0;
    }
    if (stage->copy != NULL) {
        return stage->copy(stage->context, to, part->bytes, bytes);
    }
    memcpy(to, part->bytes, bytes);
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
    for (uint64_t i = 0; i < stage->count; i++, row += step * MMB_WORD) {
        for (uint32_t k = 0; k < stage->pointer_words; k++) {
            unsigned char *at = row + (stage->data_words + k) * MMB_WORD;
            uint64_t pointer = mmb__load64(at);
            if (is_relative(pointer)) {
                mmb__store64(at, moved(pointer, by));
            }
        }
    }
}

int mmb_stage_put_list(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       uint32_t segment, uint64_t word, const mmb_block *room, mmb_flaw *flaw)
{
    uint64_t rows = stage->rows.words;
    if (!is_inside(segments, count, room->segment, room->word, room->words) ||
        room->words < mmb_stage_list_words(stage) ||
        !is_inside(segments, count, segment, word, 1)) {
        return refuse(flaw, segment, word, "the room for the list is out of bounds");
    }
    if (mmb__load64(address(segments, segment, word)) != 0) {
        return refuse(flaw, segment, word, "the list was set meanwhile");
    }
    unsigned char *start = address(segments, room->segment, room->word);
    mmb_stage_shift(stage, rows);
    int error = copy(stage, start + MMB_WORD, &stage->rows);
    if (error == 0) {
        error = copy(stage, start + (1 + rows) * MMB_WORD, &stage->heap);
    }
    if (error != 0) {
        return error;
    }
    mmb__store64(start, tag_of(stage->count, stage->data_words, stage->pointer_words));
    uint64_t list = MMB__LIST | (MMB__COMPOSITE | rows << 3) << 32;
    uint64_t value;
    if (segment == room->segment) {
        value = moved(list, room->word - word - 1);
    } else {
        uint64_t pad = room->word + 1 + rows + stage->heap.words;
        mmb__store64(address(segments, room->segment, pad), moved(list, room->word - pad - 1));
        value = far_pointer(room->segment, pad);
    }
    mmb__store64(address(segments, segment, word), value);
    return 0;
}

/* Put the heap at the start of the room, and landing pads behind it. `*pad` is the first pad. */
static int put_heap(mmb_stage *stage, const mmb_segment *segments, uint32_t count, uint32_t segment,
                    uint64_t word, const mmb_block *room, uint64_t *pad, mmb_flaw *flaw)
{
    uint64_t pads = segment == room->segment ? 0 : mmb_stage_row_pointers(stage);
    uint64_t words = stage->heap.words + pads;
    if (words != 0 && (!is_inside(segments, count, room->segment, room->word, room->words) ||
                       room->words < words)) {
        return refuse(flaw, segment, word, "the room for the rows is out of bounds");
    }
    mmb_stage_shift(stage, 0);
    *pad = room->word + stage->heap.words;
    return words == 0 ? 0 : copy(stage, address(segments, room->segment, room->word), &stage->heap);
}

/* Return a pointer of the rows, written at their word `from`, changed for word `word` of
 * `segment`. If the room is in another segment, the pointer gets a landing pad there. */
static uint64_t relocated(uint64_t pointer, uint64_t from, const mmb_segment *segments,
                          uint32_t segment, uint64_t word, const mmb_block *room, uint64_t *pad)
{
    if (!is_relative(pointer)) {
        return pointer;
    }
    if (segment == room->segment) {
        return moved(pointer, room->word + from - word);
    }
    mmb__store64(address(segments, room->segment, *pad), moved(pointer, room->word + from - *pad));
    return far_pointer(room->segment, (*pad)++);
}

/* Store the data section of a row, or only what was written of it. */
static void put_data(const mmb_stage *stage, uint64_t row, unsigned char *to)
{
    uint64_t words = (uint64_t)stage->data_words + stage->pointer_words;
    const unsigned char *from = stage->rows.bytes + row * words * MMB_WORD;
    if (stage->mask == NULL && stage->data_words != 0) {
        memcpy(to, from, (size_t)stage->data_words * MMB_WORD);
    }
    for (uint32_t i = 0; stage->mask != NULL && i < stage->data_words; i++) {
        uint64_t mask = stage->mask[i];
        if (mask != 0) {
            uint64_t old = mmb__load64(to + i * MMB_WORD);
            uint64_t new = mmb__load64(from + i * MMB_WORD);
            mmb__store64(to + i * MMB_WORD, (old & ~mask) | (new &mask));
        }
    }
}

int mmb_stage_put_rows(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       const mmb_object *target, const mmb_block *room, mmb_flaw *flaw)
{
    uint64_t words = (uint64_t)target->data_words + target->pointer_words;
    uint64_t elements = target->kind == MMB_TO_LIST ? target->elements : 1;
    uint32_t segment = target->segment;
    uint64_t pad;
    if (elements != stage->count) {
        return refuse(flaw, segment, target->word, "the list has another length than the rows");
    }
    if (target->data_words < stage->data_words || target->pointer_words < stage->pointer_words) {
        return refuse(flaw, segment, target->word,
                      "the structs were made by an older schema, and are too small");
    }
    if (!is_inside(segments, count, segment, target->word, words * elements)) {
        return refuse(flaw, segment, target->word, "the structs are out of bounds");
    }
    int error = put_heap(stage, segments, count, segment, target->word, room, &pad, flaw);
    if (error != 0) {
        return error;
    }
    uint64_t row_words = (uint64_t)stage->data_words + stage->pointer_words;
    for (uint64_t row = 0; row < stage->count; row++) {
        uint64_t word = target->word + row * words;
        put_data(stage, row, address(segments, segment, word));
        word += target->data_words;
        for (uint32_t i = 0; i < stage->pointer_words; i++) {
            if (stage->mask != NULL && stage->mask[stage->data_words + i] == 0) {
                continue;
            }
            uint64_t pointer = mmb__load64(row_pointer(stage, row, i));
            uint64_t from = row * row_words + stage->data_words + i;
            mmb__store64(address(segments, segment, word + i),
                         relocated(pointer, from, segments, segment, word + i, room, &pad));
        }
    }
    return 0;
}

int mmb_stage_put_pointer(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                          uint32_t segment, uint64_t word, const mmb_block *room, mmb_flaw *flaw)
{
    mmb_object target = {
        .kind = MMB_TO_STRUCT, .segment = segment, .word = (uint32_t)word, .pointer_words = 1};
    if (!is_inside(segments, count, segment, word, 1) ||
        mmb__load64(address(segments, segment, word)) != 0) {
        return refuse(flaw, segment, word, "the pointer was set meanwhile");
    }
    return mmb_stage_put_rows(stage, segments, count, &target, room, flaw);
}
