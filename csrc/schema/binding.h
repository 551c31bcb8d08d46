/* binding.h - what a binding consists of. Private to arrow_in.c and arrow_bind.c. */
#ifndef MMB_BINDING_H
#define MMB_BINDING_H

#include "arrow_in.h"

/* How the values of an array lie. */
typedef enum {
    MMB_IN_NULL,
    MMB_IN_BITS,
    MMB_IN_SIGNED,
    MMB_IN_UNSIGNED,
    MMB_IN_FLOAT,
    MMB_IN_BYTES,       /* offsets of `width` bytes */
    MMB_IN_FIXED_BYTES, /* of `width` bytes each */
    MMB_IN_VIEWS,       /* 16 bytes each, which hold the bytes or refer to a buffer */
    MMB_IN_LIST,        /* offsets of `width` bytes */
    MMB_IN_LIST_VIEW,   /* offsets and sizes of `width` bytes */
    MMB_IN_FIXED_LIST,  /* of `width` elements each */
    MMB_IN_STRUCT,
} mmb_in_layout;

struct mmb_binding {
    const char *name; /* for faults: of the schema, which must live as long */
    const mmb_binding *up;
    mmb_in_layout layout;
    uint32_t width;      /* bytes of a number or an offset, or what the layout says */
    bool has_dictionary; /* values are numbers of the values that `dictionary` reads */
    bool is_tag;         /* the tag of the union of the struct around it */
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

bool mmb__bind_fail(mmb_fault *fault, mmb_fault_kind kind, const mmb_binding *binding,
                    const char *format, ...);

#endif
