/* column_read.c - appends values of many structs or lists to columns. See column_read.h.
 *
 * The structs of a list are taken a batch at a time, and the fields of a batch one after the other,
 * so that each loop does one thing. A field that is a struct or a list makes batches of its own for
 * what is in it. The columns bound how deep this goes: their maker limits how deeply they nest. */
#include "column_read.h"

#include "column_add.h"

#include <errno.h>

enum { BATCH = MMB__COLUMN_BATCH };

typedef mmb__batch batch;
typedef mmb__pointers pointers;
typedef mmb__columns_context context;

static int add_fields(const context *s, mmb_column *columns, uint32_t count, const batch *rows);
static int add_span(const context *s, mmb_column *column, const mmb_span *span);

/* ---- numbers ----------------------------------------------------------------------------- */

/* Store a number of each struct, one behind the other. Callers give a constant size. */
static inline void store_numbers(unsigned char *to, const batch *rows, const mmb_plan_field *field,
                                 uint32_t size)
{
    for (uint32_t i = 0; i < rows->count; i++, to += size) {
        uint64_t bits = mmb_record_bits(&rows->records[i], field->offset, size * 8);
        mmb_store_native(to, bits ^ field->default_bits, size);
    }
}

/* Append numbers of structs that all are there. Most of the time is spent here. */
static int add_all_numbers(mmb_column *column, const mmb_plan_field *field, const batch *rows)
{
    uint32_t size = mmb__bytes_of(column->kind);
    mmb_bytes *values = &column->values;
    int error = mmb_bytes_reserve(values, (uint64_t)size * rows->count);
    if (error != 0) {
        return error;
    }
    unsigned char *to = values->bytes + values->size;
    switch (size) {
    case 1:
        store_numbers(to, rows, field, 1);
        break;
    case 2:
        store_numbers(to, rows, field, 2);
        break;
    case 4:
        store_numbers(to, rows, field, 4);
        break;
    default:
        store_numbers(to, rows, field, 8);
        break;
    }
    values->size += (uint64_t)size * rows->count;
    column->length += rows->count;
    return 0;
}

static int add_numbers(mmb_column *column, const mmb_plan_field *field, const batch *rows,
                       const bool *there, bool all)
{
    if (all && column->layout == MMB_LAY_NUMBERS && column->null_count == 0) {
        return add_all_numbers(column, field, rows);
    }
    uint32_t width = mmb_kind_bits(column->kind);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < rows->count; i++) {
        uint64_t bits = mmb_record_bits(&rows->records[i], field->offset, width);
        bool valid = there == NULL || there[i];
        error = mmb__add_plain(column, valid ? bits ^ field->default_bits : 0, valid);
    }
    return error;
}

static int add_tags(mmb_column *column, const batch *rows, const bool *there)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < rows->count; i++) {
        uint64_t tag = mmb_record_bits(&rows->records[i], column->tag_offset, 16);
        bool valid = there == NULL || there[i];
        error = mmb__add_plain(column, valid ? tag : 0, valid);
    }
    return error;
}

/* ---- pointers ---------------------------------------------------------------------------- */

static int add_structs(const context *s, mmb_column *column, const pointers *from)
{
    batch inner = {.count = from->count};
    for (uint32_t i = 0; i < from->count; i++) {
        bool is_null = true;
        int error = 0;
        inner.records[i] = (mmb_record){0};
        if (from->there[i]) {
            error = mmb_read_struct(s->reading, from->segment[i], from->word[i], &inner.records[i],
                                    &is_null);
        }
        inner.there[i] = !is_null;
        if (error == 0) {
            error = mmb_column_add_valid(column, !is_null);
        }
        if (error != 0) {
            return error;
        }
    }
    return add_fields(s, column->children, column->child_count, &inner);
}

/* Append Data that are decimals. */
static int add_decimals(const context *s, mmb_column *column, const pointers *from)
{
    static const unsigned char zeros[32];
    for (uint32_t i = 0; i < from->count; i++) {
        const unsigned char *start = NULL;
        uint64_t length = 0;
        int error = from->there[i] ? mmb_read_bytes(s->reading, from->segment[i], from->word[i],
                                                    false, &start, &length)
                                   : 0;
        if (error == 0 && start != NULL && length != column->width) {
            error = mmb_reading_fail(s->reading, from->segment[i], from->word[i],
                                     "Data that are a decimal have another length");
        }
        if (error == 0) {
            error = mmb_bytes_add(&column->values, start != NULL ? start : zeros, column->width);
        }
        if (error == 0) {
            error = mmb_column_add_valid(column, start != NULL);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int add_pointers(const context *s, mmb_column *column, const mmb_plan_field *field,
                        const pointers *from)
{
    switch (column->layout) {
    case MMB_LAY_BYTES:
        return mmb__add_bytes(s, column, field, from);
    case MMB_LAY_VIEWS:
        return mmb__add_views(s, column, field, from);
    case MMB_LAY_LIST_VIEW:
        return mmb__add_list_views(s, column, from);
    case MMB_LAY_DECIMAL:
        return add_decimals(s, column, from);
    case MMB_LAY_LIST:
        return mmb__add_lists(s, column, from);
    default:
        return add_structs(s, column, from);
    }
}

/* ---- fields of structs ---------------------------------------------------------------------- */

/* Find which structs have a value in the column. Return NULL if all have one. */
static const bool *has_value(const mmb_column *column, const batch *rows, bool *there)
{
    bool all = true;
    if (column->condition_count == 0) {
        for (uint32_t i = 0; i < rows->count; i++) {
            all = all && rows->there[i];
        }
        return all ? NULL : rows->there;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        there[i] = rows->there[i];
        for (uint32_t k = 0; there[i] && k < column->condition_count; k++) {
            const mmb_condition *condition = &column->conditions[k];
            there[i] = mmb_record_bits(&rows->records[i], condition->offset, 16) == condition->tag;
        }
        all = all && there[i];
    }
    return all ? NULL : there;
}

static int add_nothing(mmb_column *column, uint32_t count)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = mmb__add_plain(column, 0, false);
    }
    return error;
}

static int add_group(const context *s, mmb_column *column, const batch *rows, const bool *there)
{
    batch inner = *rows;
    for (uint32_t i = 0; i < rows->count; i++) {
        inner.there[i] = there == NULL || there[i];
        int error = mmb_column_add_valid(column, inner.there[i]);
        if (error != 0) {
            return error;
        }
    }
    return add_fields(s, column->children, column->child_count, &inner);
}

static int add_field(const context *s, mmb_column *column, const batch *rows)
{
    bool room[BATCH];
    const bool *there = has_value(column, rows, room);
    if (column->subject == MMB_FROM_TAG) {
        return add_tags(column, rows, there);
    }
    if (column->subject == MMB_FROM_GROUP) {
        return add_group(s, column, rows, there);
    }
    if (column->subject == MMB_FROM_UNION) {
        return mmb__add_union(s, column, rows, there);
    }
    if (column->subject == MMB_FROM_NOTHING) {
        return add_nothing(column, rows->count);
    }
    const mmb_plan_field *field = &s->plan->fields[column->number];
    if (!mmb_kind_is_pointer(column->kind)) {
        return add_numbers(column, field, rows, there, there == NULL);
    }
    pointers from = {.count = rows->count};
    for (uint32_t i = 0; i < rows->count; i++) {
        from.segment[i] = rows->records[i].segment;
        from.there[i] = mmb_record_pointer(&rows->records[i], field->offset, &from.word[i]);
    }
    for (uint32_t i = 0; field->default_object != 0 && i < rows->count; i++) {
        from.there[i] =
            mmb_read_default(s->reading, field, from.there[i], &from.segment[i], &from.word[i]);
    }
    for (uint32_t i = 0; there != NULL && i < rows->count; i++) {
        from.there[i] = from.there[i] && there[i];
    }
    int error = add_pointers(s, column, field, &from);
    return error;
}

static int add_fields(const context *s, mmb_column *columns, uint32_t count, const batch *rows)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = add_field(s, &columns[i], rows);
    }
    return error;
}

/* ---- elements of lists ------------------------------------------------------------------------
 */

static int add_span_of_structs(const context *s, mmb_column *column, const mmb_span *span)
{
    batch rows;
    for (uint64_t next = 0; next < span->count; next += rows.count) {
        uint64_t left = span->count - next;
        rows.count = left < BATCH ? (uint32_t)left : BATCH;
        for (uint32_t i = 0; i < rows.count; i++) {
            mmb_span_record(span, next + i, &rows.records[i]);
            rows.there[i] = true;
        }
        int error = add_fields(s, column->children, column->child_count, &rows);
        if (error != 0) {
            return error;
        }
    }
    column->length += span->count; /* a list of structs has no null elements */
    return 0;
}

static int add_span_of_pointers(const context *s, mmb_column *column, const mmb_span *span)
{
    pointers from;
    for (uint64_t next = 0; next < span->count; next += from.count) {
        uint64_t left = span->count - next;
        from.count = left < BATCH ? (uint32_t)left : BATCH;
        for (uint32_t i = 0; i < from.count; i++) {
            mmb_record element;
            mmb_span_record(span, next + i, &element);
            from.word[i] = element.word;
            from.segment[i] = element.segment;
            from.there[i] = true;
        }
        int error = add_pointers(s, column, NULL, &from);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int add_span_of_numbers(mmb_column *column, const mmb_span *span)
{
    uint32_t width = mmb_kind_bits(column->kind);
    if (column->layout == MMB_LAY_NUMBERS && span->step_bits == width && mmb__is_little_endian()) {
        column->length += span->count;
        return mmb_bytes_add(&column->values, span->start, (uint64_t)span->count * width / 8);
    }
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < span->count; i++) {
        error = mmb__add_plain(column, mmb_span_bits(span, i, width), true);
    }
    return error;
}

/* Append the elements of a list that is not null to a column. */
static int add_span(const context *s, mmb_column *column, const mmb_span *span)
{
    if (column->kind == MMB_STRUCT) {
        return add_span_of_structs(s, column, span);
    }
    if (mmb_kind_is_pointer(column->kind)) {
        return add_span_of_pointers(s, column, span);
    }
    return add_span_of_numbers(column, span);
}

/* ---- tables ------------------------------------------------------------------------------------
 */

/* Let a column of numbers borrow memory of the message if its numbers lie side by side. Return
 * whether it does. */
static bool can_borrow(const context *s, mmb_column *column, const mmb_span *span)
{
    uint32_t width = mmb_kind_bits(column->kind);
    uint64_t offset = 0;
    if (column->layout != MMB_LAY_NUMBERS || span->count == 0 || span->step_bits != width ||
        column->condition_count != 0 || !mmb__is_little_endian()) {
        return false;
    }
    if (column->subject == MMB_FROM_FIELD) {
        const mmb_plan_field *field = &s->plan->fields[column->number];
        offset = field->offset;
        if (field->default_bits != 0 || offset + width > span->data_bits) {
            return false;
        }
    }
    const unsigned char *start = span->start + offset / 8;
    if ((uintptr_t)start % mmb__bytes_of(column->kind) != 0) {
        return false;
    }
    column->borrowed = start;
    column->length = span->count;
    return true;
}

static context context_of(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns)
{
    return (context){.reading = reading,
                     .plan = plan,
                     .columns = columns,
                     .add_field = add_field,
                     .add_span = add_span};
}

int mmb_columns_read(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                     const mmb_span *span, bool borrow, bool *borrowed)
{
    const context s = context_of(reading, plan, columns);
    mmb_column *table = &columns->table;
    int error = 0;
    *borrowed = borrow && table->child_count == 1 && can_borrow(&s, &table->children[0], span);
    if (*borrowed) {
        table->length = span->count;
    } else if (table->child_count == 1 && table->children[0].subject == MMB_FROM_ELEMENT) {
        error = add_span(&s, &table->children[0], span);
        table->length = span->count;
    } else {
        error = add_span_of_structs(&s, table, span);
    }
    return error == 0 ? mmb_column_finish(table) : error;
}

int mmb_columns_add(mmb_reading *reading, const mmb_plan *plan, mmb_columns *columns,
                    const mmb__batch *rows)
{
    const context s = context_of(reading, plan, columns);
    mmb_column *table = &columns->table;
    table->length += rows->count;
    return add_fields(&s, table->children, table->child_count, rows);
}
