/* layout.h - how an unfinished message file says how far it has come.
 *
 * Private to csrc/capnp. Numbers ("slots") are u32, little-endian, counted from the
 * start of the file; T is the bytes of the table, N its entries.
 *
 *     finished   slot 0 = N - 1, slot 1 + i = words of segment i
 *
 *     building   slot 0 = FFFFFFFF, slot 1 = N,
 *                slot 2     = full words of segment 0 << 3 | 7,
 *                slot 2 + i = full words of segment i, 0 until it is handed out.
 *
 * The building form is one slot longer than the table, so the last segment has none
 * if the table has no padding (N odd); nothing follows that segment, it may have the
 * rest of the file. With N = 1 that leaves no slot at all: there the word at offset
 * 8, which becomes the root pointer, is 7 until segment 0 is handed out, then zero.
 *
 * Why slot 2 is tagged: a flat reader of Cap'n Proto before 1.0 lets the count
 * FFFFFFFF wrap to zero and takes N words from offset 8 on as segment 0, with the
 * root pointer there. 7 in the lowest bits is no pointer that exists. (With N = 1
 * and a root that is null or an empty struct such a reader sees an empty message.)
 *
 * Finishing. Where slots from 4 on hold already what the finished table wants (as
 * with up to two segments) one write of slots 0 to 3 finishes the file: the count
 * never becomes valid before the sizes. Otherwise sizes have to move by one slot,
 * or tails of segments are to be collapsed, and there are states in between. They
 * are told apart like this; every state is left by a single write or truncation:
 *
 *     planned    A journal (journal.h) lies at the end of the file, and slot 2 has
 *                the tag 3 in place of 7. The journal has all sizes, before and after
 *                collapsing; the size of the file tells how many segments have been
 *                collapsed. The other slots may be in either form, or torn.
 *     staged     Slot 2 = words of segment 0 << 3 | 3, slot 3 = words of segment 1
 *                with the highest bit set, slots from 4 on as when finished. Only
 *                the size of segment 2 has no slot: the file ends at its last used
 *                word, which gives it. The journal counts as long as it is there.
 *     finished
 *
 * A tag of 3 with neither a journal nor the bit in slot 3 is a power cut that kept
 * the tag and lost the journal: the slots are in the building form still.
 */
#ifndef MMB_LAYOUT_H
#define MMB_LAYOUT_H

#include "mmb_capnp.h"
#include "wire.h"

#define MMB__MARK 0xFFFFFFFFu   /* slot 0 of an unfinished file */
#define MMB__BUILDING 7u        /* tags of slot 2 */
#define MMB__PLANNED 3u         /* planned or staged */
#define MMB__STAGED 0x80000000u /* in slot 3 */

/* Slots that the last write of finishing covers: as much as has no state between. */
#define MMB__PUBLISH_BYTES 16u

static inline uint64_t mmb__slot_place(uint32_t slot)
{
    return (uint64_t)slot * 4;
}

/* True if the building form has a slot for segment `index`. */
static inline bool mmb__has_slot(uint32_t entries, uint32_t index)
{
    return mmb__slot_place(2 + index) < mmb_table_bytes(entries);
}

/* Write the finished table, padding included, for `count` segments of `words`
 * words to `table`, which has room for MMB_HEAD_BYTES. Pure. */
void mmb__table_encode(unsigned char *table, uint32_t entries, const uint32_t *words,
                       uint32_t count);

#endif
