/* row_reader.h - a row reader, which makes Python's dicts, tuples and objects of structs.
 *
 * A *row reader* follows pointers from a place of a message, and makes an object of each struct
 * that it reaches. No code of others runs while bytes of the message are looked at. The only
 * exception is a class of the caller, which makes the object of a row: it runs between two rows. */
#ifndef MMBPY_ROW_READER_H
#define MMBPY_ROW_READER_H

#include "plan_type.h"

/* What a struct becomes. For the first two kinds, structs inside it become the same kind. */
typedef enum {
    MMBPY_AS_DICT,   /* a key for each field that is set, as in pycapnp's to_dict() */
    MMBPY_AS_TUPLE,  /* a value for each field; None if it is not set */
    MMBPY_AS_OBJECT, /* keywords for a class, a value for each field; structs inside become dicts */
} mmbpy_row_style;

/* A field whose default is being read, since its pointer is null. */
typedef struct mmbpy_default_use {
    const struct mmbpy_default_use *up; /* the default that this one is in */
    const mmb_plan_field *field;
} mmbpy_default_use;

typedef struct {
    const mmbpy_plan *self;
    const mmb_plan *plan;
    mmbpy_state *state;
    mmb_reading reading;
    const mmbpy_default_use *uses; /* the innermost default that is being read; NULL: none is */
    mmbpy_row_style style;
    PyObject *class;             /* for MMBPY_AS_OBJECT; borrowed */
    PyObject *fields;            /* set of the names that `class` takes; NULL: all; borrowed */
    uint32_t depth;              /* how many structs and lists are around the present place */
    uint32_t absent;             /* how many of these structs are not there */
    const mmb_plan_field *field; /* the last one that was read; NULL: none was */
    /* Owned set of the names of fields that are set but cannot be shown; NULL: there is none. */
    PyObject *left_out;
} mmbpy_row_reader;

/* Begin to read by a plan. The caller starts `reading` with the segments. `fields` may be None.
 * Return false with an exception on an error. */
bool mmbpy_row_reader_start(mmbpy_row_reader *r, PyObject *plan, int style, PyObject *class,
                            PyObject *fields);

/* Return what the pointer at a place leads to; of a list, the elements from `start` to `stop`,
 * which are limited as in slices. */
PyObject *mmbpy_row_reader_target(mmbpy_row_reader *r, const mmb_plan_type *type, uint32_t segment,
                                  uint64_t word, long long start, long long stop);

/* Return the root of the message, which is of the plan's first type. */
PyObject *mmbpy_row_reader_root(mmbpy_row_reader *r);

/* Raise a flaw of the message at a place. Return NULL. */
PyObject *mmbpy_row_reader_fail(mmbpy_row_reader *r, uint32_t segment, uint64_t word,
                                const char *reason);

/* Return `value`, and the names of the fields that were left out or None. This takes the reference
 * to `value` over, which may be NULL with an exception. */
PyObject *mmbpy_row_reader_end(mmbpy_row_reader *r, PyObject *value);

#endif
