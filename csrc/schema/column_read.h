/* column_read.h - a list of a message into columns. */
#ifndef MMB_COLUMN_READ_H
#define MMB_COLUMN_READ_H

#include "column.h"
#include "read.h"

/* Append all elements of a span to the columns of a table: those of a list of structs
 * (`record` is their number in the plan) to the columns of their fields, those of another
 * list to the one column there is. Numbers of the message that lie side by side may be
 * borrowed, if `borrow` says so; the caller then keeps its memory. `*borrowed` is set.
 *
 * Errors: MMB_EMESSAGE with the flaw in the reading, ENOMEM. The columns are then of no
 * use any more. */
int mmb_columns_read(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                     const mmb_span *span, bool borrow, bool *borrowed);

/* Append some structs to the columns of their fields. Errors as above. When all were appended, the
 * columns are to be finished. */
int mmb_columns_add(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                    const mmb_record *records, uint32_t count);

#endif
