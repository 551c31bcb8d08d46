/* rows_in.h - a stager, which puts Python's values into a stage.
 *
 * A *stager* goes through rows, calls the code that their values have, and writes the results into
 * a stage. It does not touch a message. It holds a reference of its own to each value that it looks
 * at, since such code can change the container of the value. */
#ifndef MMBPY_ROWS_IN_H
#define MMBPY_ROWS_IN_H

#include "plan_type.h"
#include "stage.h"

/* Where the stager is, for error texts: a field, or an element of a list. */
typedef struct mmbpy_step {
    const struct mmbpy_step *up;
    PyObject *name; /* borrowed; NULL: the step is an element */
    Py_ssize_t index;
} mmbpy_step;

/* How an attribute is read without running code of Python. */
typedef enum {
    MMBPY_FROM_OBJECT, /* by a search: the object or its class has it */
    MMBPY_FROM_SLOT,
    MMBPY_FROM_ITEM, /* the object is a named tuple */
} mmbpy_row_access;

/* An attribute of a class whose objects are rows. */
typedef struct {
    uint32_t field; /* number of the field that it is for */
    mmbpy_row_access access;
    PyObject *name;   /* owned */
    PyObject *slot;   /* owned; the descriptor of a slot, or NULL */
    Py_ssize_t index; /* of an item */
} mmbpy_row_attribute;

/* What the stager knows of a class whose objects are rows. */
typedef struct {
    PyTypeObject *type; /* owned; NULL: nothing is known yet */
    bool says;          /* the class itself says which fields it has */
    bool runs_code;     /* reading an attribute may run code of Python */
    /* What code_runs of the stager was when it was looked up how attributes are read. If it is
     * another number now, code has run that may have changed the class: then attributes are read by
     * a search, which always finds what is there. */
    uint64_t looked_up_at;
    uint32_t count;
    mmbpy_row_attribute *attributes; /* owned */
    PyObject *unset;   /* owned; the value that stands for none; NULL: there is none */
    PyObject *as_dict; /* owned; makes a dict of an object of pycapnp; NULL for other classes */
} mmbpy_row_class;

typedef struct {
    const mmbpy_plan *self;
    const mmb_plan *plan;
    mmbpy_state *state;
    mmb_stage *stage;
    PyObject *describe;  /* gives the names of a class's fields, None, or what makes dicts of its
                          * objects; borrowed */
    PyObject *make_file; /* makes the file of a stage; borrowed */
    mmbpy_row_class *classes; /* owned: one for each struct of the plan; NULL before the first */
    uint32_t *order;          /* owned; the fields of a tuple that is a row; NULL: all */
    uint32_t order_count;
    bool ignores_extra;      /* a value for which the schema has no field is no error */
    bool can_ignore_extra;   /* the call that gave the values has an option for that */
    bool wants_all;          /* a missing value is an error */
    bool refuses_none;       /* None for a number is an error */
    bool elements_take_none; /* None for a number in a list is no error */
    bool writes_parts;       /* only what is written replaces values of existing rows */
    bool is_simple;          /* values that run no code may be written in a faster way */
    uint64_t wasted;         /* words that were written in the faster way, and had to be written
                              * again */
    uint32_t rows_alone;     /* so many rows are written one by one before a block is tried */
    uint32_t pause;          /* rows_alone after the last block that was no success */
    uint64_t code_runs;      /* counts when code of Python may have run */
    uint32_t depth;
    const mmbpy_step *step;
} mmbpy_stager;

/* What is known of the union of a struct that is being written. */
typedef struct {
    uint32_t chosen;      /* the active field; MMB_NONE: it is not known yet */
    uint32_t nulls;       /* how many members were given as None */
    uint32_t null_member; /* the last of them */
    uint32_t void_member; /* the first of them that is Void; MMB_NONE: none is */
} mmbpy_union;

#define MMBPY_NO_UNION ((mmbpy_union){MMB_NONE, 0, MMB_NONE, MMB_NONE})

/* Note that a member of the union was given as None. */
static inline void mmbpy_note_null(const mmbpy_stager *w, mmbpy_union *state, uint32_t number)
{
    state->nulls++;
    state->null_member = number;
    if (state->void_member == MMB_NONE &&
        w->plan->types[w->plan->fields[number].type].kind == MMB_VOID) {
        state->void_member = number;
    }
}

/* Values of a row that are left for the general way. It holds a reference to each. */
enum { MMBPY_MOST_PUT_OFF = 16 };
typedef struct {
    uint32_t count;
    uint32_t fields[MMBPY_MOST_PUT_OFF];
    PyObject *values[MMBPY_MOST_PUT_OFF];
} mmbpy_put_off;

/* A struct that is being written: its first word, and the size of its data section. */
typedef struct {
    uint64_t place;
    uint32_t data_words;
} mmbpy_target;

/* All functions return false with an exception on an error, unless they say otherwise.
 *
 * rows_errors.c: */

/* Raise `kind` with the place of the stager before the text. Always return false. */
bool mmbpy_stager_fail(const mmbpy_stager *w, PyObject *kind, const char *format, ...);

/* Raise an error of the stage with the place of the stager. Always return false. */
bool mmbpy_stager_fail_stage(const mmbpy_stager *w, int error);

/* Set which fields tuples have that are rows, by their names; None means all. mmbpy_stager_end
 * gives up what the stager has learnt and kept. (stage_make.c) */
bool mmbpy_stager_set_order(mmbpy_stager *w, uint32_t type, PyObject *fields);
void mmbpy_stager_end(mmbpy_stager *w);

/* rows_in.c: write one struct from a dict, a tuple or an object. */
bool mmbpy_write_record(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *value);

/* rows_in.c: what each way to write a struct is made of. Find the number of the field with a name,
 * or MMB_NONE (-1: an exception). Put a value in a field, or in the union that it is in; finish the
 * union when all values are in. Say what follows from a name that is no field, and from a field
 * without a value. */
int mmbpy_row_field(const mmbpy_stager *w, uint32_t type, PyObject *name, uint32_t *number);
bool mmbpy_row_put(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                   uint32_t number, PyObject *value, mmbpy_union *state);
bool mmbpy_row_finish_union(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                            mmbpy_union *state);
bool mmbpy_write_dict(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *dict);
bool mmbpy_row_unknown(const mmbpy_stager *w, PyObject *name);
bool mmbpy_row_missing(const mmbpy_stager *w, uint32_t number);

/* rows_objects.c: write one struct from an object. mmbpy_write_object does not need the class to be
 * known. mmbpy_know_class returns what is known if objects of that class were such rows before, and
 * no code of Python ran when their attributes were read; otherwise NULL, without an exception. */
bool mmbpy_write_object(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *value);
const mmbpy_row_class *mmbpy_know_class(const mmbpy_stager *w, uint32_t number, PyObject *value);
void mmbpy_forget_class(mmbpy_row_class *known);

/* Read an attribute of an object whose class is known: a new reference, or NULL with an
 * exception. It is read as `access` says; by a search if the class may have changed. */
static inline PyObject *mmbpy_read_known(const mmbpy_row_class *known, descrgetfunc read_slot,
                                         const mmbpy_row_attribute *attribute,
                                         mmbpy_row_access access, PyObject *object)
{
    switch (access) {
    case MMBPY_FROM_SLOT:
        return read_slot(attribute->slot, object, (PyObject *)known->type);
    case MMBPY_FROM_ITEM:
        return Py_XNewRef(PyTuple_GetItem(object, attribute->index));
    default:
        return PyObject_GenericGetAttr(object, attribute->name);
    }
}

/* meanings.c: return the int or bytes to store for a value whose type has a meaning. A new
 * reference. */
PyObject *mmbpy_stored_of(const mmbpy_stager *w, const mmb_plan_type *type, PyObject *value);

/* mappings_in.c: return a mapping, or a struct of NumPy, as a dict. A new reference; NULL
 * without an exception if the value is neither. */
PyObject *mmbpy_as_dict(PyObject *value);

/* rows_simple.c. These functions return false with an exception on an error, and false without one
 * if the general way has to do the work; then nothing was done. mmbpy_put_simple stores a value
 * that is not None in a field outside its union. The other one writes all values of a dict, a tuple
 * or an object into a struct that is all zeros. It leaves some values to `later`; if it does, the
 * caller also finishes the union. */
bool mmbpy_put_simple(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field,
                      PyObject *value);
bool mmbpy_put_simple_row(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *row,
                          mmbpy_union *state, mmbpy_put_off *later);

/* Put a value, which may be None, in a field that is no group, or in the union that it is in. */
bool mmbpy_put_simple_field(mmbpy_stager *w, mmbpy_target target, uint32_t type, uint32_t number,
                            PyObject *value, mmbpy_union *state);

/* Write all values of a call by keywords. Return false also if a value would have to be left for
 * later. */
bool mmbpy_put_simple_keywords(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *names,
                               PyObject *const *values);

/* Return the number of the field that a key names; MMB_NONE if it names none, or is no plain
 * str. */
uint32_t mmbpy_field_of_simple_key(const mmbpy_stager *w, uint32_t type, PyObject *key);

/* rows_blocks.c: add the first of these rows to the stage, if the struct is flat: as many as are
 * simple and have the same fields. Return how many these are. With 0 nothing was done, and there
 * may be an exception. */
enum { MMBPY_BLOCK_ROWS = 32 };
uint32_t mmbpy_put_simple_rows(mmbpy_stager *w, uint32_t type, PyObject *const *rows,
                               uint32_t count);

/* lists_in.c: write a value that is not None for the pointer at a place. */
bool mmbpy_write_pointer(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                         PyObject *value);

/* values_in.c: find the bits of a number, Bool or enum; write Text or Data for the pointer at a
 * place; write elements of a list from a buffer (1: done, 0: it is no such buffer, -1: an
 * exception). */
bool mmbpy_number_bits(const mmbpy_stager *w, const mmb_plan_type *type, PyObject *value,
                       uint64_t *bits);
bool mmbpy_write_bytes(mmbpy_stager *w, uint64_t pointer, bool text, PyObject *value);
int mmbpy_write_buffer(mmbpy_stager *w, uint64_t pointer, mmb_type_kind element, PyObject *value);

/* Return the name of an object's type, for error texts; a new reference, or NULL. */
PyObject *mmbpy_type_name(PyObject *value);

#endif
