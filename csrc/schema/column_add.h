/* column_add.h - what the files that append to columns share. Private to column_*.c.
 *
 * A *batch* is some structs of a message, of which one field after the other is appended to a
 * column. All return 0, or an error as mmb_columns_read does. */
#ifndef MMB_COLUMN_ADD_H
#define MMB_COLUMN_ADD_H

#include "column_read.h"

enum { MMB__COLUMN_BATCH = 128 };

/* Structs of which some may not be there. */
typedef struct {
    mmb_record records[MMB__COLUMN_BATCH];
    bool there[MMB__COLUMN_BATCH];
    uint32_t count;
} mmb__batch;

/* Pointers, likewise. */
typedef struct {
    uint64_t word[MMB__COLUMN_BATCH];
    uint32_t segment[MMB__COLUMN_BATCH];
    bool there[MMB__COLUMN_BATCH];
    uint32_t count;
} mmb__pointers;

typedef struct {
    mmb_reading *reading;
    const mmb_plan *plan;
    const mmb_columns *columns;
} mmb__source;

static inline bool mmb__is_little_endian(void)
{
    const uint16_t probe = 1;
    return *(const unsigned char *)&probe == 1;
}

/* column_read.c: one value of a plain column, its bits or null; a field of some structs. */
int mmb__add_plain(mmb_column *column, uint64_t bits, bool valid);
int mmb__add_field(const mmb__source *s, mmb_column *column, const mmb__batch *rows);

/* column_unions.c: the active members of the structs that are `there`; NULL: all are. */
int mmb__add_union(const mmb__source *s, mmb_column *column, const mmb__batch *rows,
                   const bool *there);

/* column_views.c: Text and Data, and lists of numbers, that stay where they are. */
int mmb__add_views(const mmb__source *s, mmb_column *column, const mmb_plan_field *field,
                   const mmb__pointers *from);
int mmb__add_list_views(const mmb__source *s, mmb_column *column, const mmb__pointers *from);

#endif
