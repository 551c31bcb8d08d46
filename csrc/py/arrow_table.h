/* arrow_table.h - tables and columns of Arrow that are to be staged.
 *
 * A *table* is here what a caller gave, column by column. Its columns have one length, but may come
 * in parts, and the parts of one may end elsewhere than those of others. */
#ifndef MMBPY_ARROW_TABLE_H
#define MMBPY_ARROW_TABLE_H

#include "arrow_in.h"
#include "arrow_take.h"
#include "state.h"

/* An input: one column, or a table of several. */
typedef struct {
    mmbpy_arrow arrow;
    bool is_table; /* the columns are children of its arrays */
} mmbpy_arrow_input;

/* A column, which comes in parts: from which input, and which child of its arrays. */
typedef struct {
    mmb_arrow_schema schema; /* copy of the input's schema with a name; it owns nothing */
    const mmbpy_arrow_input *from;
    int64_t child; /* -1: the arrays themselves are the column */
    uint32_t part; /* number of the present part */
    uint64_t done; /* rows of this part that were staged */
} mmbpy_arrow_column;

typedef struct {
    mmbpy_arrow_input *inputs;
    mmbpy_arrow_column *columns;
    Py_ssize_t input_count;
    uint32_t column_count;
    uint64_t rows;
    bool defaults; /* a missing number becomes the default */
} mmbpy_arrow_table;

/* Take all items of a list of (name or None for a table, capsule or pair of capsules). Return false
 * with an exception. The caller zeroes the table first, and always lets it go. */
bool mmbpy_table_take(mmbpy_arrow_table *table, PyObject *list);
void mmbpy_table_let_go(mmbpy_arrow_table *table);

/* Find the next rows, at most `most`, in which each column is one array: where in `parts`. Return
 * how many there are. mmbpy_table_pass goes on behind them. */
uint64_t mmbpy_table_next(mmbpy_arrow_table *table, uint64_t most, mmb_arrow_part *parts);
void mmbpy_table_pass(mmbpy_arrow_table *table, uint64_t rows);

#endif
