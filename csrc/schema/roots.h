/* roots.h - one field of the roots of many messages.
 *
 * *Roots* are the root structs of messages that lie back to back, as in a log, visited in
 * order. A *way* leads from each root to a value: the numbers of fields, each but the last a
 * group or a struct. Where the way is cut off, because a pointer on it is null or a member of
 * a union is not the active one, the value is absent.
 *
 * Safe on any bytes: a message that is wrong is an error with its number.
 * No function here may be called from a signal handler.
 */
#ifndef MMB_ROOTS_H
#define MMB_ROOTS_H

#include "mmb_log.h"
#include "read.h"

/* The segments of the first of some frames, of which `left` bytes are there: up to
 * MMB_MAX_SEGMENTS, and the bytes of the frame. MMB_EMESSAGE with `*reason` if it is none. */
int mmb_frame_segments(const unsigned char *frames, uint64_t left, mmb_segment *segments,
                       uint32_t *count, uint64_t *bytes, const char **reason);

typedef struct {
    const mmb_plan *plan;
    const uint32_t *fields; /* numbers in the plan */
    uint32_t length;
    bool tag; /* the value is the tag of the union in what the last field is, or in the root */
} mmb_way;

typedef struct {
    const unsigned char *frames;
    uint64_t bytes;   /* whole frames */
    uint64_t count;   /* frames in them */
    uint64_t bad;     /* set on an error: the number of the message, from the first of these */
    mmb_flaw flaw;    /* likewise, in that message */
    uint64_t strings; /* set by mmb_roots_find: bytes of all strings */
} mmb_roots;

/* Store the value of each root, a number of `bytes` bytes (1 for Bool), one after the other in
 * the machine's byte order; 1 in `present` where it is not absent, which else has the default
 * of its field. Returns 0 or MMB_EMESSAGE. */
int mmb_roots_numbers(mmb_roots *roots, const mmb_way *way, uint32_t bytes, unsigned char *values,
                      unsigned char *present);

/* The same for Text and Data, in two steps. Find: where each ends, if all lie back to back, to
 * offsets[number + 1]; a null pointer has no string, and `there` is 0. Copy: the strings, to
 * `to`, which has room for roots->strings bytes. Should the messages be changed in between,
 * that is MMB_EMESSAGE. */
int mmb_roots_find(mmb_roots *roots, const mmb_way *way, uint64_t *offsets, unsigned char *there,
                   unsigned char *present);
int mmb_roots_copy(mmb_roots *roots, const mmb_way *way, const uint64_t *offsets,
                   unsigned char *to);

#endif
