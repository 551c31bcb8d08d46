/* usage_find.h - the words that an object takes. Private to csrc/schema.
 *
 * An *extent* is what a pointer leads to, with all words that the pointer claims: the tag of a
 * list of structs, and what its elements leave over, as well.
 */
#ifndef MMB_USAGE_FIND_H
#define MMB_USAGE_FIND_H

#include "plan.h"
#include "wire.h"

typedef struct {
    mmb_object object; /* a struct counts as one element */
    uint64_t start;    /* word, in the segment of the object */
    uint64_t words;
} mmb__extent;

/* Bits of one element of a list, by the element size that its pointer gives. */
extern const uint8_t mmb__element_bits[8];

/* Find what `pointer`, which stands at `word` of `segment`, leads to, if that is neither far nor
 * a list of structs, as nearly all are. False if it is another one, or wrong. */
bool mmb__find_near(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                    uint64_t pointer, mmb__extent *out);

/* Find what any pointer but a null one leads to. `plain` is the pointer that says how large the
 * object is: the same, or the last word of its landing pad.
 * Errors: MMB_EMESSAGE with the flaw. */
int mmb__find_far(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                  uint64_t plain, mmb__extent *out, mmb_flaw *flaw);

/* What is wrong if elements as they are stored stand for what the schema says; or NULL. */
const char *mmb__list_mismatch(const mmb_object *list, mmb_type_kind element);

#endif
