/* usage_path.h - a path of a usage, with what was counted there. See usage.h. */
#ifndef MMB_USAGE_PATH_H
#define MMB_USAGE_PATH_H

#include <stdint.h>

typedef enum {
    MMB_PATH_ROOT,
    MMB_PATH_FIELD,
    MMB_PATH_ELEMENTS, /* of the list that the parent is */
    MMB_PATH_TAG,      /* of the union in the struct or group that the parent is */
    MMB_PATH_OTHER,    /* what lies in the struct that the parent is, but in no field of the schema,
                        * or in one that is not the active member of its union */
} mmb_path_kind;

/* One path, all numbers but the first in bytes. */
typedef struct {
    mmb_path_kind kind;
    uint32_t parent;   /* number of a path; 0 for the root */
    uint32_t field;    /* number in the plan; MMB_NONE for what is no field */
    uint64_t count;    /* values: numbers that are there, pointers that are not null */
    uint64_t data;     /* numbers, and bytes of Data */
    uint64_t pointers; /* pointers, and the tags of lists of structs */
    uint64_t text;     /* of Text, without its terminator */
    uint64_t padding;
    uint64_t far; /* landing pads */
} mmb_usage_path;

#endif
