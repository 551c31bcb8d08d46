/* usage.h - the usage of messages: what takes how many bytes, by the path of fields.
 *
 * A *usage* is a tree of *paths*, each a field, the elements of a list, the tag of a union, or
 * what the schema does not know. Each byte of a message is counted at one path, and once, even
 * if many pointers lead to it; what nothing leads to is counted apart. So all sums together
 * are the bytes of the segments, whatever these hold.
 *
 * A struct within itself is counted at its outermost path, so that the tree ends.
 *
 * A usage belongs to one thread. No function here may be called from a signal handler.
 */
#ifndef MMB_USAGE_H
#define MMB_USAGE_H

#include "marks.h"
#include "plan.h"

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

typedef struct mmb_usage mmb_usage;

/* The usage of messages whose roots are structs of type 0 of a plan, which must outlive it; NULL
 * for messages of which no schema is known: all is of one path. NULL if there is no memory. */
mmb_usage *mmb_usage_new(const mmb_plan *plan);
void mmb_usage_free(mmb_usage *usage);

/* Add a message. Its bytes are checked as they are read, and may change meanwhile. Time is
 * bounded by its words, memory by some 64th of them and 100 MiB. Where it contradicts the schema,
 * that is a flaw.
 * Errors: MMB_EMESSAGE with the flaw, EINTR, ENOMEM; the usage is then good for nothing more. */
int mmb_usage_add(mmb_usage *usage, const mmb_segment *segments, uint32_t count,
                  const mmb_interrupt *interrupt, mmb_flaw *flaw);

/* The same for messages that lie back to back, each with its table; `*done` is how many were
 * added. Bytes of the tables are not counted at any path. */
int mmb_usage_add_frames(mmb_usage *usage, const unsigned char *frames, uint64_t bytes,
                         uint64_t *done, const mmb_interrupt *interrupt, mmb_flaw *flaw);

typedef struct {
    uint64_t words;       /* of all segments */
    uint64_t unreachable; /* words that nothing leads to */
    uint64_t overlaps;    /* pointers to what was counted already, or in part */
} mmb_usage_totals;

mmb_usage_totals mmb_usage_sum(const mmb_usage *usage);

/* The number of paths, and all of them, to `out`. */
uint32_t mmb_usage_count(const mmb_usage *usage);
void mmb_usage_paths(const mmb_usage *usage, mmb_usage_path *out);

/* Which words of the last message something leads to. */
const mmb_marks *mmb_usage_marks(const mmb_usage *usage);

#endif
