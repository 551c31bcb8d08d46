/* arrow_stager.h - shared by the files that stage arrays of Arrow. Private to arrow_*.c.
 *
 * A *stager* goes through the rows of a table and writes their values into a stage. It takes a
 * batch of rows at a time. A mask says for which rows of the batch a column is. */
#ifndef MMB_ARROW_STAGER_H
#define MMB_ARROW_STAGER_H

#include "arrow_values.h"
#include "stage.h"

enum { MMB__BATCH = 128 };

typedef struct {
    mmb_stage *stage;
    const mmb_plan *plan;
    mmb_refusal *refusal;
    uint64_t row;   /* number in the table */
    uint64_t base;  /* the row of index 0 at the top level */
    bool defaults;  /* a missing number becomes the default */
    unsigned level; /* how many lists and structs are around the present values */
} mmb__stager;

/* Where values go: value i lies `offset + i * step` bits behind a place. */
typedef struct {
    uint64_t place;
    uint64_t offset;
    uint64_t step;
} mmb__values;

/* Where the columns of a struct are: side by side, or in the children of one array. */
typedef struct {
    const mmb_arrow_part *parts; /* NULL if `array` has them */
    const mmb_arrow_array *array;
    uint64_t start;
} mmb__columns;

/* Where structs go: struct i begins `i * words` words behind a place. */
typedef struct {
    uint64_t place;
    uint64_t words;
    uint32_t data_words;
} mmb__structs;

/* Set the refusal, and name the row that value `index` belongs to. Always return false. */
bool mmb__fail(mmb__stager *w, uint64_t index, mmb_refusal_kind kind, const mmb_binding *b,
               const char *text);

/* Add the row to a refusal that is set already. Always return false. */
bool mmb__fail_at(mmb__stager *w, uint64_t index);

/* Set the refusal for an error of the stage. Always return false. */
bool mmb__fail_stage(mmb__stager *w, uint64_t index, const mmb_binding *b, int error);

/* Return the array of a column, and the index of its first value. */
mmb_arrow_part mmb__part_of(const mmb_binding *child, mmb__columns from);

/* arrow_numbers.c: mmb__put_numbers stores `count` numbers, Bools or enums; `xor_default` has the
 * bits of the default. */
bool mmb__put_numbers(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__values to, uint64_t xor_default,
                      const bool *mask);

/* Make the bytes of a decimal as Data has them. `to` has room for 32 bytes. */
bool mmb__decimal_bytes(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                        uint64_t index, uint64_t row, unsigned char *to, uint32_t *width);

/* Return whether the numbers of an array have the format of a message already. */
bool mmb__same_numbers(const mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a);

/* arrow_batch.c: let up to MMB__BATCH pointers lead to strings, lists of numbers, or lists of
 * structs of numbers. `row` is the row of the first. Return 1 if this is done. Return 0 if
 * nothing was done, because the values are of another kind or something is wrong with them.
 * Return -1 with the refusal set on an error. */
int mmb__put_pointers(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__values to, uint64_t row,
                      const bool *mask);

/* arrow_unions.c: find and store the tags of a batch of structs. */
bool mmb__put_tags(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                   mmb__structs to, const bool *mask, uint32_t *tags);

#endif
