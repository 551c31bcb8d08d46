/* marks.c - one bit for each word of a message. See marks.h. */
#include "marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 64 };

int mmb_marks_start(mmb_marks *marks, const mmb_segment *segments, uint32_t count)
{
    uint64_t needed = 0;
    marks->count = 0;
    marks->marked = 0;
    for (uint32_t i = 0; i < count; i++) {
        marks->start[i] = needed;
        marks->words[i] = segments[i].words;
        needed += (segments[i].words + BITS - 1) / BITS;
    }
    marks->start[count] = needed;
    if (needed > marks->room) {
        free(marks->bits);
        marks->room = 0;
        marks->bits = calloc(needed, sizeof *marks->bits);
        if (marks->bits == NULL) {
            return ENOMEM;
        }
        marks->room = needed;
    } else if (needed > 0) {
        memset(marks->bits, 0, needed * sizeof *marks->bits);
    }
    marks->count = count;
    return 0;
}

void mmb_marks_free(mmb_marks *marks)
{
    free(marks->bits);
    *marks = (mmb_marks){0};
}

/* The bits of one number from `first` on, `count` of them (1 to 64). */
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

/* Cut words to those that are there. */
static uint64_t limited(const mmb_marks *marks, uint32_t segment, uint64_t word, uint64_t words)
{
    if (segment >= marks->count || word >= marks->words[segment]) {
        return 0;
    }
    uint64_t left = marks->words[segment] - word;
    return words < left ? words : left;
}

uint64_t mmb_marks_add(mmb_marks *marks, uint32_t segment, uint64_t word, uint64_t words)
{
    uint64_t left = limited(marks, segment, word, words), fresh = 0;
    uint64_t *at = left > 0 ? &marks->bits[marks->start[segment] + word / BITS] : NULL;
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
    marks->marked += fresh;
    return fresh;
}

uint64_t mmb_marks_count(const mmb_marks *marks, uint32_t segment, uint64_t word, uint64_t words)
{
    uint64_t left = limited(marks, segment, word, words), found = 0;
    const uint64_t *at = left > 0 ? &marks->bits[marks->start[segment] + word / BITS] : NULL;
    unsigned first = (unsigned)(word % BITS);
    while (left > 0) {
        uint64_t part = left < BITS - first ? left : BITS - first;
        found += ones(*at++ & mask(first, part));
        left -= part;
        first = 0;
    }
    return found;
}
