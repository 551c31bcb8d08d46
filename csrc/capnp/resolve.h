/* resolve.h - what one pointer leads to, checked. Private to csrc/capnp. */
#ifndef MMB_RESOLVE_H
#define MMB_RESOLVE_H

#include "source.h"

/* What a pointer leads to. */
typedef struct {
    uint32_t segment;
    uint32_t start; /* word; of a composite list its tag */
    uint32_t words; /* the tag included */
    uint32_t elements;
    uint32_t first;    /* words from the start to the first pointer, if there is one */
    uint16_t data;     /* words of data in an element */
    uint16_t pointers; /* in an element */
    uint8_t size;      /* of the elements of a list, as pointers say it */
    uint8_t pads;      /* words of landing pad on the way */
    bool is_null;
    bool is_object; /* a struct or list: neither null nor a capability */
    bool is_list;
} mmb__object;

/* What resolving needs, and where it tells what it met. */
typedef struct {
    const mmb__source *source;
    uint32_t *used; /* for each segment, raised to the end of what is met; may be NULL */
    mmb_flaw *flaw;
} mmb__reader;

/* Note a flaw and return MMB_EMESSAGE. */
int mmb__fault(const mmb__reader *reader, uint32_t segment, uint64_t word, const char *reason);

/* Find and check what the pointer at a place (known to be in bounds) leads to. All
 * of the object lies in its segment afterwards; what is in it is not looked at.
 * Returns 0, MMB_EMESSAGE with the flaw, or an error of reading. */
int mmb__resolve(const mmb__reader *reader, uint32_t segment, uint32_t word, mmb__object *out);

#endif
