/* layout.h - how an unfinished message lies in its region. Private to csrc/capnp.
 *
 * This is the specification. Numbers ("slots") are u32, little-endian, counted from the
 * start of the region; N is the entries of the table, T the bytes that are set aside for it.
 *
 * T is max(16, 4 * (1 + N) rounded up to 8). Segment 0 begins at T, each other segment where
 * the one before ends at its full size.
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
 * One entry. The finished table of a message with one segment has one entry. It takes 8
 * bytes, so the segment begins at offset 8, and the words up to T are words of the segment
 * that nothing points to. Among them is the first root pointer, at T, which a program may
 * still read through its own mapping. A pointer to a struct without any words keeps its own
 * form (offset -1: it points at itself). All entries are kept if the message has a far
 * pointer, which counts words from the start of a segment, or if segment 0 would have more
 * words than a segment may.
 *
 * No slot moves. A finished message differs from an unfinished one in its first 16 bytes,
 * and the slots behind these may get their final values before: each of them is the same
 * in both forms, but for segments from the last used one on, whose full size nobody needs.
 * So the message is unfinished, and all its sizes are known, until one write of 16 bytes
 * finishes it. (These bytes must not be torn: they may lie in two sectors only when N is 1.
 * Then slots 2 and 3 are written first, and what they hold while slot 0 is the mark says
 * nothing: segment 0 has all of the region.)
 *
 * Why the word at offset 8 has 7 in its lowest bits: a flat reader of Cap'n Proto before 1.0
 * lets the count FFFFFFFF wrap to zero and takes N words from offset 8 on as segment 0, with
 * the root pointer there. No pointer ends in 7.
 *
 * The first lost byte. When the disk is full, stores may not reach the file. Slots 0 and 1
 * are a loss record (mmb_file.h) that tells from where on. Where there was no room for that
 * either, and the builder was killed, the extended attribute user.mmapbuilder.lost has the
 * offset as a u64 in the byte order of the machine.
 *
 * Codes of sizes. 20 bits hold m (16 bits) and e (4 bits): the size is m << e, but never
 * more than 2^29 - 1. So a segment that others follow has a size with 16 significant bits.
 */
#ifndef MMB_LAYOUT_H
#define MMB_LAYOUT_H

#include "framing.h"
#include "wire.h"

#define MMB__BUILDING 7u /* the lowest bits of the word at offset 8 */
#define MMB__HEAD 16u    /* bytes that the last write of finishing covers */
#define MMB__SECTOR 512u /* bytes that a device writes as a whole */

#define MMB__ENTRIES_MASK 511u /* the bits of slot 1 that are N */

enum { MMB__CODED_SEGMENTS = 3 }; /* whose sizes stand in the word at offset 8 */

/* All functions are pure. */

static inline uint64_t mmb__slot_place(uint32_t slot)
{
    return (uint64_t)slot * 4;
}

/* T: the bytes set aside for a table of `entries`. */
static inline uint64_t mmb__set_aside(uint32_t entries)
{
    uint64_t bytes = mmb_table_bytes(entries);
    return bytes < MMB__HEAD ? MMB__HEAD : bytes;
}

/* True if the first 16 bytes of a message at `offset` lie in two sectors. */
static inline bool mmb__head_is_split(uint64_t offset)
{
    return offset % MMB__SECTOR + MMB__HEAD > MMB__SECTOR;
}

/* Write the finished table of `entries`, padding included, for `count` segments of `words`
 * words to `table`, which has room for MMB_HEAD_BYTES. */
void mmb__table_encode(unsigned char *table, uint32_t entries, const uint32_t *words,
                       uint32_t count);

/* The root pointer `root` as it is to be where it is put `words` words before its place. It
 * may be any pointer but a far one. */
uint64_t mmb__root_moved(uint64_t root, uint32_t words);

/* The largest size with a code that is at most `words`, the smallest that is at least. */
uint32_t mmb__size_below(uint32_t words);
uint32_t mmb__size_above(uint32_t words);

/* The code of mmb__size_above(words), and the size that a code stands for. */
uint32_t mmb__size_encode(uint32_t words);
uint32_t mmb__size_decode(uint32_t code);

/* The word at offset 8 of a message of which the first `count` segments were handed out. */
uint64_t mmb__building_word(const uint32_t *full_words, uint32_t count);

/* Full words of segment `index` as an unfinished message says it, of which `head` holds
 * the first MMB_HEAD_BYTES; 0 if it was not handed out. */
uint32_t mmb__noted_words(const unsigned char *head, uint32_t index);

#endif
