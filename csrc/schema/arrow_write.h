/* arrow_write.h - what the files that stage arrays of Arrow share. Private to arrow_*.c.
 *
 * A *writer* goes through rows of a table and lays what it reads into a stage. Rows are
 * taken a batch at a time; of a batch, a mask says which rows a column is for. */
#ifndef MMB_ARROW_WRITE_H
#define MMB_ARROW_WRITE_H

#include "arrow_values.h"
#include "stage.h"

enum { MMB__BATCH = 128 };

typedef struct {
    mmb_stage *stage;
    const mmb_plan *plan;
    mmb_fault *fault;
    uint64_t row;   /* of the table */
    uint64_t base;  /* the row of index 0, at the top */
    bool defaults;  /* numbers can be missing */
    unsigned level; /* lists and structs around the present values */
} mmb__writer;

/* Where values go: value i lies `offset + i * step` bits from a place. */
typedef struct {
    uint64_t place;
    uint64_t offset;
    uint64_t step;
} mmb__target;

/* Where the columns of a struct are: beside each other, or children of an array. */
typedef struct {
    const mmb_arrow_part *parts; /* or NULL: */
    const mmb_arrow_array *array;
    uint64_t start;
} mmb__columns;

/* Where structs go: struct i begins `i * words` words from a place. */
typedef struct {
    uint64_t place;
    uint64_t words;
    uint32_t data_words;
} mmb__structs;

/* Set the fault, for the row that value `index` belongs to. Always false. */
bool mmb__fail(mmb__writer *w, uint64_t index, mmb_fault_kind kind, const mmb_binding *b,
               const char *text);

/* The fault is set; only the row is missing. */
bool mmb__fail_at(mmb__writer *w, uint64_t index);

/* An error of the stage. */
bool mmb__fail_stage(mmb__writer *w, uint64_t index, const mmb_binding *b, int error);

/* The array that a column has, and the index of its first value. */
mmb_arrow_part mmb__part_of(const mmb_binding *child, mmb__columns from);

/* arrow_numbers.c: store `count` numbers, Bools or enums; `flip` is the default's bits.
 * mmb__name_is compares bytes with a name, which may be NULL. */
bool mmb__put_numbers(mmb__writer *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__target to, uint64_t flip,
                      const bool *mask);

/* A decimal, as Data has it: `to` has room for 32 bytes. */
bool mmb__decimal_bytes(mmb__writer *w, const mmb_binding *b, const mmb_arrow_array *a,
                        uint64_t index, uint64_t row, unsigned char *to, uint32_t *width);
bool mmb__name_is(const char *name, const unsigned char *start, uint64_t length);

/* Whether the numbers of an array are in the format of a message already. */
bool mmb__same_numbers(const mmb__writer *w, const mmb_binding *b, const mmb_arrow_array *a);

/* arrow_batch.c: let up to MMB__BATCH pointers lead to Text, Data or lists, if they are of the
 * usual kind: strings, lists of numbers, lists of structs of numbers. 1 done, 0 they are not, or
 * something is wrong with them: nothing was done; -1 the fault is set. `row` is that of the first.
 */
int mmb__put_pointers(mmb__writer *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__target to, uint64_t row,
                      const bool *mask);

/* arrow_unions.c: find and store the tags of a batch of structs. */
bool mmb__put_tags(mmb__writer *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                   mmb__structs to, const bool *mask, uint32_t *tags);

#endif
