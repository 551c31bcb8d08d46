/* stage_arrow.h - tables of Arrow, a range of rows at a time. */
#ifndef MMBPY_STAGE_ARROW_H
#define MMBPY_STAGE_ARROW_H

#include "stage.h"
#include "state.h"

/* Takes rows that were converted. False with an exception: that is the end. Any code may run. */
typedef bool mmbpy_rows_sink(void *context, const mmb_stage *stage);

/* Convert rows of a table, given as Plan.stage_arrow takes it, for the struct that is type 0 of the
 * plan, `most` at a time. Numbers may be missing. False with an exception. */
bool mmbpy_arrow_each(mmbpy_state *state, const mmb_plan *plan, PyObject *list, uint64_t most,
                      mmbpy_rows_sink *sink, void *context);

#endif
