/* read.h - values out of a message, whatever its bytes are.
 *
 * A *record* is one struct in a message: where its two sections lie, as the message has
 * them and not as a schema says. A *span* is the elements of one list. Both are made by
 * following a checked pointer, so that what they describe lies within its segment; values
 * beyond their ends read as zero, as Cap'n Proto wants it for messages of older schemas.
 *
 * A *reading* is charged for the words of each object it comes to. Objects may overlap in
 * a hostile message, so that few bytes stand for very many; the charge bounds that.
 *
 * Errors are MMB_EMESSAGE, with the flaw in the reading. Any thread may read, each with a
 * reading of its own. No function here may be called from a signal handler.
 */
#ifndef MMB_READ_H
#define MMB_READ_H

#include <string.h>

#include "plan.h"
#include "wire.h"

#define MMB_MOST_DEPTH 1000u /* structs and lists within each other */

/* In place of a segment's number: that of a default of the plan, which is no part of the message.
 * Such numbers come from the plan alone; far pointers cannot have them. */
#define MMB_DEFAULTS 0x80000000u

typedef struct {
    const mmb_segment *segments;
    uint32_t count;
    bool separate;        /* each segment is a message of its own, of one segment */
    uint64_t budget;      /* words that may still be visited */
    mmb_flaw flaw;        /* of separate messages, `segment` says in which it is */
    const mmb_plan *plan; /* whose defaults stand for null pointers; NULL: those stay null */
} mmb_reading;

typedef struct {
    const unsigned char *data; /* of no use if data_bits is 0 */
    uint64_t word;             /* of the first pointer */
    uint32_t data_bits;
    uint32_t pointers;
    uint32_t segment;
} mmb_record;

typedef struct {
    const unsigned char *start; /* of the first element */
    uint64_t word;              /* likewise */
    uint32_t segment;
    uint32_t count;
    uint32_t step_bits; /* from one element to the next */
    uint32_t data_bits; /* of an element */
    uint32_t pointers;  /* of an element */
    bool is_null;       /* the pointer was null; `count` is 0 then */
} mmb_span;

/* Begin to read. Of a message that is not `trusted` no more is read than a few times the
 * words that it has. */
void mmb_reading_start(mmb_reading *reading, const mmb_segment *segments, uint32_t count,
                       bool trusted);

/* Follow any pointer, of the message or of a default: as mmb_resolve. */
int mmb_read_object(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_object *out);

/* Let the place of a field's pointer be that of its default, if the field has one and the pointer
 * is null, or not `there`. Returns whether there is a pointer then. */
bool mmb_read_default(const mmb_reading *reading, const mmb_plan_field *field, bool there,
                      uint32_t *segment, uint64_t *word);

/* Note a flaw at a pointer. Returns MMB_EMESSAGE. */
int mmb_reading_fail(mmb_reading *reading, uint32_t segment, uint64_t word, const char *reason);

/* Account for `words` words that a pointer leads to. */
int mmb_reading_charge(mmb_reading *reading, uint32_t segment, uint64_t word, uint64_t words);

/* Follow the pointer at `word` to a struct, or to a list whose elements can be read as
 * `element` (Text and Data are lists of MMB_UINT8). A null pointer gives an empty record
 * or span and `*is_null`. */
int mmb_read_struct(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_record *out,
                    bool *is_null);
int mmb_read_span(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_type_kind element,
                  mmb_span *out);

/* Follow the pointer to Text or Data. `*start` is NULL if it is null. The terminator of
 * Text is checked and not counted, and Text is UTF-8. */
int mmb_read_bytes(mmb_reading *reading, uint32_t segment, uint64_t word, bool text,
                   const unsigned char **start, uint64_t *length);

/* The bits of a number of `bits` bits that begins `offset` bits into `data`. */
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

/* The stored bits of a field; 0 where the message has none. */
static inline uint64_t mmb_record_bits(const mmb_record *record, uint64_t offset, uint32_t bits)
{
    return offset + bits <= record->data_bits ? mmb_load_bits(record->data, offset, bits) : 0;
}

/* The value of a union's tag; MMB_NONE if the struct has no union. */
static inline uint32_t mmb_record_tag(const mmb_record *record, const mmb_plan_struct *type)
{
    return type->members == 0 ? MMB_NONE : (uint32_t)mmb_record_bits(record, type->tag_offset, 16);
}

/* The place of a pointer; false where the message has none, which reads as null. */
static inline bool mmb_record_pointer(const mmb_record *record, uint32_t index, uint64_t *word)
{
    *word = record->word + index;
    return index < record->pointers;
}

/* One element of a span, taken as a struct. */
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

/* The bits of one element; 0 where the message has none. */
static inline uint64_t mmb_span_bits(const mmb_span *span, uint64_t index, uint32_t bits)
{
    return bits <= span->data_bits ? mmb_load_bits(span->start, index * span->step_bits, bits) : 0;
}

#endif
