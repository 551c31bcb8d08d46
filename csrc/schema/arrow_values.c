/* arrow_values.c - checks arrays, and reads single values of them. See arrow_values.h. */
#include "arrow_values.h"

#include "arrow_types.h"

#include <math.h>
#include <string.h>

/* ---- checks ---------------------------------------------------------------------------------- */

static int64_t buffers_of(mmb_in_layout layout)
{
    switch (layout) {
    case MMB_IN_NULL:
        return 0;
    case MMB_IN_STRUCT:
    case MMB_IN_FIXED_LIST:
    case MMB_IN_SPARSE_UNION:
        return 1;
    case MMB_IN_BYTES:
    case MMB_IN_VIEWS:
    case MMB_IN_LIST_VIEW:
        return 3;
    default:
        return 2;
    }
}

static bool damaged(mmb_refusal *refusal, const mmb_binding *b, const char *what)
{
    return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b, "the Arrow array is damaged: %s", what);
}

static bool check_buffers(const mmb_binding *b, const mmb_arrow_array *a, uint64_t count,
                          mmb_refusal *refusal)
{
    int64_t wanted = buffers_of(b->layout);
    bool good = b->layout == MMB_IN_VIEWS ? a->n_buffers >= wanted : a->n_buffers == wanted;
    if (b->layout == MMB_IN_NULL) {
        return true;
    }
    if (!good || a->buffers == NULL) {
        return damaged(refusal, b, "it has another number of buffers than its type");
    }
    /* If all strings are empty, the buffer of their bytes may be missing. Code that reads the bytes
     * checks for that. */
    bool is_needed = b->width != 0 || b->layout == MMB_IN_BITS || b->layout == MMB_IN_VIEWS;
    if (count != 0 && wanted > 1 && a->buffers[1] == NULL && is_needed) {
        return damaged(refusal, b, "a buffer is missing");
    }
    if (count != 0 && b->layout >= MMB_IN_DENSE_UNION &&
        (a->buffers[0] == NULL || (wanted > 1 && a->buffers[1] == NULL))) {
        return damaged(refusal, b, "a buffer is missing");
    }
    return count == 0 || b->layout != MMB_IN_LIST_VIEW || a->buffers[2] != NULL ||
           damaged(refusal, b, "a buffer is missing");
}

/* Return whether the length and the offset of an array can be true, and it was not released. */
static bool check_size(const mmb_binding *b, const mmb_arrow_array *a, mmb_refusal *refusal)
{
    if (a->release == NULL) {
        return damaged(refusal, b, "it was released");
    }
    return (a->length >= 0 && a->offset >= 0 && a->offset <= INT64_MAX / 2 &&
            a->length <= INT64_MAX / 2) ||
           damaged(refusal, b, "its length or its offset is wrong");
}

/* `is_first` tells whether the array was not checked before. */
static bool check(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start, uint64_t count,
                  bool is_first, mmb_refusal *refusal);

static bool check_children(const mmb_binding *b, const mmb_arrow_array *a, bool is_first,
                           mmb_refusal *refusal)
{
    for (int64_t i = 0; i < a->n_children; i++) {
        if (a->children == NULL || a->children[i] == NULL) {
            return damaged(refusal, b, "a child is missing");
        }
    }
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        bool is_union = b->layout >= MMB_IN_DENSE_UNION;
        bool is_list = b->layout != MMB_IN_STRUCT && !is_union;
        uint64_t needed = (uint64_t)a->offset + (uint64_t)a->length;
        if (child->is_inline) { /* the columns of its fields lie beside it */
            mmb_binding group = *child;
            group.layout = MMB_IN_STRUCT;
            if (!check_children(&group, a, is_first, refusal)) {
                return false;
            }
            continue;
        }
        uint32_t number = is_list ? 0 : child->arrow;
        if (number >= a->n_children) {
            return damaged(refusal, child, "a child is missing");
        }
        const mmb_arrow_array *inner = a->children[number];
        if (b->layout == MMB_IN_FIXED_LIST) {
            needed =
                b->width != 0 && needed > UINT64_MAX / b->width ? UINT64_MAX : needed * b->width;
        } else if (is_list || b->layout == MMB_IN_DENSE_UNION) {
            needed = inner->length < 0 ? 0 : (uint64_t)inner->length;
        }
        if (!check(child, inner, 0, needed, is_first, refusal)) {
            return false;
        }
    }
    return true;
}

static bool ends_rise(const mmb_binding *b, const mmb_arrow_array *ends)
{
    int64_t before = 0;
    bool good = true;
    for (uint64_t i = 0; good && i < (uint64_t)ends->length; i++) {
        int64_t end = mmb__signed_at(b, ends, i);
        good = end > before;
        before = end;
    }
    return good;
}

/* Check the two children of an array of runs: the ends, and the values. */
static bool check_runs(const mmb_binding *b, const mmb_arrow_array *a, bool is_first,
                       mmb_refusal *refusal)
{
    if (a->n_children != 2 || a->children == NULL || a->children[0] == NULL ||
        a->children[1] == NULL) {
        return damaged(refusal, b, "a child is missing");
    }
    const mmb_arrow_array *ends = a->children[0];
    if (!check_size(b, ends, refusal)) {
        return false;
    }
    if (ends->n_buffers != 2 || ends->buffers == NULL ||
        (ends->length != 0 && ends->buffers[1] == NULL)) {
        return damaged(refusal, b, "the ends of its runs are missing");
    }
    if (is_first && !ends_rise(b, ends)) { /* that is a look at all of them */
        return damaged(refusal, b, "the ends of its runs do not rise");
    }
    return check(b->dictionary, a->children[1], 0, (uint64_t)ends->length, is_first, refusal);
}

static bool check(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start, uint64_t count,
                  bool is_first, mmb_refusal *refusal)
{
    if (!check_size(b, a, refusal)) {
        return false;
    }
    if (start > (uint64_t)a->length || count > (uint64_t)a->length - start) {
        return damaged(refusal, b, "it is shorter than what it belongs to");
    }
    if (b->is_nullable_group) { /* the array has the values of its value field */
        return check(&b->children[0], a, start, count, is_first, refusal);
    }
    if (b->is_runs) {
        return check_runs(b, a, is_first, refusal);
    }
    if (!check_buffers(b, a, (uint64_t)a->offset + (uint64_t)a->length, refusal)) {
        return false;
    }
    if (b->has_dictionary) {
        const mmb_arrow_array *inner = a->dictionary;
        if (inner == NULL) {
            return damaged(refusal, b, "its dictionary is missing");
        }
        return check(b->dictionary, inner, 0, inner->length < 0 ? 0 : (uint64_t)inner->length,
                     is_first, refusal);
    }
    return b->layout < MMB_IN_LIST || b->layout == MMB_IN_NULL ||
           check_children(b, a, is_first, refusal);
}

bool mmb__check_array(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                      uint64_t count, mmb_refusal *refusal)
{
    return check(b, a, start, count, start == 0, refusal);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const unsigned char *at(const mmb_binding *b, const mmb_arrow_array *a, unsigned buffer,
                               uint64_t index)
{
    return (const unsigned char *)a->buffers[buffer] + ((uint64_t)a->offset + index) * b->width;
}

int64_t mmb__signed_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    const unsigned char *from = at(b, a, 1, index);
    int8_t n8;
    int16_t n16;
    int32_t n32;
    int64_t n64;
    switch (b->width) {
    case 1:
        memcpy(&n8, from, 1);
        return n8;
    case 2:
        memcpy(&n16, from, 2);
        return n16;
    case 4:
        memcpy(&n32, from, 4);
        return n32;
    default:
        memcpy(&n64, from, 8);
        return n64;
    }
}

uint64_t mmb__unsigned_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    uint64_t value = (uint64_t)mmb__signed_at(b, a, index);
    return b->width == 8 ? value : value & ((1ull << (8 * b->width)) - 1);
}

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    int fraction = bits & 1023;
    double size = exponent == 31  ? (fraction != 0 ? (double)NAN : (double)INFINITY)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(fraction + 1024, exponent - 25);
    return (bits >> 15) != 0 ? -size : size;
}

double mmb__float_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    const unsigned char *from = at(b, a, 1, index);
    uint16_t n16;
    float n32;
    double n64;
    switch (b->width) {
    case 2:
        memcpy(&n16, from, 2);
        return half(n16);
    case 4:
        memcpy(&n32, from, 4);
        return (double)n32;
    default:
        memcpy(&n64, from, 8);
        return n64;
    }
}

/* Find the run that a value is in: the first that ends behind it. Return false if none does. */
static bool find_run(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index, uint64_t *run)
{
    const mmb_arrow_array *ends = a->children[0];
    int64_t at = a->offset + (int64_t)index;
    uint64_t low = 0, high = (uint64_t)ends->length;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (mmb__signed_at(b, ends, middle) <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *run = low;
    return low < (uint64_t)ends->length;
}

bool mmb__run_is_valid(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    uint64_t run;
    return !find_run(b, a, index, &run) || mmb__is_valid(b->dictionary, a->children[1], run);
}

static bool look_up_run(const mmb_binding **b, const mmb_arrow_array **a, uint64_t *index,
                        mmb_refusal *refusal)
{
    uint64_t run;
    if (!find_run(*b, *a, *index, &run)) {
        return damaged(refusal, *b, "a value is behind the end of the last run");
    }
    *b = (*b)->dictionary;
    *a = (*a)->children[1];
    *index = run;
    bool goes_on = (*b)->has_dictionary && mmb__is_valid(*b, *a, *index);
    return !goes_on || mmb__look_up(b, a, index, refusal);
}

bool mmb__look_up(const mmb_binding **b, const mmb_arrow_array **a, uint64_t *index,
                  mmb_refusal *refusal)
{
    if ((*b)->is_runs) {
        return look_up_run(b, a, index, refusal);
    }
    const mmb_arrow_array *names = (*a)->dictionary;
    int64_t number = mmb__signed_at(*b, *a, *index);
    if ((*b)->layout == MMB_IN_UNSIGNED) {
        uint64_t wide = mmb__unsigned_at(*b, *a, *index);
        number = wide > INT64_MAX ? -1 : (int64_t)wide;
    }
    if (number < 0 || number >= names->length) {
        return damaged(refusal, *b, "a number is not in its dictionary");
    }
    *b = (*b)->dictionary;
    *a = names;
    *index = (uint64_t)number;
    return true;
}

/* ---- bytes and lists --------------------------------------------------------------------------
 */

static int64_t offset_at(const mmb_binding *b, const mmb_arrow_array *a, unsigned buffer,
                         uint64_t index)
{
    const unsigned char *from = at(b, a, buffer, index);
    int32_t narrow;
    int64_t wide;
    if (b->width == 4) {
        memcpy(&narrow, from, 4);
        return narrow;
    }
    memcpy(&wide, from, 8);
    return wide;
}

static bool view_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    const unsigned char **start, uint64_t *length, mmb_refusal *refusal)
{
    const unsigned char *view =
        (const unsigned char *)a->buffers[1] + ((uint64_t)a->offset + index) * 16;
    int32_t size, number, offset;
    int64_t whole;
    if (a->buffers[1] == NULL) {
        return damaged(refusal, b, "a buffer is missing");
    }
    memcpy(&size, view, 4);
    memcpy(&number, view + 8, 4);
    memcpy(&offset, view + 12, 4);
    *length = (uint64_t)size;
    *start = view + 4;
    if (size >= 0 && size <= 12) {
        return true;
    }
    const unsigned char *sizes = a->buffers[a->n_buffers - 1];
    if (size < 0 || number < 0 || number >= a->n_buffers - 3 || offset < 0 || sizes == NULL ||
        a->buffers[2 + number] == NULL) {
        return damaged(refusal, b, "a view leads nowhere");
    }
    memcpy(&whole, sizes + (size_t)number * 8, 8);
    if (whole < offset || whole - offset < size) {
        return damaged(refusal, b, "a view reaches beyond its buffer");
    }
    *start = (const unsigned char *)a->buffers[2 + number] + offset;
    return true;
}

bool mmb__bytes_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                   const unsigned char **start, uint64_t *length, mmb_refusal *refusal)
{
    if (b->layout == MMB_IN_VIEWS) {
        return view_at(b, a, index, start, length, refusal);
    }
    if (b->layout == MMB_IN_FIXED_BYTES) {
        *start = at(b, a, 1, index);
        *length = b->width;
        return true;
    }
    int64_t from = offset_at(b, a, 1, index), end = offset_at(b, a, 1, index + 1);
    if (from < 0 || end < from || (end != from && a->buffers[2] == NULL)) {
        return damaged(refusal, b, "the offsets of the strings are out of order");
    }
    *start = (const unsigned char *)(a->buffers[2] != NULL ? a->buffers[2] : "") + from;
    *length = (uint64_t)(end - from);
    return true;
}

bool mmb__member_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    const mmb_binding **member, mmb_arrow_part *part, mmb_refusal *refusal)
{
    uint64_t at = (uint64_t)a->offset + index;
    int8_t code = ((const int8_t *)a->buffers[0])[at];
    for (uint32_t i = 0; i < b->child_count; i++) {
        if (b->children[i].code == code) {
            *member = &b->children[i];
            *part = (mmb_arrow_part){a->children[b->children[i].arrow], at};
            if (b->layout == MMB_IN_DENSE_UNION) {
                int32_t offset;
                memcpy(&offset, (const unsigned char *)a->buffers[1] + at * 4, 4);
                if (offset < 0 || offset >= part->array->length) {
                    return damaged(refusal, b, "an offset of the union is out of bounds");
                }
                part->start = (uint64_t)offset;
            }
            return true;
        }
    }
    return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b, "the union has no member with the code %d",
                          (int)code);
}

bool mmb__list_at(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index, uint64_t *from,
                  uint64_t *count, mmb_refusal *refusal)
{
    int64_t length = a->children[0]->length;
    int64_t start, size;
    if (b->layout == MMB_IN_FIXED_LIST) {
        start = (int64_t)(((uint64_t)a->offset + index) * b->width);
        size = b->width;
    } else {
        start = offset_at(b, a, 1, index);
        size = b->layout == MMB_IN_LIST ? offset_at(b, a, 1, index + 1) : offset_at(b, a, 2, index);
        if (b->layout == MMB_IN_LIST) {
            size = start < 0 || size < start ? -1 : size - start;
        }
    }
    if (start < 0 || size < 0 || start > length || size > length - start) {
        return damaged(refusal, b, "the offsets of the lists are out of order or out of bounds");
    }
    *from = (uint64_t)start;
    *count = (uint64_t)size;
    return true;
}

bool mmb_arrow_string_at(const char *format, const mmb_arrow_array *array, uint64_t index,
                         const unsigned char **start, uint64_t *length, mmb_refusal *refusal)
{
    mmb_binding strings = {.name = NULL};
    *refusal = (mmb_refusal){0};
    *start = NULL;
    if (!mmb__read_format(&strings, format) || !mmb__is_bytes(strings.layout)) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, &strings, "these are no strings");
    }
    return mmb__check_array(&strings, array, index, 1, refusal) &&
           (!mmb__is_valid(&strings, array, index) ||
            mmb__bytes_at(&strings, array, index, start, length, refusal));
}
