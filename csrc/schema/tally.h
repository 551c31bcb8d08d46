/* tally.h - a tally: one bit for each word of a message, so that no word is counted twice.
 *
 * Objects of a hostile message may overlap. Code that adds up the sizes of objects therefore keeps
 * a *tally* of the words that were counted, and counts only the others. A tally takes a 64th of the
 * memory of the message.
 *
 * Places outside the message are left out, so a word that changed after its check does no harm. A
 * tally belongs to one thread. No function here may be called from a signal handler. */
#ifndef MMB_TALLY_H
#define MMB_TALLY_H

#include "mmb_capnp.h"

typedef struct {
    uint64_t *bits;                       /* owned; each segment begins with a new number */
    uint64_t room;                        /* how many numbers `bits` has room for */
    uint64_t start[MMB_MAX_SEGMENTS + 1]; /* the first number of each segment */
    uint64_t words[MMB_MAX_SEGMENTS];     /* words of each segment */
    uint32_t count;                       /* number of segments */
    uint64_t counted;                     /* words that were counted */
} mmb_tally;

/* Begin with a message of these segments; none of its words counts as counted. The tally must be
 * all zero, or must have been used for another message. Errors: ENOMEM; the tally can still be
 * freed or used again. */
int mmb_tally_start(mmb_tally *tally, const mmb_segment *segments, uint32_t count);
void mmb_tally_free(mmb_tally *tally);

/* Count words. Return how many of them had not been counted. */
uint64_t mmb_tally_add(mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words);

/* Return how many of the words have been counted. */
uint64_t mmb_tally_within(const mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words);

#endif
