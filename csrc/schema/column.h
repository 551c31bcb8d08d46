/* column.h - a column: the values of one field, side by side, in the layout of Apache Arrow.
 *
 * A *column* has a length, bits that say which values are there, and values. The values are
 * numbers, bits, bytes with offsets, or other columns for the members of structs and the elements
 * of lists. A column also says what of a message it shows (its *subject*), so that
 * column_read.h can go through a message and append to it.
 *
 * *Columns* are the columns of one table. They are filled once and are constant from then on. They
 * count references: each exported array holds one, which any thread may drop.
 *
 * No function here may be called from a signal handler. */
#ifndef MMB_COLUMN_H
#define MMB_COLUMN_H

#include <stdatomic.h>

#include "arrow.h"
#include "plan.h"

/* How the values of a column are stored. */
typedef enum {
    MMB_LAY_NULL,
    MMB_LAY_BITS,
    MMB_LAY_NUMBERS,
    MMB_LAY_BYTES,
    MMB_LAY_LIST,
    MMB_LAY_STRUCT,
    MMB_LAY_NAMES,   /* numbers; the dictionary has the name of each */
    MMB_LAY_DECIMAL, /* two's complement of `width` bytes */
    MMB_LAY_UNION,   /* codes in `values`, and 32-bit offsets into the children */
    MMB_LAY_VIEWS,   /* 16 bytes each, which have the bytes, or refer to a window of the message */
    MMB_LAY_LIST_VIEW, /* 64-bit offsets and sizes; the elements are memory of the message */
} mmb_column_layout;

/* What of a message a column shows. */
typedef enum {
    MMB_FROM_FIELD,   /* a field of a struct */
    MMB_FROM_ELEMENT, /* an element of a list */
    MMB_FROM_TAG,     /* the tag of the union of a struct */
    MMB_FROM_GROUP,   /* the struct itself; the column shows some of its fields */
    MMB_FROM_UNION,   /* the union of a struct; the children are its members */
    MMB_FROM_NOTHING, /* nothing: all values are null */
} mmb_column_subject;

/* A condition: the column has a value only where the tag at `offset` has this value. */
typedef struct {
    uint32_t offset; /* in bits */
    uint32_t tag;
} mmb_condition;

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t size;
    uint64_t room;
} mmb_bytes;

typedef struct mmb_column {
    char *name;   /* owned */
    char *format; /* owned; the type as Arrow spells it */
    mmb_column_layout layout;
    mmb_column_subject subject;
    mmb_type_kind kind;  /* kind of the values */
    uint32_t number;     /* FROM_FIELD: number of the field */
    uint32_t record;     /* of a struct or group: its number in the plan */
    uint32_t tag_offset; /* FROM_TAG, FROM_UNION: in bits */
    uint32_t width;      /* LAY_DECIMAL: in bytes */
    uint32_t code;       /* of a member of a union: its tag, which is also its code in `values` */
    bool nullable;
    uint32_t condition_count;
    mmb_condition *conditions; /* owned */
    uint32_t child_count;
    struct mmb_column *children; /* owned */
    /* LAY_NAMES: owned array of names by number; NULL: no name. The plan owns the text. */
    const char **names;
    uint32_t name_count;

    uint64_t length;
    uint64_t null_count;
    mmb_bytes valid;   /* bits; empty as long as no value is null */
    mmb_bytes offsets; /* 8 bytes each; there is one more than values */
    mmb_bytes sizes;   /* 8 bytes each; LAY_LIST_VIEW; for LAY_VIEWS made at the end */
    mmb_bytes values;
    mmb_bytes own;                 /* LAY_VIEWS: bytes that are not in the message */
    const void *borrowed;          /* memory of the message, used instead of `values` */
    struct mmb_column *dictionary; /* owned; LAY_NAMES; made at the end */
} mmb_column;

/* A *window* is a part of a message that views refer to by its number. */
typedef struct {
    const unsigned char *start;
    uint64_t size;
} mmb_window;

typedef struct {
    mmb_column table;             /* LAY_STRUCT; its children are the columns */
    void (*let_go)(void *keeper); /* called when the columns are freed, if memory is borrowed */
    void *keeper;
    mmb_window *windows; /* owned; all windows of the message, if there are views */
    uint32_t window_count;
    _Atomic long references;
} mmb_columns;

/* mmb_columns_new makes empty columns with one reference. mmb_columns_drop drops a reference, and
 * frees the columns with the last one. */
mmb_columns *mmb_columns_new(void);
void mmb_columns_drop(mmb_columns *columns);

/* Give a column `count` children. The column is all zero before, and so are the children after.
 * Errors: ENOMEM. */
int mmb_column_add_children(mmb_column *column, uint32_t count);

/* Append bytes, or make room for more. Errors: ENOMEM. */
int mmb_bytes_reserve(mmb_bytes *bytes, uint64_t more);
int mmb_bytes_add(mmb_bytes *bytes, const void *from, uint64_t size);

/* Append whether the next value is there. The caller appends the value itself. */
int mmb_column_add_valid(mmb_column *column, bool valid);

/* Make the dictionaries, and the buffers that Arrow wants even for empty columns. Errors:
 * ENOMEM. */
int mmb_column_finish(mmb_column *column);

/* Make windows on the segments. Columns of views need them before they are read, and the caller
 * then keeps the memory as long as the columns live. Errors: ENOMEM. */
int mmb_columns_set_windows(mmb_columns *columns, const mmb_segment *segments, uint32_t count);

/* Export the columns. The schema is a copy; an array or a stream holds a reference to the
 * columns. Errors: ENOMEM. */
int mmb_columns_schema(const mmb_columns *columns, mmb_arrow_schema *out);
int mmb_columns_array(mmb_columns *columns, mmb_arrow_array *out);
int mmb_columns_stream(mmb_columns *columns, mmb_arrow_stream *out);

#endif
