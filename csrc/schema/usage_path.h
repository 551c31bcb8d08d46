/* usage_path.h - what a usage tells: its sums, and the bytes of each path. See usage.h. */
#ifndef MMB_USAGE_PATH_H
#define MMB_USAGE_PATH_H

#include <stdint.h>

typedef struct {
    uint64_t words;       /* words of all segments */
    uint64_t unreachable; /* words that no pointer leads to */
    uint64_t overlaps;    /* pointers to objects that were counted already, at least in part */
} mmb_usage_totals;

typedef enum {
    MMB_PATH_ROOT,
    MMB_PATH_FIELD,
    MMB_PATH_ELEMENTS, /* the elements of the parent, which is a list */
    MMB_PATH_TAG,      /* the tag of the union in the parent, which is a struct or group */
    /* Bytes of the parent, a struct, that belong to no field of the schema, or to a field that is
       not the active member of its union. */
    MMB_PATH_OTHER,
} mmb_path_kind;

/* One path. `count` counts values; the numbers below it are in bytes. */
typedef struct {
    mmb_path_kind kind;
    uint32_t parent;   /* number of the parent's path; 0 for the root */
    uint32_t field;    /* number of a field in the plan; MMB_NONE if the path is no field */
    uint64_t count;    /* values: numbers that are there, pointers that are not null */
    uint64_t data;     /* numbers, and the bytes of Data */
    uint64_t pointers; /* pointers, and the tags of lists of structs */
    uint64_t text;     /* bytes of Text without its terminator */
    uint64_t padding;
    uint64_t far; /* landing pads */
} mmb_usage_path;

#endif
