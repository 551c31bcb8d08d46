/* arrow_binding.h - the structs of a binding and of a refusal.
 *
 * A *refusal* says why a column of Arrow is refused, and at which row. arrow_bind.h says what a
 * binding is. */
#ifndef MMB_ARROW_BINDING_H
#define MMB_ARROW_BINDING_H

#include <string.h>

#include "arrow.h"
#include "plan.h"

/* The kinds of refusals. Each becomes an exception of Python. */
typedef enum {
    MMB_NOT_REFUSED,
    MMB_REFUSED_TYPE,
    MMB_REFUSED_VALUE,
    MMB_REFUSED_OVERFLOW,
    MMB_REFUSED_NAME,     /* the schema has no such field */
    MMB_REFUSED_CAPACITY, /* the rows need more than a segment can hold */
    MMB_REFUSED_MEMORY,
} mmb_refusal_kind;

typedef struct {
    mmb_refusal_kind kind;
    bool has_row;
    uint64_t row;
    char column[128]; /* name with dots, cut if it is longer */
    char text[160];
} mmb_refusal;

typedef struct mmb_binding mmb_binding;

enum { MMB_MOST_UNION_CODES = 128 }; /* a code is one byte, and not negative */

/* How the values of an array are stored. */
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
    const char *name; /* name in the schema, for refusals; it must live as long as the binding */
    const mmb_binding *up;
    mmb_in_layout layout;
    uint32_t width;      /* bytes of a number or an offset, or what the layout says */
    bool has_dictionary; /* values are numbers of entries that `dictionary` reads */
    /* Values come in runs: `dictionary` reads the value of each, and layout and width are those of
     * the ends. `has_dictionary` is set, too. */
    bool is_runs;
    mmb_meaning meaning; /* what numbers count; the field may have another unit */
    uint64_t multiply;   /* counts are multiplied by this for the field's unit */
    uint64_t divide;     /* and divided by this, which must leave no rest */
    bool is_tag; /* it is the tag of the union in the parent struct: names, or a union of Arrow */
    int8_t code; /* of a member of a union: its code in the array */
    bool is_inline; /* a group or struct whose fields are columns beside it, named with dots */
    bool is_nullable_group; /* a group of a value and a Void member; values may be null */
    uint32_t arrow;         /* index among the children of the parent's array */
    uint32_t field;         /* number in the plan; MMB_NONE for tags and for elements of lists */
    uint32_t type;          /* number in the plan */
    uint32_t record; /* number of the struct or group; for a tag: of the one that has the union */
    uint32_t child_count;
    mmb_binding *children;   /* owned; a struct or group has its fields, a list its elements */
    mmb_binding *dictionary; /* owned */
    bool has_union;          /* a child is a member of the union or its tag */
};

/* A part of a column: an array, and the index of its first value. */
typedef struct {
    const mmb_arrow_array *array;
    uint64_t start; /* the offset of the array is not included */
} mmb_arrow_part;

/* Return whether bytes are a name, which may be NULL. */
static inline bool mmb__name_is(const char *name, const unsigned char *start, uint64_t length)
{
    return name != NULL && strlen(name) == length && memcmp(name, start, (size_t)length) == 0;
}

/* Set the refusal to say what is wrong with a column. Always return false. */
bool mmb__bind_fail(mmb_refusal *refusal, mmb_refusal_kind kind, const mmb_binding *binding,
                    const char *format, ...);

#endif
