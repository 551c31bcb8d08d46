/* building.h - a message from its first byte to its last. Public.
 *
 * A *building* is a message that is being built in a region. It is *unfinished* until
 * mmb_message_finish: its first number is FFFFFFFF, a count that every reader refuses, and
 * mmb_recover finds in it which segments were handed out. Segments are handed out one after the
 * other, as memory of the map that is zeros. Each has its *full* size, which takes addresses and
 * no disk. The *used* size of each is known when the builder is done. layout.h describes the
 * bytes.
 *
 * Functions return 0 for success, otherwise an errno value, one of the MMB_E values, or
 * MMB_EMESSAGE. None of them may be called from a signal handler. Any thread may call them, one
 * thread at a time for each building. */
#ifndef MMB_BUILDING_H
#define MMB_BUILDING_H

#include "framing.h"
#include "region.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Owns nothing; may be copied. */
typedef struct {
    mmb_region region;
    uint64_t end;                    /* of the segments handed out: bytes from region.offset */
    uint32_t entries;                /* of the table that is set aside */
    uint32_t count;                  /* segments handed out */
    uint32_t full[MMB_MAX_SEGMENTS]; /* their sizes: words */
} mmb_building;

/* Return how many bytes at the start of a region are set aside for a table of `entries`. Segment 0
 * begins behind them. */
uint64_t mmb_table_set_aside(uint32_t entries);

/* Begin a message in a region of zeros, and put the mark at its start. The mark comes before
 * anything else: an empty file is no message, but a file of zeros would be one. With `durable`
 * this waits until the device has the mark; otherwise a power cut could leave zeros. `entries` is
 * 1 to MMB_MAX_SEGMENTS; it must be 1 if offset % 512 is 504.
 * Errors: EINVAL (entries, offset, or the region does not begin with zeros), MMB_ECAPACITY
 * (no room for the table and a root), and those of writing and growing. */
int mmb_message_begin(mmb_building *out, const mmb_region *region, uint32_t entries, bool durable);

/* Hand out the next segment, and note it in the file for mmb_recover. It gets `most_words`, or
 * `min_words` if that is more, but no more than the region has left. A size above 65535 words may
 * be rounded to 16 significant bits. The segment is number count - 1 afterwards. MMB_ECAPACITY if
 * the region has no room for `min_words`, or the table has no entry left. */
int mmb_message_hand_out(mmb_building *building, uint64_t min_words, uint64_t most_words);

/* Return where segment `index` begins: bytes from the start of the file, and so of the map. */
uint64_t mmb_message_start(const mmb_building *building, uint32_t index);

/* Find the used sizes by following the pointers of the message, if its builder does not tell them,
 * or if other processes may have built on it. `used_words` has room for MMB_MAX_SEGMENTS; it holds
 * the used size of each segment as far as that is known, and 0 otherwise. It is raised to what the
 * pointers reach. Segments that were handed out to another process are added to the building.
 * No program may store into the map any more. Return 0, MMB_EMESSAGE (`flaw` says more), or an
 * error of reading. */
int mmb_message_measure(mmb_building *building, uint32_t *used_words, bool *has_far_pointers,
                        mmb_flaw *flaw);

/* Make a finished message of the segments that were handed out; without any, the message has a null
 * root. `used_words` has the used size of each. `has_far_pointers` must be true if there may be
 * one. `*bytes` (may be NULL) gets the bytes of the message. The map may be open or sealed; its
 * file is not cut. With `durable` this waits for the device before the message is finished, and
 * again afterwards.
 *
 * After a failure the message still has the mark, and mmb_recover can finish it.
 * Errors: what poisoned the map, EPERM in a forked child, EINVAL (a used size is above the
 * full one), and those of writing. */
int mmb_message_finish(const mmb_building *building, const uint32_t *used_words,
                       bool has_far_pointers, bool durable, uint64_t *bytes);

/* The same for the last message of a file. This seals the map, and cuts the file at the end of the
 * message before the message is finished. MMB_ETRUNCATED if another program has cut the file. */
int mmb_message_finish_file(const mmb_building *building, const uint32_t *used_words,
                            bool has_far_pointers, bool durable, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
