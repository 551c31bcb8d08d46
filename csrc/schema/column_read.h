/* column_read.h - reads a list of a message into columns. */
#ifndef MMB_COLUMN_READ_H
#define MMB_COLUMN_READ_H

#include "column.h"
#include "read.h"

/* Append all elements of a span to the columns of a table. Elements of a list of structs (`record`
 * is the number of the struct in the plan) go to the columns of their fields. Elements of another
 * list go to its only column. If `borrow` is true, numbers that lie side by side may be borrowed.
 * Then `*borrowed` becomes true, and the caller keeps the memory of the message.
 *
 * Errors: MMB_EMESSAGE with the flaw in the reading, ENOMEM. The columns are of no use after an
 * error. */
int mmb_columns_read(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                     const mmb_span *span, bool borrow, bool *borrowed);

#endif
