/* arrow_values.h - single values of arrays that were checked. Private to arrow_*.c. */
#ifndef MMB_ARROW_VALUES_H
#define MMB_ARROW_VALUES_H

#include "arrow_binding.h"

/* Check that an array, and all arrays in it, have the buffers and lengths that `count`
 * values from `start` on take, as far as Arrow tells. */
bool mmb__check_array(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                      uint64_t count, mmb_fault *fault);

/* The bytes of a value, which is not null. */
bool mmb__bytes_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                   const unsigned char **start, uint64_t *length, mmb_fault *fault);

/* The elements of a list, which is not null: within the child. */
bool mmb__list_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index, uint64_t *from,
                  uint64_t *count, mmb_fault *fault);

/* Follow a number into the dictionary: the binding, the array and the index of the value
 * become those there. The value is not null, but what it leads to may be. */
bool mmb__look_up(const mmb_binding **b, const mmb_arrow_array **a, uint64_t *index,
                  mmb_fault *fault);

static inline bool mmb__bit(const void *bits, uint64_t index)
{
    return (((const unsigned char *)bits)[index / 8] >> (index % 8) & 1) != 0;
}

static inline bool mmb__is_valid(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    return b->layout != MMB_IN_NULL && (b->layout >= MMB_IN_DENSE_UNION || a->buffers[0] == NULL ||
                                        mmb__bit(a->buffers[0], (uint64_t)a->offset + index));
}

/* The member of a union that a value is, and where it is in that member's array. */
bool mmb__member_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    const mmb_binding **member, mmb_arrow_part *part, mmb_fault *fault);

/* The bytes of a value of an array of strings, whose type `format` is. False with the fault set;
 * `*start` is NULL if the value is null. */
bool mmb_arrow_string_at(const char *format, const mmb_arrow_array *array, uint64_t index,
                         const unsigned char **start, uint64_t *length, mmb_fault *fault);

/* Numbers by their layout and width. */
int64_t mmb__signed_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);
uint64_t mmb__unsigned_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);
double mmb__float_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index);

#endif
