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
    uint8_t mend;     /* what was done about a loss: 0, or one of the two below */
    uint32_t dropped; /* elements that are lost then; a struct is one */
} mmb__object;

enum {
    MMB__MAKE_NULL = 1, /* the pointer leads to what is lost, and counts as null */
    MMB__SHORTEN = 2,   /* the list is cut off, and counts as having fewer elements */
};

/* What resolving needs, and where it tells what it met. */
typedef struct {
    mmb__source *source;
    uint32_t *used; /* for each segment, raised to the end of what is met; may be NULL */
    mmb_flaw *flaw;
    /* For messages whose builder died. If `mends`, a pointer counts as null whose landing pad
     * was never written, or lies in a segment that never was in the file; and from
     * `lost_from` on (in bytes from the start of the message; MMB__NO_ZEROS for nowhere)
     * nothing is there. */
    bool mends;
    uint64_t lost_from;
} mmb__reader;

/* Note a flaw and return MMB_EMESSAGE. */
int mmb__report_flaw(const mmb__reader *reader, uint32_t segment, uint64_t word,
                     const char *reason);

/* Find and check what the pointer at a place (known to be in bounds) leads to. All
 * of the object lies in its segment afterwards; what is in it is not looked at.
 * Returns 0, MMB_EMESSAGE with the flaw, or an error of reading. */
int mmb__resolve(const mmb__reader *reader, uint32_t segment, uint32_t word, mmb__object *out);

#endif
