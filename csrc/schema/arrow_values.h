/* arrow_values.h - reads single values of arrays that were checked. Private to arrow_*.c. */
#ifndef MMB_ARROW_VALUES_H
#define MMB_ARROW_VALUES_H

#include "arrow_binding.h"

/* Check that an array and all arrays in it have the buffers and lengths that `count` values from
 * `start` on need, as far as Arrow tells them. Whether the ends of runs rise is looked at if
 * `start` is 0. */
bool mmb__check_array(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                      uint64_t count, mmb_refusal *refusal);

/* Find the bytes of a value that is not null. */
bool mmb__bytes_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                   const unsigned char **start, uint64_t *length, mmb_refusal *refusal);

/* Find the elements of a list that is not null, and check that they lie within the child. */
bool mmb__list_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index, uint64_t *from,
                  uint64_t *count, mmb_refusal *refusal);

/* Follow a number into the dictionary, or a value to its run: let the binding, the array and the
 * index be those of the value in there. What is looked up must not be null, but what is found may
 * be. */
bool mmb__look_up(const mmb_binding **b, const mmb_arrow_array **a, uint64_t *index,
                  mmb_refusal *refusal);

static inline bool mmb__bit(const void *bits, uint64_t index)
{
    return (((const unsigned char *)bits)[index / 8] >> (index % 8) & 1) != 0;
}

/* Return whether a value that comes in runs is there. One that is in no run counts as there:
 * mmb__look_up finds that it is not. */
bool mmb__run_is_valid(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);

static inline bool mmb__is_valid(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    if (b->is_runs) {
        return mmb__run_is_valid(b, a, index);
    }
    return b->layout != MMB_IN_NULL && (b->layout >= MMB_IN_DENSE_UNION || a->buffers[0] == NULL ||
                                        mmb__bit(a->buffers[0], (uint64_t)a->offset + index));
}

/* Find the member of a union that a value belongs to, and its index in the array of that member. */
bool mmb__member_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    const mmb_binding **member, mmb_arrow_part *part, mmb_refusal *refusal);

/* Find the bytes of a value in an array of strings of type `format`. Set `*start` to NULL if the
 * value is null. Return false with the refusal set on an error. */
bool mmb_arrow_string_at(const char *format, const mmb_arrow_array *array, uint64_t index,
                         const unsigned char **start, uint64_t *length, mmb_refusal *refusal);

/* Return numbers by their layout and width. */
int64_t mmb__signed_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);
uint64_t mmb__unsigned_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);
double mmb__float_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);

#endif
