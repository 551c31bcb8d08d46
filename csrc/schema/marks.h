/* marks.h - marks: one bit for each word of a message, to count no word twice.
 *
 * Objects of a hostile message may overlap, so whoever adds up what objects take *marks* their
 * words, and counts those only that had no mark. That costs a 64th of the message in memory.
 *
 * Places outside the message are left out, so that a word that changed after it was checked
 * can do no harm. Marks belong to one thread. No function here may be called from a signal
 * handler.
 */
#ifndef MMB_MARKS_H
#define MMB_MARKS_H

#include "mmb_capnp.h"

typedef struct {
    uint64_t *bits; /* owned: those of all segments, each from a new number on */
    uint64_t room;  /* numbers in `bits` */
    uint64_t start[MMB_MAX_SEGMENTS + 1]; /* the first number of each segment */
    uint64_t words[MMB_MAX_SEGMENTS];     /* of each segment */
    uint32_t count;                       /* segments */
    uint64_t marked;                      /* words */
} mmb_marks;

/* Forget all marks, and begin with a message of these segments. All zero beforehand, or used
 * for another message. Errors: ENOMEM; the marks can be freed then, or used again. */
int mmb_marks_start(mmb_marks *marks, const mmb_segment *segments, uint32_t count);
void mmb_marks_free(mmb_marks *marks);

/* Mark words; return how many of them had no mark. */
uint64_t mmb_marks_add(mmb_marks *marks, uint32_t segment, uint64_t word, uint64_t words);

/* The marked ones among words. */
uint64_t mmb_marks_count(const mmb_marks *marks, uint32_t segment, uint64_t word, uint64_t words);

#endif
