/* usage_count.h - the state of a usage, and counting one object. Private to csrc/schema.
 *
 * Objects whose pointers are still to be followed wait on a *stack*. */
#ifndef MMB_USAGE_COUNT_H
#define MMB_USAGE_COUNT_H

#include "read.h"
#include "tally.h"
#include "usage_tree.h"

/* An object with all words that its pointer claims. They include the tag of a list of structs, and
 * words that its elements leave unused. */
typedef struct {
    mmb_object object; /* a struct counts as one element */
    uint64_t start;    /* first word in the segment of the object */
    uint64_t words;
} mmb__extent;

/* What the pointers of an object belong to. */
typedef enum {
    MMB__AS_STRUCTS,  /* fields of a scope */
    MMB__AS_ELEMENTS, /* the first pointer of each element is a value of the node's type */
    MMB__AS_UNKNOWN,  /* no schema is known for them */
} mmb__role;

/* An object whose pointers are still to be followed, or the rest of such an object. */
typedef struct {
    uint64_t word; /* place of the first element that is left */
    uint32_t segment;
    uint32_t elements;
    uint32_t node;
    uint16_t data; /* words of data in an element */
    uint16_t pointers;
    mmb__role as;
} mmb__pending;

typedef struct mmb_usage {
    mmb__tree tree;
    mmb_tally tally;
    mmb_usage_totals totals;
    mmb__pending *stack; /* owned */
    uint32_t waiting, room;
    /* Owned; nodes of the pointers of a struct with unions; room for the most that a struct can
     * have. */
    uint32_t *slots;
    const mmb_segment *segments;
    uint32_t count; /* number of segments */
    uint32_t asked; /* pointers since the last call of the interrupt */
    const mmb_interrupt *interrupt;
    mmb_flaw *flaw;
} mmb_usage;

/* Note a flaw, and return MMB_EMESSAGE. */
int mmb__usage_fail(mmb_usage *u, uint32_t segment, uint64_t word, const char *reason);

/* Let an object wait. Errors: ENOMEM, and MMB_EMESSAGE if too many wait. */
int mmb__usage_push(mmb_usage *u, const mmb__pending *item);

/* Count an object, to which the pointer at `word` of `segment` leads, at node `number`; let it wait
 * if it has pointers. Of the first no schema is known. Errors: those above. */
int mmb__usage_count_unknown(mmb_usage *u, const mmb__extent *e, uint32_t number);
int mmb__usage_count_struct(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                            uint64_t word);
int mmb__usage_count_bytes(mmb_usage *u, const mmb__extent *e, uint32_t number, bool text,
                           uint32_t segment, uint64_t word);
int mmb__usage_count_list(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                          uint64_t word);

#endif
