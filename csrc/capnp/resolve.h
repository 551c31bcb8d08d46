/* resolve.h - finds what one pointer leads to, and checks it. Private to csrc/capnp. */
#ifndef MMB_RESOLVE_H
#define MMB_RESOLVE_H

#include "words.h"

/* An *object* is what a pointer leads to: a struct, a list, a capability, or nothing. */
typedef struct {
    uint32_t segment;
    uint32_t start; /* its first word; that of a composite list is its tag */
    uint32_t words; /* words of the object, with the tag */
    uint32_t elements;
    uint32_t first;    /* words from the start to the first pointer, if it has pointers */
    uint16_t data;     /* words of data in an element */
    uint16_t pointers; /* pointers in an element */
    uint8_t size;      /* element size of a list, as pointers give it */
    uint8_t pads;      /* words of its landing pads */
    bool is_null;
    bool is_object; /* it is a struct or a list, and not null or a capability */
    bool is_list;
    uint8_t mend;     /* what to do about a loss: 0, or one of the two below */
    uint32_t dropped; /* elements that are lost with it; a struct counts as one */
} mmb__object;

enum {
    MMB__MAKE_NULL = 1, /* the pointer leads to lost words, and counts as null */
    MMB__SHORTEN = 2,   /* the list is cut, and counts as having fewer elements */
};

/* What resolving needs, and where it reports what it finds. */
typedef struct {
    mmb__words *message;
    uint32_t *used; /* for each segment: raised to the end of the words that are met; may be NULL */
    mmb_flaw *flaw;
    /* For messages whose builder died. If `mends` is true, a pointer counts as null if its
     * landing pad was never written, or lies in a segment that never was in the file. From
     * `lost_from` on nothing is there. It is in bytes from the start of the message;
     * MMB__NO_ZEROS means that nothing is lost. */
    bool mends;
    uint64_t lost_from;
} mmb__reader;

/* Note a flaw. Return MMB_EMESSAGE. */
int mmb__report_flaw(const mmb__reader *reader, uint32_t segment, uint64_t word,
                     const char *reason);

/* Find and check what a pointer leads to. The caller knows that the place of the pointer is in
 * bounds. All of the object lies in its segment then; its content is not looked at. Return 0,
 * MMB_EMESSAGE with the flaw, or an error of reading. */
int mmb__resolve(const mmb__reader *reader, uint32_t segment, uint32_t word, mmb__object *out);

#endif
