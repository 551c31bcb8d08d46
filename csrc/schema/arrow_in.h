/* arrow_in.h - arrays of the Arrow C data interface into a stage.
 *
 * Rows are staged in ranges in which each column is one array; a binding says what the
 * columns are for.
 *
 * The arrays are checked as they are read: offsets must be in order and within the child
 * that they refer to, children as long as their parents need, numbers of names within
 * their dictionary. What Arrow does not tell is how long a buffer is: whoever made an
 * array answers for that.
 *
 * No function here may be called from a signal handler.
 */
#ifndef MMB_ARROW_IN_H
#define MMB_ARROW_IN_H

#include "arrow_bind.h"
#include "stage.h"

/* Stage `count` rows: part i is that of column i. Where numbers are missing, which is an error
 * unless `defaults`, rows get their defaults. False with the fault set. */
bool mmb_stage_arrow_rows(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          const mmb_arrow_part *parts, uint64_t count, bool defaults,
                          mmb_fault *fault);

/* Stage a list of `count` elements for the pointer at a place, from several parts. */
bool mmb_stage_arrow_list(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          uint64_t pointer, const mmb_arrow_part *parts, const uint64_t *lengths,
                          uint32_t part_count, bool defaults, mmb_fault *fault);

/* Let the stage replace, of rows that are there, only what the columns are for. */
bool mmb_stage_mask_columns(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding);

#endif
