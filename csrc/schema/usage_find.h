/* usage_find.h - finds the words that an object takes. Private to csrc/schema.
 *
 * An *extent* is an object with all words that its pointer claims. They include the tag of a list
 * of structs, and words that its elements leave unused. */
#ifndef MMB_USAGE_FIND_H
#define MMB_USAGE_FIND_H

#include "plan.h"
#include "wire.h"

typedef struct {
    mmb_object object; /* a struct counts as one element */
    uint64_t start;    /* first word in the segment of the object */
    uint64_t words;
} mmb__extent;

/* Bits of one element of a list, by the element size in its pointer. */
extern const uint8_t mmb__element_bits[8];

/* Find the object of `pointer`, which stands at `word` of `segment`. Return false if the pointer
 * is a far pointer, leads to a list of structs, or is not valid; nearly all pointers are others. */
bool mmb__find_near(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                    uint64_t pointer, mmb__extent *out);

/* Find the object of any pointer but a null one. `plain` is the pointer that says how large the
 * object is: this pointer itself, or the last word of its landing pad. Errors: MMB_EMESSAGE with
 * the flaw. */
int mmb__find_far(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                  uint64_t plain, mmb__extent *out, mmb_flaw *flaw);

/* Return what is wrong if the stored elements do not fit the type of the schema; NULL if they
 * fit. */
const char *mmb__list_mismatch(const mmb_object *list, mmb_type_kind element);

#endif
