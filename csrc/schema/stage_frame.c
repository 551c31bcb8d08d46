/* stage_frame.c - makes messages of the rows of a stage. See stage_frame.h. */
#include "stage_frame.h"

#include "layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_WORDS = 64, /* malloc gives so few without a system call */
    HEAD_WORDS = 2,   /* words of the table and the root pointer */
};

void mmb_frames_free(mmb_frames *frames)
{
    free(frames->bytes);
    *frames = (mmb_frames){0};
}

static unsigned char *at(const mmb_frames *frames, uint64_t word)
{
    return frames->bytes + word * MMB_WORD;
}

static int grow(mmb_frames *frames, uint64_t words)
{
    uint64_t room = frames->room + frames->room / 2;
    room = room > frames->words + words ? room : frames->words + words;
    room = room > FIRST_WORDS ? room : FIRST_WORDS;
    unsigned char *bytes = realloc(frames->bytes, (size_t)(room * MMB_WORD));
    if (bytes == NULL) {
        return ENOMEM;
    }
    frames->bytes = bytes;
    frames->room = room;
    return 0;
}

/* Take `words` more words. Their content is not defined. */
static inline int take(mmb_frames *frames, uint64_t words)
{
    int error = words > frames->room - frames->words ? grow(frames, words) : 0;
    frames->words += error == 0 ? words : 0;
    return error;
}

/* Most objects have so few words that a call of memcpy takes longer than to copy them. */
static inline void copy_words(unsigned char *to, const unsigned char *from, uint64_t words)
{
    enum { FEW = 8 };
    if (words > FEW) {
        memcpy(to, from, (size_t)(words * MMB_WORD));
        return;
    }
    for (uint64_t i = 0; i < words; i++) {
        memcpy(to + i * MMB_WORD, from + i * MMB_WORD, MMB_WORD);
    }
}

static inline int take_words(mmb_frames *frames, const unsigned char *from, uint64_t words)
{
    uint64_t start = frames->words;
    int error = take(frames, words);
    if (error == 0) {
        copy_words(at(frames, start), from, words);
    }
    return error;
}

/* Begin a message with a root of these sizes, and end it. */
static int begin(mmb_frames *frames, const mmb_stage *stage)
{
    int error = take(frames, HEAD_WORDS);
    if (error == 0) {
        uint64_t sizes = (uint64_t)stage->data_words << 32 | (uint64_t)stage->pointer_words << 48;
        mmb__store64(at(frames, frames->words - 1), sizes == 0 ? 0xFFFFFFFCu : sizes);
    }
    return error;
}

static int end(mmb_frames *frames, uint64_t start, int error)
{
    uint64_t words = frames->words - start - 1;
    if (error == 0 && words > MMB_MAX_SEGMENT_WORDS) {
        error = MMB_ECAPACITY;
    }
    if (error != 0) {
        frames->words = start;
        return error;
    }
    mmb__store64(at(frames, start), words << 32);
    return 0;
}

/* ---- all of a stage ---------------------------------------------------------------------- */

int mmb_frames_add(mmb_frames *frames, mmb_stage *stage)
{
    uint64_t start = frames->words;
    int error = begin(frames, stage);
    if (error == 0) {
        mmb_stage_shift(stage, stage->rows.words);
        error = take_words(frames, stage->rows.bytes, stage->rows.words);
    }
    if (error == 0) {
        error = take_words(frames, stage->heap.bytes, stage->heap.words);
    }
    return end(frames, start, error);
}

int mmb_frames_add_table(mmb_frames *frames, const uint32_t *words, uint32_t count)
{
    uint64_t start = frames->words;
    int error = take(frames, mmb_table_bytes(count) / MMB_WORD);
    if (error == 0) {
        mmb__table_encode(at(frames, start), count, words, count);
    }
    return error;
}

int mmb_frames_add_bytes(mmb_frames *frames, const void *bytes, uint64_t length)
{
    return take_words(frames, bytes, length / MMB_WORD);
}

/* ---- one row ------------------------------------------------------------------------------ */

typedef struct {
    mmb_frames *frames;
    const mmb_stage *stage;
} copier;

static int copy_object(const copier *c, uint64_t pointer, uint64_t place, uint64_t word);

/* Copy the objects that the pointers of a struct or a list lead to. The pointers were copied
 * already: from `place`, which is in the rows or in the heap, to `word` of the frames. */
static int copy_objects(const copier *c, uint64_t place, uint64_t word, uint64_t count)
{
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < count; i++) {
        uint64_t pointer = mmb__load64(at(c->frames, word + i));
        if (pointer != 0) {
            error = copy_object(c, pointer, place + i, word + i);
        }
    }
    return error;
}

static const unsigned char *heap(const copier *c, uint64_t word)
{
    return c->stage->heap.bytes + word * MMB_WORD;
}

/* Copy the words of an object, from word `from` of the heap, and what its structs lead to. */
static int copy_structs(const copier *c, uint64_t from, uint64_t count, uint64_t data_words,
                        uint64_t pointer_words)
{
    uint64_t to = c->frames->words, step = data_words + pointer_words;
    int error = take_words(c->frames, heap(c, from), count * step);
    for (uint64_t i = 0; error == 0 && pointer_words != 0 && i < count; i++) {
        uint64_t skipped = i * step + data_words;
        error = copy_objects(c, from + skipped, to + skipped, pointer_words);
    }
    return error;
}

static int copy_list(const copier *c, uint64_t pointer, uint64_t from)
{
    unsigned size = mmb__element_size(pointer);
    uint64_t count = mmb__list_count(pointer);
    if (size == MMB__COMPOSITE) {
        uint64_t tag = mmb__load64(heap(c, from));
        int error = take_words(c->frames, heap(c, from), 1);
        return error != 0 ? error
                          : copy_structs(c, from + 1, (uint32_t)tag >> 2, mmb__data_words(tag),
                                         mmb__pointer_words(tag));
    }
    if (size == MMB__POINTERS) {
        return copy_structs(c, from, count, 0, 1);
    }
    return take_words(c->frames, heap(c, from), (count * mmb__element_bits(size) + 63) / 64);
}

/* Copy what the pointer at `place` of the stage leads to, and set its copy at `word` of the
 * frames. */
static int copy_object(const copier *c, uint64_t pointer, uint64_t place, uint64_t word)
{
    uint64_t from = place + 1 + (uint64_t)mmb__offset(pointer);
    uint64_t to = c->frames->words;
    bool is_struct = mmb__kind(pointer) == MMB__STRUCT;
    if (is_struct && pointer >> 32 == 0) {
        return 0; /* a struct without words: the pointer leads to no object */
    }
    uint32_t low = (uint32_t)((to - word - 1) << 2) | mmb__kind(pointer);
    mmb__store64(at(c->frames, word), low | (pointer >> 32 << 32));
    return is_struct
               ? copy_structs(c, from, 1, mmb__data_words(pointer), mmb__pointer_words(pointer))
               : copy_list(c, pointer, from);
}

int mmb_frames_add_row(mmb_frames *frames, const mmb_stage *stage, uint64_t row)
{
    copier c = {frames, stage};
    uint64_t start = frames->words;
    uint64_t words = (uint64_t)stage->data_words + stage->pointer_words;
    int error = begin(frames, stage);
    if (error == 0) {
        error = take_words(frames, stage->rows.bytes + row * words * MMB_WORD, words);
    }
    if (error == 0) {
        error = copy_objects(&c, row * words + stage->data_words - stage->shift,
                             frames->words - stage->pointer_words, stage->pointer_words);
    }
    return end(frames, start, error);
}
