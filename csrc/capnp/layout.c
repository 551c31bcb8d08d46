/* layout.c - encodes and decodes the numbers of an unfinished message. See layout.h. */
#include "layout.h"

#include <string.h>

void mmb__table_encode(unsigned char *table, uint32_t entries, const uint32_t *words,
                       uint32_t count)
{
    memset(table, 0, (size_t)mmb_table_bytes(entries));
    mmb__store32(table, entries - 1);
    for (uint32_t i = 0; i < count; i++) {
        mmb__store32(table + mmb__slot_place(1 + i), words[i]);
    }
}

uint64_t mmb__root_moved(uint64_t root, uint32_t words)
{
    unsigned kind = mmb__kind(root);
    if (root == 0 || (kind != MMB__STRUCT && kind != MMB__LIST)) {
        return root;
    }
    if (kind == MMB__STRUCT && mmb__data_words(root) == 0 && mmb__pointer_words(root) == 0) {
        return 0xFFFFFFFC; /* offset -1; another offset could make the pointer null */
    }
    /* The offset has 30 bits; the shift below drops the bits above. */
    uint32_t offset = ((uint32_t)root >> 2) + words;
    return (root & ~(uint64_t)0xFFFFFFFC) | (uint32_t)(offset << 2);
}

/* ---- codes of sizes ---------------------------------------------------------------- */

enum { CODE_BITS = 20, MANTISSA_BITS = 16 };

static unsigned bits_of(uint32_t words)
{
    unsigned bits = 0;
    while (bits < 32 && words >> bits != 0) {
        bits++;
    }
    return bits;
}

/* Return how many of the lowest bits of a size its code leaves out. */
static unsigned exponent_of(uint32_t words)
{
    unsigned bits = bits_of(words);
    return bits > MANTISSA_BITS ? bits - MANTISSA_BITS : 0;
}

uint32_t mmb__size_below(uint32_t words)
{
    unsigned exponent = exponent_of(words);
    return words >= MMB_MAX_SEGMENT_WORDS ? MMB_MAX_SEGMENT_WORDS : words >> exponent << exponent;
}

uint32_t mmb__size_above(uint32_t words)
{
    uint32_t below = mmb__size_below(words);
    if (below >= words) {
        return below;
    }
    uint32_t above = below + (1u << exponent_of(words));
    return above < MMB_MAX_SEGMENT_WORDS ? above : MMB_MAX_SEGMENT_WORDS;
}

/* Return the code of mmb__size_above(words). */
static uint32_t encode_size(uint32_t words)
{
    uint32_t size = mmb__size_above(words);
    if (size == MMB_MAX_SEGMENT_WORDS) {
        size++; /* the size is a power of two, and decoding returns one less */
    }
    unsigned exponent = exponent_of(size);
    return (uint32_t)exponent << MANTISSA_BITS | size >> exponent;
}

/* Return the size that a code stands for. */
static uint32_t decode_size(uint32_t code)
{
    uint64_t size = (uint64_t)(code & ((1u << MANTISSA_BITS) - 1)) << (code >> MANTISSA_BITS);
    return size < MMB_MAX_SEGMENT_WORDS ? (uint32_t)size : MMB_MAX_SEGMENT_WORDS;
}

uint64_t mmb__building_word(const uint32_t *full_words, uint32_t count)
{
    uint64_t word = MMB__BUILDING;
    for (uint32_t i = 0; i < count && i < MMB__CODED_SEGMENTS; i++) {
        word |= (uint64_t)encode_size(full_words[i]) << (3 + CODE_BITS * i);
    }
    return word;
}

uint32_t mmb__noted_words(const unsigned char *head, uint32_t index)
{
    if (index >= MMB__CODED_SEGMENTS) {
        return mmb__load32(head + mmb__slot_place(1 + index));
    }
    uint64_t codes = mmb__load64(head + MMB_WORD) >> (3 + CODE_BITS * index);
    return decode_size((uint32_t)codes & ((1u << CODE_BITS) - 1));
}
