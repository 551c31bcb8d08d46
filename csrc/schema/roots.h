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
    uint64_t bytes; /* size of all frames, which are whole */
    uint64_t count; /* number of frames */
    uint64_t bad;   /* set on an error: number of the bad message, counted from 0 here */
    mmb_flaw flaw;  /* set on an error: the flaw in that message */
} mmb_roots;

/* Store the value of each root as a number of `bytes` bytes (1 for Bool), one after the other in
 * the machine's byte order. Where a value is absent, the default of the field is stored. `present`
 * becomes 1 where the value is there and 0 where it is absent; it may be NULL. Return 0 or
 * MMB_EMESSAGE. */
int mmb_roots_numbers(mmb_roots *roots, const mmb_way *way, uint32_t bytes, unsigned char *values,
                      unsigned char *present);

/* Take the string of root `number`, or NULL if it has none. Return false to stop. */
typedef bool mmb_take_string(void *context, uint64_t number, const unsigned char *start,
                             uint64_t length);

/* Go through the values of all roots if they are Text or Data. Return 0, MMB_EMESSAGE, or ECANCELED
 * if `take` has stopped it. */
int mmb_roots_strings(mmb_roots *roots, const mmb_way *way, mmb_take_string *take, void *context);

#endif
