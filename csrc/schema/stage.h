/* stage.h - a stage: objects as they will lie in a message, made before there is room for them.
 *
 * A *stage* has *rows* and a *heap*. The rows are structs side by side, or one struct, or one
 * pointer. The heap has all objects that they lead to. Both grow as they are written. Their bytes
 * have the wire format already: pointers are relative, so a stage can be put into any segment by a
 * copy. That copy can fail only if there is no room, and it runs no code of others: either all rows
 * come into the message, or none.
 *
 * A *place* is a word of the rows, or with MMB_IN_HEAP a word of the heap. Places stay valid when
 * the stage grows; addresses do not.
 *
 * A pointer in the rows is written as if the heap began `shift` words behind word 0 of the rows. If
 * that turns out to be wrong, it is corrected when the number of rows is known.
 *
 * A stage may move its rows and its heap to a file when it is full (stage_file.h). Places of rows
 * that were moved are not valid any more.
 *
 * A stage belongs to one thread. No function here may be called from a signal handler. */
#ifndef MMB_STAGE_H
#define MMB_STAGE_H

#include "framing.h"
#include "plan.h"
#include "wire.h"

#define MMB_IN_HEAP (1ull << 63)

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t words;       /* words in use; they were zeroed when they were taken */
    uint64_t room;        /* words that fit */
} mmb_stage_part;

/* A *section* is the part of the heap that comes into one room of a message. A heap has several if
 * it is larger than a segment. All that a row leads to is in one section. */
typedef struct {
    uint64_t words;
    uint64_t pointers; /* how many pointers of rows lead into it */
} mmb_stage_section;

/* A *piece* is some rows and what they lead to, which were moved to a file: first the rows, and
 * then their part of the heap. A pointer of these rows is written as if word 0 of its section were
 * word 0 of the piece. */
typedef struct {
    uint64_t offset; /* bytes of the file before it */
    uint64_t row_words;
    uint64_t heap_words;
    uint32_t section; /* its heap follows those of earlier pieces of this section */
} mmb_stage_piece;

/* What stage_file.c has moved out of memory. */
typedef struct {
    int fd;                  /* owned; a file that has no name */
    uint64_t end;            /* bytes of the file */
    uint64_t row_words;      /* words of the rows of all pieces */
    mmb_stage_piece *pieces; /* owned */
    uint32_t piece_count, piece_room;
    uint32_t section_count; /* at least 1: the last is the one that the rows in memory lead into */
    mmb_stage_section sections[MMB_MAX_SEGMENTS]; /* without what is in memory */
} mmb_stage_file;

/* Copy bytes of a stage to their place in the memory of a message. Return 0 or an errno. */
typedef int mmb_stage_copier(void *context, unsigned char *to, const unsigned char *from,
                             uint64_t bytes);

typedef struct {
    mmb_stage_part rows;
    mmb_stage_part heap;
    uint64_t shift; /* words that the pointers of the rows lead over to the heap */
    /* Set for the time of a call that puts the stage into a message; NULL: a plain copy. */
    mmb_stage_copier *copy;
    void *context;          /* for `copy` */
    uint64_t count;         /* number of rows, also of those in the file */
    uint32_t data_words;    /* words of data in a row */
    uint32_t pointer_words; /* pointers in a row */
    /* Owned: which bits of a row were written, in the machine's byte order. Only these are replaced
     * in a row of the message. NULL: all. */
    uint64_t *mask;
    bool is_pointer_list; /* the rows are the elements of a list of pointers, not structs */
    uint64_t most;        /* words of rows and heap that may be in memory */
    /* With more words of rows and heap in memory the stage is full. UINT64_MAX: it has no file. */
    uint64_t kept;
    uint64_t most_section; /* words and pointers that a section may have */
    /* Words of rows and heap in memory before the rows that were added last. */
    uint64_t last_rows, last_heap;
    mmb_stage_file *file; /* owned; NULL: everything is in memory */
} mmb_stage;

void mmb_stage_start(mmb_stage *stage, uint32_t data_words, uint32_t pointer_words);
void mmb_stage_free(mmb_stage *stage);

/* Return the words that rows and heap in memory, or a section, may have. A test can set another
 * limit; 0 is the one that holds otherwise. */
uint64_t mmb_stage_most_words(void);
void mmb_stage_set_most_words(uint64_t words);

/* Forget all rows and what they lead to, but keep the memory. The stage has no file. */
static inline void mmb_stage_clear(mmb_stage *stage)
{
    stage->rows.words = stage->heap.words = stage->count = stage->shift = 0;
    stage->most = mmb_stage_most_words();
    stage->kept = UINT64_MAX;
}

/* Take back what was put on the heap since it had `words` words. The caller removes pointers to
 * it. */
static inline void mmb_stage_take_back(mmb_stage *stage, uint64_t words)
{
    stage->heap.words = words;
}

/* mmb_stage_expect makes room for `count` rows in all, which saves copies, and lets the pointers
 * of the rows lead over so many rows from the start. The others add one row of zeros, or several.
 * Errors: ENOMEM; MMB_ECAPACITY if rows and heap need more than a segment. */
int mmb_stage_expect(mmb_stage *stage, uint64_t count);
int mmb_stage_add_row(mmb_stage *stage, uint64_t *place);
int mmb_stage_add_rows(mmb_stage *stage, uint64_t count, uint64_t *place);

/* Make room for `words` more words of the heap. The caller may write them, from heap.words on,
 * and then adds them to heap.words. Errors: as above. */
int mmb_stage_reserve(mmb_stage *stage, uint64_t words);

static inline unsigned char *mmb_stage_at(mmb_stage *stage, uint64_t place)
{
    return (place & MMB_IN_HEAP) != 0 ? stage->heap.bytes + (place ^ MMB_IN_HEAP) * MMB_WORD
                                      : stage->rows.bytes + place * MMB_WORD;
}

/* Let the pointer at a place lead to word `target` of the heap. `high` is the upper half of the
 * pointer, which describes the object. */
static inline void mmb_stage_lead(mmb_stage *stage, uint64_t pointer, uint64_t target,
                                  unsigned kind, uint64_t high)
{
    bool in_heap = (pointer & MMB_IN_HEAP) != 0;
    uint64_t from = in_heap ? pointer ^ MMB_IN_HEAP : pointer - stage->shift;
    uint32_t low = (uint32_t)((target - from - 1) << 2) | kind;
    mmb__store64(mmb_stage_at(stage, pointer), low | high << 32);
}

/* Return the words that so many bytes take. `length` of Text is without its terminator. */
static inline uint64_t mmb_stage_byte_words(uint64_t length, bool text)
{
    return (length + (text ? 1 : 0) + MMB_WORD - 1) / MMB_WORD;
}

/* Do the work of mmb_stage_bytes for a caller that has reserved room. */
static inline void mmb_stage_put_bytes(mmb_stage *stage, uint64_t pointer, const void *bytes,
                                       uint64_t length, bool text)
{
    uint64_t start = stage->heap.words, words = mmb_stage_byte_words(length, text);
    unsigned char *to = stage->heap.bytes + start * MMB_WORD;
    if (words != 0) { /* the bytes overwrite all of it but the end of the last word */
        mmb__store64(to + (words - 1) * MMB_WORD, 0);
        mmb__copy_bytes(to, bytes, length);
        stage->heap.words = start + words;
    }
    mmb_stage_lead(stage, pointer, start, MMB__LIST, MMB__BYTES | (length + (text ? 1 : 0)) << 3);
}

/* Return true if the bytes are UTF-8, as Text must be. */
bool mmb_is_text(const void *bytes, uint64_t length);

/* Put an object on the heap, and let the pointer at the place `pointer` lead to it. `length` of
 * Text is without its terminator. `*place` becomes the first word of the struct, or the first
 * element. Errors: as above; MMB_ECAPACITY also if a list cannot have so many elements. */
int mmb_stage_bytes(mmb_stage *stage, uint64_t pointer, const void *bytes, uint64_t length,
                    bool text);
int mmb_stage_struct(mmb_stage *stage, uint64_t pointer, uint32_t data_words,
                     uint32_t pointer_words, uint64_t *place);
int mmb_stage_list(mmb_stage *stage, uint64_t pointer, mmb_type_kind element, uint64_t count,
                   uint64_t *place);
int mmb_stage_structs(mmb_stage *stage, uint64_t pointer, uint64_t count, uint32_t data_words,
                      uint32_t pointer_words, uint64_t *place);

/* Store the lowest `bits` bits of a value, `offset` bits behind an address. */
static inline void mmb_store_bits(unsigned char *start, uint64_t offset, uint32_t bits,
                                  uint64_t value)
{
    unsigned char *at = start + offset / 8;
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

static inline void mmb_stage_store(mmb_stage *stage, uint64_t place, uint64_t offset, uint32_t bits,
                                   uint64_t value)
{
    mmb_store_bits(mmb_stage_at(stage, place), offset, bits, value);
}

/* Return `pointer` changed to lead `by` words further. */
static inline uint64_t mmb_stage_moved(uint64_t pointer, uint64_t by)
{
    return (pointer & ~0xFFFFFFFFull) | (uint32_t)((uint32_t)pointer + ((uint32_t)by << 2));
}

/* Let the pointers of the rows in memory lead over `shift` words that will lie between row 0 and
 * the heap. */
void mmb_stage_shift(mmb_stage *stage, uint64_t shift);

/* ---- into a message (stage_put.c) ---------------------------------------------------- */

/* Return whether a pointer of the rows leads into the heap. */
static inline bool mmb_stage_is_relative(uint64_t pointer)
{
    return pointer != 0 && pointer != 0xFFFFFFFCu;
}

/* Return the words of all rows, also of those in the file. */
static inline uint64_t mmb_stage_row_words(const mmb_stage *stage)
{
    return stage->rows.words + (stage->file == NULL ? 0 : stage->file->row_words);
}

/* Return the tag of a list of structs. */
static inline uint64_t mmb_stage_tag(uint64_t count, uint64_t data_words, uint64_t pointer_words)
{
    return count << 2 | data_words << 32 | pointer_words << 48;
}

/* Return how many sections the heap has, one of them, and the words of one. Each pointer that leads
 * into it needs a landing pad if the section comes into another segment than the rows. */
static inline uint32_t mmb_stage_section_count(const mmb_stage *stage)
{
    return stage->file == NULL ? 1 : stage->file->section_count;
}
mmb_stage_section mmb_stage_section_at(const mmb_stage *stage, uint32_t number); /* stage_file.c */
static inline uint64_t mmb_stage_section_words(const mmb_stage *stage, uint32_t number)
{
    uint64_t words = stage->file == NULL ? 0 : stage->file->sections[number].words;
    return words + (number + 1 == mmb_stage_section_count(stage) ? stage->heap.words : 0);
}

/* Return the words that a new list of the rows takes, with all it leads to and a landing pad, in
 * one room; and without what it leads to. */
uint64_t mmb_stage_list_words(const mmb_stage *stage);
static inline uint64_t mmb_stage_list_head(const mmb_stage *stage)
{
    return 2 + mmb_stage_row_words(stage);
}

/* Put the rows into `room` (zeroed words of a message) as a new list, and let the null pointer
 * at `word` of `segment` lead to it. What the rows lead to comes into `rooms`, of which there is
 * one for each section, or behind the rows if that is NULL. Return 0, or an error of stage->copy or
 * of the file, or MMB_EMESSAGE if something is out of bounds or the pointer is not null. After an
 * error nothing leads to the room. */
int mmb_stage_put_list(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       uint32_t segment, uint64_t word, const mmb_room *room, const mmb_room *rooms,
                       mmb_flaw *flaw);

/* Put the rows into existing structs, over their old values. `target` is the struct or the list
 * of structs. There is a room for each section: for what rows lead to and, if it is in another
 * segment, for the landing pads. The result is as above. After an error no row was replaced, unless
 * the file could be read once, but not again. */
int mmb_stage_put_rows(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       const mmb_object *target, const mmb_room *rooms, mmb_flaw *flaw);

/* Put the heap into the room, and put the one pointer that the rows consist of where a null
 * pointer is. */
int mmb_stage_put_pointer(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                          uint32_t segment, uint64_t word, const mmb_room *room, mmb_flaw *flaw);

#endif
