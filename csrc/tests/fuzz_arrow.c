/* fuzz_arrow.c - lists, views, dictionaries and runs of Arrow with any offsets, into a stage and
 * from there into a message, which must then be sound. */
#include <stdlib.h>
#include <string.h>

#include "arrow_in.h"

/* struct S { v @0 :List(List(Int32)); t @1 :List(Text); p @2 :List(P); }
 * struct P { n @0 :Int32; } */
static mmb_plan *plan;

static void make_plan(void)
{
    static const mmb_plan_type types[] = {{MMB_STRUCT, 0}, {MMB_LIST, 2},  {MMB_LIST, 3},
                                          {MMB_INT32, 0},  {MMB_LIST, 5},  {MMB_TEXT, 0},
                                          {MMB_LIST, 7},   {MMB_STRUCT, 1}};
    mmb_plan sizes = {.type_count = 8, .struct_count = 2, .field_count = 4};
    plan = mmb_plan_new(&sizes);
    if (plan == NULL) {
        abort();
    }
    memcpy(plan->types, types, sizeof types);
    plan->fields[0] = (mmb_plan_field){.name = "v", .type = 1, .tag = MMB_NONE};
    plan->fields[1] = (mmb_plan_field){.name = "t", .type = 4, .offset = 1, .tag = MMB_NONE};
    plan->fields[2] = (mmb_plan_field){.name = "p", .type = 6, .offset = 2, .tag = MMB_NONE};
    plan->fields[3] = (mmb_plan_field){.name = "n", .type = 3, .tag = MMB_NONE};
    plan->structs[0] = (mmb_plan_struct){.count = 3, .pointer_words = 3};
    plan->structs[1] = (mmb_plan_struct){.first = 3, .count = 1, .data_words = 1};
    if (!mmb_plan_check(plan)) {
        abort();
    }
}

static void no_release(mmb_arrow_array *array)
{
    (void)array;
}

static void no_schema_release(mmb_arrow_schema *schema)
{
    (void)schema;
}

enum { ROWS = 3, INNER = 4, NUMBERS = 6 };

/* Numbers as the input has them, small and often sound. */
static void take(const uint8_t **data, const uint8_t *end, int32_t *to, int count)
{
    for (int i = 0; i < count; i++) {
        to[i] = *data < end ? (int8_t)*(*data)++ : i;
    }
}

static mmb_arrow_array array_of(int64_t length, int64_t buffers, const void **at,
                                mmb_arrow_array **children, int64_t count)
{
    return (mmb_arrow_array){.length = length,
                             .n_buffers = buffers,
                             .buffers = at,
                             .children = children,
                             .n_children = count,
                             .release = no_release};
}

static void check_message(mmb_stage *stage)
{
    uint64_t words = 1 + mmb_stage_list_words(stage);
    uint64_t *memory = calloc(words, 8);
    uint32_t used[1];
    mmb_flaw flaw;
    if (memory == NULL) {
        abort();
    }
    mmb_segment segment = {.base = memory, .words = words};
    mmb_room room = {.word = 1, .words = words - 1};
    mmb_totals totals;
    if (mmb_stage_put_list(stage, &segment, 1, 0, 0, &room, NULL, &flaw) != 0 ||
        mmb_walk(&segment, 1, used, &totals, &flaw) != 0) {
        abort();
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    int32_t outer[ROWS + 1], sizes[ROWS], inner[INNER + 1], numbers[NUMBERS], keys[NUMBERS];
    int32_t kind[1], lengths[3], run_ends[NUMBERS];
    static const int32_t ends[4] = {0, 1, 1, 3};
    static const char letters[] = "abc";
    if (plan == NULL) {
        make_plan();
    }
    take(&data, end, kind, 1);
    take(&data, end, outer, ROWS + 1);
    take(&data, end, sizes, ROWS);
    take(&data, end, inner, INNER + 1);
    take(&data, end, numbers, NUMBERS);
    take(&data, end, keys, NUMBERS);
    lengths[0] = INNER;
    lengths[1] = NUMBERS;
    if ((kind[0] & 4) != 0) {
        take(&data, end, lengths, 2);
        lengths[0] = lengths[0] % (INNER + 1);
        lengths[1] = lengths[1] % (NUMBERS + 1);
    }
    for (int i = 0; i < NUMBERS; i++) {
        run_ends[i] = keys[i] + 1;
    }
    bool views = (kind[0] & 1) != 0;
    const void *number_buffers[2] = {NULL, numbers}, *inner_buffers[2] = {NULL, inner};
    const void *outer_buffers[3] = {NULL, outer, sizes};
    const void *end_buffers[2] = {NULL, run_ends}, *no_buffers[1] = {NULL};
    const void *key_buffers[2] = {NULL, keys}, *name_buffers[3] = {NULL, ends, letters};
    mmb_arrow_array number = array_of(lengths[1], 2, number_buffers, NULL, 0);
    mmb_arrow_array *number_at[1] = {&number};
    mmb_arrow_array in = array_of(lengths[0], 2, inner_buffers, number_at, 1);
    mmb_arrow_array *in_at[1] = {&in};
    mmb_arrow_array out = array_of(ROWS, views ? 3 : 2, outer_buffers, in_at, 1);
    mmb_arrow_array names = array_of(3, 3, name_buffers, NULL, 0);
    mmb_arrow_array key = array_of(lengths[1], 2, key_buffers, NULL, 0);
    key.dictionary = &names;
    mmb_arrow_array *key_at[1] = {&key};
    mmb_arrow_array texts = array_of(ROWS, views ? 3 : 2, outer_buffers, key_at, 1);

    mmb_arrow_array run_end = array_of(lengths[1], 2, end_buffers, NULL, 0);
    mmb_arrow_array record = array_of(NUMBERS - 1, 1, no_buffers, number_at, 1);
    record.offset = kind[0] >> 4 & 1;
    mmb_arrow_array *run_at[2] = {&run_end, &record};
    mmb_arrow_array run = array_of(NUMBERS, 0, NULL, run_at, 2);
    mmb_arrow_array *runs_at[1] = {&run};
    mmb_arrow_array records = array_of(ROWS, views ? 3 : 2, outer_buffers, runs_at, 1);

    mmb_arrow_schema s_number = {.format = "i", .name = "", .release = no_schema_release};
    mmb_arrow_schema s_names = {.format = "u", .name = "", .release = no_schema_release};
    mmb_arrow_schema s_key = s_number;
    s_key.dictionary = &s_names;
    mmb_arrow_schema *s_number_at[1] = {&s_number}, *s_key_at[1] = {&s_key};
    mmb_arrow_schema s_in = {.format = "+l", .name = "", .n_children = 1, .children = s_number_at};
    mmb_arrow_schema *s_in_at[1] = {&s_in};
    const char *format = views ? "+vl" : "+l";
    mmb_arrow_schema s_out = {.format = format, .name = "v", .n_children = 1, .children = s_in_at};
    mmb_arrow_schema s_texts = {
        .format = format, .name = "t", .n_children = 1, .children = s_key_at};

    mmb_arrow_schema s_field = s_number;
    s_field.name = "n";
    mmb_arrow_schema *s_field_at[1] = {&s_field};
    mmb_arrow_schema s_record = {.format = "+s", .n_children = 1, .children = s_field_at};
    mmb_arrow_schema *s_run_at[2] = {&s_number, &s_record};
    mmb_arrow_schema s_run = {.format = "+r", .n_children = 2, .children = s_run_at};
    mmb_arrow_schema *s_runs_at[1] = {&s_run};
    mmb_arrow_schema s_records = {
        .format = format, .name = "p", .n_children = 1, .children = s_runs_at};

    const mmb_arrow_schema *schemas[3] = {&s_out, &s_texts, &s_records};
    mmb_arrow_part parts[3] = {{&out, 0}, {&texts, 0}, {&records, 0}};
    mmb_refusal refusal;
    mmb_stage stage;
    uint32_t count = (kind[0] & 2) != 0 ? 2 : 1;
    uint32_t first = (kind[0] & 8) != 0 ? 2 : 0; /* runs come alone: few inputs have sound ends */
    count = first == 2 ? 1 : count;
    mmb_stage_start(&stage, 0, 3);
    mmb_binding *binding = mmb_bind_columns(plan, 0, schemas + first, count, &refusal);
    if (binding == NULL) {
        abort();
    }
    if (mmb_stage_arrow_rows(&stage, plan, binding, parts + first, ROWS, false, &refusal)) {
        check_message(&stage);
    }
    mmb_binding_free(binding);
    mmb_stage_free(&stage);
    return 0;
}
