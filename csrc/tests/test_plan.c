/* test_plan.c - plans that hold together, and such that do not; reading by hand. */
#include "plan.h"
#include "read.h"

#include "check.h"

/* struct S { id @0 :UInt32; name @1 :Text; union { a @2 :Void; b @3 :Int64; } } */
static mmb_plan *example(void)
{
    mmb_plan sizes = {.type_count = 5, .struct_count = 1, .field_count = 4, .member_count = 2};
    mmb_plan *plan = mmb_plan_new(&sizes);
    CHECK(plan != NULL);
    plan->types[0] = (mmb_plan_type){.kind = MMB_STRUCT, .refers_to = 0};
    plan->types[1] = (mmb_plan_type){.kind = MMB_UINT32, .refers_to = 0};
    plan->types[2] = (mmb_plan_type){.kind = MMB_TEXT, .refers_to = 0};
    plan->types[3] = (mmb_plan_type){.kind = MMB_VOID, .refers_to = 0};
    plan->types[4] = (mmb_plan_type){.kind = MMB_INT64, .refers_to = 0};
    plan->structs[0] = (mmb_plan_struct){
        .count = 4, .tag_offset = 32, .members = 2, .data_words = 2, .pointer_words = 1};
    plan->fields[0] = (mmb_plan_field){.name = "id", .type = 1, .tag = MMB_NONE};
    plan->fields[1] = (mmb_plan_field){.name = "name", .type = 2, .tag = MMB_NONE};
    plan->fields[2] = (mmb_plan_field){.name = "a", .type = 3, .tag = 0};
    plan->fields[3] = (mmb_plan_field){.name = "b", .type = 4, .offset = 64, .tag = 1};
    plan->members[0] = 2;
    plan->members[1] = 3;
    return plan;
}

static void test_a_plan_that_holds_together_passes(void)
{
    mmb_plan *plan = example();
    CHECK(mmb_plan_check(plan));
    mmb_plan_free(plan);
    mmb_plan_free(NULL);
}

static void test_a_plan_with_a_wrong_number_is_refused(void)
{
    mmb_plan *plan = example();
    plan->fields[3].offset = 65;
    CHECK(!mmb_plan_check(plan));
    plan->fields[3].offset = 128;
    CHECK(!mmb_plan_check(plan));
    plan->fields[3].offset = 64;
    plan->fields[3].tag = 2;
    CHECK(!mmb_plan_check(plan));
    plan->fields[3].tag = 1;
    plan->members[1] = 4;
    CHECK(!mmb_plan_check(plan));
    plan->members[1] = MMB_NONE;
    CHECK(mmb_plan_check(plan));
    plan->structs[0].count = 5;
    CHECK(!mmb_plan_check(plan));
    mmb_plan_free(plan);
}

static void test_what_a_message_does_not_have_reads_as_zero(void)
{
    /* A struct of one data word and no pointers, of an older program. */
    const unsigned char bytes[16] = {0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0};
    mmb_segment segment = {.base = bytes, .words = 2};
    mmb_plan *plan = example();
    mmb_reading reading;
    mmb_record record;
    bool is_null;
    uint64_t word;
    mmb_reading_start(&reading, &segment, 1, false);
    CHECK(mmb_read_struct(&reading, 0, 0, &record, &is_null) == 0);
    CHECK(!is_null);
    CHECK(mmb_record_bits(&record, 0, 32) == 7);
    CHECK(mmb_record_tag(&record, &plan->structs[0]) == 1);
    CHECK(mmb_record_bits(&record, 64, 64) == 0);
    CHECK(!mmb_record_pointer(&record, 0, &word));
    mmb_plan_free(plan);
}

static void test_reading_stops_when_the_words_are_used_up(void)
{
    const unsigned char bytes[16] = {0, 0, 0, 0, 1, 0, 0, 0};
    mmb_segment segment = {.base = bytes, .words = 2};
    mmb_reading reading;
    mmb_record record;
    bool is_null;
    mmb_reading_start(&reading, &segment, 1, false);
    int times = 0;
    while (mmb_read_struct(&reading, 0, 0, &record, &is_null) == 0) {
        times++;
    }
    CHECK(times > 2 && times < 1 << 20);
    CHECK(reading.flaw.reason != NULL);
    mmb_reading_start(&reading, &segment, 1, true);
    for (int i = 0; i < 2 * times; i++) {
        CHECK(mmb_read_struct(&reading, 0, 0, &record, &is_null) == 0);
    }
}

/* Once the words are used up, no other text is looked at. */
static void test_texts_that_overlap_are_not_all_checked(void)
{
    enum { TEXTS = 3, WORDS = 1000 };
    unsigned char bytes[(TEXTS + WORDS) * MMB_WORD] = {0};
    mmb_segment segment = {.base = bytes, .words = TEXTS + WORDS};
    uint64_t words[TEXTS], lengths[TEXTS];
    uint32_t segments[TEXTS] = {0};
    const unsigned char *starts[TEXTS] = {NULL};
    const bool there[TEXTS] = {true, true, true};
    for (uint64_t i = 0; i < TEXTS; i++) {
        words[i] = i;
        mmb__store64(bytes + i * MMB_WORD, (uint64_t)(WORDS * MMB_WORD) << 35 |
                                               (uint64_t)MMB__BYTES << 32 | (TEXTS - 1 - i) << 2 |
                                               MMB__LIST);
    }
    mmb_reading reading = {.segments = &segment, .count = 1, .budget = WORDS + 1};
    CHECK(!mmb_read_plain_strings(&reading, segments, words, there, TEXTS, true, starts, lengths));
    CHECK(starts[1] != NULL && starts[2] == NULL);
    CHECK(reading.budget == WORDS + 1);
    reading.budget = TEXTS * (WORDS + 1);
    CHECK(mmb_read_plain_strings(&reading, segments, words, there, TEXTS, true, starts, lengths));
    CHECK(starts[2] != NULL && lengths[2] == WORDS * MMB_WORD - 1 && reading.budget == 0);
}

int main(void)
{
    RUN(test_a_plan_that_holds_together_passes);
    RUN(test_a_plan_with_a_wrong_number_is_refused);
    RUN(test_what_a_message_does_not_have_reads_as_zero);
    RUN(test_reading_stops_when_the_words_are_used_up);
    RUN(test_texts_that_overlap_are_not_all_checked);
    return 0;
}
