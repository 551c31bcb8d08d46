/* arrow_binding.h - what a binding is, and what a fault is.
 *
 * A *fault* says what is wrong with a column, and in which row. See arrow_bind.h. */
#ifndef MMB_ARROW_BINDING_H
#define MMB_ARROW_BINDING_H

#include "arrow.h"
#include "plan.h"

/* What is wrong, as texts of Python's exceptions are made of it. */
typedef enum {
    MMB_FAULT_NONE,
    MMB_FAULT_TYPE,
    MMB_FAULT_VALUE,
    MMB_FAULT_OVERFLOW,
    MMB_FAULT_NAME,     /* there is no such field */
    MMB_FAULT_CAPACITY, /* more than a segment holds */
    MMB_FAULT_MEMORY,
} mmb_fault_kind;

typedef struct {
    mmb_fault_kind kind;
    bool has_row;
    uint64_t row;
    char column[128]; /* dotted; cut if it is longer */
    char text[160];
} mmb_fault;

typedef struct mmb_binding mmb_binding;

enum { MMB_MOST_UNION_CODES = 128 }; /* they are not negative, and a byte each */

/* How the values of an array lie. */
typedef enum {
    MMB_IN_NULL,
    MMB_IN_BITS,
    MMB_IN_SIGNED,
    MMB_IN_UNSIGNED,
    MMB_IN_FLOAT,
    MMB_IN_DECIMAL,     /* two's complement of `width` bytes */
    MMB_IN_BYTES,       /* offsets of `width` bytes */
    MMB_IN_FIXED_BYTES, /* of `width` bytes each */
    MMB_IN_VIEWS,       /* 16 bytes each, which hold the bytes or refer to a buffer */
    MMB_IN_LIST,        /* offsets of `width` bytes */
    MMB_IN_LIST_VIEW,   /* offsets and sizes of `width` bytes */
    MMB_IN_FIXED_LIST,  /* of `width` elements each */
    MMB_IN_STRUCT,
    MMB_IN_DENSE_UNION,  /* a code and an offset into a child for each value */
    MMB_IN_SPARSE_UNION, /* a code for each; all children are as long */
} mmb_in_layout;

struct mmb_binding {
    const char *name; /* for faults: of the schema, which must live as long */
    const mmb_binding *up;
    mmb_in_layout layout;
    uint32_t width;      /* bytes of a number or an offset, or what the layout says */
    bool has_dictionary; /* values are numbers of the values that `dictionary` reads */
    mmb_meaning meaning; /* of numbers: what they count; the unit of the field may be another */
    uint64_t multiply;   /* what is to be done to counts then */
    uint64_t divide;     /* likewise, without a rest */
    bool is_tag;         /* the tag of the union of the struct around it: names, or a union */
    int8_t code;         /* of a union's member: what stands for it in an array */
    bool is_inline; /* a group or struct whose fields are columns beside it, with dotted names */
    bool is_nullable_group; /* a group of a value and a Void member, taken as the value */
    uint32_t arrow;         /* which child of the parent's array */
    uint32_t field;         /* of the plan; MMB_NONE for elements of lists, and tags */
    uint32_t type;          /* of the plan */
    uint32_t record;        /* of a struct or group (or the one around a tag): its number */
    uint32_t child_count;
    mmb_binding *children;   /* owned: of a struct or group; of a list its elements */
    mmb_binding *dictionary; /* owned */
    bool has_union;          /* a child is a member of the union, or its tag */
};

/* A part of a column: the array and the index of the first value. */
typedef struct {
    const mmb_arrow_array *array;
    uint64_t start; /* the offset of the array not counted */
} mmb_arrow_part;

/* Set the fault: what is wrong with a column. Always false. */
bool mmb__bind_fail(mmb_fault *fault, mmb_fault_kind kind, const mmb_binding *binding,
                    const char *format, ...);

#endif
