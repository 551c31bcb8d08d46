/* framing.h - the segment table of a finished message. Public.
 *
 * A *framing* says where the segments of a message lie. In a file or a stream, a message is a table
 * with its segments behind it:
 *
 *     u32 entries - 1 | u32 words of each segment | padding to 8 bytes | segments
 *
 * Numbers are little-endian. Sizes of segments are in words of 8 bytes; places are in bytes. No
 * function here may be called from a signal handler. All of them are pure. */
#ifndef MMB_FRAMING_H
#define MMB_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MMB_WORD 8u                             /* bytes in a word */
#define MMB_MAX_SEGMENT_WORDS ((1u << 29) - 1u) /* the most that a far pointer can address */
#define MMB_MAX_SEGMENTS 511u                   /* the most that stream readers accept */
#define MMB_UNFINISHED 0xFFFFFFFFu              /* the first number of an unfinished message */

/* The bytes are no valid message; an mmb_flaw says where and why. (File systems use EBADMSG for
 * their own damage, so it cannot be used here.) */
#define MMB_EMESSAGE (-100)

/* As mmb_flaw.segment: the flaw is in the table, and `word` counts from the start of the table. */
#define MMB_IN_TABLE UINT32_MAX

/* A *flaw* is the first thing that was found wrong. If a pointer leads to a wrong place, the place
 * of the flaw is that of the pointer. */
typedef struct {
    const char *reason; /* static text, lower case, no full stop; NULL if there is no flaw */
    uint64_t word;
    uint32_t segment; /* or MMB_IN_TABLE */
} mmb_flaw;

typedef struct {
    uint64_t file_bytes; /* from the start of the table to the end of the last segment */
    uint64_t start[MMB_MAX_SEGMENTS]; /* bytes from the start of the table */
    uint32_t words[MMB_MAX_SEGMENTS];
    uint32_t count;  /* entries of the table, those of size zero included */
    bool unfinished; /* the message has the mark; then the other fields are empty */
} mmb_framing;

/* The most bytes at the start of a message that mmb_framing_parse looks at. */
#define MMB_HEAD_BYTES ((size_t)2048)

/* Return the bytes of a table of `entries`, with its padding: a multiple of 8. */
uint64_t mmb_table_bytes(uint32_t entries);

/* Return how many entries a message of `capacity` bytes needs: one for every 4 GiB that it begins,
 * at least 1. Return 0 if that would be more than MMB_MAX_SEGMENTS. */
uint32_t mmb_table_entries(uint64_t capacity);

/* Read the table of a finished message. There are `file_bytes` bytes from its start on; `head`
 * holds the first min(file_bytes, MMB_HEAD_BYTES) of them. Bytes behind the last segment are no
 * flaw, since streams have them. Return 0, or MMB_EMESSAGE, which it also returns for an
 * unfinished message. */
int mmb_framing_parse(const void *head, uint64_t file_bytes, mmb_framing *out, mmb_flaw *flaw);

#ifdef __cplusplus
}
#endif
#endif
