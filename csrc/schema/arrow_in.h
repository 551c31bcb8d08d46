/* arrow_in.h - arrays of the Arrow C data interface into a stage.
 *
 * A *binding* says which field of a struct a column of Arrow is for, and how its values are
 * read. It is made once for the schema of the arrays; making it refuses types that do not
 * fit. Then rows are staged, in ranges in which each column is one array.
 *
 * The arrays are checked as they are read: offsets must be in order and within the child
 * that they refer to, children as long as their parents need, numbers of names within
 * their dictionary. What Arrow does not tell is how long a buffer is: whoever made an
 * array answers for that.
 *
 * A binding belongs to one thread at a time. No function here may be called from a signal
 * handler.
 */
#ifndef MMB_ARROW_IN_H
#define MMB_ARROW_IN_H

#include "arrow.h"
#include "stage.h"

/* What is wrong, as texts of Python's exceptions are made of it. */
typedef enum {
    MMB_FAULT_NONE,
    MMB_FAULT_TYPE,
    MMB_FAULT_VALUE,
    MMB_FAULT_OVERFLOW,
    MMB_FAULT_NAME,     /* there is no such field */
    MMB_FAULT_CAPACITY, /* more than a segment holds */
    MMB_FAULT_MEMORY,
} mmb_fault_kind;

typedef struct {
    mmb_fault_kind kind;
    bool has_row;
    uint64_t row;
    char column[128]; /* dotted; cut if it is longer */
    char text[160];
} mmb_fault;

typedef struct mmb_binding mmb_binding;

/* Bind columns of these schemas to the fields of a struct. Names may be dotted, for fields
 * of groups. NULL with the fault set. */
mmb_binding *mmb_bind_columns(const mmb_plan *plan, uint32_t record,
                              const mmb_arrow_schema *const *schemas, uint32_t count,
                              mmb_fault *fault);

/* Bind one array to a list of `element`s, as which its values are staged. */
mmb_binding *mmb_bind_elements(const mmb_plan *plan, uint32_t element,
                               const mmb_arrow_schema *schema, mmb_fault *fault);
void mmb_binding_free(mmb_binding *binding);

/* A part of a column: the array and the index of the first value. */
typedef struct {
    const mmb_arrow_array *array;
    uint64_t start; /* the offset of the array not counted */
} mmb_arrow_part;

/* Stage `count` rows: part i is that of column i. False with the fault set. */
bool mmb_stage_arrow_rows(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          const mmb_arrow_part *parts, uint64_t count, mmb_fault *fault);

/* Stage a list of `count` elements for the pointer at a place, from several parts. */
bool mmb_stage_arrow_list(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          uint64_t pointer, const mmb_arrow_part *parts, const uint64_t *lengths,
                          uint32_t part_count, mmb_fault *fault);

/* Let the stage replace, of rows that are there, only what the columns are for. */
bool mmb_stage_mask_columns(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding);

#endif
