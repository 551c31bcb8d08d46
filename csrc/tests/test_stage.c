/* test_stage.c - rows that are staged are a message when they are put into memory. */
#include "stage.h"

#include "check.h"
#include "stage_file.h"
#include "tempfile.h"

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
        mmb_room room = {.segment = segment, .word = 5, .words = mmb_stage_list_words(&stage)};
        CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, NULL, &flaw) == 0);
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
        mmb_room room = {.segment = segment, .word = 20, .words = stage.heap.words};
        if (segment == 1) {
            CHECK(mmb_stage_put_rows(&stage, m.segments, 2, &list, &room, &flaw) == MMB_EMESSAGE);
            CHECK(m.first[2] == 99);
            room.words += mmb_stage_section_at(&stage, 0).pointers;
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
    mmb_room room = {.segment = 0, .word = WORDS - 3, .words = 3};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, NULL, &flaw) == MMB_EMESSAGE);
    room = (mmb_room){.segment = 0, .word = 50, .words = 50};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, NULL, &flaw) == MMB_EMESSAGE);
    room = (mmb_room){.segment = 2, .word = 0, .words = 40};
    CHECK(mmb_stage_put_list(&stage, m.segments, 2, 0, 0, &room, NULL, &flaw) == MMB_EMESSAGE);
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

/* Many rows of one number and a Text of `i % 40` letters, of which at most `kept` words are in
 * memory, in sections of at most `section` words. */
static void stage_many(mmb_stage *stage, uint64_t count, uint64_t kept, uint64_t section)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    uint64_t place;
    mmb_stage_set_limits(kept, section);
    mmb_stage_start(stage, 1, 1);
    mmb_stage_use_file(stage);
    mmb_stage_set_limits(0, 0);
    for (uint64_t i = 0; i < count; i++) {
        if (mmb_stage_is_full(stage)) {
            CHECK(stage->file != NULL || mmb_stage_set_file(stage, temp_file()) == 0);
            CHECK(mmb_stage_move(stage) == 0);
        }
        CHECK(mmb_stage_add_row(stage, &place) == 0);
        mmb_stage_store(stage, place, 0, 64, i);
        CHECK(i % 5 == 0 || mmb_stage_bytes(stage, place + 1, letters, i % 40, true) == 0);
        CHECK(stage->rows.words + stage->heap.words <= kept + 8);
    }
}

static void check_many(const mmb_segment *segments, uint32_t segment_count, uint64_t count)
{
    mmb_object list, text;
    mmb_flaw flaw;
    CHECK(mmb_resolve(segments, segment_count, 0, 0, &list, &flaw) == 0);
    CHECK(list.kind == MMB_TO_LIST && list.elements == count);
    for (uint64_t i = 0; i < count; i++) {
        const unsigned char *base = segments[list.segment].base;
        uint64_t at = list.word + 2 * i;
        CHECK_EQ(mmb__load64(base + at * 8), i);
        CHECK(mmb_resolve(segments, segment_count, list.segment, at + 1, &text, &flaw) == 0);
        CHECK(text.kind == (i % 5 == 0 ? MMB_TO_NOTHING : MMB_TO_LIST));
        if (i % 5 != 0) {
            base = segments[text.segment].base;
            CHECK_EQ(text.elements, i % 40 + 1);
            CHECK(base[text.word * 8ul] == (i % 40 == 0 ? 0 : 'a'));
        }
    }
}

static void test_rows_that_were_moved_to_a_file_come_into_a_message(void)
{
    enum { COUNT = 300, ROOM = 8000, MOST = 40 };
    static const uint64_t limits[][2] = {{1, 60}, {30, 60}, {30, 100}, {90, 4000}, {5000, 10000}};
    uint64_t *words = calloc(MOST + 2, ROOM * 8);
    CHECK(words != NULL);
    for (unsigned i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (unsigned apart = 0; apart < 2; apart++) {
            mmb_segment segments[MOST + 2];
            mmb_room rooms[MOST + 2];
            mmb_stage stage;
            mmb_flaw flaw;
            memset(words, 0, (MOST + 2) * ROOM * 8ul);
            for (uint32_t k = 0; k < MOST + 2; k++) {
                segments[k] = (mmb_segment){.base = words + k * ROOM, .words = ROOM};
                rooms[k] = (mmb_room){.segment = k, .word = 5, .words = ROOM - 5};
            }
            stage_many(&stage, COUNT, limits[i][0], limits[i][1]);
            uint32_t sections = mmb_stage_section_count(&stage);
            CHECK(sections > 1 || limits[i][1] > 2000);
            CHECK(sections <= MOST);
            for (uint32_t k = 0; k < sections; k++) {
                mmb_stage_section section = mmb_stage_section_at(&stage, k);
                CHECK(section.words + section.pointers <= limits[i][1]);
                rooms[k + 1].words = section.words + section.pointers;
            }
            CHECK(mmb_stage_put_list(&stage, segments, MOST + 2, 0, 0, &rooms[0],
                                     apart ? &rooms[1] : NULL, &flaw) == 0);
            check_many(segments, apart ? MOST + 2 : 1, COUNT);
            mmb_stage_free(&stage);
        }
    }
    free(words);
}

static void test_a_list_is_as_it_was_if_its_rows_cannot_be_read_back(void)
{
    enum { COUNT = 300, ROOM = 8000 };
    uint64_t *words = calloc(2, ROOM * 8ul), *before = malloc(2 * COUNT * 8ul);
    CHECK(words != NULL && before != NULL);
    const mmb_segment segments[] = {{.base = words, .words = ROOM},
                                    {.base = words + ROOM, .words = ROOM}};
    const mmb_room room = {.segment = 1, .word = 0, .words = ROOM};
    const mmb_object target = {.kind = MMB_TO_LIST,
                               .segment = 0,
                               .word = 1,
                               .elements = COUNT,
                               .data_words = 1,
                               .pointer_words = 1};
    memset(words + 1, 0x5A, 2 * COUNT * 8ul);
    memcpy(before, words + 1, 2 * COUNT * 8ul);
    mmb_stage stage;
    mmb_flaw flaw;
    stage_many(&stage, COUNT, 90, 4000);
    CHECK(mmb_stage_section_count(&stage) == 1 && stage.file->piece_count > 2);
    mmb_stage_piece *last = &stage.file->pieces[stage.file->piece_count - 1];
    uint64_t offset = last->offset;
    last->offset = (1ull << 62); /* the heap of other pieces, and their rows, can be read */
    last->heap_words = 0;
    CHECK_EQ(mmb_stage_put_rows(&stage, segments, 2, &target, &room, &flaw), EIO);
    CHECK(memcmp(before, words + 1, 2 * COUNT * 8ul) == 0);
    last->offset = offset;
    CHECK_EQ(mmb_stage_put_rows(&stage, segments, 2, &target, &room, &flaw), 0);
    CHECK_EQ(words[1 + 2 * (COUNT - 1)], COUNT - 1);
    mmb_stage_free(&stage);
    free(before);
    free(words);
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
    RUN(test_rows_that_were_moved_to_a_file_come_into_a_message);
    RUN(test_a_list_is_as_it_was_if_its_rows_cannot_be_read_back);
    RUN(test_what_no_segment_can_hold_is_refused);
    return 0;
}
