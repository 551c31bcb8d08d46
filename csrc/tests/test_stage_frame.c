/* test_stage_frame.c - rows of a stage are whole messages by themselves. */
#include "stage_frame.h"

#include "check.h"

/* Rows of one data word and four pointers: Text, two structs with a Text each in a list, a list
 * of two Texts, and an empty struct. Of odd rows the last three are null. */
static void stage_row(mmb_stage *stage, unsigned number)
{
    char text[] = "row 0";
    uint64_t place, inner, unused;
    text[4] = (char)('0' + number);
    CHECK(mmb_stage_add_row(stage, &place) == 0);
    mmb_stage_store(stage, place, 0, 64, number);
    CHECK(mmb_stage_bytes(stage, place + 1, text, 5, true) == 0);
    if (number % 2 != 0) {
        return;
    }
    CHECK(mmb_stage_structs(stage, place + 2, 2, 1, 1, &inner) == 0);
    for (unsigned i = 0; i < 2; i++) {
        mmb_stage_store(stage, inner + 2ull * i, 0, 8, i + 1);
        CHECK(mmb_stage_bytes(stage, inner + 2ull * i + 1, "a longer text", 13, true) == 0);
    }
    CHECK(mmb_stage_list(stage, place + 3, MMB_TEXT, 2, &inner) == 0);
    CHECK(mmb_stage_bytes(stage, inner + 1, "x", 1, true) == 0);
    CHECK(mmb_stage_struct(stage, place + 4, 0, 0, &unused) == 0);
}

static void check_text(const mmb_segment *segment, uint64_t word, const char *text)
{
    mmb_object object;
    mmb_flaw flaw;
    CHECK(mmb_resolve(segment, 1, 0, word, &object, &flaw) == 0);
    CHECK(object.kind == MMB_TO_LIST && object.elements == strlen(text) + 1);
    CHECK(memcmp((const unsigned char *)segment->base + object.word * 8ull, text,
                 strlen(text) + 1) == 0);
}

/* The message at `word` of the frames; returns where the next one begins. */
static uint64_t check_message(const mmb_frames *frames, uint64_t word, unsigned number)
{
    const unsigned char *start = frames->bytes + word * MMB_WORD;
    uint64_t words = mmb__load64(start) >> 32;
    char text[] = "row 0";
    mmb_segment segment = {.base = start + MMB_WORD, .words = words};
    mmb_object root, object;
    mmb_flaw flaw;
    text[4] = (char)('0' + number);
    CHECK(word + 1 + words <= frames->words && (uint32_t)mmb__load64(start) == 0);
    CHECK(mmb_resolve(&segment, 1, 0, 0, &root, &flaw) == 0);
    CHECK(root.kind == MMB_TO_STRUCT && root.data_words == 1 && root.pointer_words == 4);
    const unsigned char *base = segment.base;
    CHECK_EQ(mmb__load64(base + root.word * 8ull), (long long)number);
    check_text(&segment, root.word + 1ull, text);
    CHECK(mmb_resolve(&segment, 1, 0, root.word + 2ull, &object, &flaw) == 0);
    if (number % 2 != 0) {
        CHECK(object.kind == MMB_TO_NOTHING);
        CHECK_EQ((long long)words, 1 + 5 + 1);
        return word + 1 + words;
    }
    CHECK(object.kind == MMB_TO_LIST && object.elements == 2);
    check_text(&segment, object.word + 1ull, "a longer text");
    check_text(&segment, object.word + 3ull, "a longer text");
    CHECK(mmb_resolve(&segment, 1, 0, root.word + 3ull, &object, &flaw) == 0);
    CHECK(object.kind == MMB_TO_LIST && object.elements == 2);
    CHECK_EQ((long long)mmb__load64(base + object.word * 8ull), 0);
    check_text(&segment, object.word + 1ull, "x");
    CHECK(mmb_resolve(&segment, 1, 0, root.word + 4ull, &object, &flaw) == 0);
    CHECK(object.kind == MMB_TO_STRUCT && object.data_words + object.pointer_words == 0);
    return word + 1 + words;
}

static void test_each_row_of_many_is_a_message(void)
{
    mmb_stage stage;
    mmb_frames frames = {0};
    uint64_t word = 0;
    mmb_stage_start(&stage, 1, 4);
    for (unsigned i = 0; i < 9; i++) {
        stage_row(&stage, i);
    }
    for (unsigned i = 0; i < 9; i++) {
        CHECK(mmb_frames_add_row(&frames, &stage, i) == 0);
    }
    for (unsigned i = 0; i < 9; i++) {
        word = check_message(&frames, word, i);
    }
    CHECK_EQ((long long)word, (long long)frames.words);
    mmb_frames_free(&frames);
    mmb_stage_free(&stage);
}

static void test_the_only_row_is_a_message_with_all_there_is(void)
{
    mmb_stage stage;
    mmb_frames frames = {0};
    uint64_t word = 0;
    mmb_stage_start(&stage, 1, 4);
    for (unsigned i = 0; i < 9; i++) {
        mmb_stage_clear(&stage);
        stage_row(&stage, i);
        CHECK(mmb_frames_add(&frames, &stage) == 0);
    }
    for (unsigned i = 0; i < 9; i++) {
        word = check_message(&frames, word, i);
    }
    mmb_frames_free(&frames);
    mmb_stage_free(&stage);
}

static void test_segments_get_a_table(void)
{
    const uint32_t words[] = {2, 1};
    uint64_t content[3] = {1ull << 32, 7, 9};
    mmb_frames frames = {0};
    CHECK(mmb_frames_add_table(&frames, words, 2) == 0);
    CHECK(mmb_frames_add_bytes(&frames, content, sizeof content) == 0);
    CHECK(mmb__load32(frames.bytes) == 1 && mmb__load32(frames.bytes + 4) == 2);
    CHECK(mmb__load32(frames.bytes + 8) == 1);
    CHECK(memcmp(frames.bytes + 16, content, sizeof content) == 0);
    CHECK_EQ((long long)frames.words, 5);
    mmb_frames_free(&frames);
}

int main(void)
{
    RUN(test_each_row_of_many_is_a_message);
    RUN(test_the_only_row_is_a_message_with_all_there_is);
    RUN(test_segments_get_a_table);
    return 0;
}
