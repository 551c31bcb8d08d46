/* fuzz_strings.c - libFuzzer: any bytes as segments, pointers and strings of a column.
 *
 * The input is a head of eight bytes that says where everything lies, and then the words
 * of two segments and the strings. Besides the sanitizers these must hold:
 *  - what mmb_resolve describes lies in its segment;
 *  - what was written is what is read back, where nothing was there before.
 */
#include "check.h"
#include "read_back.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_INPUT = 1 << 14, HEAD = 8, MAX_STRINGS = 16 };

static mmb_segment segments[2];

static void check_resolve(void)
{
    for (uint32_t segment = 0; segment < 2; segment++) {
        for (uint64_t word = 0; word < segments[segment].words; word++) {
            mmb_object object;
            mmb_flaw flaw = {0};
            if (mmb_resolve(segments, 2, segment, word, &object, &flaw) != 0) {
                CHECK(flaw.reason != NULL);
                continue;
            }
            if (object.kind != MMB_TO_STRUCT && object.kind != MMB_TO_LIST) {
                continue;
            }
            static const unsigned bits[] = {0, 1, 8, 16, 32, 64, 64, 0};
            uint64_t words = (uint64_t)object.data_words + object.pointer_words;
            if (object.kind == MMB_TO_LIST) {
                words = object.element_size == 7
                            ? words * object.elements
                            : ((uint64_t)object.elements * bits[object.element_size] + 63) / 64;
            }
            CHECK(object.segment < 2);
            CHECK(object.word + words <= segments[object.segment].words);
        }
    }
}

/* Read the column that was written and compare it with the strings. */
static void check_reading(const mmb_pointers *pointers, const mmb_strings *strings, bool text,
                          bool written)
{
    static unsigned char bytes[MAX_STRINGS * MAX_INPUT]; /* no string is longer than the input */
    uint64_t offsets[MAX_STRINGS + 1];
    unsigned char there[MAX_STRINGS / 8];
    mmb_flaw flaw = {0};
    int error = read_back(segments, 2, pointers, text, offsets, there, bytes, &flaw);
    if (error != 0) {
        CHECK(flaw.reason != NULL);
        CHECK(!written);
        return;
    }
    if (written) {
        uint32_t from;
        memcpy(&from, strings->offsets, sizeof from);
        CHECK(memcmp(bytes, strings->bytes + from, offsets[pointers->count]) == 0);
    }
}

static void zero(uint32_t segment, uint64_t word, uint64_t words)
{
    unsigned char *base = (unsigned char *)(uintptr_t)segments[segment].base;
    memset(base + word * MMB_WORD, 0, words * MMB_WORD);
}

/* Write into a room of zeros. If it is apart from the pointers, and these are null, what
 * was written must be read back. */
static void check_writing(const mmb_pointers *pointers, const mmb_strings *strings, bool text,
                          mmb_room room)
{
    mmb_flaw flaw = {0};
    bool clean = mmb_pointers_check(segments, 2, pointers, &flaw) == 0 && room.segment < 2 &&
                 room.word + room.words <= segments[room.segment].words;
    if (clean) {
        uint64_t last = pointers->count != 0
                            ? pointers->word + (pointers->count - 1) * pointers->stride
                            : pointers->word;
        clean = pointers->count == 0 || room.segment != pointers->segment || last < room.word ||
                pointers->word >= room.word + room.words;
        zero(room.segment, room.word, room.words);
        for (uint64_t i = 0; clean && i < pointers->count; i++) {
            zero(pointers->segment, pointers->word + i * pointers->stride, 1);
        }
    }
    uint64_t next = 0;
    mmb_room rest = room;
    int error = mmb_strings_write(segments, 2, pointers, strings, NULL, text, &next, &rest, &flaw);
    CHECK(next <= pointers->count);
    CHECK(rest.word + rest.words == room.word + room.words);
    CHECK(!clean || error == 0);
    if (clean && next == pointers->count) {
        check_reading(pointers, strings, text, true);
    }
    if (error != 0) {
        return;
    }

    /* Once more, one by one: over what was just written, which is zeroed first. */
    mmb_string_ref refs[MAX_STRINGS];
    uint32_t ends[MAX_STRINGS + 1];
    uint64_t written;
    memcpy(ends, strings->offsets, (pointers->count + 1) * sizeof *ends);
    for (uint64_t i = 0; i < pointers->count; i++) {
        refs[i] =
            (mmb_string_ref){.bytes = strings->bytes + ends[i], .length = ends[i + 1] - ends[i]};
    }
    if (clean) {
        for (uint64_t i = 0; i < pointers->count; i++) {
            zero(pointers->segment, pointers->word + i * pointers->stride, 1);
        }
        zero(room.segment, room.word, room.words);
    }
    rest = room;
    CHECK(mmb_string_refs_write(segments, 2, pointers, refs, pointers->count, text, &written, &rest,
                                &flaw) == 0);
    CHECK(!clean || written == next);
    if (clean && written == pointers->count) {
        check_reading(pointers, strings, text, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD || size > MAX_INPUT) {
        return 0;
    }
    const uint8_t *head = data;
    data += HEAD;
    size -= HEAD;
    uint64_t words[2] = {head[0] % (size / 16 + 1), 0};
    words[1] = head[1] % ((size - words[0] * 8) / 16 + 1);
    for (int i = 0; i < 2; i++) {
        size_t length = (size_t)words[i] * MMB_WORD;
        unsigned char *copy = malloc(length != 0 ? length : 1);
        memcpy(copy, data, length);
        segments[i] = (mmb_segment){copy, words[i]};
        data += length;
        size -= length;
    }
    check_resolve();

    /* Offsets of two bytes each, made to ascend now and then, and then the strings. */
    mmb_pointers pointers = {.word = head[2],
                             .stride = head[3] % 8,
                             .count = head[4] % MAX_STRINGS,
                             .segment = head[5] % 3};
    bool text = (head[6] & 1) != 0;
    uint32_t offsets[MAX_STRINGS + 1] = {0};
    for (uint64_t i = 0; i <= pointers.count && size >= 2; i++, data += 2, size -= 2) {
        offsets[i] = data[0] | (uint32_t)(data[1] & 1) << 8;
        if ((head[6] & 2) != 0 && i > 0) {
            offsets[i] = offsets[i - 1] + data[0] % 12;
        }
    }
    unsigned char *bytes = malloc(size != 0 ? size : 1);
    memcpy(bytes, data, size);
    mmb_strings strings = {.bytes = bytes,
                           .size = size,
                           .offsets = (const unsigned char *)offsets,
                           .width = 4,
                           .count = pointers.count};
    check_reading(&pointers, &strings, text, false);

    uint64_t needed, found, bad;
    if (mmb_strings_measure(&strings, NULL, text, &needed, &found, &bad) == NULL) {
        mmb_room room = {.word = head[7], .segment = (head[6] >> 2 & 3) % 3};
        room.words = needed;
        if (room.segment != pointers.segment && (head[6] & 16) == 0) {
            room.words += found; /* for the landing pads; else it will be too short */
        }
        check_writing(&pointers, &strings, text, room);
    }
    for (int i = 0; i < 2; i++) {
        free((void *)(uintptr_t)segments[i].base);
    }
    free(bytes);
    return 0;
}
