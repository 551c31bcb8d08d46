/* layout.h - how an unfinished message lies in its region. Private to csrc/capnp.
 *
 * This is the specification. A *slot* is a little-endian u32; slots are counted from the start of
 * the region. N is the number of entries of the table, and T is how many bytes are set aside for
 * it.
 *
 * T is max(16, 4 * (1 + N) rounded up to 8). Segment 0 begins at T. Each other segment begins where
 * the one before it ends at its full size.
 *
 *     building      slot 0      FFFFFFFF, the mark
 *                   slot 1      N in bits 0 to 8; above them 0, or the first lost byte
 *                   slots 2, 3  one word: 7 in bits 0 to 2, then 20 bits each for the full
 *                               sizes of segments 0, 1 and 2 as codes
 *                   slot 1 + i  full words of segment i, for i from 3 on
 *
 *     finished,     slot 0      0
 *     one entry     slot 1      T / 8 - 1 + used words of segment 0
 *                   slots 2, 3  the root pointer, its offset greater by T / 8 - 1
 *
 *     finished,     slot 0      max(N, 2) - 1
 *     all entries   slot 1 + i  words of segment i: the used ones of the last segment that
 *                               has any, the full ones of those before it, 0 after it
 *
 * A size that was not handed out yet is 0 in the building form.
 *
 * One entry. The finished table of a message with one segment has one entry. It takes 8 bytes, so
 * the segment begins at offset 8. The words from there up to T belong to the segment, but no
 * pointer leads to them. The old root pointer at T stays, since a program may still read it through
 * its own mapping. A pointer to a struct without any words keeps its form (offset -1: it points at
 * itself). All entries are kept if the message has a far pointer, which counts words from the start
 * of a segment, or if segment 0 would have more words than a segment may have.
 *
 * No slot moves. A finished message differs from an unfinished one in its first 16 bytes. The slots
 * behind them may get their final values before. Each of them has the same value in both forms,
 * except for segments from the last used one on, whose full sizes are not needed. So the message
 * stays unfinished, and all its sizes stay known, until one write of 16 bytes finishes it. This
 * write must not be torn. The 16 bytes may lie in two sectors only if N is 1. Then slots 2 and 3
 * are written first. While slot 0 is the mark, their content does not matter: segment 0 has all of
 * the region.
 *
 * The word at offset 8 has 7 in its lowest bits for this reason: a flat reader of Cap'n Proto
 * before 1.0 lets the count FFFFFFFF wrap to zero, takes N words from offset 8 on as segment 0, and
 * looks for the root pointer there. No pointer ends in 7.
 *
 * The first lost byte. When the disk is full, stores may not reach the file. Then slots 0 and 1 are
 * a loss record (mmb_file.h), which tells where the lost bytes begin. If the disk had no room for
 * the record either, and the builder was killed, the extended attribute user.mmapbuilder.lost has
 * this offset as a u64 in the machine's byte order.
 *
 * Codes of sizes. 20 bits hold m (16 bits) and e (4 bits): the size is m << e, but never more than
 * 2^29 - 1. So a segment that another one follows has a size with 16 significant bits. */
#ifndef MMB_LAYOUT_H
#define MMB_LAYOUT_H

#include "framing.h"
#include "wire.h"

#define MMB__BUILDING 7u /* the lowest bits of the word at offset 8 */
#define MMB__HEAD 16u    /* bytes that the last write of finishing covers */
#define MMB__SECTOR 512u /* bytes that a device writes as a whole */

#define MMB__ENTRIES_MASK 511u /* the bits of slot 1 that are N */

enum { MMB__CODED_SEGMENTS = 3 }; /* their sizes stand in the word at offset 8 */

/* All functions are pure. */

static inline uint64_t mmb__slot_place(uint32_t slot)
{
    return (uint64_t)slot * 4;
}

/* Return T: the bytes that are set aside for a table of `entries`. */
static inline uint64_t mmb__set_aside(uint32_t entries)
{
    uint64_t bytes = mmb_table_bytes(entries);
    return bytes < MMB__HEAD ? MMB__HEAD : bytes;
}

/* Return true if the first 16 bytes of a message at `offset` lie in two sectors. */
static inline bool mmb__head_is_split(uint64_t offset)
{
    return offset % MMB__SECTOR + MMB__HEAD > MMB__SECTOR;
}

/* Write the finished table of `entries` with its padding to `table`, which has room for
 * MMB_HEAD_BYTES. There are `count` segments of `words` words. */
void mmb__table_encode(unsigned char *table, uint32_t entries, const uint32_t *words,
                       uint32_t count);

/* Return the root pointer `root` changed for a place that lies `words` words before its old one. It
 * may be any pointer but a far one. */
uint64_t mmb__root_moved(uint64_t root, uint32_t words);

/* Return the largest size that has a code and is at most `words`; and the smallest one that is at
 * least `words`. */
uint32_t mmb__size_below(uint32_t words);
uint32_t mmb__size_above(uint32_t words);

/* Return the word at offset 8 of a message whose first `count` segments were handed out. */
uint64_t mmb__building_word(const uint32_t *full_words, uint32_t count);

/* Return the full words of segment `index` as an unfinished message notes them; 0 if it was not
 * handed out. `head` holds the first MMB_HEAD_BYTES of the message. */
uint32_t mmb__noted_words(const unsigned char *head, uint32_t index);

#endif
