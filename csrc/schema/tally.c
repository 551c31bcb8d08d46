/* tally.c - keeps one bit for each word of a message. See tally.h. */
#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 64 };

int mmb_tally_start(mmb_tally *tally, const mmb_segment *segments, uint32_t count)
{
    uint64_t needed = 0;
    tally->count = 0;
    tally->counted = 0;
    for (uint32_t i = 0; i < count; i++) {
        tally->start[i] = needed;
        tally->words[i] = segments[i].words;
        needed += (segments[i].words + BITS - 1) / BITS;
    }
    tally->start[count] = needed;
    if (needed > tally->room) {
        free(tally->bits);
        tally->room = 0;
        tally->bits = calloc(needed, sizeof *tally->bits);
        if (tally->bits == NULL) {
            return ENOMEM;
        }
        tally->room = needed;
    } else if (needed > 0) {
        memset(tally->bits, 0, needed * sizeof *tally->bits);
    }
    tally->count = count;
    return 0;
}

void mmb_tally_free(mmb_tally *tally)
{
    free(tally->bits);
    *tally = (mmb_tally){0};
}

/* Return the mask of `count` bits (1 to 64) of one number, from bit `first` on. */
static uint64_t mask(unsigned first, uint64_t count)
{
    return (count >= BITS ? UINT64_MAX : ((uint64_t)1 << count) - 1) << first;
}

static uint64_t ones(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return bits * 0x0101010101010101u >> 56;
}

/* Return how many of the words are inside the segment. */
static uint64_t limited(const mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words)
{
    if (segment >= tally->count || word >= tally->words[segment]) {
        return 0;
    }
    uint64_t left = tally->words[segment] - word;
    return words < left ? words : left;
}

uint64_t mmb_tally_add(mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words)
{
    uint64_t left = limited(tally, segment, word, words), fresh = 0;
    uint64_t *at = left > 0 ? &tally->bits[tally->start[segment] + word / BITS] : NULL;
    unsigned first = (unsigned)(word % BITS);
    while (left > 0) {
        uint64_t part = left < BITS - first ? left : BITS - first;
        uint64_t wanted = mask(first, part);
        uint64_t there = *at & wanted;
        *at++ |= wanted;
        fresh += there == 0 ? part : part - ones(there);
        left -= part;
        first = 0;
    }
    tally->counted += fresh;
    return fresh;
}

uint64_t mmb_tally_within(const mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words)
{
    uint64_t left = limited(tally, segment, word, words), found = 0;
    const uint64_t *at = left > 0 ? &tally->bits[tally->start[segment] + word / BITS] : NULL;
    unsigned first = (unsigned)(word % BITS);
    while (left > 0) {
        uint64_t part = left < BITS - first ? left : BITS - first;
        found += ones(*at++ & mask(first, part));
        left -= part;
        first = 0;
    }
    return found;
}
