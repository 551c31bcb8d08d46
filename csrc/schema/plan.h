/* plan.h - a plan: what a schema says about bytes, compiled once and then only read.
 *
 * A *plan* is a closed set of types, structs, fields and enums that refer to each other by
 * number, so that a struct may contain itself. It is made by whoever can read the schema
 * (mmb_plan_new, then the arrays are filled in, then mmb_plan_check) and is constant from
 * then on: any thread may read it. It knows nothing of Python or of a message.
 *
 * A group has the sections of the struct around it; the plan gives it an mmb_plan_struct
 * of its own whose fields have places in these sections.
 *
 * No function here may be called from a signal handler.
 */
#ifndef MMB_PLAN_H
#define MMB_PLAN_H

#include "mmb_capnp.h"

/* The order is that of Type in capnp's own schema.capnp; a group comes last. */
typedef enum {
    MMB_VOID,
    MMB_BOOL,
    MMB_INT8,
    MMB_INT16,
    MMB_INT32,
    MMB_INT64,
    MMB_UINT8,
    MMB_UINT16,
    MMB_UINT32,
    MMB_UINT64,
    MMB_FLOAT32,
    MMB_FLOAT64,
    MMB_TEXT,
    MMB_DATA,
    MMB_LIST,
    MMB_ENUM,
    MMB_STRUCT,
    MMB_INTERFACE,
    MMB_ANY_POINTER,
    MMB_GROUP,
    MMB_TYPE_KINDS,
} mmb_type_kind;

#define MMB_NONE UINT32_MAX /* in place of a number: there is none */

/* What a number counts, or Data has, where an annotation of the schema says it. */
typedef enum {
    MMB_MEANS_NUMBER, /* nothing else */
    MMB_TIMESTAMP,    /* units since 1970 began */
    MMB_DATE32,       /* days since then */
    MMB_DATE64,       /* milliseconds since then, of whole days */
    MMB_TIME,         /* units since midnight */
    MMB_DURATION,     /* units */
    MMB_DECIMAL,      /* of Data: two's complement, 16 or 32 bytes, little-endian */
    MMB_MEANINGS,
} mmb_meaning_kind;

typedef struct {
    mmb_meaning_kind what;
    uint8_t unit;      /* digits after the second: 0, 3, 6 or 9 */
    uint8_t precision; /* of a decimal: digits in all */
    int8_t scale;      /* of a decimal: digits after the point */
    bool zoned;        /* of a timestamp: in UTC, and not in no time zone at all */
} mmb_meaning;

typedef struct {
    mmb_type_kind kind;
    uint32_t target; /* LIST: the type of the elements; STRUCT, GROUP: the struct; ENUM: the enum */
    mmb_meaning meaning;
} mmb_plan_type;

typedef struct {
    const char *name;       /* ends with a zero; belongs to the plan */
    const char *column;     /* likewise: what it is called in tables; NULL: as `name` */
    uint32_t type;          /* number of a type */
    uint32_t offset;        /* in the data section: bits; in the pointer section: pointers */
    uint32_t tag;           /* the value of the union's tag if it is a member; else MMB_NONE */
    uint32_t default_bytes; /* of Text and Data: bytes of the default */
    uint64_t default_bits;  /* of numbers: what stored ones are XORed with */
    const unsigned char *default_start; /* of Text and Data; belongs to the plan; NULL: none */
    uint32_t default_object; /* of lists and structs: which of the plan's, plus 1; 0: none */
    uint32_t default_word;   /* likewise: the pointer to it in there */
} mmb_plan_field;

typedef struct {
    uint32_t first; /* number of its first field; they are in the order of declaration */
    uint32_t count;
    uint32_t tag_offset;   /* of the union's tag in the data section, in bits, or MMB_NONE */
    uint32_t members;      /* of the union */
    uint32_t first_member; /* index into `members` of the plan: the field for each tag */
    uint16_t data_words;
    uint16_t pointer_words;
    bool is_group;
} mmb_plan_struct;

typedef struct {
    uint32_t first; /* index into `enumerants` of the plan: names by number */
    uint32_t count;
} mmb_plan_enum;

typedef struct {
    mmb_plan_type *types;
    mmb_plan_struct *structs;
    mmb_plan_field *fields;
    mmb_plan_enum *enums;
    uint32_t *members;       /* numbers of fields by tag, all unions one after the other */
    const char **enumerants; /* names, all enums one after the other; NULL: no such number */
    char *text;              /* what names and defaults lie in */
    mmb_segment *objects; /* defaults of lists and structs, each a message of one segment; owned */
    uint32_t object_count;
    uint32_t type_count, struct_count, field_count, enum_count, member_count, enumerant_count;
    size_t text_bytes;
} mmb_plan;

/* A plan with room for what the counts say, all zero. Only the counts of `sizes` are read.
 * NULL if there is no memory. To be freed with mmb_plan_free. */
mmb_plan *mmb_plan_new(const mmb_plan *sizes);
void mmb_plan_free(mmb_plan *plan);

/* True if all numbers refer to what is there, and all fields lie in their sections. Nothing
 * else may be done with a plan before. */
bool mmb_plan_check(const mmb_plan *plan);

/* The field with the value of a group that is nothing but a union of it and a Void member:
 * such a group is a value that can be null. MMB_NONE if the group is another one. */
uint32_t mmb_plan_nullable(const mmb_plan *plan, uint32_t group);

/* Bits of a value in the data section or in a list; 0 for Void and for pointers. */
static inline uint32_t mmb_kind_bits(mmb_type_kind kind)
{
    static const uint8_t bits[MMB_TYPE_KINDS] = {
        [MMB_BOOL] = 1,    [MMB_INT8] = 8,     [MMB_INT16] = 16,   [MMB_INT32] = 32,
        [MMB_INT64] = 64,  [MMB_UINT8] = 8,    [MMB_UINT16] = 16,  [MMB_UINT32] = 32,
        [MMB_UINT64] = 64, [MMB_FLOAT32] = 32, [MMB_FLOAT64] = 64, [MMB_ENUM] = 16,
    };
    return bits[kind];
}

static inline bool mmb_kind_is_pointer(mmb_type_kind kind)
{
    return kind == MMB_TEXT || kind == MMB_DATA || kind == MMB_LIST || kind == MMB_STRUCT ||
           kind == MMB_INTERFACE || kind == MMB_ANY_POINTER;
}

#endif
