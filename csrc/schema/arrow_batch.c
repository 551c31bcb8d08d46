/* arrow_batch.c - takes strings and lists of Arrow a batch at a time. See arrow_stager.h.
 *
 * Most columns do not need a look at each value. One pass checks the offsets of a batch and finds
 * how many words it takes. A second pass writes the whole batch; values that lie side by side in
 * the array are copied in one piece. If something is wrong with a batch, this file does not say
 * what: the batch is then taken value by value, which finds it. */
#include <string.h>

#include "arrow_stager.h"
#include "utf8.h"

/* The strings or lists of a batch: which bytes, or which elements of the child, each of them
 * has. */
typedef struct {
    uint64_t from[MMB__BATCH];
    uint64_t count[MMB__BATCH];
    bool there[MMB__BATCH]; /* false if the value is null, or the row is for another member */
    bool is_run;            /* all are there, and each begins where the previous one ends */
} ranges;

static inline int64_t offset_at(const unsigned char *offsets, uint32_t width, uint64_t index)
{
    int32_t narrow;
    int64_t wide;
    if (width == 4) {
        memcpy(&narrow, offsets + index * 4, 4);
        return narrow;
    }
    memcpy(&wide, offsets + index * 8, 8);
    return wide;
}

/* Find where values begin, and how long they are. Return false if they are not in order, or end
 * behind `limit`. Callers give a constant width. */
static inline bool find_starts(const unsigned char *offsets, uint32_t width, uint64_t count,
                               int64_t limit, ranges *out)
{
    int64_t from = offset_at(offsets, width, 0);
    bool good = from >= 0;
    for (uint64_t i = 0; i < count; i++) {
        int64_t end = offset_at(offsets, width, i + 1);
        good &= end >= from;
        out->from[i] = (uint64_t)from;
        out->count[i] = (uint64_t)end - (uint64_t)from;
        from = end;
    }
    return good && from <= limit;
}

/* Find the ranges. Return false if an offset is wrong. `limit` is the length of what they refer
 * to. */
static bool find_ranges(const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                        uint64_t count, const bool *mask, int64_t limit, ranges *out)
{
    uint64_t first = (uint64_t)a->offset + start;
    const unsigned char *offsets = (const unsigned char *)a->buffers[1] + first * b->width;
    const unsigned char *valid = a->buffers[0];
    out->is_run = true;
    memset(out->there, true, (size_t)count);
    for (uint64_t i = 0; (mask != NULL || valid != NULL) && i < count; i++) {
        out->there[i] = (mask == NULL || mask[i]) && (valid == NULL || mmb__bit(valid, first + i));
        out->is_run = out->is_run && out->there[i];
    }
    return b->width == 4 ? find_starts(offsets, 4, count, limit, out)
                         : find_starts(offsets, 8, count, limit, out);
}

/* The pointers of a batch. */
typedef struct {
    unsigned char *first;
    uint64_t word; /* of the first, counted from word 0 of the heap */
    uint64_t step; /* words from one to the next */
} pointers;

/* Return the pointers. Room for what they lead to must be there: to make it may move them. */
static pointers pointers_at(mmb_stage *stage, mmb__values to)
{
    uint64_t place = to.place + to.offset / 64;
    bool in_heap = (place & MMB_IN_HEAP) != 0;
    return (pointers){
        .first = mmb_stage_at(stage, place),
        .word = in_heap ? place ^ MMB_IN_HEAP : place - stage->shift,
        .step = to.step / 64,
    };
}

/* Let a pointer lead to a list at word `target` of the heap. */
static inline void lead(const pointers *p, uint64_t index, uint64_t target, uint64_t high)
{
    uint64_t by = index * p->step;
    uint32_t low = (uint32_t)((target - p->word - by - 1) << 2) | MMB__LIST;
    mmb__store64(p->first + by * MMB_WORD, low | high << 32);
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Return whether strings that lie side by side are UTF-8. They are if all their bytes are, and
 * no string begins within a character. */
static bool run_is_utf8(const unsigned char *bytes, const ranges *r, uint64_t count)
{
    uint64_t end = r->from[count - 1] + r->count[count - 1];
    bool good = mmb__is_utf8(bytes + r->from[0], end - r->from[0]);
    for (uint64_t i = 1; good && i < count; i++) {
        good = r->from[i] == end || (bytes[r->from[i]] & 0xC0) != 0x80;
    }
    return good;
}

static bool are_utf8(const unsigned char *bytes, const ranges *r, uint64_t count)
{
    if (r->is_run && run_is_utf8(bytes, r, count)) {
        return true;
    }
    bool good = true;
    for (uint64_t i = 0; good && i < count; i++) {
        good = !r->there[i] || mmb__is_utf8(bytes + r->from[i], r->count[i]);
    }
    return good;
}

/* Write a string at word `place` of the heap, and let a pointer lead to it. Return its words. */
static inline uint64_t write_string(mmb_stage *stage, uint64_t place, const pointers *to,
                                    uint64_t index, const unsigned char *from, uint64_t length,
                                    bool text)
{
    uint64_t elements = length + (text ? 1 : 0);
    uint64_t words = (elements + MMB_WORD - 1) / MMB_WORD;
    unsigned char *at = stage->heap.bytes + place * MMB_WORD;
    if (words != 0) {
        mmb__store64(at + (words - 1) * MMB_WORD, 0);
        mmb__copy_bytes(at, from, length);
    }
    lead(to, index, place, MMB__BYTES | elements << 3);
    return words;
}

static int put_strings(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                       uint64_t start, uint64_t count, mmb__values to, uint64_t row,
                       const bool *mask)
{
    ranges r;
    const unsigned char *bytes = a->buffers[2];
    bool text = w->plan->types[b->type].kind == MMB_TEXT;
    uint64_t words = 0;
    if (bytes == NULL || !find_ranges(b, a, start, count, mask, INT64_MAX, &r) ||
        (text && !are_utf8(bytes, &r, count))) {
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        words += r.there[i] ? r.count[i] / MMB_WORD + 1 : 0;
        if (r.count[i] >= MMB_MAX_SEGMENT_WORDS) {
            return 0;
        }
    }
    int error = mmb_stage_reserve(w->stage, words);
    if (error != 0) {
        return mmb__fail_stage(w, row, b, error) ? 0 : -1;
    }
    uint64_t place = w->stage->heap.words;
    const pointers lists = pointers_at(w->stage, to);
    for (uint64_t i = 0; i < count; i++) {
        if (r.there[i]) {
            place += write_string(w->stage, place, &lists, i, bytes + r.from[i], r.count[i], text);
        }
    }
    w->stage->heap.words = place;
    return 1;
}

/* Write strings that are views. Return 0 also if one of them is damaged or not UTF-8. Then the
 * refusal is set, but the batch is taken value by value, which finds it again, with its row. */
static int put_views(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                     uint64_t count, mmb__values to, uint64_t row, const bool *mask)
{
    const unsigned char *from[MMB__BATCH];
    uint64_t lengths[MMB__BATCH], words = 0;
    bool there[MMB__BATCH], text = w->plan->types[b->type].kind == MMB_TEXT;
    for (uint64_t i = 0; i < count; i++) {
        there[i] = (mask == NULL || mask[i]) && mmb__is_valid(b, a, start + i);
        if (!there[i]) {
            continue;
        }
        if (!mmb__bytes_at(b, a, start + i, &from[i], &lengths[i], w->refusal) ||
            lengths[i] >= MMB_MAX_SEGMENT_WORDS || (text && !mmb__is_utf8(from[i], lengths[i]))) {
            return 0;
        }
        words += lengths[i] / MMB_WORD + 1;
    }
    int error = mmb_stage_reserve(w->stage, words);
    if (error != 0) {
        return mmb__fail_stage(w, row, b, error) ? 0 : -1;
    }
    uint64_t place = w->stage->heap.words;
    const pointers lists = pointers_at(w->stage, to);
    for (uint64_t i = 0; i < count; i++) {
        if (there[i]) {
            place += write_string(w->stage, place, &lists, i, from[i], lengths[i], text);
        }
    }
    w->stage->heap.words = place;
    return 1;
}

/* ---- lists of numbers --------------------------------------------------------------------------
 */

static uint64_t words_of(uint64_t count, uint32_t width)
{
    return (count * width + MMB_WORD - 1) / MMB_WORD;
}

/* Copy lists that fill their words: they can be copied in one piece. */
static void copy_run(mmb__stager *w, const unsigned char *from, const ranges *r, uint64_t count,
                     uint32_t width)
{
    uint64_t end = r->from[count - 1] + r->count[count - 1];
    memcpy(w->stage->heap.bytes + w->stage->heap.words * MMB_WORD, from + r->from[0] * width,
           (size_t)((end - r->from[0]) * width));
}

static void copy_one(unsigned char *at, const unsigned char *from, uint64_t bytes)
{
    if (bytes != 0) {
        mmb__store64(at + (bytes - 1) / MMB_WORD * MMB_WORD, 0);
        mmb__copy_bytes(at, from, bytes);
    }
}

static int put_number_lists(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                            uint64_t start, uint64_t count, mmb__values to, uint64_t row,
                            const bool *mask)
{
    ranges r;
    const mmb_binding *element = &b->children[0];
    const mmb_arrow_array *child = a->children[0];
    uint32_t width = element->width;
    uint64_t words = 0, size = width == 8 ? 5 : width == 4 ? 4 : width == 2 ? 3 : 2;
    if (!find_ranges(b, a, start, count, mask, child->length, &r)) {
        return 0;
    }
    uint64_t longest = 0, rest = 0;
    for (uint64_t i = 0; i < count; i++) {
        words += r.there[i] ? words_of(r.count[i], width) : 0;
        rest |= r.count[i] * width % MMB_WORD;
        longest = r.count[i] > longest ? r.count[i] : longest;
    }
    if (longest > MMB_MAX_SEGMENT_WORDS) {
        return 0;
    }
    bool fills = r.is_run && rest == 0;
    int error = mmb_stage_reserve(w->stage, words);
    if (error != 0) {
        return mmb__fail_stage(w, row, b, error) ? 0 : -1;
    }
    const unsigned char *from = child->buffers[1];
    if (words != 0) {
        from += (uint64_t)child->offset * width;
    }
    if (fills && words != 0) {
        copy_run(w, from, &r, count, width);
    }
    uint64_t place = w->stage->heap.words;
    const pointers lists = pointers_at(w->stage, to);
    for (uint64_t i = 0; i < count; i++) {
        if (!r.there[i]) {
            continue;
        }
        if (!fills) {
            copy_one(w->stage->heap.bytes + place * MMB_WORD, from + r.from[i] * width,
                     r.count[i] * width);
        }
        lead(&lists, i, place, size | r.count[i] << 3);
        place += words_of(r.count[i], width);
    }
    w->stage->heap.words = place;
    return 1;
}

/* ---- lists of structs of numbers ------------------------------------------------------------- */

/* Return true if all fields of the structs are numbers outside a union, and none is null. */
static bool are_plain(const mmb__stager *w, const mmb_binding *element,
                      const mmb_arrow_array *child)
{
    bool plain = element->layout == MMB_IN_STRUCT && !element->has_union &&
                 child->buffers[0] == NULL && w->plan->structs[element->record].data_words != 0;
    for (uint32_t i = 0; plain && i < element->child_count; i++) {
        const mmb_binding *field = &element->children[i];
        plain = !field->is_tag && !field->is_inline &&
                w->plan->fields[field->field].tag == MMB_NONE &&
                mmb_kind_bits(w->plan->types[field->type].kind) >= 8 &&
                mmb__same_numbers(w, field, child->children[field->arrow]);
    }
    return plain;
}

/* Store one field of the structs in all lists of a batch. It is a number of `width` bytes;
 * callers give a constant. The lists lie in the heap from `at` on, each behind a tag. */
static inline void spread_field(const unsigned char *from, unsigned char *at, const ranges *r,
                                uint64_t count, uint64_t step, uint64_t xor_default, uint32_t width)
{
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *number = from + r->from[i] * width;
        if (!r->there[i]) {
            continue;
        }
        at += MMB_WORD;
        for (uint64_t k = 0; k < r->count[i]; k++, number += width, at += step) {
            uint64_t bits = 0;
            memcpy(&bits, number, width);
            bits ^= xor_default;
            memcpy(at, &bits, width);
        }
    }
}

static void put_field(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *child,
                      const ranges *r, uint64_t count, uint64_t place, uint64_t step)
{
    const mmb_plan_field *field = &w->plan->fields[b->field];
    const mmb_arrow_array *a = child->children[b->arrow];
    const unsigned char *from = (const unsigned char *)a->buffers[1] +
                                ((uint64_t)child->offset + (uint64_t)a->offset) * b->width;
    unsigned char *at = w->stage->heap.bytes + place * MMB_WORD + field->offset / 8;
    uint64_t xor_default = field->default_bits;
    switch (b->width) {
    case 1:
        spread_field(from, at, r, count, step, xor_default, 1);
        break;
    case 2:
        spread_field(from, at, r, count, step, xor_default, 2);
        break;
    case 4:
        spread_field(from, at, r, count, step, xor_default, 4);
        break;
    default:
        spread_field(from, at, r, count, step, xor_default, 8);
        break;
    }
}

static int put_struct_lists(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                            uint64_t start, uint64_t count, mmb__values to, uint64_t row,
                            const bool *mask)
{
    ranges r;
    const mmb_binding *element = &b->children[0];
    const mmb_arrow_array *child = a->children[0];
    const mmb_plan_struct *record = &w->plan->structs[element->record];
    uint64_t step = (uint64_t)record->data_words + record->pointer_words, words = 0, elements = 0;
    if (!find_ranges(b, a, start, count, mask, child->length, &r)) {
        return 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        if (r.count[i] > MMB_MAX_SEGMENT_WORDS / step) {
            return 0;
        }
        words += r.there[i] ? 1 + r.count[i] * step : 0;
        elements += r.there[i] ? r.count[i] : 0;
    }
    int error = mmb_stage_reserve(w->stage, words);
    if (error != 0) {
        return mmb__fail_stage(w, row, b, error) ? 0 : -1;
    }
    uint64_t first = w->stage->heap.words, place = first;
    const pointers lists = pointers_at(w->stage, to);
    if (words != 0) {
        memset(w->stage->heap.bytes + first * MMB_WORD, 0, (size_t)(words * MMB_WORD));
    }
    for (uint64_t i = 0; i < count; i++) {
        if (r.there[i]) {
            uint64_t some = r.count[i] * step;
            mmb__store64(w->stage->heap.bytes + place * MMB_WORD,
                         r.count[i] << 2 | (uint64_t)record->data_words << 32 |
                             (uint64_t)record->pointer_words << 48);
            lead(&lists, i, place, MMB__COMPOSITE | some << 3);
            place += 1 + some;
        }
    }
    w->stage->heap.words = place;
    for (uint32_t i = 0; elements != 0 && i < element->child_count; i++) {
        put_field(w, &element->children[i], child, &r, count, first, step * MMB_WORD);
    }
    return 1;
}

int mmb__put_pointers(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__values to, uint64_t row,
                      const bool *mask)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    if (b->has_dictionary || count == 0) {
        return 0;
    }
    if ((kind == MMB_TEXT || kind == MMB_DATA) && b->layout == MMB_IN_BYTES) {
        return put_strings(w, b, a, start, count, to, row, mask);
    }
    if ((kind == MMB_TEXT || kind == MMB_DATA) && b->layout == MMB_IN_VIEWS) {
        return put_views(w, b, a, start, count, to, row, mask);
    }
    if (kind != MMB_LIST || b->layout != MMB_IN_LIST) {
        return 0;
    }
    const mmb_binding *element = &b->children[0];
    mmb_type_kind inner = w->plan->types[element->type].kind;
    if (inner == MMB_STRUCT) {
        return are_plain(w, element, a->children[0])
                   ? put_struct_lists(w, b, a, start, count, to, row, mask)
                   : 0;
    }
    return !mmb_kind_is_pointer(inner) && mmb__same_numbers(w, element, a->children[0])
               ? put_number_lists(w, b, a, start, count, to, row, mask)
               : 0;
}
