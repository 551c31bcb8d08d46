/* roots.h - reads one field of the roots of many messages.
 *
 * *Roots* are the root structs of messages that lie back to back, as in a log. They are visited in
 * order. A *way* leads from each root to a value. It is a list of fields: each of them but the last
 * is a group or a struct. If a pointer on the way is null, or a member of a union on it is not the
 * active one, the way is cut off and the value is absent.
 *
 * All functions are safe on any bytes: they report the number of a message that is not valid. No
 * function here may be called from a signal handler. */
#ifndef MMB_ROOTS_H
#define MMB_ROOTS_H

#include "mmb_log.h"
#include "read.h"

/* Find the segments of the first of some frames (up to MMB_MAX_SEGMENTS), and the size of this
 * frame in bytes. `left` is how many bytes there are. Return MMB_EMESSAGE with `*reason` if they
 * are no frame. */
int mmb_frame_segments(const unsigned char *frames, uint64_t left, mmb_segment *segments,
                       uint32_t *count, uint64_t *bytes, const char **reason);

typedef struct {
    const mmb_plan *plan;
    const uint32_t *fields; /* numbers of fields in the plan */
    uint32_t length;
    /* The value is the tag of a union: that of the last field's struct or group, or of the root. */
    bool tag;
} mmb_way;

typedef struct {
    const unsigned char *frames;
    uint64_t bytes;   /* size of all frames, which are whole */
    uint64_t count;   /* number of frames */
    uint64_t bad;     /* set on an error: number of the bad message, counted from 0 here */
    mmb_flaw flaw;    /* set on an error: the flaw in that message */
    uint64_t strings; /* set by mmb_roots_find: bytes of all strings together */
} mmb_roots;

/* Store the value of each root as a number of `bytes` bytes (1 for Bool), one after the other in
 * the machine's byte order. `present` becomes 1 where the value is there. Where it is absent,
 * `present` becomes 0, and the default of the field is stored. Return 0 or MMB_EMESSAGE. */
int mmb_roots_numbers(mmb_roots *roots, const mmb_way *way, uint32_t bytes, unsigned char *values,
                      unsigned char *present);

/* Do the same for Text and Data, in two steps. mmb_roots_find stores in offsets[number + 1]
 * where each string ends if all lie back to back. A null pointer has no string; its `there`
 * becomes 0. mmb_roots_copy copies the strings to `to`, which has room for roots->strings bytes.
 * If the messages changed between the two calls, it returns MMB_EMESSAGE. */
int mmb_roots_find(mmb_roots *roots, const mmb_way *way, uint64_t *offsets, unsigned char *there,
                   unsigned char *present);
int mmb_roots_copy(mmb_roots *roots, const mmb_way *way, const uint64_t *offsets,
                   unsigned char *to);

#endif
