/* column_add.h - shared by the files that append to columns. Private to column_*.c.
 *
 * A *batch* is a number of structs of a message. Their fields are appended to columns one after the
 * other. All functions return 0, or an error as mmb_columns_read does. */
#ifndef MMB_COLUMN_ADD_H
#define MMB_COLUMN_ADD_H

#include "column.h"
#include "read.h"

enum { MMB__COLUMN_BATCH = 128 };

/* Structs of a batch. Some of them may not be there. */
typedef struct {
    mmb_record records[MMB__COLUMN_BATCH];
    bool there[MMB__COLUMN_BATCH];
    uint32_t count;
} mmb__batch;

/* Pointers of a batch. Some of them may not be there. */
typedef struct {
    uint64_t word[MMB__COLUMN_BATCH];
    uint32_t segment[MMB__COLUMN_BATCH];
    bool there[MMB__COLUMN_BATCH];
    uint32_t count;
} mmb__pointers;

typedef struct mmb__columns_context {
    mmb_reading *reading;
    const mmb_plan *plan;
    const mmb_columns *columns;
    /* Append a field of some structs, or a list. column_read.c sets these two, since files below it
     * need them. */
    int (*add_field)(const struct mmb__columns_context *, mmb_column *, const mmb__batch *);
    int (*add_span)(const struct mmb__columns_context *, mmb_column *, const mmb_span *);
} mmb__columns_context;

static inline uint32_t mmb__bytes_of(mmb_type_kind kind)
{
    return mmb_kind_bits(kind) / 8;
}

/* Write a number behind the values, in the machine's byte order. The caller has made room. */
static inline void mmb__push_number(mmb_column *column, uint64_t bits, uint32_t size)
{
    mmb_store_native(column->values.bytes + column->values.size, bits, size);
    column->values.size += size;
}

/* column_read.c: append some structs to the columns of their fields. The caller finishes the
 * columns when all structs are appended. */
int mmb_columns_add(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                    const mmb__batch *rows);

/* column_plain.c: append one value of a plain column: its bits, or null. */
int mmb__add_plain(mmb_column *column, uint64_t bits, bool valid);

/* column_lists.c: find the Text or Data of pointer `i`, or the default of its field; `*start`
 * becomes NULL if there is neither. */
int mmb__find_bytes(const mmb__columns_context *s, const mmb_column *column,
                    const mmb_plan_field *field, const mmb__pointers *from, uint32_t i,
                    const unsigned char **start, uint64_t *length);

/* column_lists.c: append copies of Text, Data and lists. */
int mmb__add_bytes(const mmb__columns_context *s, mmb_column *column, const mmb_plan_field *field,
                   const mmb__pointers *from);
int mmb__add_lists(const mmb__columns_context *s, mmb_column *column, const mmb__pointers *from);

/* column_unions.c: append the active members of the structs that are `there`; of all if it is
 * NULL. */
int mmb__add_union(const mmb__columns_context *s, mmb_column *column, const mmb__batch *rows,
                   const bool *there);

/* column_views.c: append views of Text, Data and lists of numbers, which stay where they are. */
int mmb__add_views(const mmb__columns_context *s, mmb_column *column, const mmb_plan_field *field,
                   const mmb__pointers *from);
int mmb__add_list_views(const mmb__columns_context *s, mmb_column *column,
                        const mmb__pointers *from);

#endif
