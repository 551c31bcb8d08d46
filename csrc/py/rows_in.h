/* rows_in.h - a writer: Python's values on their way into a stage.
 *
 * A *writer* goes through rows, calls whatever code their values have, and lays what comes
 * out into a stage. It touches no message. Each value is held by a reference of its own
 * while it is looked at, since that code can change what it was taken from. */
#ifndef MMBPY_ROWS_IN_H
#define MMBPY_ROWS_IN_H

#include "plan_type.h"
#include "stage.h"

/* Where the writer is, for error texts: a field, or an element of a list. */
typedef struct mmbpy_step {
    const struct mmbpy_step *up;
    PyObject *name; /* borrowed; NULL: an element */
    Py_ssize_t index;
} mmbpy_step;

/* What was found out about a class whose objects are rows. */
typedef struct {
    PyTypeObject *type; /* owned; NULL: nothing is known yet */
    bool says;          /* the class says which fields it has */
    uint32_t count;
    uint32_t *fields; /* numbers of the fields that are its attributes; owned */
} mmbpy_row_class;

typedef struct {
    const mmbpy_plan *self;
    const mmb_plan *plan;
    mmbpy_state *state;
    mmb_stage *stage;
    PyObject *describe;       /* class -> names of its fields, or None; borrowed */
    mmbpy_row_class *classes; /* owned: one for each struct of the plan; NULL before the first */
    uint32_t *order;          /* owned: fields that a tuple has, if it is a row; NULL: all */
    uint32_t order_count;
    bool ignores_extra; /* what the schema has no field for is not an error */
    bool wants_all;     /* what a row has not is an error */
    bool refuses_none;  /* and so is a number that is None */
    bool writes_parts;  /* only what is written is to replace what rows of a message have */
    bool is_simple;     /* values that run no code may be taken in a faster way */
    uint64_t wasted;    /* words that were laid in that way, and had to be laid again */
    uint32_t depth;
    const mmbpy_step *step;
} mmbpy_writer;

/* What is known of the union of a struct that is being written. */
typedef struct {
    uint32_t chosen;      /* the field that is active; MMB_NONE: not known yet */
    uint32_t nulls;       /* members that were given as None */
    uint32_t null_member; /* the last of them */
    uint32_t void_member; /* the first of them that is Void; or MMB_NONE */
} mmbpy_union;

#define MMBPY_NO_UNION ((mmbpy_union){MMB_NONE, 0, MMB_NONE, MMB_NONE})

/* A member of the union was given as None. */
static inline void mmbpy_note_null(const mmbpy_writer *w, mmbpy_union *state, uint32_t number)
{
    state->nulls++;
    state->null_member = number;
    if (state->void_member == MMB_NONE &&
        w->plan->types[w->plan->fields[number].type].kind == MMB_VOID) {
        state->void_member = number;
    }
}

/* Values of a row that are left for the general way, with a reference each. */
enum { MMBPY_MOST_PUT_OFF = 16 };
typedef struct {
    uint32_t count;
    uint32_t fields[MMBPY_MOST_PUT_OFF];
    PyObject *values[MMBPY_MOST_PUT_OFF];
} mmbpy_put_off;

/* A struct that is being written: its first word, and how its sections are divided. */
typedef struct {
    uint64_t place;
    uint32_t data_words;
} mmbpy_target;

/* All return false with an exception set.
 *
 * rows_fault.c: */

/* Raise `kind` with the place of the writer before the text. Always false. */
bool mmbpy_writer_fail(const mmbpy_writer *w, PyObject *kind, const char *format, ...);

/* The same for an error of the stage. */
bool mmbpy_writer_fail_stage(const mmbpy_writer *w, int error);

/* The fields that tuples have which are rows, by their names; None: all. And: give up what the
 * writer has learnt and kept. (stage_type.c) */
bool mmbpy_writer_set_order(mmbpy_writer *w, uint32_t type, PyObject *fields);
void mmbpy_writer_end(mmbpy_writer *w);

/* rows_in.c: one struct, from a dict, a tuple or an object. */
bool mmbpy_write_record(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *value);

/* meanings.c: the int or bytes that are stored for a value whose type has a meaning; a new
 * reference. */
PyObject *mmbpy_stored_of(const mmbpy_writer *w, const mmb_plan_type *type, PyObject *value);

/* mappings_in.c: a mapping, or a struct of NumPy, as a dict. A new reference; NULL without an
 * exception: it is neither. */
PyObject *mmbpy_as_dict(PyObject *value);

/* rows_simple.c, which sets no exception: false if this is to be done in the general way, and
 * then nothing was done. A value that is not None for a field that is outside its union; and all
 * values of a dict or a tuple for a struct that is all zeros, but for those that `later` gets,
 * and for finishing the union if there are any. */
bool mmbpy_put_simple(mmbpy_writer *w, mmbpy_target target, const mmb_plan_field *field,
                      PyObject *value);
bool mmbpy_put_simple_row(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *row,
                          mmbpy_union *state, mmbpy_put_off *later);

/* All values of a call by keywords; false also if one is to be put off. */
bool mmbpy_put_simple_keywords(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *names,
                               PyObject *const *values);

/* lists_in.c: a value that is not None for the pointer at a place. */
bool mmbpy_write_pointer(mmbpy_writer *w, uint64_t pointer, const mmb_plan_type *type,
                         PyObject *value);

/* values_in.c: the bits of a number, Bool or enum; Text or Data for the pointer at a place;
 * elements of a list from a buffer: 1 done, 0 it is no such buffer, -1 an exception. */
bool mmbpy_number_bits(const mmbpy_writer *w, const mmb_plan_type *type, PyObject *value,
                       uint64_t *bits);
bool mmbpy_write_bytes(mmbpy_writer *w, uint64_t pointer, bool text, PyObject *value);
int mmbpy_write_buffer(mmbpy_writer *w, uint64_t pointer, mmb_type_kind element, PyObject *value);

/* The name of the type of an object, for error texts; a new reference, or NULL. */
PyObject *mmbpy_type_name(PyObject *value);

#endif
