/* test_walk.c - the walk over messages written by hand: every kind of pointer, every
 * way in which one can be wrong, and what must not cost time or memory. */
#define _GNU_SOURCE

#include "message.h"
#include "near.h"

#include <stdarg.h>
#include <time.h>

enum { MAX_SEGMENTS = 4 };

static uint64_t numbers[MAX_SEGMENTS][64];
static mmb_segment segments[MAX_SEGMENTS];
static uint32_t count;
static uint32_t used[MAX_SEGMENTS];
static mmb_totals totals;
static mmb_flaw flaw;

static void message(void)
{
    count = 0;
}

/* Append a segment of `words` words, which follow. */
static void segment(unsigned words, ...)
{
    va_list list;
    va_start(list, words);
    for (unsigned i = 0; i < words; i++) {
        put64((unsigned char *)&numbers[count][i], va_arg(list, uint64_t));
    }
    va_end(list);
    segments[count] = (mmb_segment){numbers[count], words};
    count++;
}

/* Words for the variable arguments, which must all be of one type. */
#define W(value) ((uint64_t)(value))

/* Take each word for a pointer: where the short way follows it, it must find what the long way
 * finds. */
static void ways_agree(void)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t word = 0; word <= segments[i].words; word++) {
            mmb_object near, object;
            mmb_flaw unwanted;
            if (!mmb__resolve_near(&segments[i], word, &near)) {
                continue;
            }
            CHECK_EQ(mmb_resolve(segments, count, i, word, &object, &unwanted), 0);
            CHECK_EQ(near.kind, object.kind);
            CHECK_EQ(near.word, object.word);
            CHECK_EQ(near.elements, object.elements);
            CHECK_EQ(near.data_words, object.data_words);
            CHECK_EQ(near.pointer_words, object.pointer_words);
            CHECK_EQ(near.element_size, object.element_size);
            CHECK_EQ(object.segment, object.kind == MMB_TO_NOTHING ? 0 : i);
        }
    }
}

static int walk(void)
{
    ways_agree();
    return mmb_walk(segments, count, used, &totals, &flaw);
}

#define VALID(objects_, words_, depth_)                                                            \
    do {                                                                                           \
        int result_ = walk();                                                                      \
        if (result_ != 0) {                                                                        \
            fprintf(stderr, "%u:%llu: %s\n", flaw.segment, (unsigned long long)flaw.word,          \
                    flaw.reason);                                                                  \
        }                                                                                          \
        CHECK_EQ(result_, 0);                                                                      \
        CHECK(flaw.reason == NULL);                                                                \
        CHECK_EQ(totals.objects, objects_);                                                        \
        CHECK_EQ(totals.words, words_);                                                            \
        CHECK_EQ(totals.depth, depth_);                                                            \
    } while (0)

#define INVALID(segment_, word_, part)                                                             \
    do {                                                                                           \
        CHECK_EQ(walk(), MMB_EMESSAGE);                                                            \
        CHECK(flaw.reason != NULL);                                                                \
        if (strstr(flaw.reason, part) == NULL) {                                                   \
            fprintf(stderr, "%s:%d: \"%s\" is not about \"%s\"\n", __FILE__, __LINE__,             \
                    flaw.reason, part);                                                            \
            exit(1);                                                                               \
        }                                                                                          \
        CHECK_EQ(flaw.segment, segment_);                                                          \
        CHECK_EQ(flaw.word, word_);                                                                \
    } while (0)

/* A message of one segment: a root pointer and more. */
#define ONE(words, ...)                                                                            \
    do {                                                                                           \
        message();                                                                                 \
        segment(words, __VA_ARGS__);                                                               \
    } while (0)

static void roots(void)
{
    ONE(1, W(0));
    VALID(0, 1, 0);
    CHECK_EQ(used[0], 1);
    CHECK_EQ(totals.pointers, 0);

    ONE(3, W(0), W(~0ull), W(~0ull)); /* what nothing points at is not looked at */
    VALID(0, 1, 0);
    CHECK_EQ(used[0], 1);

    ONE(1, p_struct(-1, 0, 0)); /* the empty struct, as builders write it */
    VALID(1, 1, 1);
    CHECK_EQ(totals.pointers, 1);

    ONE(1, p_capability(7));
    VALID(0, 1, 0);
    CHECK_EQ(totals.pointers, 1);

    ONE(0, W(0));
    INVALID(0, 0, "no root");
    message();
    INVALID(0, 0, "no root");
    CHECK_EQ(mmb_walk(segments, 0, used, NULL, &flaw), MMB_EMESSAGE);
}

static void structs(void)
{
    ONE(4, p_struct(0, 2, 1), W(1), W(2), W(0));
    VALID(1, 4, 1);
    CHECK_EQ(used[0], 4);

    ONE(6, p_struct(2, 1, 0), W(0), W(0), W(5), W(0), W(0)); /* a gap before, slack behind */
    VALID(1, 2, 1);
    CHECK_EQ(used[0], 4);

    ONE(3, p_struct(0, 2, 1), W(0), W(0));
    INVALID(0, 0, "struct reaches beyond");
    ONE(3, p_struct(2, 1, 0), W(0), W(0));
    INVALID(0, 0, "struct reaches beyond");
    ONE(3, p_struct(3, 0, 0), W(0), W(0));
    INVALID(0, 0, "struct lies outside");
    ONE(3, p_struct(2, 0, 0), W(0), W(0)); /* empty, at the end */
    VALID(1, 1, 1);
    CHECK_EQ(used[0], 3); /* the place must stay in bounds when the file is cut */
    ONE(3, p_struct(-2, 0, 0), W(0), W(0));
    INVALID(0, 0, "struct lies outside");
    ONE(3, p_struct(-0x20000000, 1, 0), W(0), W(0));
    INVALID(0, 0, "struct lies outside");
    ONE(3, p_struct(0x1FFFFFFF, 65535, 65535), W(0), W(0));
    INVALID(0, 0, "struct lies outside");

    /* A flaw further in is reported at its own place. */
    ONE(4, p_struct(0, 1, 2), W(0), W(0), p_struct(0, 1, 0));
    INVALID(0, 3, "struct reaches beyond");
}

static void plain_lists(void)
{
    static const struct {
        unsigned size;
        uint64_t fits, more;
    } kinds[] = {
        {BIT, 128, 129}, {BYTE, 16, 17}, {TWO, 8, 9}, {FOUR, 4, 5}, {EIGHT, 2, 3},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (uint64_t n = 0; n <= kinds[i].fits; n++) {
            ONE(3, p_list(0, kinds[i].size, n), W(~0ull), W(~0ull));
            uint64_t words = n * 2 / kinds[i].fits + (n * 2 % kinds[i].fits != 0);
            VALID(1, 1 + words, 1);
            CHECK_EQ(used[0], 1 + words);
        }
        ONE(3, p_list(0, kinds[i].size, kinds[i].more), W(0), W(0));
        INVALID(0, 0, "list reaches beyond");
        ONE(3, p_list(0, kinds[i].size, 0x1FFFFFFF), W(0), W(0));
        INVALID(0, 0, "list reaches beyond");
        ONE(3, p_list(1, kinds[i].size, kinds[i].fits), W(0), W(0));
        INVALID(0, 0, "list reaches beyond");
        ONE(3, p_list(3, kinds[i].size, 0), W(0), W(0));
        INVALID(0, 0, "list lies outside");
        ONE(3, p_list(-2, kinds[i].size, 1), W(0), W(0));
        INVALID(0, 0, "list lies outside");
    }
    ONE(1, p_list(0, VOID, 0x1FFFFFFF));
    VALID(1, 1, 1);
}

static void pointer_lists(void)
{
    ONE(4, p_list(0, POINTER, 3), W(0), p_capability(1), p_struct(-1, 0, 0));
    VALID(2, 4, 2);
    ONE(4, p_list(0, POINTER, 4), W(0), W(0), W(0));
    INVALID(0, 0, "list reaches beyond");
    ONE(4, p_list(0, POINTER, 3), W(0), W(0), p_list(0, BYTE, 1));
    INVALID(0, 3, "list reaches beyond");

    /* Lists of lists: two texts and a list of two pointers. */
    ONE(8, p_list(0, POINTER, 3), p_list(2, BYTE, 3), p_list(2, BYTE, 8), p_list(2, POINTER, 2),
        W(1), W(2), W(0), W(0));
    VALID(4, 8, 2);
}

static void composite_lists(void)
{
    ONE(8, p_list(0, COMPOSITE, 6), p_tag(2, 2, 1), W(1), W(2), W(0), W(3), W(4), W(0));
    VALID(1, 8, 1);
    CHECK_EQ(used[0], 8);

    /* Pointers in elements, the second one wrong. */
    ONE(9, p_list(0, COMPOSITE, 6), p_tag(2, 2, 1), W(1), W(2), p_list(3, BYTE, 8), W(3), W(4),
        W(0), W(9));
    VALID(2, 9, 2);
    ONE(8, p_list(0, COMPOSITE, 6), p_tag(2, 2, 1), W(1), W(2), W(0), W(3), W(4),
        p_list(0, BYTE, 1));
    INVALID(0, 7, "list reaches beyond");

    /* Elements without words cost nothing; words without elements are allowed. */
    ONE(2, p_list(0, COMPOSITE, 0), p_tag(0x1FFFFFFF, 0, 0));
    VALID(1, 2, 1);
    ONE(4, p_list(0, COMPOSITE, 2), p_tag(0, 65535, 65535), W(~0ull), W(~0ull));
    VALID(1, 4, 1);
    ONE(4, p_list(0, COMPOSITE, 2), p_tag(1, 0, 1), W(0), W(~0ull));
    VALID(1, 4, 1);

    ONE(2, p_list(0, COMPOSITE, 1), p_tag(1, 1, 0));
    INVALID(0, 0, "list reaches beyond");
    ONE(1, p_list(0, COMPOSITE, 0)); /* not even room for the tag */
    INVALID(0, 0, "list reaches beyond");
    ONE(1, p_list(0, COMPOSITE, 0x1FFFFFFF));
    INVALID(0, 0, "list reaches beyond");
    ONE(3, p_list(0, COMPOSITE, 1), p_tag(2, 1, 0), W(0));
    INVALID(0, 0, "need more words");
    ONE(3, p_list(0, COMPOSITE, 1), p_tag(0x1FFFFFFF, 65535, 65535), W(0));
    INVALID(0, 0, "need more words");
    ONE(3, p_list(0, COMPOSITE, 1), p_tag(0x20000000, 0, 0), W(0));
    INVALID(0, 0, "negative count");
    ONE(3, p_list(0, COMPOSITE, 1), p_tag(1, 1, 0) | 1, W(0));
    INVALID(0, 0, "not that of structs");
}

static void others(void)
{
    ONE(1, W(7));
    INVALID(0, 0, "no known kind");
    ONE(1, W(0x80000003));
    INVALID(0, 0, "no known kind");
    ONE(3, p_struct(0, 0, 2), p_capability(0xFFFFFFFF), W(0xFFFFFFFF));
    INVALID(0, 2, "no known kind");
}

static void far_pointers(void)
{
    message(); /* to a struct, to a list */
    segment(3, p_struct(0, 0, 2), p_far(0, 1), p_far(3, 1));
    segment(6, p_struct(0, 1, 1), W(5), W(0), p_list(0, BYTE, 9), W(1), W(2));
    VALID(3, 9, 2);
    CHECK_EQ(used[0], 3);
    CHECK_EQ(used[1], 6);

    message(); /* the root itself; within one segment */
    segment(3, p_far(1, 0), p_struct(0, 1, 0), W(0));
    VALID(1, 3, 1);

    message(); /* a composite list behind a far pointer, with far pointers in it */
    segment(2, p_far(0, 1), W(77));
    segment(4, p_list(0, COMPOSITE, 2), p_tag(2, 0, 1), p_far(0, 2), p_far(1, 2));
    segment(2, p_struct(-1, 0, 0), p_list(0, VOID, 3));
    VALID(3, 7, 2);
    CHECK_EQ(used[0], 1);

    message();
    segment(1, p_far(0, 1));
    INVALID(0, 0, "segment that is not there");
    segment(0, W(0));
    INVALID(0, 0, "pad of the far pointer is out of bounds");
    message();
    segment(1, p_far(1, 1));
    segment(1, W(0));
    INVALID(0, 0, "pad of the far pointer is out of bounds");
    message();
    segment(1, p_far(0x1FFFFFFF, 0xFFFFFFFF));
    segment(1, W(0));
    INVALID(0, 0, "segment that is not there");

    message(); /* the pad is the pointer at fault */
    segment(1, p_far(1, 1));
    segment(2, W(0), p_struct(0, 1, 0));
    INVALID(1, 1, "struct reaches beyond");
    message();
    segment(1, p_far(0, 1));
    segment(1, p_far(0, 1)); /* a far pointer to itself */
    INVALID(1, 0, "not a struct or list");
    message();
    segment(1, p_far(0, 1));
    segment(1, p_capability(0));
    INVALID(1, 0, "not a struct or list");
    message();
    segment(1, p_far(0, 0));
    INVALID(0, 0, "not a struct or list");
}

static void double_far_pointers(void)
{
    message();
    segment(1, p_double(0, 1));
    segment(2, p_far(1, 2), p_struct(0, 1, 1));
    segment(4, W(0), W(5), W(0), W(~0ull));
    VALID(1, 5, 1);
    CHECK_EQ(used[0], 1);
    CHECK_EQ(used[1], 2);
    CHECK_EQ(used[2], 3);

    message(); /* a composite list; the tag of the pad gives its words */
    segment(1, p_double(1, 1));
    segment(3, W(0), p_far(0, 2), p_list(0, COMPOSITE, 2));
    segment(3, p_tag(2, 0, 1), W(0), p_struct(-1, 0, 0));
    VALID(2, 6, 2);

    message();
    segment(1, p_double(0, 1));
    segment(1, p_far(1, 2));
    INVALID(0, 0, "pad of the far pointer is out of bounds");
    message();
    segment(1, p_double(0x1FFFFFFF, 1));
    segment(1, W(0));
    INVALID(0, 0, "pad of the far pointer is out of bounds");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_far(0, 2), p_struct(0, 1, 0));
    INVALID(1, 0, "segment that is not there");
    segment(0, W(0));
    INVALID(1, 0, "segment that is not there");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_far(0, 2), p_struct(0, 2, 0));
    segment(1, W(0));
    INVALID(1, 0, "struct reaches beyond");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_double(0, 1), p_struct(0, 0, 0));
    INVALID(1, 0, "holds no far pointer");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_struct(0, 0, 0), p_struct(0, 0, 0));
    INVALID(1, 0, "holds no far pointer");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_far(0, 0), p_struct(1, 0, 0));
    INVALID(1, 1, "no valid tag");
    message();
    segment(1, p_double(0, 1));
    segment(2, p_far(0, 0), p_far(0, 0));
    INVALID(1, 1, "no valid tag");
}

static void loops_and_overlaps(void)
{
    ONE(2, p_struct(0, 0, 1), p_struct(-1, 0, 1)); /* a struct that holds itself */
    INVALID(0, 1, "overlap or form a loop");
    ONE(1, p_list(-1, POINTER, 1)); /* the root in the list that it points at */
    INVALID(0, 0, "overlap or form a loop");

    /* Two pointers to one object: words are left over, but not enough. */
    ONE(5, p_struct(0, 0, 2), p_list(1, EIGHT, 2), p_list(0, EIGHT, 2), W(1), W(2));
    INVALID(0, 2, "overlap or form a loop");
    ONE(8, p_struct(0, 0, 2), p_list(1, EIGHT, 2), p_list(0, EIGHT, 2), W(1), W(2), W(0), W(0),
        W(0));
    INVALID(0, 0, "objects overlap");

    /* Amplification: each level points twice at the next. */
    uint64_t levels[24] = {p_struct(0, 0, 2)};
    for (int i = 1; i < 21; i += 2) {
        levels[i] = p_struct(1, 0, 2);
        levels[i + 1] = p_struct(0, 0, 2);
    }
    message();
    segments[0] = (mmb_segment){levels, 24};
    count = 1;
    for (int i = 0; i < 24; i++) {
        put64((unsigned char *)&levels[i], levels[i]);
    }
    CHECK_EQ(walk(), MMB_EMESSAGE);
    CHECK(strstr(flaw.reason, "overlap") != NULL);
}

/* ---- size ------------------------------------------------------------------------- */

static unsigned char *big;

static void set(uint64_t word, uint64_t value)
{
    put64(big + word * 8, value);
}

static void big_message(uint64_t words)
{
    big = calloc(words, 8);
    CHECK(big != NULL);
    segments[0] = (mmb_segment){big, words};
    count = 1;
}

/* Nodes of `pointers` pointers, the one to the next node at `next`; a text elsewhere.
 * Without a flaw the walk needs one frame for them. */
static int chain(uint64_t nodes, unsigned pointers, unsigned next, unsigned text)
{
    uint64_t each = pointers + 1;
    big_message(nodes * each + 1);
    set(0, p_struct(0, 0, pointers));
    for (uint64_t i = 0; i < nodes; i++) {
        uint64_t at = 1 + i * each;
        uint64_t end = at + pointers;
        if (i + 1 < nodes) {
            set(at + next, p_struct((int64_t)(end + 1 - (at + next) - 1), 0, pointers));
        }
        set(at + text, p_list((int64_t)(end - (at + text) - 1), BYTE, 8));
    }
    int result = walk();
    free(big);
    return result;
}

static void long_chains(void)
{
    CHECK_EQ(chain(1000000, 2, 1, 0), 0);
    CHECK_EQ(totals.depth, 1000001);
    CHECK_EQ(chain(1000000, 2, 0, 1), 0);
    CHECK_EQ(chain(300000, 5, 2, 4), 0);
}

/* The first pointer leads on, the second has something to do as well: a frame for
 * each level, up to a limit that is said to be one. */
static int ladder(uint64_t levels)
{
    big_message(1 + levels * 3);
    set(0, p_struct(0, 0, 2));
    for (uint64_t i = 0; i < levels; i++) {
        uint64_t at = 1 + i * 3;
        set(at, i + 1 < levels ? p_struct(2, 0, 2) : 0);
        set(at + 1, p_list(0, POINTER, 1));
    }
    int result = walk();
    free(big);
    return result;
}

static void deep_ladders(void)
{
    CHECK_EQ(ladder(200000), 0);
    CHECK_EQ(totals.objects, 400000);
    CHECK_EQ(ladder(300000), MMB_EMESSAGE);
    CHECK(strstr(flaw.reason, "nested deeper") != NULL);
}

/* A complete binary tree: all its words are charged, none is left. */
static void trees(void)
{
    enum { LEVELS = 16 };
    uint64_t nodes = (1u << LEVELS) - 1;
    big_message(1 + nodes * 2);
    set(0, p_struct(0, 0, 2));
    for (uint64_t i = 0; 2 * i + 2 < nodes; i++) {
        for (uint64_t side = 0; side < 2; side++) {
            uint64_t at = 1 + i * 2 + side;
            uint64_t child = 1 + (2 * i + 1 + side) * 2;
            set(at, p_struct((int64_t)(child - at - 1), 0, 2));
        }
    }
    VALID(nodes, 1 + nodes * 2, LEVELS);
    free(big);
}

/* Void elements and empty structs without number, in every pointer there is. */
static void nothing_costs_nothing(void)
{
    uint64_t n = 1 << 19;
    big_message(1 + 2 * n);
    set(0, p_list(0, POINTER, n));
    for (uint64_t i = 0; i < n; i++) {
        set(1 + i,
            i % 2 == 0 ? p_list(0, VOID, 0x1FFFFFFF) : p_list((int64_t)(n - 1), COMPOSITE, 0));
        set(1 + n + i, p_tag(0x1FFFFFFF, 0, 0));
    }
    clock_t before = clock();
    CHECK_EQ(walk(), 0);
    CHECK(clock() - before < 5 * CLOCKS_PER_SEC);
    free(big);
}

static void unaligned_memory(void)
{
    unsigned char bytes[8 * 3 + 1] = {0};
    put64(bytes + 1, p_struct(0, 1, 1));
    segments[0] = (mmb_segment){bytes + 1, 3};
    count = 1;
    VALID(1, 3, 1);
}

static void beginnings(void)
{
    message();
    segment(3, p_struct(0, 1, 1), 7, 0);
    CHECK(mmb_begins_message(segments, count, 0));
    CHECK(!mmb_begins_message(segments, count, 1)); /* there is none */
    segments[0].words = 2;
    CHECK(!mmb_begins_message(segments, count, 0)); /* the struct reaches beyond it */
    segments[0].words = 0;
    CHECK(!mmb_begins_message(segments, count, 0));
    const uint64_t others[] = {0, p_struct(1, 1, 0), p_list(0, 2, 8), 1};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        message();
        segment(3, others[i], 7, 0);
        CHECK(!mmb_begins_message(segments, count, 0));
    }
}

int main(void)
{
    RUN(roots);
    RUN(beginnings);
    RUN(structs);
    RUN(plain_lists);
    RUN(pointer_lists);
    RUN(composite_lists);
    RUN(others);
    RUN(far_pointers);
    RUN(double_far_pointers);
    RUN(loops_and_overlaps);
    RUN(long_chains);
    RUN(deep_ladders);
    RUN(trees);
    RUN(nothing_costs_nothing);
    RUN(unaligned_memory);
    return 0;
}
