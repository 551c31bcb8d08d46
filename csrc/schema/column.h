/* column.h - a column: the values of one field, side by side, as Apache Arrow lays them.
 *
 * A *column* has a length, bits that say which values are there, and values: numbers, bits,
 * bytes with offsets, or other columns for the members of structs and the elements of
 * lists. It says where its values come from in a message, too (its *source*), so that
 * column_read.h can go through a message and append to it.
 *
 * *Columns* are those of one table. They are filled once and constant from then on, and
 * counted: each array that was exported holds one reference, which any thread may drop.
 *
 * No function here may be called from a signal handler.
 */
#ifndef MMB_COLUMN_H
#define MMB_COLUMN_H

#include <stdatomic.h>

#include "arrow.h"
#include "plan.h"

/* How values lie. */
typedef enum {
    MMB_LAY_NULL,
    MMB_LAY_BITS,
    MMB_LAY_NUMBERS,
    MMB_LAY_BYTES,
    MMB_LAY_LIST,
    MMB_LAY_STRUCT,
    MMB_LAY_NAMES,     /* numbers of names, which the dictionary has */
    MMB_LAY_DECIMAL,   /* two's complement of `width` bytes */
    MMB_LAY_UNION,     /* codes in `values`, and 32-bit offsets into the children */
    MMB_LAY_VIEWS,     /* 16 bytes each, which hold bytes or refer to a window of the message */
    MMB_LAY_LIST_VIEW, /* 64-bit offsets and sizes; elements are memory of the message */
} mmb_column_layout;

/* Where they come from. */
typedef enum {
    MMB_FROM_FIELD,   /* of a struct */
    MMB_FROM_ELEMENT, /* of a list */
    MMB_FROM_TAG,     /* of a union of the struct */
    MMB_FROM_GROUP,   /* the struct itself, of which this shows some fields */
    MMB_FROM_UNION,   /* likewise: its union, of which the children are the members */
    MMB_FROM_NOTHING, /* nowhere: all values are null */
} mmb_column_source;

/* A tag that must have a value for the column to have one. */
typedef struct {
    uint32_t offset; /* bits */
    uint32_t tag;
} mmb_condition;

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t size;
    uint64_t room;
} mmb_bytes;

typedef struct mmb_column {
    char *name;   /* owned */
    char *format; /* owned; as Arrow spells types */
    mmb_column_layout layout;
    mmb_column_source source;
    mmb_type_kind kind;  /* of the values */
    uint32_t number;     /* FROM_FIELD: of the field */
    uint32_t record;     /* a struct's, or a group's: number in the plan */
    uint32_t tag_offset; /* FROM_TAG, FROM_UNION: bits */
    uint32_t width;      /* LAY_DECIMAL: bytes */
    uint32_t code;       /* of a union's member: its tag, and what stands for it in `values` */
    bool nullable;
    uint32_t condition_count;
    mmb_condition *conditions; /* owned */
    uint32_t child_count;
    struct mmb_column *children; /* owned */
    const char **names; /* owned array: of LAY_NAMES, by number; NULL: none. The plan's text */
    uint32_t name_count;

    uint64_t length;
    uint64_t null_count;
    mmb_bytes valid;   /* bits; nothing as long as there is no null */
    mmb_bytes offsets; /* of 8 bytes: one more than values */
    mmb_bytes sizes;   /* of LAY_LIST_VIEW: of 8 bytes; of LAY_VIEWS, made at the end */
    mmb_bytes values;
    mmb_bytes own;                 /* of LAY_VIEWS: bytes that the message does not have */
    const void *borrowed;          /* instead of values: memory of the message */
    struct mmb_column *dictionary; /* owned; of LAY_NAMES, made at the end */
} mmb_column;

/* A *window* is a part of a message that views refer to by its number. */
typedef struct {
    const unsigned char *start;
    uint64_t size;
} mmb_window;

typedef struct {
    mmb_column table;             /* LAY_STRUCT: the columns are its children */
    void (*let_go)(void *keeper); /* called when the columns go, if something is borrowed */
    void *keeper;
    mmb_window *windows; /* owned: all there are, if columns are views */
    uint32_t window_count;
    _Atomic long references;
} mmb_columns;

/* Columns with one reference and nothing in them, and the end of a reference. */
mmb_columns *mmb_columns_new(void);
void mmb_columns_drop(mmb_columns *columns);

/* Give a column, all zero, `count` children, all zero as well. Errors: ENOMEM. */
int mmb_column_add_children(mmb_column *column, uint32_t count);

/* Append to what grows. Errors: ENOMEM. */
int mmb_bytes_reserve(mmb_bytes *bytes, uint64_t more);
int mmb_bytes_add(mmb_bytes *bytes, const void *from, uint64_t size);

/* Append whether the next value is there; the value is to be appended by the caller. */
int mmb_column_add_valid(mmb_column *column, bool valid);

/* Make the dictionaries, and what Arrow wants even of empty columns. Errors: ENOMEM. */
int mmb_column_finish(mmb_column *column);

/* Have windows on the segments, which columns of views need before they are read; the caller
 * keeps the memory then, as long as the columns live. Errors: ENOMEM. */
int mmb_columns_set_windows(mmb_columns *columns, const mmb_segment *segments, uint32_t count);

/* Export. The schema is a copy; an array or a stream holds a reference of the columns.
 * Errors: ENOMEM. */
int mmb_columns_schema(const mmb_columns *columns, mmb_arrow_schema *out);
int mmb_columns_array(mmb_columns *columns, mmb_arrow_array *out);
int mmb_columns_stream(mmb_columns *columns, mmb_arrow_stream *out);

#endif
