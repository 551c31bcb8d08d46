/* arrow_in.c - writes columns of Arrow into the rows of a stage. See arrow_in.h.
 *
 * Rows are taken a batch at a time; within a batch, columns are taken one after the other. Only one
 * member of a union has a value in a row, so a mask says for which rows of the batch a column is.
 */
#include "arrow_in.h"

#include "arrow_stager.h"
#include "utf8.h"

static void enter(mmb__stager *w, uint64_t index)
{
    if (w->level++ == 0) {
        w->row = w->base + index;
    }
}

/* ---- pointers -------------------------------------------------------------------------------- */

static bool put_values(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                       uint64_t start, uint64_t count, mmb__values to, uint64_t xor_default,
                       const bool *mask);
static bool put_records(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                        mmb__structs to, const bool *mask);

static bool put_bytes(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t index, uint64_t row, uint64_t pointer)
{
    bool text = w->plan->types[b->type].kind == MMB_TEXT;
    const unsigned char *start;
    uint64_t length;
    if (b->has_dictionary) {
        if (!mmb__look_up(&b, &a, &index, w->refusal)) {
            return mmb__fail_at(w, row);
        }
        if (!mmb__is_valid(b, a, index)) {
            return true;
        }
    }
    if (w->plan->types[b->type].meaning.what == MMB_DECIMAL) {
        unsigned char bytes[32];
        uint32_t width;
        if (!mmb__decimal_bytes(w, b, a, index, row, bytes, &width)) {
            return false;
        }
        int error = mmb_stage_bytes(w->stage, pointer, bytes, width, false);
        return error == 0 || mmb__fail_stage(w, row, b, error);
    }
    if (!mmb__bytes_at(b, a, index, &start, &length, w->refusal)) {
        return mmb__fail_at(w, row);
    }
    if (text && !mmb__is_utf8(start, length)) {
        return mmb__fail(w, row, MMB_REFUSED_VALUE, b, "the string is not UTF-8");
    }
    int error = mmb_stage_bytes(w->stage, pointer, start, length, text);
    return error == 0 || mmb__fail_stage(w, row, b, error);
}

/* Store the structs that are elements of a list, `count` from `from` on. */
static bool put_elements(mmb__stager *w, const mmb_binding *element, const mmb_arrow_array *a,
                         uint64_t from, uint64_t count, uint64_t row, mmb__structs to)
{
    if (!element->is_runs) {
        return put_records(w, element, (mmb__columns){.array = a, .start = from}, count, to, NULL);
    }
    for (uint64_t i = 0; i < count; i++, to.place += to.words) {
        const mmb_binding *b = element;
        mmb__columns columns = {.array = a, .start = from + i};
        if (!mmb__look_up(&b, &columns.array, &columns.start, w->refusal)) {
            return mmb__fail_at(w, row);
        }
        if (!put_records(w, b, columns, 1, to, NULL)) {
            return false;
        }
    }
    return true;
}

/* Write `count` elements of an array, from `from` on, as a list, and let the pointer lead to it. */
static bool put_list(mmb__stager *w, const mmb_binding *element, const mmb_arrow_array *a,
                     uint64_t from, uint64_t count, uint64_t row, uint64_t pointer)
{
    const mmb_plan_type *type = &w->plan->types[element->type];
    uint64_t place;
    int error;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->refers_to];
        error = mmb_stage_structs(w->stage, pointer, count, record->data_words,
                                  record->pointer_words, &place);
        if (error != 0) {
            return mmb__fail_stage(w, row, element, error);
        }
        for (uint64_t i = 0; i < count; i++) {
            if (!mmb__is_valid(element, a, from + i)) {
                return mmb__fail(w, row, MMB_REFUSED_TYPE, element,
                                 "an element is missing, and a struct in a list cannot be null");
            }
        }
        mmb__structs to = {place, (uint64_t)record->data_words + record->pointer_words,
                           record->data_words};
        return put_elements(w, element, a, from, count, row, to);
    }
    error = mmb_stage_list(w->stage, pointer, type->kind, count, &place);
    if (error != 0) {
        return mmb__fail_stage(w, row, element, error);
    }
    uint32_t width = mmb_kind_is_pointer(type->kind) ? 64 : mmb_kind_bits(type->kind);
    return put_values(w, element, a, from, count, (mmb__values){place, 0, width}, 0, NULL);
}

static bool put_struct(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                       uint64_t index, uint64_t row, uint64_t pointer)
{
    const mmb_plan_struct *record = &w->plan->structs[b->record];
    mmb__structs to = {.words = 1, .data_words = record->data_words};
    int error =
        mmb_stage_struct(w->stage, pointer, record->data_words, record->pointer_words, &to.place);
    if (error != 0) {
        return mmb__fail_stage(w, row, b, error);
    }
    return put_records(w, b, (mmb__columns){.array = a, .start = index}, 1, to, NULL);
}

static bool put_pointer(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                        uint64_t index, uint64_t row, uint64_t pointer)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    uint64_t from, count;
    if (kind == MMB_TEXT || kind == MMB_DATA) {
        return put_bytes(w, b, a, index, row, pointer);
    }
    if (b->has_dictionary) { /* lists and structs come in runs only */
        if (!mmb__look_up(&b, &a, &index, w->refusal)) {
            return mmb__fail_at(w, row);
        }
        if (!mmb__is_valid(b, a, index)) {
            return true;
        }
    }
    if (kind == MMB_LIST && !mmb__list_at(b, a, index, &from, &count, w->refusal)) {
        return mmb__fail_at(w, row);
    }
    enter(w, row);
    bool good = kind == MMB_LIST
                    ? put_list(w, &b->children[0], a->children[0], from, count, row, pointer)
                    : put_struct(w, b, a, index, row, pointer);
    w->level--;
    return good;
}

/* Store pointers one after the other. `row` is the row of the first. */
static bool put_each(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                     uint64_t count, mmb__values to, uint64_t row, const bool *mask)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t pointer = to.place + (to.offset + i * to.step) / 64;
        if ((mask == NULL || mask[i]) && mmb__is_valid(b, a, start + i) &&
            !put_pointer(w, b, a, start + i, row + i, pointer)) {
            return false;
        }
    }
    return true;
}

/* Store values of any type but groups. A null becomes a null pointer. */
static bool put_values(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                       uint64_t start, uint64_t count, mmb__values to, uint64_t xor_default,
                       const bool *mask)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    if (kind == MMB_VOID) {
        return true;
    }
    if (!mmb_kind_is_pointer(kind)) {
        return mmb__put_numbers(w, b, a, start, count, to, xor_default, mask);
    }
    for (uint64_t next = 0; next < count; next += MMB__BATCH) {
        uint64_t some = count - next < MMB__BATCH ? count - next : MMB__BATCH;
        mmb__values part = {to.place, to.offset + next * to.step, to.step};
        const bool *rows = mask == NULL ? NULL : mask + next;
        int done = mmb__put_pointers(w, b, a, start + next, some, part, next, rows);
        if (done < 0 || (done == 0 && !put_each(w, b, a, start + next, some, part, next, rows))) {
            return false;
        }
    }
    return true;
}

/* ---- structs --------------------------------------------------------------------------------- */

/* Store groups of a value and a Void member from values that may be null. */
static bool put_nullable(mmb__stager *w, const mmb_binding *b, mmb_arrow_part part, uint64_t count,
                         mmb__structs to, const bool *mask)
{
    const mmb_binding *value = &b->children[0];
    const mmb_plan_field *field = &w->plan->fields[value->field];
    const mmb_plan_struct *group = &w->plan->structs[b->record];
    bool there[MMB__BATCH];
    for (uint64_t i = 0; i < count; i++) {
        bool wanted = mask == NULL || mask[i];
        there[i] = wanted && mmb__is_valid(value, part.array, part.start + i);
        if (wanted) {
            mmb_stage_store(w->stage, to.place + i * to.words, group->tag_offset, 16,
                            there[i] ? field->tag : 1 - field->tag);
        }
    }
    bool pointer = mmb_kind_is_pointer(w->plan->types[value->type].kind);
    mmb__values where = {
        to.place, pointer ? 64ull * (to.data_words + field->offset) : field->offset, 64 * to.words};
    return put_values(w, value, part.array, part.start, count, where, field->default_bits, there);
}

static bool put_column(mmb__stager *w, const mmb_binding *child, mmb__columns from, uint64_t count,
                       mmb__structs to, const bool *mask);

/* Store a union of Arrow: the tag of each row, and the value of its member. */
static bool put_union(mmb__stager *w, const mmb_binding *b, mmb_arrow_part part, uint64_t count,
                      mmb__structs to, const bool *mask)
{
    uint32_t offset = w->plan->structs[b->record].tag_offset;
    mmb_arrow_part values[MMB_MOST_UNION_CODES];
    for (uint64_t i = 0; i < count; i++) {
        const mmb_binding *member;
        mmb_arrow_part value;
        mmb__structs row = to;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        if (!mmb__member_at(b, part.array, part.start + i, &member, &value, w->refusal)) {
            return mmb__fail_at(w, i);
        }
        row.place += i * to.words;
        values[member->arrow] = value;
        mmb_stage_store(w->stage, row.place, offset, 16, w->plan->fields[member->field].tag);
        uint64_t base = w->base;
        w->base = base + (w->level == 0 ? i : 0);
        bool good = put_column(w, member, (mmb__columns){.parts = values}, 1, row, NULL);
        w->base = base;
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool put_group(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                      mmb__structs to, const bool *mask)
{
    if (b->is_inline) {
        return put_records(w, b, from, count, to, mask);
    }
    mmb_arrow_part part = mmb__part_of(b, from);
    if (b->is_nullable_group) {
        return put_nullable(w, b, part, count, to, mask);
    }
    if (b->layout >= MMB_IN_DENSE_UNION) {
        return put_union(w, b, part, count, to, mask);
    }
    bool there[MMB__BATCH];
    for (uint64_t i = 0; i < count; i++) {
        there[i] = (mask == NULL || mask[i]) && mmb__is_valid(b, part.array, part.start + i);
    }
    if (b->layout != MMB_IN_STRUCT) {
        return true;
    }
    return put_records(w, b, (mmb__columns){.array = part.array, .start = part.start}, count, to,
                       there);
}

/* Store structs whose fields are columns beside them. Each row gets one struct. */
static bool put_inline_structs(mmb__stager *w, const mmb_binding *b, mmb__columns from,
                               uint64_t count, mmb__structs to, const bool *mask)
{
    const mmb_plan_struct *record = &w->plan->structs[b->record];
    uint32_t index = to.data_words + w->plan->fields[b->field].offset;
    for (uint64_t i = 0; i < count; i++) {
        mmb__structs inner = {.words = 1, .data_words = record->data_words};
        mmb__columns row = from;
        row.start += i;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        int error = mmb_stage_struct(w->stage, to.place + i * to.words + index, record->data_words,
                                     record->pointer_words, &inner.place);
        if (error != 0) {
            return mmb__fail_stage(w, i, b, error);
        }
        enter(w, i);
        bool good = put_records(w, b, row, 1, inner, NULL);
        w->level--;
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool put_column(mmb__stager *w, const mmb_binding *child, mmb__columns from, uint64_t count,
                       mmb__structs to, const bool *mask)
{
    const mmb_plan_field *field = &w->plan->fields[child->field];
    mmb_type_kind kind = w->plan->types[child->type].kind;
    if (kind == MMB_GROUP) {
        return put_group(w, child, from, count, to, mask);
    }
    if (child->is_inline) {
        return put_inline_structs(w, child, from, count, to, mask);
    }
    mmb_arrow_part part = mmb__part_of(child, from);
    bool pointer = mmb_kind_is_pointer(kind);
    mmb__values where = {
        to.place, pointer ? 64ull * (to.data_words + field->offset) : field->offset, 64 * to.words};
    return put_values(w, child, part.array, part.start, count, where, field->default_bits, mask);
}

/* Store at most MMB__BATCH structs. */
static bool put_batch(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                      mmb__structs to, const bool *mask)
{
    uint32_t tags[MMB__BATCH];
    bool active[MMB__BATCH];
    if (b->has_union && !mmb__put_tags(w, b, from, count, to, mask, tags)) {
        return false;
    }
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_tag) {
            if (child->layout >= MMB_IN_DENSE_UNION &&
                !put_union(w, child, mmb__part_of(child, from), count, to, mask)) {
                return false;
            }
            continue;
        }
        const bool *rows = mask;
        uint32_t tag = w->plan->fields[child->field].tag;
        if (tag != MMB_NONE) {
            for (uint64_t k = 0; k < count; k++) {
                active[k] = (mask == NULL || mask[k]) && tags[k] == tag;
            }
            rows = active;
        }
        if (!put_column(w, child, from, count, to, rows)) {
            return false;
        }
    }
    return true;
}

static bool put_records(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                        mmb__structs to, const bool *mask)
{
    uint64_t base = w->base;
    bool good = true;
    for (uint64_t next = 0; good && next < count; next += MMB__BATCH) {
        uint64_t left = count - next;
        mmb__columns at = from;
        mmb__structs part = to;
        at.start += next;
        part.place += next * to.words;
        w->base = base + (w->level == 0 ? next : 0);
        good = put_batch(w, b, at, left < MMB__BATCH ? left : MMB__BATCH, part,
                         mask == NULL ? NULL : mask + next);
    }
    w->base = base;
    return good;
}

/* ---- the functions --------------------------------------------------------------------------- */

static bool check_parts(const mmb_binding *b, const mmb_arrow_part *parts, uint64_t count,
                        mmb_refusal *refusal)
{
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_inline ? !check_parts(child, parts, count, refusal)
                             : !mmb__check_array(child, parts[child->arrow].array,
                                                 parts[child->arrow].start, count, refusal)) {
            return false;
        }
    }
    return true;
}

/* Return a stager of rows behind those that the stage has. Nothing is refused yet. */
static mmb__stager stager_of(mmb_stage *stage, const mmb_plan *plan, bool defaults,
                             mmb_refusal *refusal)
{
    *refusal = (mmb_refusal){0};
    return (mmb__stager){.stage = stage,
                         .plan = plan,
                         .refusal = refusal,
                         .base = stage->count,
                         .defaults = defaults};
}

bool mmb_stage_arrow_rows(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          const mmb_arrow_part *parts, uint64_t count, bool defaults,
                          mmb_refusal *refusal)
{
    mmb__stager w = stager_of(stage, plan, defaults, refusal);
    if (!check_parts(binding, parts, count, refusal)) {
        return false;
    }
    mmb__structs to = {.words = (uint64_t)stage->data_words + stage->pointer_words,
                       .data_words = stage->data_words};
    int error = mmb_stage_add_rows(stage, count, &to.place);
    if (error != 0) {
        return mmb__fail_stage(&w, 0, binding, error);
    }
    return put_records(&w, binding, (mmb__columns){.parts = parts}, count, to, NULL);
}

bool mmb_stage_arrow_pointers(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                              const mmb_arrow_part *part, uint64_t count, bool defaults,
                              mmb_refusal *refusal)
{
    mmb__stager w = stager_of(stage, plan, defaults, refusal);
    mmb__values to = {.step = 64};
    if (!mmb__check_array(binding, part->array, part->start, count, refusal)) {
        return false;
    }
    int error = mmb_stage_add_rows(stage, count, &to.place);
    if (error != 0) {
        return mmb__fail_stage(&w, 0, binding, error);
    }
    return put_values(&w, binding, part->array, part->start, count, to, 0, NULL);
}

bool mmb_stage_arrow_list(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          uint64_t pointer, const mmb_arrow_part *parts, const uint64_t *lengths,
                          uint32_t part_count, bool defaults, mmb_refusal *refusal)
{
    mmb__stager w = {.stage = stage, .plan = plan, .refusal = refusal, .defaults = defaults};
    const mmb_plan_type *type = &plan->types[binding->type];
    uint64_t count = 0, place;
    *refusal = (mmb_refusal){0};
    for (uint32_t i = 0; i < part_count; i++) {
        if (!mmb__check_array(binding, parts[i].array, parts[i].start, lengths[i], refusal)) {
            return false;
        }
        count += lengths[i];
    }
    int error = mmb_stage_list(stage, pointer, type->kind, count, &place);
    if (error != 0) {
        return mmb__fail_stage(&w, 0, binding, error);
    }
    uint32_t width = mmb_kind_is_pointer(type->kind) ? 64 : mmb_kind_bits(type->kind);
    mmb__values to = {place, 0, width};
    for (uint32_t i = 0; i < part_count; i++) {
        if (!put_values(&w, binding, parts[i].array, parts[i].start, lengths[i], to, 0, NULL)) {
            return false;
        }
        to.offset += lengths[i] * width;
        w.base += lengths[i];
    }
    return true;
}
