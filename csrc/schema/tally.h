/* tally.h - a tally: one bit for each word of a message, so that no word is counted twice.
 *
 * Objects of a hostile message may overlap, so whoever adds up what objects take keeps a *tally*
 * of the words that were counted, and counts only those that were not. That costs a 64th of the
 * message in memory.
 *
 * Places outside the message are left out, so that a word that changed after it was checked
 * can do no harm. A tally belongs to one thread. No function here may be called from a signal
 * handler.
 */
#ifndef MMB_TALLY_H
#define MMB_TALLY_H

#include "mmb_capnp.h"

typedef struct {
    uint64_t *bits; /* owned: those of all segments, each from a new number on */
    uint64_t room;  /* numbers in `bits` */
    uint64_t start[MMB_MAX_SEGMENTS + 1]; /* the first number of each segment */
    uint64_t words[MMB_MAX_SEGMENTS];     /* of each segment */
    uint32_t count;                       /* segments */
    uint64_t counted;                     /* words */
} mmb_tally;

/* Begin with a message of these segments, no word of which was counted. The tally is all zero
 * beforehand, or was used for another message. Errors: ENOMEM; the tally can be freed then, or
 * used again. */
int mmb_tally_start(mmb_tally *tally, const mmb_segment *segments, uint32_t count);
void mmb_tally_free(mmb_tally *tally);

/* Count words; return how many of them had not been counted. */
uint64_t mmb_tally_add(mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words);

/* The counted ones among words. */
uint64_t mmb_tally_within(const mmb_tally *tally, uint32_t segment, uint64_t word, uint64_t words);

#endif
