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

#include "plan.h"
#include "tally.h"
#include "usage_path.h"

typedef struct mmb_usage mmb_usage;

/* The usage of messages whose roots are structs of type 0 of a plan, which must outlive it; NULL
 * for messages of which no schema is known: all is of one path. NULL if there is no memory. */
mmb_usage *mmb_usage_new(const mmb_plan *plan);
void mmb_usage_free(mmb_usage *usage);

/* Add a message. Its bytes are checked as they are read, and may change meanwhile. Time is
 * bounded by its words, memory by a 64th of them and 128 MiB. Where it contradicts the schema,
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
const mmb_tally *mmb_usage_tally(const mmb_usage *usage);

#endif
