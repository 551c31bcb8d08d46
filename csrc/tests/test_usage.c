/* test_usage.c - what takes how many bytes, in messages written by hand: every word is counted
 * once, whatever leads to it. */
#include "usage.h"

#include "message.h"

/* struct S { id @0 :UInt32; flag @1 :Bool; name @2 :Text; kids @3 :List(S);
 *            union { none @4 :Void; number @5 :Int64; blob @6 :Data; } } */
enum { ID, FLAG, NAME, KIDS, NONE, NUMBER, BLOB, FIELDS };

static mmb_plan *example(void)
{
    static const mmb_plan_type types[] = {
        {.kind = MMB_STRUCT}, {.kind = MMB_UINT32}, {.kind = MMB_BOOL},  {.kind = MMB_TEXT},
        {.kind = MMB_LIST},   {.kind = MMB_VOID},   {.kind = MMB_INT64}, {.kind = MMB_DATA},
    };
    static const mmb_plan_field fields[FIELDS] = {
        {.name = "id", .type = 1, .tag = MMB_NONE},
        {.name = "flag", .type = 2, .offset = 32, .tag = MMB_NONE},
        {.name = "name", .type = 3, .tag = MMB_NONE},
        {.name = "kids", .type = 4, .offset = 1, .tag = MMB_NONE},
        {.name = "none", .type = 5, .tag = 0},
        {.name = "number", .type = 6, .offset = 64, .tag = 1},
        {.name = "blob", .type = 7, .offset = 2, .tag = 2},
    };
    mmb_plan sizes = {.type_count = 8, .struct_count = 1, .field_count = FIELDS, .member_count = 3};
    mmb_plan *plan = mmb_plan_new(&sizes);
    CHECK(plan != NULL);
    memcpy(plan->types, types, sizeof types);
    memcpy(plan->fields, fields, sizeof fields);
    plan->structs[0] = (mmb_plan_struct){
        .count = FIELDS, .tag_offset = 48, .members = 3, .data_words = 2, .pointer_words = 3};
    for (uint32_t i = 0; i < 3; i++) {
        plan->members[i] = NONE + i;
    }
    CHECK(mmb_plan_check(plan));
    return plan;
}

/* A usage with its plan, and its paths. */
typedef struct {
    mmb_plan *plan;
    mmb_usage *usage;
    mmb_usage_path paths[64];
    uint32_t count;
} found;

static int look(found *f, bool with_plan, const mmb_segment *segments, uint32_t count)
{
    mmb_flaw flaw;
    *f = (found){.plan = example()};
    f->usage = mmb_usage_new(with_plan ? f->plan : NULL);
    CHECK(f->usage != NULL);
    int error = mmb_usage_add(f->usage, segments, count, NULL, &flaw);
    CHECK(error == 0 || flaw.reason != NULL);
    f->count = mmb_usage_count(f->usage);
    CHECK(f->count <= 64);
    mmb_usage_paths(f->usage, f->paths);
    return error;
}

static uint64_t bytes_of(const mmb_usage_path *p)
{
    return p->data + p->pointers + p->text + p->padding + p->far;
}

/* All bytes are counted once. */
static void check_sum(const found *f)
{
    mmb_usage_totals totals = mmb_usage_sum(f->usage);
    uint64_t sum = totals.unreachable * 8;
    for (uint32_t i = 0; i < f->count; i++) {
        sum += bytes_of(&f->paths[i]);
    }
    CHECK_EQ(sum, totals.words * 8);
}

static void put_away(found *f)
{
    mmb_usage_free(f->usage);
    mmb_plan_free(f->plan);
}

/* The path of a field of the root. */
static const mmb_usage_path *field(const found *f, uint32_t number)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->paths[i].kind == MMB_PATH_FIELD && f->paths[i].field == number) {
            return &f->paths[i];
        }
    }
    CHECK_EQ(number, UINT32_MAX); /* there is no such field */
    return NULL;
}

static const mmb_usage_path *of_kind(const found *f, mmb_path_kind kind)
{
    for (uint32_t i = 0; i < f->count; i++) {
        if (f->paths[i].kind == kind) {
            return &f->paths[i];
        }
    }
    return NULL;
}

static mmb_segment segment_of(unsigned char *bytes, const uint64_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put64(bytes + 8 * i, words[i]);
    }
    return (mmb_segment){.base = bytes, .words = count};
}

#define SEGMENT(bytes, words) segment_of(bytes, words, sizeof(words) / sizeof *(words))

enum { TAG_IS_NUMBER = 1, TAG_IS_BLOB = 2 };

static uint64_t first_word(uint32_t id, unsigned flag, unsigned tag)
{
    return id | (uint64_t)flag << 32 | (uint64_t)tag << 48;
}

static void test_each_kind_of_byte_is_told(void)
{
    const uint64_t words[] = {
        p_struct(0, 2, 3),
        first_word(7, 1, TAG_IS_NUMBER),
        99,
        p_list(2, BYTE, 4), /* name: "abc" */
        p_list(3, COMPOSITE, 10),
        0,
        0x636261,
        12345, /* nothing leads here */
        p_tag(2, 2, 3),
        first_word(1, 0, TAG_IS_BLOB),
        0,
        0,
        0,
        p_list(5, BYTE, 3), /* blob, of the first kid */
        first_word(2, 0, 0),
        0,
        0,
        0,
        0,
        0x030201,
    };
    unsigned char bytes[sizeof words];
    mmb_segment segment = SEGMENT(bytes, words);
    found f;
    CHECK_EQ(look(&f, true, &segment, 1), 0);
    check_sum(&f);
    CHECK_EQ(mmb_usage_sum(f.usage).unreachable, 1);
    CHECK_EQ(field(&f, ID)->count, 3);
    CHECK_EQ(field(&f, ID)->data, 12);
    CHECK_EQ(field(&f, NAME)->count, 1);
    CHECK_EQ(field(&f, NAME)->text, 3);
    CHECK_EQ(field(&f, NAME)->pointers, 24);
    CHECK_EQ(field(&f, NAME)->padding, 5);
    CHECK_EQ(field(&f, KIDS)->pointers, 24 + 8);
    CHECK_EQ(field(&f, NONE)->count, 1);
    CHECK_EQ(field(&f, NUMBER)->data, 8);
    CHECK_EQ(field(&f, BLOB)->count, 1);
    CHECK_EQ(field(&f, BLOB)->data, 3);
    CHECK_EQ(field(&f, BLOB)->padding, 5);
    CHECK_EQ(field(&f, BLOB)->pointers, 8); /* in the others it is not the active member */
    CHECK_EQ(of_kind(&f, MMB_PATH_TAG)->data, 6);
    CHECK_EQ(of_kind(&f, MMB_PATH_ELEMENTS)->count, 2);
    CHECK(of_kind(&f, MMB_PATH_OTHER) == NULL);
    put_away(&f);
}

static void test_far_pointers_and_their_pads_are_counted(void)
{
    const uint64_t first[] = {p_far(1, 1), 5};
    const uint64_t second[] = {
        77, p_struct(0, 2, 3), 0, 0, p_double(0, 2), p_far(2, 2), 0,
    };
    const uint64_t third[] = {
        p_far(3, 2), p_list(0, BYTE, 9), p_list(2, COMPOSITE, 5), 1, 2, p_tag(1, 2, 3), 0, 0, 0, 0,
        0,
    };
    unsigned char bytes[3][sizeof third];
    mmb_segment segments[] = {SEGMENT(bytes[0], first), SEGMENT(bytes[1], second),
                              SEGMENT(bytes[2], third)};
    found f;
    CHECK_EQ(look(&f, true, segments, 3), 0);
    check_sum(&f);
    CHECK_EQ(of_kind(&f, MMB_PATH_ROOT)->far, 8);
    CHECK_EQ(field(&f, NAME)->far, 16);
    CHECK_EQ(field(&f, NAME)->text, 8);
    CHECK_EQ(field(&f, KIDS)->far, 8);
    CHECK_EQ(mmb_usage_sum(f.usage).unreachable, 2);
    put_away(&f);
    CHECK_EQ(look(&f, false, segments, 3), 0); /* the same bytes without a schema */
    check_sum(&f);
    CHECK_EQ(f.paths[0].far, 32);
    CHECK_EQ(f.count, 1);
    put_away(&f);
}

static void test_what_many_pointers_lead_to_is_counted_once(void)
{
    enum { MANY = 1000 };
    static uint64_t words[2 + 5 * MANY + 8] = {0};
    static unsigned char bytes[sizeof words];
    words[0] = p_struct(0, 2, 3);
    words[4] = p_list(1, COMPOSITE, 5 * MANY);
    words[6] = p_tag(MANY, 2, 3);
    for (uint64_t i = 0; i < MANY; i++) {
        /* Each kid has all kids, itself included. */
        words[7 + 5 * i + 3] = p_list(6 - (int64_t)(7 + 5 * i + 3) - 1, COMPOSITE, 5 * MANY);
    }
    mmb_segment segment = SEGMENT(bytes, words);
    found f;
    segment.words = 7 + 5 * MANY;
    CHECK_EQ(look(&f, true, &segment, 1), 0);
    check_sum(&f);
    CHECK_EQ(mmb_usage_sum(f.usage).overlaps, MANY);
    put_away(&f);
}

static void test_objects_that_overlap_are_not_counted_twice(void)
{
    const uint64_t words[] = {
        p_struct(0, 2, 3),
        0,
        0,
        p_list(2, BYTE, 17),
        p_list(2, COMPOSITE, 5),
        0, /* blob is not active */
        1,
        p_tag(1, 2, 3),
        4,
        5,
        6,
        7,
        8,
    };
    unsigned char bytes[sizeof words];
    mmb_segment segment = SEGMENT(bytes, words);
    found f;
    CHECK_EQ(look(&f, true, &segment, 1), 0);
    check_sum(&f);
    CHECK_EQ(mmb_usage_sum(f.usage).overlaps, 1);
    put_away(&f);
}

static void test_a_long_chain_takes_no_room(void)
{
    enum { LONG = 1 << 20, STEP = 6 };
    unsigned char *bytes = calloc(STEP * LONG + 2, 8);
    CHECK(bytes != NULL);
    put64(bytes, p_struct(0, 2, 3));
    for (uint64_t i = 0; i + 1 < LONG; i++) { /* a struct, and the tag of the next */
        unsigned char *at = bytes + 8 * (1 + STEP * i);
        put64(at + 8 * 3, p_list(1, COMPOSITE, 5));
        put64(at + 8 * 5, p_tag(1, 2, 3));
    }
    mmb_segment segment = {.base = bytes, .words = STEP * (LONG - 1) + STEP};
    found f;
    CHECK_EQ(look(&f, true, &segment, 1), 0);
    check_sum(&f);
    CHECK_EQ(field(&f, ID)->count, LONG);
    CHECK_EQ(f.count, 10);
    put_away(&f);
    free(bytes);
}

static void test_what_the_schema_does_not_know_is_told_apart(void)
{
    const uint64_t words[] = {
        p_struct(0, 3, 5),
        first_word(1, 0, 9),
        0,
        42,
        0,
        0,
        p_list(2, EIGHT, 1),
        0,
        p_list(1, BYTE, 3),
        4,
        0x6261,
    };
    unsigned char bytes[sizeof words];
    mmb_segment segment = SEGMENT(bytes, words);
    found f;
    CHECK_EQ(look(&f, true, &segment, 1), 0);
    check_sum(&f);
    const mmb_usage_path *other = of_kind(&f, MMB_PATH_OTHER);
    CHECK_EQ(other->count, 2); /* the pointer of no member, and the one too many */
    CHECK_EQ(other->pointers, 16);
    CHECK_EQ(other->data, 8 + 8 + 3);
    CHECK_EQ(other->padding, 5);
    put_away(&f);
}

static void test_what_contradicts_the_schema_is_a_flaw(void)
{
    const uint64_t kinds[] = {p_list(4, BYTE, 3), p_struct(4, 1, 0), p_list(4, EIGHT, 1),
                              p_capability(0),    p_far(0, 7),       7};
    for (size_t name = 0; name < sizeof kinds / sizeof *kinds; name++) {
        uint64_t words[] = {p_struct(0, 2, 3), 0, 0, kinds[name], 0, 0, 0, 0, 0};
        unsigned char bytes[sizeof words];
        mmb_segment segment = SEGMENT(bytes, words);
        found f;
        CHECK_EQ(look(&f, true, &segment, 1), name == 0 ? 0 : MMB_EMESSAGE);
        put_away(&f);
    }
    found f;
    mmb_segment nothing = {.base = NULL, .words = 0};
    CHECK_EQ(look(&f, true, &nothing, 1), MMB_EMESSAGE);
    put_away(&f);
    CHECK_EQ(look(&f, false, NULL, 0), MMB_EMESSAGE);
    put_away(&f);
}

static void test_messages_add_up(void)
{
    const uint64_t words[] = {
        0x400000000u, p_struct(0, 1, 1), first_word(3, 0, 0), p_list(0, BYTE, 2), 0x61,
    };
    unsigned char bytes[2 * sizeof words];
    segment_of(bytes, words, 5);
    segment_of(bytes + sizeof words, words, 5);
    mmb_plan *plan = example();
    mmb_usage *usage = mmb_usage_new(plan);
    mmb_flaw flaw;
    uint64_t done;
    CHECK(usage != NULL);
    CHECK_EQ(mmb_usage_add_frames(usage, bytes, sizeof bytes, &done, NULL, &flaw), 0);
    CHECK_EQ(done, 2);
    CHECK_EQ(mmb_usage_sum(usage).words, 8);
    CHECK_EQ(mmb_usage_sum(usage).unreachable, 0);
    CHECK_EQ(mmb_usage_add_frames(usage, bytes, sizeof bytes - 8, &done, NULL, &flaw),
             MMB_EMESSAGE);
    CHECK_EQ(done, 1);
    mmb_usage_free(usage);
    mmb_plan_free(plan);
}

static bool give_up(void *times, uint64_t words)
{
    CHECK(words > 0);
    return ++*(int *)times == 2;
}

static void test_it_can_be_interrupted(void)
{
    enum { MANY = 1 << 18 };
    unsigned char *bytes = calloc(MANY + 7, 8);
    CHECK(bytes != NULL);
    put64(bytes, p_struct(0, 0, 1));
    put64(bytes + 8, p_list(0, POINTER, MANY));
    for (uint64_t i = 0; i < MANY; i++) {
        put64(bytes + 16 + 8 * i, p_struct(-1, 0, 0));
    }
    mmb_segment segment = {.base = bytes, .words = MANY + 2};
    mmb_usage *usage = mmb_usage_new(NULL);
    mmb_flaw flaw;
    int times = 0;
    const mmb_interrupt interrupt = {give_up, &times};
    CHECK(usage != NULL);
    CHECK_EQ(mmb_usage_add(usage, &segment, 1, &interrupt, &flaw), EINTR);
    CHECK_EQ(times, 2);
    mmb_usage_free(usage);
    free(bytes);
}

static void test_a_tally_knows_what_is_new(void)
{
    static const unsigned char nothing[8];
    mmb_segment segments[] = {{nothing, 200}, {nothing, 0}, {nothing, 70}};
    mmb_tally *tally = calloc(1, sizeof *tally);
    CHECK(tally != NULL);
    CHECK_EQ(mmb_tally_start(tally, segments, 3), 0);
    CHECK_EQ(mmb_tally_add(tally, 0, 10, 100), 100);
    CHECK_EQ(mmb_tally_add(tally, 0, 0, 200), 100);
    CHECK_EQ(mmb_tally_add(tally, 0, 64, 64), 0);
    CHECK_EQ(mmb_tally_add(tally, 1, 0, 1), 0);
    CHECK_EQ(mmb_tally_add(tally, 3, 0, 1), 0);
    CHECK_EQ(mmb_tally_add(tally, 2, 60, UINT64_MAX), 10);
    CHECK_EQ(tally->counted, 210);
    CHECK_EQ(mmb_tally_within(tally, 2, 0, 65), 5);
    CHECK_EQ(mmb_tally_within(tally, 2, 70, 1), 0);
    CHECK_EQ(mmb_tally_start(tally, segments, 1), 0);
    CHECK_EQ(mmb_tally_within(tally, 0, 0, 200), 0);
    mmb_tally_free(tally);
    free(tally);
}

int main(void)
{
    RUN(test_each_kind_of_byte_is_told);
    RUN(test_far_pointers_and_their_pads_are_counted);
    RUN(test_what_many_pointers_lead_to_is_counted_once);
    RUN(test_objects_that_overlap_are_not_counted_twice);
    RUN(test_a_long_chain_takes_no_room);
    RUN(test_what_the_schema_does_not_know_is_told_apart);
    RUN(test_what_contradicts_the_schema_is_a_flaw);
    RUN(test_messages_add_up);
    RUN(test_it_can_be_interrupted);
    RUN(test_a_tally_knows_what_is_new);
    return 0;
}
