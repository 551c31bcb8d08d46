/* journal.h - what is going to happen to an unfinished file, at its end.
 *
 * Private to csrc/capnp. Written after the last used word before segments are
 * collapsed or slots are moved, cut off before the file is finished (layout.h).
 *
 *     u64 magic | u32 entries | u32 count | entries times (u32 before, u32 after) |
 *     u64 checksum of all that
 *
 * `before` and `after` are the words of each segment before and after collapsing;
 * of the last segment both are its used words. Unused entries are zero.
 */
#ifndef MMB_JOURNAL_H
#define MMB_JOURNAL_H

#include "layout.h"

#define MMB__JOURNAL_ROOM (24u + 8u * MMB_MAX_SEGMENTS) /* bytes of the largest */

/* The segments of a message that is being finished. Plain data, about 4 KiB. */
typedef struct {
    uint32_t entries; /* of the table */
    uint32_t count;   /* segments with words; at least 1 */
    uint32_t before[MMB_MAX_SEGMENTS];
    uint32_t after[MMB_MAX_SEGMENTS];
} mmb__plan;

/* All functions are pure. */

uint64_t mmb__journal_bytes(uint32_t entries);
void mmb__journal_encode(unsigned char *to, const mmb__plan *plan);

/* False if the bytes are no journal for a table of `entries`. */
bool mmb__journal_decode(const unsigned char *from, uint32_t entries, mmb__plan *plan);

/* End of the last segment if each has the words of `words`: bytes. */
uint64_t mmb__plan_end(const mmb__plan *plan, const uint32_t *words);

/* Segments are collapsed from the last to the first, and each shortens the file.
 * Change `plan->after` to what a file of `file_bytes` bytes (without the journal)
 * has reached. False if that size is none of the plan's. */
bool mmb__plan_reached(mmb__plan *plan, uint64_t file_bytes);

#endif
