/* stage.h - a stage: objects as they will lie in a message, before there is room for them.
 *
 * A *stage* holds *rows*, which are structs side by side (or one struct, or one pointer),
 * and a *heap*, which is all that they lead to. Both grow as they are written. What is in
 * them is the wire format already: pointers are relative, so that a stage can be put into
 * any segment by copying it. Then nothing can fail any more but for lack of room, and no
 * foreign code runs: either all rows are in the message, or none is.
 *
 * A *place* is a word of the rows, or, with MMB_IN_HEAP, one of the heap. Places stay valid
 * when the stage grows; addresses do not.
 *
 * A pointer in the rows is written as if the heap began at word 0 of the rows; it is set
 * right when the number of rows is known.
 *
 * A stage belongs to one thread. No function here may be called from a signal handler.
 */
#ifndef MMB_STAGE_H
#define MMB_STAGE_H

#include "plan.h"
#include "wire.h"

#define MMB_IN_HEAP (1ull << 63)

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t words;       /* in use: zeroed when they were taken */
    uint64_t room;        /* words */
} mmb_stage_part;

/* Puts bytes of a stage to where they belong in the memory of a message. Returns 0 or an errno. */
typedef int mmb_stage_copier(void *context, unsigned char *to, const unsigned char *from,
                             uint64_t bytes);

typedef struct {
    mmb_stage_part rows;
    mmb_stage_part heap;
    uint64_t shift;         /* words that pointers of the rows were moved on since */
    mmb_stage_copier *copy; /* set by whoever puts the stage into a message; NULL: a plain copy */
    void *context;          /* for `copy` */
    uint64_t count;         /* of rows */
    uint32_t data_words;    /* of a row */
    uint32_t pointer_words; /* likewise */
    uint64_t *mask;         /* owned: the bits of a row that were written, in the machine's order,
                             * so that no others of rows that are there are replaced. NULL: all */
} mmb_stage;

void mmb_stage_start(mmb_stage *stage, uint32_t data_words, uint32_t pointer_words);
void mmb_stage_free(mmb_stage *stage);

/* Forget all rows and what they lead to, and keep the memory for others. */
static inline void mmb_stage_clear(mmb_stage *stage)
{
    stage->rows.words = stage->heap.words = stage->count = stage->shift = 0;
}

/* Take back what was put on the heap since it had `words` words. Pointers to it must go. */
static inline void mmb_stage_take_back(mmb_stage *stage, uint64_t words)
{
    stage->heap.words = words;
}

/* Make room for `count` rows in all, to spare copies; add one row of zeros, or several. Errors:
 * ENOMEM, and MMB_ECAPACITY where rows and heap would be more than a segment holds. */
int mmb_stage_expect(mmb_stage *stage, uint64_t count);
int mmb_stage_add_row(mmb_stage *stage, uint64_t *place);
int mmb_stage_add_rows(mmb_stage *stage, uint64_t count, uint64_t *place);

/* Have room for `words` more words of the heap: who writes them itself, from heap.words on, adds
 * them to that. Errors: as above. */
int mmb_stage_reserve(mmb_stage *stage, uint64_t words);

static inline unsigned char *mmb_stage_at(mmb_stage *stage, uint64_t place)
{
    return (place & MMB_IN_HEAP) != 0 ? stage->heap.bytes + (place ^ MMB_IN_HEAP) * MMB_WORD
                                      : stage->rows.bytes + place * MMB_WORD;
}

/* Let the pointer at a place lead to word `target` of the heap. `high` is what the pointer says
 * about the object. */
static inline void mmb_stage_lead(mmb_stage *stage, uint64_t pointer, uint64_t target,
                                  unsigned kind, uint64_t high)
{
    uint64_t from = pointer & ~MMB_IN_HEAP;
    uint32_t low = (uint32_t)((target - from - 1) << 2) | kind;
    mmb__store64(mmb_stage_at(stage, pointer), low | high << 32);
}

/* True if the bytes are UTF-8, as Text must be. */
bool mmb_is_text(const void *bytes, uint64_t length);

/* Put an object on the heap and let the pointer at `pointer` lead to it. Errors: as above;
 * MMB_ECAPACITY also for more elements than a list can have. `length` of Text is without
 * its terminator. `*place` is the first word of the struct, or the first element. */
int mmb_stage_bytes(mmb_stage *stage, uint64_t pointer, const void *bytes, uint64_t length,
                    bool text);
int mmb_stage_struct(mmb_stage *stage, uint64_t pointer, uint32_t data_words,
                     uint32_t pointer_words, uint64_t *place);
int mmb_stage_list(mmb_stage *stage, uint64_t pointer, mmb_type_kind element, uint64_t count,
                   uint64_t *place);
int mmb_stage_structs(mmb_stage *stage, uint64_t pointer, uint64_t count, uint32_t data_words,
                      uint32_t pointer_words, uint64_t *place);

/* Store the lowest `bits` bits of a value, `offset` bits from a place. */
static inline void mmb_stage_store(mmb_stage *stage, uint64_t place, uint64_t offset, uint32_t bits,
                                   uint64_t value)
{
    unsigned char *at = mmb_stage_at(stage, place) + offset / 8;
    switch (bits) {
    case 1:
        *at = (unsigned char)((*at & ~(1u << (offset % 8))) | (value & 1) << (offset % 8));
        break;
    case 8:
        at[0] = (unsigned char)value;
        break;
    case 16:
        at[0] = (unsigned char)value;
        at[1] = (unsigned char)(value >> 8);
        break;
    case 32:
        mmb__store32(at, (uint32_t)value);
        break;
    case 64:
        mmb__store64(at, value);
        break;
    default:
        break;
    }
}

/* Let the pointers of the rows lead over `shift` words that will lie between row 0 and the heap. */
void mmb_stage_shift(mmb_stage *stage, uint64_t shift);

/* ---- into a message ---------------------------------------------------------------- */

/* Rows with pointers that are not null: those need a landing pad each where the heap comes
 * into another segment than the structs. */
uint64_t mmb_stage_row_pointers(const mmb_stage *stage);

/* The words that a new list of the rows takes, with all they lead to and a landing pad. */
static inline uint64_t mmb_stage_list_words(const mmb_stage *stage)
{
    return 2 + stage->rows.words + stage->heap.words;
}

/* Put the rows into `room` (zeroed words of a message) as a new list, and let the null
 * pointer at `word` of `segment` lead to it. Returns 0, or MMB_EMESSAGE if something is
 * out of bounds or the pointer is not null, or an error of stage->copy; then nothing leads to
 * the room. */
int mmb_stage_put_list(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       uint32_t segment, uint64_t word, const mmb_block *room, mmb_flaw *flaw);

/* Put the rows into structs that are there: those that `target`, a struct or a list of
 * structs, describes. What they had is lost. Otherwise as above; the room is for the heap
 * and, in another segment, the landing pads. */
int mmb_stage_put_rows(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       const mmb_object *target, const mmb_block *room, mmb_flaw *flaw);

/* Put the heap into the room, and the one pointer that the rows are to where a null
 * pointer is. */
int mmb_stage_put_pointer(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                          uint32_t segment, uint64_t word, const mmb_block *room, mmb_flaw *flaw);

#endif
