/* test_strings.c - one pointer followed, and columns of Text and Data written, over
 * memory of exactly the size that they may touch. */
#define _GNU_SOURCE

#include "message.h"
#include "read_back.h"

/* Two segments, each an allocation of its own, so that a sanitizer sees every step
 * beyond them. */
static unsigned char *memory[2];
static mmb_segment segments[2];
static mmb_flaw flaw;

static void make(uint64_t first, uint64_t second)
{
    uint64_t words[2] = {first, second};
    for (int i = 0; i < 2; i++) {
        free(memory[i]);
        memory[i] = calloc(words[i] + 1, MMB_WORD); /* calloc(0) may be NULL */
        CHECK(memory[i] != NULL);
        memory[i] = realloc(memory[i], words[i] != 0 ? words[i] * MMB_WORD : 1);
        CHECK(memory[i] != NULL);
        segments[i] = (mmb_segment){memory[i], words[i]};
    }
}

static void set(int segment, uint64_t word, uint64_t value)
{
    put64(memory[segment] + word * MMB_WORD, value);
}

static uint64_t get(int segment, uint64_t word)
{
    return get64(memory[segment] + word * MMB_WORD);
}

static mmb_object object;

static int resolve(uint32_t segment, uint64_t word)
{
    return mmb_resolve(segments, 2, segment, word, &object, &flaw);
}

static void pointers_of_every_kind(void)
{
    make(8, 4);
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.kind, MMB_TO_NOTHING);

    set(0, 0, p_struct(1, 2, 1));
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.kind, MMB_TO_STRUCT);
    CHECK_EQ(object.word, 2);
    CHECK_EQ(object.data_words, 2);
    CHECK_EQ(object.pointer_words, 1);

    set(0, 0, p_list(0, COMPOSITE, 4));
    set(0, 1, p_tag(2, 1, 1));
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.kind, MMB_TO_LIST);
    CHECK_EQ(object.word, 2);
    CHECK_EQ(object.elements, 2);
    CHECK_EQ(object.element_size, COMPOSITE);

    set(0, 0, p_capability(5));
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.kind, MMB_TO_CAPABILITY);

    set(0, 0, p_far(1, 1));
    set(1, 1, p_list(0, TWO, 8));
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.segment, 1);
    CHECK_EQ(object.word, 2);
    CHECK_EQ(object.elements, 8);
    CHECK_EQ(object.element_size, TWO);

    set(0, 0, p_double(0, 1));
    set(1, 0, p_far(5, 0));
    set(1, 1, p_list(0, EIGHT, 3));
    CHECK_EQ(resolve(0, 0), 0);
    CHECK_EQ(object.segment, 0);
    CHECK_EQ(object.word, 5);
    CHECK_EQ(object.elements, 3);
}

static void pointers_that_lead_astray(void)
{
    make(2, 0);
    CHECK_EQ(resolve(2, 0), MMB_EMESSAGE);
    CHECK_EQ(flaw.segment, 2);
    CHECK_EQ(resolve(0, 2), MMB_EMESSAGE);
    CHECK_EQ(flaw.word, 2);
    CHECK_EQ(resolve(0, UINT64_MAX), MMB_EMESSAGE);
    CHECK_EQ(resolve(1, 0), MMB_EMESSAGE);
    const uint64_t wrong[] = {
        p_struct(0, 1, 1),
        p_struct(-2, 0, 0),
        p_list(0, BYTE, 9),
        p_list(0, COMPOSITE, 1),
        p_far(2, 0),
        p_far(0, 7),
        p_far(0, 1),
        p_double(1, 0),
        7,
        p_list(1, BYTE, (1u << 29) - 1),
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set(0, 0, wrong[i]);
        CHECK_EQ(resolve(0, 0), MMB_EMESSAGE);
        CHECK(flaw.reason != NULL);
        CHECK_EQ(flaw.segment, 0);
        CHECK_EQ(flaw.word, 0);
    }
}

/* ---- strings ---------------------------------------------------------------------- */

static const char bytes[] = "abc12345678xyz";
static const uint32_t narrow[] = {0, 3, 3, 11, 14};
static const uint64_t wide[] = {0, 3, 3, 11, 14};

static mmb_strings strings_of(bool is_wide)
{
    return (mmb_strings){
        .bytes = (const unsigned char *)bytes,
        .size = sizeof bytes - 1,
        .offsets = is_wide ? (const unsigned char *)wide : (const unsigned char *)narrow,
        .width = is_wide ? 8 : 4,
        .count = 4,
    };
}

static void measuring(void)
{
    uint64_t words, found, bad;
    mmb_strings strings = strings_of(false);
    CHECK(mmb_strings_measure(&strings, NULL, true, &words, &found, &bad) == NULL);
    CHECK_EQ(words, 1 + 1 + 2 + 1);
    CHECK_EQ(found, 4);
    strings = strings_of(true);
    CHECK(mmb_strings_measure(&strings, NULL, false, &words, &found, &bad) == NULL);
    CHECK_EQ(words, 1 + 0 + 1 + 1);
    const unsigned char mask[] = {0, 1, 0, 1};
    CHECK(mmb_strings_measure(&strings, mask, false, &words, &found, &bad) == NULL);
    CHECK_EQ(words, 1);
    CHECK_EQ(found, 2);
    const unsigned char valid[] = {0x0E << 3};
    strings.valid = valid;
    strings.valid_first = 3;
    CHECK(mmb_strings_measure(&strings, NULL, false, &words, &found, &bad) == NULL);
    CHECK_EQ(words, 2);

    strings = strings_of(true);
    const uint64_t descending[] = {0, 3, 2, 11, 14};
    strings.offsets = (const unsigned char *)descending;
    CHECK(mmb_strings_measure(&strings, NULL, true, &words, &found, &bad) != NULL);
    CHECK_EQ(bad, 1);
    const uint64_t beyond[] = {0, 3, 3, 11, 15};
    strings.offsets = (const unsigned char *)beyond;
    CHECK(mmb_strings_measure(&strings, NULL, true, &words, &found, &bad) != NULL);
    CHECK_EQ(bad, 3);
}

/* True if `text` is taken as Text. It is put at the end of an allocation. */
static bool is_text(const char *text, size_t length)
{
    unsigned char *copy = malloc(length != 0 ? length : 1);
    CHECK(copy != NULL);
    memcpy(copy, text, length);
    const uint64_t ends[] = {0, length};
    mmb_strings strings = {
        .bytes = copy,
        .size = length,
        .offsets = (const unsigned char *)ends,
        .width = 8,
        .count = 1,
    };
    uint64_t words, found, bad;
    bool good = mmb_strings_measure(&strings, NULL, true, &words, &found, &bad) == NULL;
    free(copy);
    return good;
}

static void what_is_utf8(void)
{
    const char *good[] = {
        "",
        "a",
        "\x7F",
        "\xC2\x80",
        "\xDF\xBF",
        "\xE0\xA0\x80",
        "\xED\x9F\xBF",
        "\xEE\x80\x80",
        "\xEF\xBF\xBF",
        "\xF0\x90\x80\x80",
        "\xF4\x8F\xBF\xBF",
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef\xC3\xA4 0123456789abcdef0123456789abcdef\xE2\x82\xAC",
    };
    const char *wrong[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xC2",
        "\xC2\x7F",
        "\xC2\xC0",
        "\xE0\x9F\xBF",
        "\xE1\x80",
        "\xED\xA0\x80",
        "\xED\xBF\xBF",
        "\xEF\xBF",
        "\xF0\x8F\xBF\xBF",
        "\xF0\x90\x80",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xFF",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xE2",
        "\xE1\x80\xC0",
        "\xF1\x80\x80\xC0",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK(is_text(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK(!is_text(wrong[i], strlen(wrong[i])));
    }
    CHECK(is_text("a\0b", 3));

    /* A boundary inside a character makes two wrong strings of a good one. */
    const uint64_t ends[] = {0, 1, 2};
    uint64_t words, found, bad;
    mmb_strings strings = {.bytes = (const unsigned char *)"\xC3\xA4",
                           .size = 2,
                           .offsets = (const unsigned char *)ends,
                           .width = 8,
                           .count = 2};
    CHECK(mmb_strings_measure(&strings, NULL, true, &words, &found, &bad) != NULL);
    CHECK_EQ(bad, 0);
}

/* Read the four pointers of a column back and compare. */
static void check_column(const mmb_pointers *pointers, bool text, const char *all,
                         const uint64_t *ends, unsigned valid_bits)
{
    uint64_t offsets[5];
    unsigned char there[1];
    unsigned char copy[64];
    CHECK_EQ(read_back(segments, 2, pointers, text, offsets, there, copy, &flaw), 0);
    CHECK(memcmp(offsets, ends, sizeof offsets) == 0);
    CHECK_EQ(there[0], valid_bits);
    CHECK(memcmp(copy, all, ends[4]) == 0);
}

static void writing_near(void)
{
    mmb_pointers pointers = {.word = 1, .stride = 2, .count = 4, .segment = 0};
    mmb_strings strings = strings_of(false);
    uint64_t next = 0;
    make(8 + 5, 0);
    mmb_room room = {.word = 8, .words = 5, .segment = 0};
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, NULL, true, &next, &room, &flaw),
             0);
    CHECK_EQ(next, 4);
    CHECK_EQ(room.words, 0);
    CHECK_EQ(room.word, 13);
    check_column(&pointers, true, bytes, wide, 0x0F);

    /* Written anew: what was there is gone. */
    make(8 + 5 + 3, 0);
    next = 0;
    room = (mmb_room){.word = 8, .words = 5, .segment = 0};
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, NULL, true, &next, &room, &flaw),
             0);
    next = 0;
    room = (mmb_room){.word = 13, .words = 3, .segment = 0};
    strings = strings_of(true);
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, NULL, false, &next, &room, &flaw),
             0);
    CHECK_EQ(next, 4);
    for (uint64_t word = 8; word < 13; word++) {
        CHECK_EQ(get(0, word), 0);
    }
    check_column(&pointers, false, bytes, wide, 0x0F);
}

static void writing_far_and_in_two_rooms(void)
{
    mmb_pointers pointers = {.word = 0, .stride = 1, .count = 4, .segment = 0};
    mmb_strings strings = strings_of(true);
    const unsigned char valid[] = {0x0D};
    strings.valid = valid; /* the second, which is empty, is missing */
    uint64_t next = 0;
    make(4, 5 + 2);
    mmb_room room = {.word = 0, .words = 5, .segment = 1};
    set(0, 1, p_far(5, 1)); /* the old value of the missing one */
    set(1, 5, p_list(0, BYTE, 8));
    set(1, 6, ~UINT64_C(0));
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, NULL, true, &next, &room, &flaw),
             0);
    CHECK_EQ(next, 3);
    CHECK_EQ(room.words, 0);
    CHECK_EQ(get(0, 1), 0);
    CHECK_EQ(get(1, 5), 0);
    CHECK_EQ(get(1, 6), 0);
    room = (mmb_room){.word = 5, .words = 2, .segment = 1};
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, NULL, true, &next, &room, &flaw),
             0);
    CHECK_EQ(next, 4);
    check_column(&pointers, true, bytes, wide, 0x0D);

    const unsigned char mask[] = {0, 0, 0, 0};
    next = 0;
    CHECK_EQ(mmb_strings_write(segments, 2, &pointers, &strings, mask, true, &next, &room, &flaw),
             0);
    CHECK_EQ(next, 4);
    check_column(&pointers, true, bytes, wide, 0x0D);
}

static void writing_refs(void)
{
    const unsigned char *all = (const unsigned char *)bytes;
    mmb_string_ref refs[] = {
        {.bytes = all, .length = 3},
        {.bytes = NULL},
        {.bytes = all + 3, .length = 8},
        {.bytes = all + 11, .length = 3},
    };
    for (uint32_t segment = 0; segment < 2; segment++) {
        mmb_pointers pointers = {.word = 1, .stride = 2, .count = 4, .segment = 0};
        uint64_t written;
        make(8 + 4, 4 + 3);
        mmb_room room = {.word = segment == 0 ? 8 : 0, .words = 4, .segment = segment};
        if (segment == 1) {
            room.words = 6;
        }
        CHECK_EQ(
            mmb_string_refs_write(segments, 2, &pointers, refs, 4, true, &written, &room, &flaw),
            0);
        CHECK_EQ(written, segment == 0 ? 4 : 3);
        if (segment == 1) { /* one pad too many for the room: the last one has to wait */
            mmb_pointers last = {.word = 7, .stride = 2, .count = 1, .segment = 0};
            room.words = 2;
            CHECK_EQ(mmb_string_refs_write(segments, 2, &last, &refs[3], 1, true, &written, &room,
                                           &flaw),
                     0);
            CHECK_EQ(written, 1);
        }
        check_column(&pointers, true, bytes, wide, 0x0D);
        refs[0].skip = true;
        CHECK_EQ(
            mmb_string_refs_write(segments, 2, &pointers, refs, 1, true, &written, &room, &flaw),
            0);
        CHECK_EQ(written, 1);
        check_column(&pointers, true, bytes, wide, 0x0D);
        refs[0].skip = false;
    }
    mmb_pointers pointers = {.word = 0, .stride = 1, .count = 1, .segment = 0};
    mmb_room room = {.word = 1, .words = 1, .segment = 0};
    const mmb_string_ref too_long = {.bytes = all, .length = (1u << 29) - 1};
    uint64_t written;
    CHECK_EQ(
        mmb_string_refs_write(segments, 2, &pointers, &too_long, 1, true, &written, &room, &flaw),
        MMB_EMESSAGE);
    CHECK_EQ(written, 0);
}

static void places_out_of_bounds(void)
{
    mmb_strings strings = strings_of(true);
    uint64_t next = 0;
    make(8, 2);
    const mmb_pointers wrong[] = {
        {.word = 0, .stride = 3, .count = 4, .segment = 0},
        {.word = 8, .stride = 1, .count = 1, .segment = 0},
        {.word = 0, .stride = 0, .count = 4, .segment = 0},
        {.word = 0, .stride = UINT64_MAX, .count = 4, .segment = 0},
        {.word = UINT64_MAX, .stride = 1, .count = 4, .segment = 0},
        {.word = 0, .stride = 1, .count = 4, .segment = 2},
        {.word = 0, .stride = 1, .count = UINT64_MAX, .segment = 0},
    };
    mmb_room room = {.word = 4, .words = 4, .segment = 0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(
            mmb_strings_write(segments, 2, &wrong[i], &strings, NULL, true, &next, &room, &flaw),
            MMB_EMESSAGE);
        CHECK_EQ(mmb_pointers_check(segments, 2, &wrong[i], &flaw), MMB_EMESSAGE);
    }
    const mmb_pointers good = {.word = 0, .stride = 1, .count = 4, .segment = 0};
    const mmb_room rooms[] = {
        {.word = 4, .words = 5, .segment = 0},          {.word = 9, .words = 0, .segment = 0},
        {.word = UINT64_MAX, .words = 2, .segment = 0}, {.word = 0, .words = 3, .segment = 1},
        {.word = 0, .words = 1, .segment = 2},
    };
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        room = rooms[i];
        CHECK_EQ(mmb_strings_write(segments, 2, &good, &strings, NULL, true, &next, &room, &flaw),
                 MMB_EMESSAGE);
    }
    CHECK_EQ(next, 0);
    CHECK_EQ(get(0, 0), 0);
}

static void texts_that_are_none(void)
{
    mmb_pointers pointers = {.word = 0, .stride = 1, .count = 1, .segment = 0};
    uint64_t offsets[2];
    unsigned char there[1], copy[8];
    make(2, 0);
    struct {
        uint64_t pointer, content;
    } wrong[] = {
        {p_list(0, BYTE, 2), 0x6161},   {p_list(0, BYTE, 0), 0},      {p_list(0, TWO, 1), 0},
        {p_struct(0, 1, 0), 0},         {p_list(0, BYTE, 2), 0x0080}, {p_capability(0), 0},
        {p_list(0, BYTE, 100), 0x6161},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set(0, 0, wrong[i].pointer);
        set(0, 1, wrong[i].content);
        CHECK_EQ(read_back(segments, 2, &pointers, true, offsets, there, copy, &flaw),
                 MMB_EMESSAGE);
        CHECK_EQ(flaw.word, 0);
    }
    set(0, 0, p_list(0, BYTE, 2));
    set(0, 1, 0x61);
    CHECK_EQ(read_back(segments, 2, &pointers, true, offsets, there, copy, &flaw), 0);
}

int main(void)
{
    RUN(pointers_of_every_kind);
    RUN(pointers_that_lead_astray);
    RUN(measuring);
    RUN(what_is_utf8);
    RUN(writing_near);
    RUN(writing_far_and_in_two_rooms);
    RUN(writing_refs);
    RUN(places_out_of_bounds);
    RUN(texts_that_are_none);
    for (int i = 0; i < 2; i++) {
        free(memory[i]);
    }
    return 0;
}
