/* stage_arrow.h - converts tables of Arrow, some rows at a time. */
#ifndef MMBPY_STAGE_ARROW_H
#define MMBPY_STAGE_ARROW_H

#include "stage.h"
#include "state.h"

/* Takes converted rows. It may run any code. It returns false with an exception to stop. */
typedef bool mmbpy_rows_sink(void *context, const mmb_stage *stage);

/* Convert rows of a table for the struct that is type 0 of the plan, at most `most` at a time.
 * `list` and `defaults` are as Plan.stage_arrow takes them. Return false with an exception. */
bool mmbpy_arrow_each(mmbpy_state *state, const mmb_plan *plan, PyObject *list, bool defaults,
                      uint64_t most, mmbpy_rows_sink *sink, void *context);

#endif
