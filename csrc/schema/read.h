/* read.h - reads values of a message, whatever its bytes are.
 *
 * A *record* is one struct of a message: it says where the two sections lie, as the message has
 * them and not as a schema says. A *span* is the elements of one list. A checked pointer leads to
 * each of them, so both lie within their segment. Values beyond their ends read as zero, as Cap'n
 * Proto requires for messages of older schemas.
 *
 * A *reading* is charged for the words of each object that it reaches. Objects of a hostile message
 * may overlap, so that few bytes stand for very many values; the charge bounds that.
 *
 * Errors are MMB_EMESSAGE, with the flaw in the reading. Any thread may read, each with a reading
 * of its own. No function here may be called from a signal handler. */
#ifndef MMB_READ_H
#define MMB_READ_H

#include <string.h>

#include "plan.h"
#include "wire.h"

#define MMB_MOST_DEPTH 1000u /* how deeply structs and lists may nest */

/* A number that stands for a default of the plan where a segment's number is expected. Such
 * numbers come only from the plan; a far pointer cannot have them. */
#define MMB_DEFAULTS 0x80000000u

typedef struct {
    const mmb_segment *segments;
    uint32_t count;
    bool separate;        /* each segment is one whole message */
    uint64_t budget;      /* words that may still be visited */
    mmb_flaw flaw;        /* if `separate`, its `segment` says in which message it is */
    const mmb_plan *plan; /* its defaults stand for null pointers; NULL: these stay null */
} mmb_reading;

typedef struct {
    const unsigned char *data; /* not valid if data_bits is 0 */
    uint64_t word;             /* place of the first pointer */
    uint32_t data_bits;
    uint32_t pointers;
    uint32_t segment;
} mmb_record;

typedef struct {
    const unsigned char *start; /* the first element */
    uint64_t word;              /* place of the first element */
    uint32_t segment;
    uint32_t count;
    uint32_t step_bits; /* bits from one element to the next */
    uint32_t data_bits; /* bits of data in an element */
    uint32_t pointers;  /* pointers in an element */
    bool is_null;       /* the pointer was null, and `count` is 0 */
} mmb_span;

/* Begin a reading. It reads a message that is not `trusted` only up to a few times the words
 * that the message has. */
void mmb_reading_start(mmb_reading *reading, const mmb_segment *segments, uint32_t count,
                       bool trusted);

/* Let the defaults of the plan stand for null pointers. Each word of the message may then stand
 * for all words of the defaults as well. */
void mmb_reading_use_defaults(mmb_reading *reading, const mmb_plan *plan);

/* Go on with the next of many messages. What was not used of the words of those before it may be
 * used for this one. */
void mmb_reading_go_on(mmb_reading *reading, const mmb_segment *segments, uint32_t count);

/* Return NULL if the elements as they are stored can be read as the schema says; else what is
 * wrong. */
const char *mmb_list_mismatch(const mmb_object *list, mmb_type_kind element);

/* Follow any pointer of the message or of a default, as mmb_resolve does. */
int mmb_read_object(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_object *out);

/* If a field has a default, and its pointer is null or not `there`, change the place to that of
 * the default. Return whether the place has a pointer then. */
bool mmb_read_default(const mmb_reading *reading, const mmb_plan_field *field, bool there,
                      uint32_t *segment, uint64_t *word);

/* Note a flaw at a pointer. Return MMB_EMESSAGE. */
int mmb_reading_fail(mmb_reading *reading, uint32_t segment, uint64_t word, const char *reason);

/* Follow the pointer at `word` to a struct, or to a list whose elements can be read as `element`
 * (Text and Data are lists of MMB_UINT8). If the pointer is null, the record or span becomes
 * empty, and `*is_null` becomes true. */
int mmb_read_struct(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_record *out,
                    bool *is_null);
/* Follow a root pointer to a struct of its own segment, which may be any. Return false if it does
 * not lead to one: mmb_read_struct then says what it does. Nothing is charged, since a root is read
 * once. */
bool mmb_read_plain_root(const mmb_segment *segment, mmb_record *out);

/* `values` is how many values the caller makes of each element that is a struct. */
int mmb_read_span(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_type_kind element,
                  uint32_t values, mmb_span *out);

/* Follow `count` pointers to lists of numbers of `bits` bits, a byte at least, and find where each
 * list begins, and its length. Return false, and charge nothing, if a pointer is null, not `there`,
 * leads to another segment or to something else, or if it is not valid: mmb_read_span then says
 * what there is. */
bool mmb_read_plain_lists(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                          const bool *there, uint32_t count, uint32_t bits,
                          const unsigned char **starts, uint64_t *lengths);

/* Do the same for Text or Data, as mmb_read_bytes follows one pointer to them. The strings take
 * whole words of their segments, so the bytes up to the end of the last word can be read as well.
 */
bool mmb_read_plain_strings(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                            const bool *there, uint32_t count, bool text,
                            const unsigned char **starts, uint64_t *lengths);

/* Do the same for lists of structs. */
bool mmb_read_struct_lists(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                           const bool *there, uint32_t count, mmb_span *out);

/* Follow the pointer to Text or Data. `*start` becomes NULL if the pointer is null. Text is
 * checked to be UTF-8 and to have a terminator, which does not count. */
int mmb_read_bytes(mmb_reading *reading, uint32_t segment, uint64_t word, bool text,
                   const unsigned char **start, uint64_t *length);

/* Return the number of `bits` bits that begins `offset` bits into `data`. */
static inline uint64_t mmb_load_bits(const unsigned char *data, uint64_t offset, uint32_t bits)
{
    const unsigned char *at = data + offset / 8;
    switch (bits) {
    case 1:
        return *at >> (offset % 8) & 1u;
    case 8:
        return *at;
    case 16:
        return (uint64_t)at[0] | (uint64_t)at[1] << 8;
    case 32:
        return mmb__load32(at);
    case 64:
        return mmb__load64(at);
    default:
        return 0;
    }
}

/* Store a number of `bytes` bytes (1, 2, 4 or 8) in the machine's byte order. */
static inline void mmb_store_native(unsigned char *to, uint64_t bits, uint32_t bytes)
{
    uint8_t one = (uint8_t)bits;
    uint16_t two = (uint16_t)bits;
    uint32_t four = (uint32_t)bits;
    switch (bytes) {
    case 1:
        memcpy(to, &one, 1);
        break;
    case 2:
        memcpy(to, &two, 2);
        break;
    case 4:
        memcpy(to, &four, 4);
        break;
    default:
        memcpy(to, &bits, 8);
        break;
    }
}

/* Return the stored bits of a field; 0 where the message has none. */
static inline uint64_t mmb_record_bits(const mmb_record *record, uint64_t offset, uint32_t bits)
{
    return offset + bits <= record->data_bits ? mmb_load_bits(record->data, offset, bits) : 0;
}

/* Return the value of the tag of a union; MMB_NONE if the struct has no union. */
static inline uint32_t mmb_record_tag(const mmb_record *record, const mmb_plan_struct *type)
{
    return type->members == 0 ? MMB_NONE : (uint32_t)mmb_record_bits(record, type->tag_offset, 16);
}

/* Find the place of a pointer. Return false if the message has none; it reads as null. */
static inline bool mmb_record_pointer(const mmb_record *record, uint32_t index, uint64_t *word)
{
    *word = record->word + index;
    return index < record->pointers;
}

/* Return one element of a span as a struct. */
static inline void mmb_span_record(const mmb_span *span, uint64_t index, mmb_record *out)
{
    uint64_t bytes = index * (span->step_bits / 8);
    *out = (mmb_record){
        .data = span->start + bytes,
        .word = span->word + bytes / MMB_WORD + span->data_bits / 64,
        .data_bits = span->data_bits,
        .pointers = span->pointers,
        .segment = span->segment,
    };
}

/* Return the bits of one element; 0 where the message has none. */
static inline uint64_t mmb_span_bits(const mmb_span *span, uint64_t index, uint32_t bits)
{
    return bits <= span->data_bits ? mmb_load_bits(span->start, index * span->step_bits, bits) : 0;
}

#endif
