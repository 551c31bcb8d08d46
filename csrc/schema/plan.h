/* plan.h - a plan: what a schema says about bytes, compiled once and then only read.
 *
 * A *plan* is a closed set of types, structs, fields and enums. They refer to each other by number,
 * so that a struct may contain itself. The reader of a schema makes it: it calls mmb_plan_new,
 * fills the arrays in, and calls mmb_plan_check. From then on the plan is constant, and any thread
 * may read it. It knows nothing of Python or of a message.
 *
 * A group lies in the sections of the struct around it. The plan gives a group an mmb_plan_struct
 * of its own, whose fields have places in these sections.
 *
 * No function here may be called from a signal handler. */
#ifndef MMB_PLAN_H
#define MMB_PLAN_H

#include "mmb_capnp.h"

/* The kinds of types, in the order of Type in capnp's own schema.capnp. Groups come last. */
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

#define MMB_NONE UINT32_MAX /* stands for a number where there is none */

/* What a number counts, or what Data has, where an annotation of the schema says it. */
typedef enum {
    MMB_MEANS_NUMBER, /* only a number */
    MMB_TIMESTAMP,    /* units since the start of 1970 */
    MMB_DATE32,       /* days since the start of 1970 */
    MMB_DATE64,       /* milliseconds since the start of 1970; whole days */
    MMB_TIME,         /* units since midnight */
    MMB_DURATION,     /* units */
    MMB_DECIMAL,      /* Data: two's complement, 16 or 32 bytes, little-endian */
    MMB_MEANINGS,
} mmb_meaning_kind;

typedef struct {
    mmb_meaning_kind what;
    uint8_t unit;      /* digits after the second: 0, 3, 6 or 9 */
    uint8_t precision; /* of a decimal: digits in all */
    int8_t scale;      /* of a decimal: digits after the point */
    bool zoned;        /* of a timestamp: it is in UTC; false: it has no time zone */
} mmb_meaning;

typedef struct {
    mmb_type_kind kind;
    /* What it refers to. LIST: the type of the elements; STRUCT, GROUP: the struct; ENUM: the enum.
     */
    uint32_t refers_to;
    mmb_meaning meaning;
} mmb_plan_type;

typedef struct {
    const char *name; /* ends with a zero; belongs to the plan */
    /* Its name in tables, which ends with a zero, too; belongs to the plan; NULL: `name`. */
    const char *column;
    uint32_t type;          /* number of a type */
    uint32_t offset;        /* in the data section, in bits; in the pointer section, in pointers */
    uint32_t tag;           /* the value of the union's tag if it is a member; else MMB_NONE */
    uint32_t default_bytes; /* of Text and Data: size of the default in bytes */
    uint64_t default_bits;  /* of numbers: stored bits are XORed with these */
    const unsigned char *default_start; /* of Text and Data; belongs to the plan; NULL: none */
    /* For lists and structs: the index of the default in `objects`, plus 1; 0: no default. */
    uint32_t default_object;
    uint32_t default_word; /* for lists and structs: word of the default's pointer there */
} mmb_plan_field;

typedef struct {
    uint32_t first; /* number of its first field; fields are in the order of declaration */
    uint32_t count;
    uint32_t tag_offset;   /* of the union's tag in the data section, in bits, or MMB_NONE */
    uint32_t members;      /* members of the union */
    uint32_t first_member; /* index into `members` of the plan: the field for each tag */
    uint16_t data_words;
    uint16_t pointer_words;
    bool is_group;
} mmb_plan_struct;

typedef struct {
    uint32_t first; /* index into `enumerants` of the plan, which has names by number */
    uint32_t count;
} mmb_plan_enum;

typedef struct {
    mmb_plan_type *types;
    mmb_plan_struct *structs;
    mmb_plan_field *fields;
    mmb_plan_enum *enums;
    uint32_t *members;       /* numbers of fields by tag, all unions one after the other */
    const char **enumerants; /* names, all enums one after the other; NULL: no such number */
    char *text;              /* owned; holds all names and defaults */
    mmb_segment *objects; /* owned; defaults of lists and structs, each a message of one segment */
    uint32_t object_count;
    uint32_t type_count, struct_count, field_count, enum_count, member_count, enumerant_count;
    size_t text_bytes;
} mmb_plan;

/* Make a plan with room for what the counts say, all zero. Only the counts of `sizes` are read.
 * Return NULL if there is no memory. The caller frees it with mmb_plan_free. */
mmb_plan *mmb_plan_new(const mmb_plan *sizes);
void mmb_plan_free(mmb_plan *plan);

/* Return true if all numbers refer to entries that exist, and all fields lie in their sections.
 * Nothing else may be done with a plan before this call. */
bool mmb_plan_check(const mmb_plan *plan);

/* Return the value field of a nullable group. Such a group is only a union of a value and a Void
 * member, so it is a value that can be null. Return MMB_NONE if the group is another one. */
uint32_t mmb_plan_nullable(const mmb_plan *plan, uint32_t group);

/* Return the bits of a value in the data section or in a list; 0 for Void and for pointers. */
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
