/* arrow_in.c - columns of Arrow into the rows of a stage. See arrow_in.h.
 *
 * Rows are taken a batch at a time, and of a batch one column after the other. Which rows
 * of a batch a column is for (of a union's members only one is) says a mask. */
#include "arrow_in.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arrow_values.h"
#include "utf8.h"

enum { BATCH = 128 };

typedef struct {
    mmb_stage *stage;
    const mmb_plan *plan;
    mmb_fault *fault;
    uint64_t row;   /* of the table */
    uint64_t base;  /* the row of index 0, at the top */
    unsigned level; /* lists and structs around the present values */
} writer;

/* Where values go: value i lies `offset + i * step` bits from a place. */
typedef struct {
    uint64_t place;
    uint64_t offset;
    uint64_t step;
} target;

/* Where the columns of a struct are: beside each other, or children of an array. */
typedef struct {
    const mmb_arrow_part *parts; /* or NULL: */
    const mmb_arrow_array *array;
    uint64_t start;
} columns;

/* Where structs go: struct i begins `i * words` words from a place. */
typedef struct {
    uint64_t place;
    uint64_t words;
    uint32_t data_words;
} structs;

static bool fail(writer *w, uint64_t index, mmb_fault_kind kind, const mmb_binding *b,
                 const char *text)
{
    mmb__bind_fail(w->fault, kind, b, "%s", text);
    w->fault->has_row = true;
    w->fault->row = w->level == 0 ? w->base + index : w->row;
    return false;
}

/* The fault is set; only the row is missing. */
static bool fail_at(writer *w, uint64_t index)
{
    w->fault->has_row = true;
    w->fault->row = w->level == 0 ? w->base + index : w->row;
    return false;
}

static bool fail_stage(writer *w, uint64_t index, const mmb_binding *b, int error)
{
    bool full = error == MMB_ECAPACITY;
    return fail(w, index, full ? MMB_FAULT_CAPACITY : MMB_FAULT_MEMORY, b,
                full ? "more than a list, or the 4 GiB of one segment, can hold" : "no memory");
}

static void enter(writer *w, uint64_t index)
{
    if (w->level++ == 0) {
        w->row = w->base + index;
    }
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const char *const kind_names[MMB_TYPE_KINDS] = {
    [MMB_INT8] = "Int8",     [MMB_INT16] = "Int16",   [MMB_INT32] = "Int32",
    [MMB_INT64] = "Int64",   [MMB_UINT8] = "UInt8",   [MMB_UINT16] = "UInt16",
    [MMB_UINT32] = "UInt32", [MMB_UINT64] = "UInt64", [MMB_FLOAT32] = "Float32",
};

static bool too_large(writer *w, uint64_t index, const mmb_binding *b, mmb_type_kind kind)
{
    mmb__bind_fail(w->fault, MMB_FAULT_OVERFLOW, b, "the value does not fit %s", kind_names[kind]);
    return fail_at(w, index);
}

static bool integer(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    mmb_type_kind kind, uint64_t *bits)
{
    uint32_t width = mmb_kind_bits(kind);
    bool is_signed = kind <= MMB_INT64;
    if (b->layout == MMB_IN_SIGNED) {
        int64_t value = mmb__signed_at(b, a, index);
        *bits = (uint64_t)value;
        if (!is_signed) {
            return value >= 0 && (width == 64 || (uint64_t)value >> width == 0);
        }
        return width == 64 || (value >= -(1ll << (width - 1)) && value < 1ll << (width - 1));
    }
    (void)w;
    *bits = mmb__unsigned_at(b, a, index);
    return is_signed ? *bits >> (width - 1) == 0 : width == 64 || *bits >> width == 0;
}

static double any_number(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    switch (b->layout) {
    case MMB_IN_SIGNED:
        return (double)mmb__signed_at(b, a, index);
    case MMB_IN_UNSIGNED:
        return (double)mmb__unsigned_at(b, a, index);
    default:
        return mmb__float_at(b, a, index);
    }
}

static bool name_of(const char *name, const unsigned char *start, uint64_t length)
{
    return name != NULL && strlen(name) == length && memcmp(name, start, (size_t)length) == 0;
}

/* The number in "@7"; MMB_NONE if it is none. */
static uint32_t unnamed(const unsigned char *start, uint64_t length)
{
    uint32_t number = 0;
    if (length < 2 || length > 6 || start[0] != '@') {
        return MMB_NONE;
    }
    for (uint64_t i = 1; i < length; i++) {
        if (start[i] < '0' || start[i] > '9') {
            return MMB_NONE;
        }
        number = number * 10 + (start[i] - '0');
    }
    return number <= UINT16_MAX ? number : MMB_NONE;
}

static bool enumerant(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                      uint64_t row, uint64_t *bits)
{
    const mmb_plan_enum *type = &w->plan->enums[w->plan->types[b->type].target];
    const char **names = w->plan->enumerants + type->first;
    const unsigned char *start;
    uint64_t length;
    if (b->layout == MMB_IN_SIGNED || b->layout == MMB_IN_UNSIGNED) {
        *bits = mmb__unsigned_at(b, a, index);
        bool known = (b->layout == MMB_IN_UNSIGNED || mmb__signed_at(b, a, index) >= 0) &&
                     *bits < type->count && names[*bits] != NULL;
        return known || fail(w, row, MMB_FAULT_VALUE, b, "the enum has no such number");
    }
    if (!mmb__bytes_at(b, a, index, &start, &length, w->fault)) {
        return fail_at(w, row);
    }
    for (uint32_t i = 0; i < type->count; i++) {
        if (name_of(names[i], start, length)) {
            *bits = i;
            return true;
        }
    }
    *bits = unnamed(start, length);
    return *bits != MMB_NONE || fail(w, row, MMB_FAULT_VALUE, b, "the enum has no such name");
}

/* The bits of a value that is not null. */
static bool number_bits(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                        uint64_t row, uint64_t *bits)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    switch (kind) {
    case MMB_BOOL:
        *bits = mmb__bit(a->buffers[1], (uint64_t)a->offset + index);
        return true;
    case MMB_ENUM:
        return enumerant(w, b, a, index, row, bits);
    case MMB_FLOAT64: {
        double value = any_number(b, a, index);
        memcpy(bits, &value, sizeof value);
        return true;
    }
    case MMB_FLOAT32: {
        double value = any_number(b, a, index);
        float narrow = (float)value;
        uint32_t half;
        memcpy(&half, &narrow, sizeof half);
        *bits = half;
        return !isinf(narrow) || isinf(value) || too_large(w, row, b, kind);
    }
    default:
        return integer(w, b, a, index, kind, bits) || too_large(w, row, b, kind);
    }
}

static bool missing(writer *w, uint64_t row, const mmb_binding *b)
{
    return fail(w, row, MMB_FAULT_TYPE, b, "the value is missing, and a number cannot be null");
}

/* Whether the numbers can be copied as they are, but for the default. */
static bool same_numbers(const writer *w, const mmb_binding *b, const mmb_arrow_array *a)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    const uint16_t probe = 1;
    bool fits = b->layout == MMB_IN_SIGNED     ? kind >= MMB_INT8 && kind <= MMB_INT64
                : b->layout == MMB_IN_UNSIGNED ? kind >= MMB_UINT8 && kind <= MMB_UINT64
                : b->layout == MMB_IN_FLOAT    ? kind == MMB_FLOAT32 || kind == MMB_FLOAT64
                                               : false;
    return fits && !b->has_dictionary && b->width * 8 == mmb_kind_bits(kind) &&
           a->buffers[0] == NULL && *(const unsigned char *)&probe == 1;
}

static void copy_numbers(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                         uint64_t count, target to, uint64_t flip)
{
    uint32_t width = b->width;
    const unsigned char *from =
        (const unsigned char *)a->buffers[1] + ((uint64_t)a->offset + start) * width;
    if (to.step == 8u * width && to.offset % 8 == 0 && flip == 0) {
        if (count != 0) {
            memcpy(mmb_stage_at(w->stage, to.place) + to.offset / 8, from, (size_t)(count * width));
        }
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, from + i * width, width);
        mmb_stage_store(w->stage, to.place, to.offset + i * to.step, width * 8, bits ^ flip);
    }
}

static bool put_numbers(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                        uint64_t count, target to, uint64_t flip, const bool *mask)
{
    if (mask == NULL && same_numbers(w, b, a)) {
        copy_numbers(w, b, a, start, count, to, flip);
        return true;
    }
    uint32_t width = mmb_kind_bits(w->plan->types[b->type].kind);
    for (uint64_t i = 0; i < count; i++) {
        const mmb_binding *values = b;
        const mmb_arrow_array *array = a;
        uint64_t index = start + i;
        uint64_t bits = 0;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        if (!mmb__is_valid(b, a, index)) {
            return missing(w, i, b);
        }
        if (b->has_dictionary) {
            if (!mmb__look_up(&values, &array, &index, w->fault)) {
                return fail_at(w, i);
            }
            if (!mmb__is_valid(values, array, index)) {
                return missing(w, i, b);
            }
        }
        if (!number_bits(w, values, array, index, i, &bits)) {
            return false;
        }
        mmb_stage_store(w->stage, to.place, to.offset + i * to.step, width, bits ^ flip);
    }
    return true;
}

/* ---- pointers -------------------------------------------------------------------------------- */

static bool put_values(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                       uint64_t count, target to, uint64_t flip, const bool *mask);
static bool put_records(writer *w, const mmb_binding *b, columns from, uint64_t count, structs to,
                        const bool *mask);

static bool put_bytes(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                      uint64_t row, uint64_t pointer)
{
    bool text = w->plan->types[b->type].kind == MMB_TEXT;
    const unsigned char *start;
    uint64_t length;
    if (b->has_dictionary) {
        if (!mmb__look_up(&b, &a, &index, w->fault)) {
            return fail_at(w, row);
        }
        if (!mmb__is_valid(b, a, index)) {
            return true;
        }
    }
    if (!mmb__bytes_at(b, a, index, &start, &length, w->fault)) {
        return fail_at(w, row);
    }
    if (text && !mmb__is_utf8(start, length)) {
        return fail(w, row, MMB_FAULT_VALUE, b, "the string is not UTF-8");
    }
    int error = mmb_stage_bytes(w->stage, pointer, start, length, text);
    return error == 0 || fail_stage(w, row, b, error);
}

/* Elements `from` and following of an array, as a list that the pointer leads to. */
static bool put_list(writer *w, const mmb_binding *element, const mmb_arrow_array *a, uint64_t from,
                     uint64_t count, uint64_t row, uint64_t pointer)
{
    const mmb_plan_type *type = &w->plan->types[element->type];
    uint64_t place;
    int error;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->target];
        error = mmb_stage_structs(w->stage, pointer, count, record->data_words,
                                  record->pointer_words, &place);
        if (error != 0) {
            return fail_stage(w, row, element, error);
        }
        for (uint64_t i = 0; i < count; i++) {
            if (!mmb__is_valid(element, a, from + i)) {
                return fail(w, row, MMB_FAULT_TYPE, element,
                            "an element is missing, and a struct in a list cannot be null");
            }
        }
        structs to = {place, (uint64_t)record->data_words + record->pointer_words,
                      record->data_words};
        columns children = {.array = a, .start = from};
        return put_records(w, element, children, count, to, NULL);
    }
    error = mmb_stage_list(w->stage, pointer, type->kind, count, &place);
    if (error != 0) {
        return fail_stage(w, row, element, error);
    }
    uint32_t width = mmb_kind_is_pointer(type->kind) ? 64 : mmb_kind_bits(type->kind);
    return put_values(w, element, a, from, count, (target){place, 0, width}, 0, NULL);
}

static bool put_struct(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                       uint64_t row, uint64_t pointer)
{
    const mmb_plan_struct *record = &w->plan->structs[b->record];
    structs to = {.words = 1, .data_words = record->data_words};
    int error =
        mmb_stage_struct(w->stage, pointer, record->data_words, record->pointer_words, &to.place);
    if (error != 0) {
        return fail_stage(w, row, b, error);
    }
    return put_records(w, b, (columns){.array = a, .start = index}, 1, to, NULL);
}

static bool put_pointer(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                        uint64_t row, uint64_t pointer)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    uint64_t from, count;
    if (kind == MMB_TEXT || kind == MMB_DATA) {
        return put_bytes(w, b, a, index, row, pointer);
    }
    if (kind == MMB_LIST && !mmb__list_at(b, a, index, &from, &count, w->fault)) {
        return fail_at(w, row);
    }
    enter(w, row);
    bool good = kind == MMB_LIST
                    ? put_list(w, &b->children[0], a->children[0], from, count, row, pointer)
                    : put_struct(w, b, a, index, row, pointer);
    w->level--;
    return good;
}

/* Store values that are no groups; those of nulls are null pointers. */
static bool put_values(writer *w, const mmb_binding *b, const mmb_arrow_array *a, uint64_t start,
                       uint64_t count, target to, uint64_t flip, const bool *mask)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    if (kind == MMB_VOID) {
        return true;
    }
    if (!mmb_kind_is_pointer(kind)) {
        return put_numbers(w, b, a, start, count, to, flip, mask);
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t pointer = to.place + (to.offset + i * to.step) / 64;
        if ((mask == NULL || mask[i]) && mmb__is_valid(b, a, start + i) &&
            !put_pointer(w, b, a, start + i, i, pointer)) {
            return false;
        }
    }
    return true;
}

/* ---- unions ---------------------------------------------------------------------------------- */

static mmb_arrow_part part_of(const mmb_binding *child, columns from)
{
    if (from.parts != NULL) {
        mmb_arrow_part part = from.parts[child->arrow];
        part.start += from.start;
        return part;
    }
    return (mmb_arrow_part){from.array->children[child->arrow],
                            (uint64_t)from.array->offset + from.start};
}

/* Whether a member of a union has a value in a row. */
static bool has_value(const mmb_binding *child, columns from, uint64_t row)
{
    if (child->is_inline) {
        for (uint32_t i = 0; i < child->child_count; i++) {
            if (!child->children[i].is_tag && has_value(&child->children[i], from, row)) {
                return true;
            }
        }
        return false;
    }
    mmb_arrow_part part = part_of(child, from);
    const mmb_binding *values = child->is_nullable_group ? &child->children[0] : child;
    return mmb__is_valid(values, part.array, part.start + row);
}

static uint32_t only_void(const writer *w, uint32_t record)
{
    const mmb_plan_struct *type = &w->plan->structs[record];
    uint32_t found = MMB_NONE;
    for (uint32_t tag = 0; tag < type->members; tag++) {
        uint32_t field = w->plan->members[type->first_member + tag];
        if (field != MMB_NONE && w->plan->types[w->plan->fields[field].type].kind == MMB_VOID) {
            if (found != MMB_NONE) {
                return MMB_NONE;
            }
            found = tag;
        }
    }
    return found;
}

/* The tag that a column of names has for a row. */
static bool named_tag(writer *w, const mmb_binding *child, columns from, uint64_t row,
                      uint32_t *tag)
{
    mmb_arrow_part part = part_of(child, from);
    const mmb_binding *names = child;
    uint64_t index = part.start + row;
    const unsigned char *start;
    uint64_t length;
    const mmb_plan_struct *type = &w->plan->structs[child->record];
    if (!mmb__is_valid(names, part.array, index)) {
        return fail(w, row, MMB_FAULT_TYPE, child, "the value is missing");
    }
    if (names->has_dictionary && !mmb__look_up(&names, &part.array, &index, w->fault)) {
        return fail_at(w, row);
    }
    if (!mmb__is_valid(names, part.array, index) ||
        !mmb__bytes_at(names, part.array, index, &start, &length, w->fault)) {
        return fail(w, row, MMB_FAULT_VALUE, child, "the value is missing or damaged");
    }
    for (*tag = 0; *tag < type->members; ++*tag) {
        uint32_t field = w->plan->members[type->first_member + *tag];
        if (field != MMB_NONE && name_of(w->plan->fields[field].name, start, length)) {
            return true;
        }
    }
    return fail(w, row, MMB_FAULT_VALUE, child, "the union has no such member");
}

/* The tag for a row of which the members are given: the one with a value. */
static bool implied_tag(writer *w, const mmb_binding *b, columns from, uint64_t row,
                        uint32_t record, uint32_t *tag)
{
    uint32_t members = 0;
    const mmb_binding *last = NULL;
    *tag = MMB_NONE;
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        const mmb_plan_field *field = &w->plan->fields[child->field];
        if (field->tag == MMB_NONE) {
            continue;
        }
        members++;
        last = child;
        if (has_value(child, from, row)) {
            if (*tag != MMB_NONE) {
                return fail(w, row, MMB_FAULT_VALUE, child,
                            "a second member of the union has a value: a column @which tells "
                            "which one counts");
            }
            *tag = field->tag;
        }
    }
    if (*tag != MMB_NONE) {
        return true;
    }
    mmb_type_kind kind = w->plan->types[last->type].kind;
    if (members == 1 && mmb_kind_bits(kind) == 0) { /* a pointer or a group, which can be null */
        *tag = w->plan->fields[last->field].tag;
        return true;
    }
    *tag = only_void(w, record);
    return *tag != MMB_NONE ||
           fail(w, row, MMB_FAULT_TYPE, last, "no member of the union has a value");
}

static const mmb_binding *tag_column(const mmb_binding *b)
{
    for (uint32_t i = 0; i < b->child_count; i++) {
        if (b->children[i].is_tag) {
            return &b->children[i];
        }
    }
    return NULL;
}

/* Find and store the tags of a batch. */
static bool put_tags(writer *w, const mmb_binding *b, columns from, uint64_t count, structs to,
                     const bool *mask, uint32_t *tags)
{
    const mmb_binding *names = tag_column(b);
    uint32_t offset = w->plan->structs[b->record].tag_offset;
    for (uint64_t i = 0; i < count; i++) {
        tags[i] = MMB_NONE;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        bool good = names != NULL ? named_tag(w, names, from, i, &tags[i])
                                  : implied_tag(w, b, from, i, b->record, &tags[i]);
        if (!good) {
            return false;
        }
        mmb_stage_store(w->stage, to.place + i * to.words, offset, 16, tags[i]);
    }
    return true;
}

/* ---- structs --------------------------------------------------------------------------------- */

/* A group of a value and a Void member, from values that may be null. */
static bool put_nullable(writer *w, const mmb_binding *b, mmb_arrow_part part, uint64_t count,
                         structs to, const bool *mask)
{
    const mmb_binding *value = &b->children[0];
    const mmb_plan_field *field = &w->plan->fields[value->field];
    const mmb_plan_struct *group = &w->plan->structs[b->record];
    bool there[BATCH];
    for (uint64_t i = 0; i < count; i++) {
        bool wanted = mask == NULL || mask[i];
        there[i] = wanted && mmb__is_valid(value, part.array, part.start + i);
        if (wanted) {
            mmb_stage_store(w->stage, to.place + i * to.words, group->tag_offset, 16,
                            there[i] ? field->tag : 1 - field->tag);
        }
    }
    bool pointer = mmb_kind_is_pointer(w->plan->types[value->type].kind);
    target where = {to.place, pointer ? 64ull * (to.data_words + field->offset) : field->offset,
                    64 * to.words};
    return put_values(w, value, part.array, part.start, count, where, field->default_bits, there);
}

static bool put_group(writer *w, const mmb_binding *b, columns from, uint64_t count, structs to,
                      const bool *mask)
{
    if (b->is_inline) {
        return put_records(w, b, from, count, to, mask);
    }
    mmb_arrow_part part = part_of(b, from);
    if (b->is_nullable_group) {
        return put_nullable(w, b, part, count, to, mask);
    }
    bool there[BATCH];
    for (uint64_t i = 0; i < count; i++) {
        there[i] = (mask == NULL || mask[i]) && mmb__is_valid(b, part.array, part.start + i);
    }
    if (b->layout != MMB_IN_STRUCT) {
        return true;
    }
    return put_records(w, b, (columns){.array = part.array, .start = part.start}, count, to, there);
}

/* A struct whose fields are columns beside it: each row gets one. */
static bool put_inline_structs(writer *w, const mmb_binding *b, columns from, uint64_t count,
                               structs to, const bool *mask)
{
    const mmb_plan_struct *record = &w->plan->structs[b->record];
    uint32_t index = to.data_words + w->plan->fields[b->field].offset;
    for (uint64_t i = 0; i < count; i++) {
        structs inner = {.words = 1, .data_words = record->data_words};
        columns row = from;
        row.start += i;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        int error = mmb_stage_struct(w->stage, to.place + i * to.words + index, record->data_words,
                                     record->pointer_words, &inner.place);
        if (error != 0) {
            return fail_stage(w, i, b, error);
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

static bool put_column(writer *w, const mmb_binding *child, columns from, uint64_t count,
                       structs to, const bool *mask)
{
    const mmb_plan_field *field = &w->plan->fields[child->field];
    mmb_type_kind kind = w->plan->types[child->type].kind;
    if (kind == MMB_GROUP) {
        return put_group(w, child, from, count, to, mask);
    }
    if (child->is_inline) {
        return put_inline_structs(w, child, from, count, to, mask);
    }
    mmb_arrow_part part = part_of(child, from);
    bool pointer = mmb_kind_is_pointer(kind);
    target where = {to.place, pointer ? 64ull * (to.data_words + field->offset) : field->offset,
                    64 * to.words};
    return put_values(w, child, part.array, part.start, count, where, field->default_bits, mask);
}

/* At most BATCH structs. */
static bool put_batch(writer *w, const mmb_binding *b, columns from, uint64_t count, structs to,
                      const bool *mask)
{
    uint32_t tags[BATCH];
    bool active[BATCH];
    if (b->has_union && !put_tags(w, b, from, count, to, mask, tags)) {
        return false;
    }
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_tag) {
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

static bool put_records(writer *w, const mmb_binding *b, columns from, uint64_t count, structs to,
                        const bool *mask)
{
    uint64_t base = w->base;
    bool good = true;
    for (uint64_t next = 0; good && next < count; next += BATCH) {
        uint64_t left = count - next;
        columns at = from;
        structs part = to;
        at.start += next;
        part.place += next * to.words;
        w->base = base + (w->level == 0 ? next : 0);
        good = put_batch(w, b, at, left < BATCH ? left : BATCH, part,
                         mask == NULL ? NULL : mask + next);
    }
    w->base = base;
    return good;
}

/* ---- the functions --------------------------------------------------------------------------- */

static bool check_parts(const mmb_binding *b, const mmb_arrow_part *parts, uint64_t count,
                        mmb_fault *fault)
{
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_inline ? !check_parts(child, parts, count, fault)
                             : !mmb__check_array(child, parts[child->arrow].array,
                                                 parts[child->arrow].start, count, fault)) {
            return false;
        }
    }
    return true;
}

bool mmb_stage_arrow_rows(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          const mmb_arrow_part *parts, uint64_t count, mmb_fault *fault)
{
    writer w = {.stage = stage, .plan = plan, .fault = fault, .base = stage->count};
    *fault = (mmb_fault){0};
    if (!check_parts(binding, parts, count, fault)) {
        return false;
    }
    structs to = {stage->rows.words, (uint64_t)stage->data_words + stage->pointer_words,
                  stage->data_words};
    for (uint64_t i = 0; i < count; i++) {
        uint64_t place;
        int error = mmb_stage_add_row(stage, &place);
        if (error != 0) {
            return fail_stage(&w, i, binding, error);
        }
    }
    return put_records(&w, binding, (columns){.parts = parts}, count, to, NULL);
}

bool mmb_stage_arrow_list(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding,
                          uint64_t pointer, const mmb_arrow_part *parts, const uint64_t *lengths,
                          uint32_t part_count, mmb_fault *fault)
{
    writer w = {.stage = stage, .plan = plan, .fault = fault};
    const mmb_plan_type *type = &plan->types[binding->type];
    uint64_t count = 0, place;
    *fault = (mmb_fault){0};
    for (uint32_t i = 0; i < part_count; i++) {
        if (!mmb__check_array(binding, parts[i].array, parts[i].start, lengths[i], fault)) {
            return false;
        }
        count += lengths[i];
    }
    int error = mmb_stage_list(stage, pointer, type->kind, count, &place);
    if (error != 0) {
        return fail_stage(&w, 0, binding, error);
    }
    uint32_t width = mmb_kind_is_pointer(type->kind) ? 64 : mmb_kind_bits(type->kind);
    target to = {place, 0, width};
    for (uint32_t i = 0; i < part_count; i++) {
        if (!put_values(&w, binding, parts[i].array, parts[i].start, lengths[i], to, 0, NULL)) {
            return false;
        }
        to.offset += lengths[i] * width;
        w.base += lengths[i];
    }
    return true;
}

/* ---- which part of a row is written
 * -------------------------------------------------------------- */

static void mask_bits(uint64_t *mask, uint32_t offset, uint32_t bits)
{
    uint64_t ones = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    if (bits != 0) {
        mask[offset / 64] |= ones << (offset % 64);
    }
}

/* All members of a union: of those without a column nothing must be left when another one
 * becomes active, since it would be read as something else. */
static void mask_members(uint64_t *mask, const mmb_plan *plan, uint32_t record, uint32_t data_words,
                         bool all)
{
    const mmb_plan_struct *type = &plan->structs[record];
    if (type->members != 0) {
        mask_bits(mask, type->tag_offset, 16);
    }
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        const mmb_plan_field *field = &plan->fields[i];
        const mmb_plan_type *kind = &plan->types[field->type];
        if (!all && field->tag == MMB_NONE) {
            continue;
        }
        if (kind->kind == MMB_GROUP) {
            mask_members(mask, plan, kind->target, data_words, true);
        } else if (mmb_kind_is_pointer(kind->kind)) {
            mask[data_words + field->offset] = UINT64_MAX;
        } else {
            mask_bits(mask, field->offset, mmb_kind_bits(kind->kind));
        }
    }
}

static void mask_children(uint64_t *mask, const mmb_plan *plan, const mmb_binding *b,
                          uint32_t data_words)
{
    if (b->has_union || b->is_nullable_group) {
        mask_bits(mask, plan->structs[b->record].tag_offset, 16);
    }
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_tag) {
            mask_members(mask, plan, b->record, data_words, false);
            continue;
        }
        const mmb_plan_field *field = &plan->fields[child->field];
        mmb_type_kind kind = plan->types[child->type].kind;
        if (kind == MMB_GROUP) {
            mask_children(mask, plan, child, data_words);
        } else if (mmb_kind_is_pointer(kind)) {
            mask[data_words + field->offset] = UINT64_MAX;
        } else {
            mask_bits(mask, field->offset, mmb_kind_bits(kind));
        }
    }
}

bool mmb_stage_mask_columns(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding)
{
    stage->mask = calloc((size_t)stage->data_words + stage->pointer_words + 1, 8);
    if (stage->mask != NULL) {
        mask_children(stage->mask, plan, binding, stage->data_words);
    }
    return stage->mask != NULL;
}
