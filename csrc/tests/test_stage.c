/* test_stage.c - rows that are staged are a message when they are put into memory. */
#include "stage.h"

#include "check.h"

enum { WORDS = 64 };

typedef struct {
    uint64_t first[WORDS], second[WORDS];
    mmb_segment segments[2];
} memory;

static void start(memory *m)
{
    *m = (memory){0};
    m->segments[0] = (mmb_segment){.base = m->first, .words = WORDS};
    m->segments[1] = (mmb_segment){.base = m->second, .words = WORDS};
}

/* Two rows of one data word and two pointers: Text and an empty struct. */
static void stage_rows(mmb_stage *stage, uint64_t expected)
{
    uint64_t place, unused;
    mmb_stage_start(stage, 1, 2);
    CHECK(mmb_stage_expect(stage, expected) == 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(mmb_stage_add_row(stage, &place) == 0);
        mmb_stage_store(stage, place, 32, 16, 7 + i);
        CHECK(mmb_stage_bytes(stage, place + 1, "ninebytes", 9, true) == 0);
        CHECK(mmb_stage_struct(stage, place + 2, 0, 0, &unused) == 0);
    }
}

/* The root of `m` is to have one pointer: put the rows there, the heap into a segment. */
static void check_rows(const memory *m, uint64_t word)
{
    mmb_object list, text, empty;
    mmb_flaw flaw;
    CHECK(mmb_resolve(m->segments, 2, 0, word, &list, &flaw) == 0);
    CHECK(list.kind == MMB_TO_LIST && list.elements == 2 && list.data_words == 1);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = list.word + 3u * i;
        const unsigned char *base = m->segments[list.segment].base;
        CHECK_EQ(mmb__load64(base + at * 8), (7ll + i) << 32);
        CHECK(mmb_resolve(m->segments, 2, list.segment, at + 1, &text, &flaw) == 0);
        CHECK(text.kind == MMB_TO_LIST && text.elements == 10);
        base = m->segments[text.segment].base;
        CHECK(memcmp(base + text.word * 8ul, "ninebytes", 10) == 0);
        CHECK(mmb_resolve(m->segments, 2, list.segment, at + 2, &empty, &flaw) == 0);
        CHECK(empty.kind == MMB_TO_STRUCT && empty.data_words == 0);
    }
}

static void test_a_new_list_can_be_in_any_segment(void)
{
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t segment = i % 2;
        mmb_stage stage;
        memory m;
        mmb_flaw flaw;
        start(&m);
        stage_rows(&stage, i / 2 * 2);
        mmb_block room = {.segment = segment, .word = 5, .words = mmb_stage_list_words(&stage)};
        CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, &flaw) == 0);
        check_rows(&m, 0);
        mmb_stage_free(&stage);
    }
}

static void test_rows_can_replace_those_of_a_list_with_larger_structs(void)
{
    for (uint32_t i = 0; i < 6; i++) {
        uint32_t segment = i % 2;
        mmb_stage stage;
        memory m;
        mmb_flaw flaw;
        mmb_object list;
        start(&m);
        stage_rows(&stage, i / 2 * 2);
        /* A list of two structs of one data word and two pointers at word 1. */
        m.first[0] = 1 | (7ull | 6ull << 3) << 32;
        m.first[1] = 2 << 2 | 1ull << 32 | 2ull << 48;
        m.first[2] = 99;
        CHECK(mmb_resolve(m.segments, 2, 0, 0, &list, &flaw) == 0);
        mmb_block room = {.segment = segment, .word = 20, .words = stage.heap.words};
        if (segment == 1) {
            CHECK(mmb_stage_put_rows(&stage, m.segments, 2, &list, &room, &flaw) == MMB_EMESSAGE);
            CHECK(m.first[2] == 99);
            room.words += mmb_stage_row_pointers(&stage);
        }
        CHECK(mmb_stage_put_rows(&stage, m.segments, 2, &list, &room, &flaw) == 0);
        check_rows(&m, 0);
        mmb_stage_free(&stage);
    }
}

static void test_what_does_not_fit_changes_nothing(void)
{
    mmb_stage stage;
    memory m;
    mmb_flaw flaw;
    start(&m);
    stage_rows(&stage, 0);
    mmb_block room = {.segment = 0, .word = WORDS - 3, .words = 3};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, &flaw) == MMB_EMESSAGE);
    room = (mmb_block){.segment = 0, .word = 50, .words = 50};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, &flaw) == MMB_EMESSAGE);
    room = (mmb_block){.segment = 2, .word = 0, .words = 40};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, &flaw) == MMB_EMESSAGE);
    mmb_object list = {.kind = MMB_TO_LIST, .elements = 3, .data_words = 1, .pointer_words = 2};
    CHECK(mmb_stage_put_rows(&stage, m.segments, 2, &list, &room, &flaw) == MMB_EMESSAGE);
    list = (mmb_object){.kind = MMB_TO_LIST, .elements = 2, .data_words = 1, .pointer_words = 1};
    CHECK(mmb_stage_put_rows(&stage, m.segments, 2, &list, &room, &flaw) == MMB_EMESSAGE);
    for (unsigned i = 0; i < WORDS; i++) {
        CHECK(m.first[i] == 0 && m.second[i] == 0);
    }
    mmb_stage_free(&stage);
}

static void test_what_no_segment_can_hold_is_refused(void)
{
    mmb_stage stage;
    uint64_t place, inner;
    mmb_stage_start(&stage, 0, 1);
    CHECK(mmb_stage_expect(&stage, 1ull << 40) == MMB_ECAPACITY);
    CHECK(mmb_stage_add_row(&stage, &place) == 0);
    CHECK(mmb_stage_list(&stage, place, MMB_UINT64, 1ull << 29, &inner) == MMB_ECAPACITY);
    CHECK(mmb_stage_list(&stage, place, MMB_UINT64, 1ull << 60, &inner) == MMB_ECAPACITY);
    CHECK(mmb_stage_structs(&stage, place, 1ull << 28, 2, 2, &inner) == MMB_ECAPACITY);
    CHECK(mmb_stage_list(&stage, place, MMB_VOID, MMB_MAX_SEGMENT_WORDS, &inner) == 0);
    mmb_stage_free(&stage);
}

static void test_no_bytes_of_an_earlier_stage_come_into_a_new_one(void)
{
    for (unsigned i = 0; i < 2; i++) {
        mmb_stage stage;
        uint64_t place, inner;
        mmb_stage_start(&stage, 1, 1);
        CHECK(mmb_stage_add_rows(&stage, 3, &place) == 0);
        CHECK(mmb_stage_structs(&stage, place + 1, 9, 1, 1, &inner) == 0);
        for (unsigned k = 0; k < 18; k++) {
            CHECK(mmb__load64(mmb_stage_at(&stage, inner + k)) == 0);
            mmb_stage_store(&stage, inner + k, 0, 64, UINT64_MAX);
        }
        for (unsigned k = 2; k < 6; k++) {
            CHECK(mmb__load64(mmb_stage_at(&stage, place + k)) == 0);
            mmb_stage_store(&stage, place + k, 0, 64, UINT64_MAX);
        }
        mmb_stage_free(&stage);
    }
}

int main(void)
{
    RUN(test_no_bytes_of_an_earlier_stage_come_into_a_new_one);
    RUN(test_a_new_list_can_be_in_any_segment);
    RUN(test_rows_can_replace_those_of_a_list_with_larger_structs);
    RUN(test_what_does_not_fit_changes_nothing);
    RUN(test_what_no_segment_can_hold_is_refused);
    return 0;
}
