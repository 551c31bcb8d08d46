/* column_roots.h - reads the roots of many messages into columns. */
#ifndef MMB_COLUMN_ROOTS_H
#define MMB_COLUMN_ROOTS_H

#include "column.h"
#include "roots.h"

/* Append the roots of messages to the columns of their fields. Errors: MMB_EMESSAGE with the
 * number and the flaw in `roots`, ENOMEM. The columns are of no use after an error. */
int mmb_columns_read_roots(mmb_roots *roots, const mmb_plan *plan, mmb_columns *columns);

#endif
