/* usage.h - the usage of messages: what takes how many bytes, by the path of fields.
 *
 * A *usage* is a tree of *paths*. A path stands for a field, the elements of a list, the tag of a
 * union, or what the schema does not know. Each byte of a message is counted once, at one path,
 * even if many pointers lead to it. Bytes that no pointer leads to are counted apart. So all sums
 * together are the bytes of the segments, whatever these hold.
 *
 * A struct within a struct of the same type is counted at the outermost path, so that the tree is
 * finite.
 *
 * A usage belongs to one thread. No function here may be called from a signal handler. */
#ifndef MMB_USAGE_H
#define MMB_USAGE_H

#include "plan.h"
#include "tally.h"
#include "usage_path.h"

typedef struct mmb_usage mmb_usage;

/* Make a usage for messages whose roots are structs of type 0 of a plan; the plan must outlive
 * the usage. With NULL no schema is known, and all bytes are counted at one path. Return NULL if
 * there is no memory. */
mmb_usage *mmb_usage_new(const mmb_plan *plan);
void mmb_usage_free(mmb_usage *usage);

/* Add a message. Its bytes are checked as they are read, and may change meanwhile. The time is
 * bounded by its words, the memory by a 64th of them plus 128 MiB. If the message contradicts
 * the schema, that is a flaw. Errors: MMB_EMESSAGE with the flaw, EINTR, ENOMEM. After an error
 * the usage can only be freed. */
int mmb_usage_add(mmb_usage *usage, const mmb_segment *segments, uint32_t count,
                  const mmb_interrupt *interrupt, mmb_flaw *flaw);

/* Add messages that lie back to back, each with its table. `*done` becomes how many were added.
 * Bytes of the tables are not counted at any path. */
int mmb_usage_add_frames(mmb_usage *usage, const unsigned char *frames, uint64_t bytes,
                         uint64_t *done, const mmb_interrupt *interrupt, mmb_flaw *flaw);

mmb_usage_totals mmb_usage_sum(const mmb_usage *usage);

/* Return the number of paths. Store all of them in `out`. */
uint32_t mmb_usage_count(const mmb_usage *usage);
void mmb_usage_paths(const mmb_usage *usage, mmb_usage_path *out);

/* Return which words of the last message a pointer leads to. */
const mmb_tally *mmb_usage_tally(const mmb_usage *usage);

#endif
