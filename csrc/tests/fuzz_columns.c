/* fuzz_columns.c - any bytes as a message of nested types, read into columns. */
#include <stdlib.h>
#include <string.h>

#include "column_read.h"

/* struct S { id @0 :UInt32; name @1 :Text; kids @2 :List(S); m @3 :List(List(Int16));
 *            inner @4 :S; union { bits @5 :List(Bool); blob @6 :Data; } } */
enum { TYPES = 10, FIELDS = 7 };

static mmb_plan *plan;
static bool views, unions; /* of the present input */

static void make_plan(void)
{
    static const mmb_plan_type types[TYPES] = {
        {MMB_STRUCT, 0}, {MMB_UINT32, 0}, {MMB_TEXT, 0}, {MMB_LIST, 0}, {MMB_LIST, 5},
        {MMB_LIST, 6},   {MMB_INT16, 0},  {MMB_LIST, 8}, {MMB_BOOL, 0}, {MMB_DATA, 0},
    };
    static const struct {
        const char *name;
        uint32_t type, offset, tag;
    } fields[FIELDS] = {
        {"id", 1, 0, MMB_NONE}, {"name", 2, 0, MMB_NONE},  {"kids", 3, 1, MMB_NONE},
        {"m", 4, 2, MMB_NONE},  {"inner", 0, 3, MMB_NONE}, {"bits", 7, 4, 0},
        {"blob", 9, 4, 1},
    };
    mmb_plan sizes = {
        .type_count = TYPES, .struct_count = 1, .field_count = FIELDS, .member_count = 2};
    plan = mmb_plan_new(&sizes);
    if (plan == NULL) {
        abort();
    }
    memcpy(plan->types, types, sizeof types);
    for (uint32_t i = 0; i < FIELDS; i++) {
        plan->fields[i] = (mmb_plan_field){.name = fields[i].name,
                                           .type = fields[i].type,
                                           .offset = fields[i].offset,
                                           .tag = fields[i].tag};
    }
    plan->structs[0] = (mmb_plan_struct){
        .count = FIELDS, .tag_offset = 32, .members = 2, .data_words = 1, .pointer_words = 5};
    plan->members[0] = 5;
    plan->members[1] = 6;
    if (!mmb_plan_check(plan)) {
        abort();
    }
}

static mmb_column_layout layout_of(mmb_type_kind kind)
{
    switch (kind) {
    case MMB_LIST:
        return MMB_LAY_LIST;
    case MMB_STRUCT:
        return MMB_LAY_STRUCT;
    case MMB_TEXT:
    case MMB_DATA:
        return views ? MMB_LAY_VIEWS : MMB_LAY_BYTES;
    case MMB_BOOL:
        return MMB_LAY_BITS;
    default:
        return MMB_LAY_NUMBERS;
    }
}

static void add_fields(mmb_column *parent, int depth);

static void make_column(mmb_column *column, uint32_t type, mmb_column_subject subject, int depth)
{
    column->subject = subject;
    column->kind = plan->types[type].kind;
    column->layout = layout_of(column->kind);
    if (column->kind == MMB_STRUCT) {
        add_fields(column, depth - 1);
    } else if (column->kind == MMB_LIST) {
        if (mmb_column_add_children(column, 1) != 0) {
            abort();
        }
        make_column(&column->children[0], plan->types[type].refers_to, MMB_FROM_ELEMENT, depth);
        mmb_column_layout inner = column->children[0].layout;
        if (views && (inner == MMB_LAY_NUMBERS || inner == MMB_LAY_BITS)) {
            column->layout = MMB_LAY_LIST_VIEW;
        }
    }
}

/* The union as one column, of its two members. */
static void add_union(mmb_column *column)
{
    column->subject = MMB_FROM_UNION;
    column->layout = MMB_LAY_UNION;
    column->tag_offset = 32;
    if (mmb_column_add_children(column, 2) != 0) {
        abort();
    }
    for (uint32_t i = 0; i < 2; i++) {
        column->children[i].number = 5 + i;
        column->children[i].code = i;
        make_column(&column->children[i], plan->fields[5 + i].type, MMB_FROM_FIELD, 1);
    }
}

static void add_fields(mmb_column *parent, int depth)
{
    if (mmb_column_add_children(parent, depth > 0 ? FIELDS + 1 : 1) != 0) {
        abort();
    }
    for (uint32_t i = 0; i + 1 < parent->child_count; i++) {
        mmb_column *column = &parent->children[i];
        column->number = i;
        make_column(column, plan->fields[i].type, MMB_FROM_FIELD, depth);
        if (plan->fields[i].tag != MMB_NONE) {
            column->conditions = malloc(sizeof *column->conditions);
            if (column->conditions == NULL) {
                abort();
            }
            column->conditions[0] = (mmb_condition){32, plan->fields[i].tag};
            column->condition_count = 1;
        }
    }
    mmb_column *tag = &parent->children[parent->child_count - 1];
    if (unions) {
        add_union(tag);
        return;
    }
    tag->subject = MMB_FROM_TAG;
    tag->kind = MMB_ENUM;
    tag->layout = MMB_LAY_NAMES;
    tag->tag_offset = 32;
}

/* The message is the bytes, in one segment or two; its root pointer leads to a List(S). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (plan == NULL) {
        make_plan();
    }
    if (size < 16) {
        return 0;
    }
    uint64_t first = 1 + data[0] % (size / 8);
    unsigned char *own = malloc(size);
    if (own == NULL) {
        abort();
    }
    memcpy(own, data, size);
    own[0] = 1;
    mmb_segment segments[2] = {{.base = own, .words = first},
                               {.base = own + 8 * first, .words = size / 8 - first}};
    mmb_reading reading;
    mmb_span span;
    bool borrowed;
    views = (data[1] & 1) != 0;
    unions = (data[1] & 2) != 0;
    mmb_reading_start(&reading, segments, 2, false);
    mmb_columns *columns = mmb_columns_new();
    if (columns == NULL) {
        abort();
    }
    add_fields(&columns->table, 3);
    if (mmb_columns_set_windows(columns, segments, 2) != 0) {
        abort();
    }
    if (mmb_read_span(&reading, 0, 0, MMB_STRUCT, columns->table.child_count, &span) == 0 &&
        mmb_columns_read(&reading, plan, columns, &span, true, &borrowed) == 0) {
        mmb_arrow_array array;
        if (mmb_columns_array(columns, &array) == 0) {
            array.release(&array);
        }
    }
    mmb_columns_drop(columns);
    free(own);
    return 0;
}
