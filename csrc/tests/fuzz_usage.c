/* fuzz_usage.c - any bytes as a message: what takes how many of them adds up. */
#include "usage.h"

#include <stdlib.h>
#include <string.h>

/* struct S { id @0 :UInt32; name @1 :Text; kids @2 :List(S); m @3 :List(List(Int16));
 *            inner @4 :S; any @5 :AnyPointer; union { bits @6 :List(Bool); blob @7 :Data; } } */
enum { TYPES = 11, FIELDS = 8 };

static mmb_plan *plan;

static void make_plan(void)
{
    static const mmb_plan_type types[TYPES] = {
        {.kind = MMB_STRUCT},
        {.kind = MMB_UINT32},
        {.kind = MMB_TEXT},
        {.kind = MMB_LIST},
        {.kind = MMB_LIST, .refers_to = 5},
        {.kind = MMB_LIST, .refers_to = 6},
        {.kind = MMB_INT16},
        {.kind = MMB_LIST, .refers_to = 8},
        {.kind = MMB_BOOL},
        {.kind = MMB_DATA},
        {.kind = MMB_ANY_POINTER},
    };
    static const mmb_plan_field fields[FIELDS] = {
        {.name = "id", .type = 1, .tag = MMB_NONE},
        {.name = "name", .type = 2, .tag = MMB_NONE},
        {.name = "kids", .type = 3, .offset = 1, .tag = MMB_NONE},
        {.name = "m", .type = 4, .offset = 2, .tag = MMB_NONE},
        {.name = "inner", .type = 0, .offset = 3, .tag = MMB_NONE},
        {.name = "any", .type = 10, .offset = 4, .tag = MMB_NONE},
        {.name = "bits", .type = 7, .offset = 5, .tag = 0},
        {.name = "blob", .type = 9, .offset = 5, .tag = 1},
    };
    mmb_plan sizes = {
        .type_count = TYPES, .struct_count = 1, .field_count = FIELDS, .member_count = 2};
    plan = mmb_plan_new(&sizes);
    if (plan == NULL) {
        abort();
    }
    memcpy(plan->types, types, sizeof types);
    memcpy(plan->fields, fields, sizeof fields);
    plan->structs[0] = (mmb_plan_struct){
        .count = FIELDS, .tag_offset = 32, .members = 2, .data_words = 1, .pointer_words = 6};
    plan->members[0] = 6;
    plan->members[1] = 7;
    if (!mmb_plan_check(plan)) {
        abort();
    }
}

static void check(const mmb_plan *schema, const mmb_segment *segments, uint32_t count)
{
    mmb_flaw flaw;
    mmb_usage *usage = mmb_usage_new(schema);
    if (usage == NULL) {
        abort();
    }
    if (mmb_usage_add(usage, segments, count, NULL, &flaw) == 0) {
        mmb_usage_totals totals = mmb_usage_sum(usage);
        uint64_t sum = totals.unreachable * 8;
        uint32_t paths = mmb_usage_count(usage);
        mmb_usage_path *all = calloc(paths, sizeof *all);
        if (all == NULL) {
            abort();
        }
        mmb_usage_paths(usage, all);
        for (uint32_t i = 0; i < paths; i++) {
            const mmb_usage_path *p = &all[i];
            sum += p->data + p->pointers + p->text + p->padding + p->far;
        }
        if (sum != totals.words * 8) {
            abort();
        }
        free(all);
    }
    mmb_usage_free(usage);
}

/* The message is the bytes, in one segment or two. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (plan == NULL) {
        make_plan();
    }
    if (size < 17) {
        return 0;
    }
    uint64_t words = (size - 1) / 8, first = 1 + data[0] % words;
    unsigned char *own = malloc(words * 8);
    if (own == NULL) {
        abort();
    }
    memcpy(own, data + 1, words * 8);
    mmb_segment segments[] = {{own, first}, {own + first * 8, words - first}};
    check(plan, segments, words > first ? 2 : 1);
    check(NULL, segments, words > first ? 2 : 1);
    free(own);
    return 0;
}
