/* test_arrow_in.c - damaged arrays of Arrow are refused, and nothing beyond them is read. */
#include "arrow_in.h"

#include "check.h"

/* struct S { v @0 :List(Int32); t @1 :Text; n @2 :Int8; } */
static mmb_plan *example(void)
{
    mmb_plan sizes = {.type_count = 5, .struct_count = 1, .field_count = 3};
    mmb_plan *plan = mmb_plan_new(&sizes);
    CHECK(plan != NULL);
    plan->types[0] = (mmb_plan_type){.kind = MMB_STRUCT, .refers_to = 0};
    plan->types[1] = (mmb_plan_type){.kind = MMB_LIST, .refers_to = 2};
    plan->types[2] = (mmb_plan_type){.kind = MMB_INT32, .refers_to = 0};
    plan->types[3] = (mmb_plan_type){.kind = MMB_TEXT, .refers_to = 0};
    plan->types[4] = (mmb_plan_type){.kind = MMB_INT8, .refers_to = 0};
    plan->structs[0] = (mmb_plan_struct){.count = 3, .data_words = 1, .pointer_words = 2};
    plan->fields[0] = (mmb_plan_field){.name = "v", .type = 1, .tag = MMB_NONE};
    plan->fields[1] = (mmb_plan_field){.name = "t", .type = 3, .offset = 1, .tag = MMB_NONE};
    plan->fields[2] = (mmb_plan_field){.name = "n", .type = 4, .tag = MMB_NONE};
    CHECK(mmb_plan_check(plan));
    return plan;
}

static void no_schema_release(mmb_arrow_schema *schema)
{
    schema->release = NULL;
}

static void no_array_release(mmb_arrow_array *array)
{
    array->release = NULL;
}

/* A column of one array. Everything may be damaged before it is staged. */
typedef struct {
    mmb_arrow_schema schema, child_schema;
    mmb_arrow_schema *schemas[1];
    mmb_arrow_array array, child;
    mmb_arrow_array *children[1];
    const void *buffers[3], *child_buffers[2];
} column;

static int32_t numbers[4] = {1, 2, 3, 4};
static int32_t ends[3];

static void start(column *c, const char *name, const char *format)
{
    *c = (column){0};
    c->schema = (mmb_arrow_schema){
        .format = format, .name = name, .release = no_schema_release, .children = c->schemas};
    c->array = (mmb_arrow_array){.length = 2,
                                 .n_buffers = 2,
                                 .buffers = c->buffers,
                                 .children = c->children,
                                 .release = no_array_release};
    c->schemas[0] = &c->child_schema;
    c->children[0] = &c->child;
    ends[0] = 0;
    ends[1] = 2;
    ends[2] = 4;
    c->buffers[1] = ends;
}

static void start_list(column *c)
{
    start(c, "v", "+l");
    c->schema.n_children = 1;
    c->array.n_children = 1;
    c->child_schema =
        (mmb_arrow_schema){.format = "i", .name = "item", .release = no_schema_release};
    c->child_buffers[1] = numbers;
    c->child = (mmb_arrow_array){
        .length = 4, .n_buffers = 2, .buffers = c->child_buffers, .release = no_array_release};
}

static mmb_refusal_kind stage(const column *c, uint64_t count)
{
    mmb_plan *plan = example();
    const mmb_arrow_schema *schemas[1] = {&c->schema};
    mmb_arrow_part part = {&c->array, 0};
    mmb_refusal refusal;
    mmb_stage made;
    mmb_stage_start(&made, 1, 2);
    mmb_binding *binding = mmb_bind_columns(plan, 0, schemas, 1, &refusal);
    if (binding != NULL) {
        bool good = mmb_stage_arrow_rows(&made, plan, binding, &part, count, false, &refusal);
        CHECK(good == (refusal.kind == MMB_NOT_REFUSED));
    }
    mmb_binding_free(binding);
    mmb_stage_free(&made);
    mmb_plan_free(plan);
    return refusal.kind;
}

static void test_a_sound_list_is_staged(void)
{
    column c;
    start_list(&c);
    CHECK_EQ(stage(&c, 2), MMB_NOT_REFUSED);
    c.array.offset = 1;
    c.array.length = 1;
    CHECK_EQ(stage(&c, 1), MMB_NOT_REFUSED);
}

static void test_offsets_out_of_order_or_bounds_are_refused(void)
{
    static const int32_t bad[][3] = {{0, 3, 1}, {-1, 0, 1}, {0, 2, 5}, {5, 5, 5}, {0, -1, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        column c;
        start_list(&c);
        memcpy(ends, bad[i], sizeof ends);
        CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
    }
}

static void test_wrong_lengths_and_missing_parts_are_refused(void)
{
    for (int damage = 0; damage < 9; damage++) {
        column c;
        start_list(&c);
        switch (damage) {
        case 0:
            c.array.length = 1;
            break;
        case 1:
            c.array.length = -1;
            break;
        case 2:
            c.array.offset = -1;
            break;
        case 3:
            c.array.n_buffers = 1;
            break;
        case 4:
            c.buffers[1] = NULL;
            break;
        case 5:
            c.array.n_children = 0;
            break;
        case 6:
            c.children[0] = NULL;
            break;
        case 7:
            c.child.length = -4;
            break;
        default:
            c.child_buffers[1] = NULL;
            break;
        }
        CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
    }
    column c;
    start_list(&c);
    c.array.release = NULL;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
}

static void test_wrong_schemas_are_refused(void)
{
    static const char *const formats[] = {"+l+", "",        "+w:",  "+w:-1", "+w:99999999999",
                                          "i",   "+ud:0,1", "tsn:", "w:4"};
    column c;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        start_list(&c);
        c.schema.format = formats[i];
        CHECK_EQ(stage(&c, 2), MMB_REFUSED_TYPE);
    }
    start_list(&c);
    c.schema.n_children = 0;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_TYPE);
    start_list(&c);
    c.schema.name = "nix";
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_NAME);
    start_list(&c);
    c.schema.name = NULL;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_NAME);
}

static void test_strings_are_checked(void)
{
    column c;
    start(&c, "t", "u");
    c.array.n_buffers = 3;
    c.buffers[2] = "abcd";
    CHECK_EQ(stage(&c, 2), MMB_NOT_REFUSED);
    c.buffers[2] = "ab\xff\xff";
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
    ends[1] = 1;
    ends[2] = 0;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
    ends[0] = -1;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_VALUE);
    ends[0] = ends[1] = ends[2] = 0;
    c.buffers[2] = NULL;
    CHECK_EQ(stage(&c, 2), MMB_NOT_REFUSED);
}

static void test_numbers_that_do_not_fit_are_refused(void)
{
    column c;
    start(&c, "n", "i");
    CHECK_EQ(stage(&c, 2), MMB_NOT_REFUSED);
    ends[1] = 128;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_OVERFLOW);
    ends[1] = -129;
    CHECK_EQ(stage(&c, 2), MMB_REFUSED_OVERFLOW);
}

int main(void)
{
    RUN(test_a_sound_list_is_staged);
    RUN(test_offsets_out_of_order_or_bounds_are_refused);
    RUN(test_wrong_lengths_and_missing_parts_are_refused);
    RUN(test_wrong_schemas_are_refused);
    RUN(test_strings_are_checked);
    RUN(test_numbers_that_do_not_fit_are_refused);
    return 0;
}
