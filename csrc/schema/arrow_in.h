/* arrow_in.h - writes arrays of the Arrow C data interface into a stage.
 *
 * Rows are staged in ranges. In a range each column is one array, and a binding says for which
 * fields the columns are.
 *
 * Arrays are checked as they are read: offsets must be in order and within the child that they
 * refer to, children must be as long as their parents need, and numbers of names must lie within
 * their dictionary. Arrow does not tell how long a buffer is: the producer of an array must make
 * sure that it is long enough.
 *
 * No function here may be called from a signal handler. */
#ifndef MMB_ARROW_IN_H
#define MMB_ARROW_IN_H

#include "arrow_bind.h"
#include "stage.h"

/* Stage `count` rows: part i is the part of column i. A missing number is an error unless
 * `defaults` is true; then the row gets the default. Return false with the refusal set on an
 * error. */
bool mmb_stage_arrow_rows(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          const mmb_arrow_part *parts, uint64_t count, bool defaults,
                          mmb_refusal *refusal);

/* Stage `count` elements of a list of pointers, as rows. The result is as above. */
bool mmb_stage_arrow_pointers(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                              const mmb_arrow_part *part, uint64_t count, bool defaults,
                              mmb_refusal *refusal);

/* Stage a list of `count` elements from several parts, for the pointer at a place. */
bool mmb_stage_arrow_list(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          uint64_t pointer, const mmb_arrow_part *parts, const uint64_t *lengths,
                          uint32_t part_count, bool defaults, mmb_refusal *refusal);

/* Let the stage replace only the fields that have columns, in rows that are in the message
 * already. */
bool mmb_stage_mask_columns(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding);

#endif
