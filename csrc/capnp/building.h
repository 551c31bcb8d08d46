/* building.h - a message from its first byte to its last. Public.
 *
 * A *building* is a message that is being built in a region. It is *unfinished* until
 * mmb_message_finish: its first number is FFFFFFFF, a count that every reader refuses, and
 * mmb_recover finds in it what was handed out. Its segments are handed out one after the
 * other, each at its *full* size (address space, not disk), as zeroed memory of the map; the
 * *used* size of each is known when the builder is done. layout.h has the bytes.
 *
 * Errors are returned: 0 is success, otherwise an errno value, one of the MMB_E values, or
 * MMB_EMESSAGE. No function here may be called from a signal handler. All may be called from
 * any thread, one at a time for each building. */
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

/* Bytes at the start of a region that are set aside for a table of `entries`: segment 0
 * begins there. */
uint64_t mmb_table_set_aside(uint32_t entries);

/* Begin a message in a region of zeros, and put the mark at its start. The mark comes before
 * anything else: an empty file holds no message, but a file of zeros would be one. `durable`
 * waits until the device has the mark, for a power cut would leave zeros otherwise. `entries`
 * is 1 to MMB_MAX_SEGMENTS; it must be 1 if offset % 512 is 504.
 * Errors: EINVAL (entries, offset, or the region does not begin with zeros), MMB_ECAPACITY
 * (no room for the table and a root), and those of writing and growing. */
int mmb_message_begin(mmb_building *out, const mmb_region *region, uint32_t entries, bool durable);

/* Hand out the next segment, and note it in the file for mmb_recover. It gets `most_words`,
 * or `min_words` if these are more, or what is left of the region; a size of more than 65535
 * words may be rounded, to 16 significant bits. It is number count - 1 afterwards.
 * MMB_ECAPACITY if the region has no room for `min_words`, or the table no entry. */
int mmb_message_hand_out(mmb_building *building, uint64_t min_words, uint64_t most_words);

/* Where segment `index` begins: bytes from the start of the file, and of the map. */
uint64_t mmb_message_start(const mmb_building *building, uint32_t index);

/* Find the sizes in the file, by following its pointers: for a message whose builder does not
 * tell them, or that other processes may have built on. `used_words` holds the used size of
 * each segment as far as it is known, else 0, and is raised to what the pointers reach; it has
 * room for MMB_MAX_SEGMENTS. Segments that another process was handed out become those of the
 * building. Nobody may store into the map any more. Returns 0, MMB_EMESSAGE (`flaw` says
 * more), or an error of reading. */
int mmb_message_measure(mmb_building *building, uint32_t *used_words, bool *has_far_pointers,
                        mmb_flaw *flaw);

/* Make a finished message of the segments handed out (if there are none: one with a null
 * root). `used_words` has the used size of each; `has_far_pointers` must be true if there may
 * be one. `*bytes` (may be NULL) gets the bytes of the message. The map may be open or
 * sealed, its file is not cut. `durable` waits for the device before the message is
 * finished, and again afterwards.
 *
 * On failure the message carries the mark still, and mmb_recover can finish it.
 * Errors: what poisoned the map, EPERM in a forked child, EINVAL (a used size is above the
 * full one), and those of writing. */
int mmb_message_finish(const mmb_building *building, const uint32_t *used_words,
                       bool has_far_pointers, bool durable, uint64_t *bytes);

/* The same for the last message of a file: seals the map, and cuts its file at the end of the
 * message before it is finished. MMB_ETRUNCATED if someone else has cut it. */
int mmb_message_finish_file(const mmb_building *building, const uint32_t *used_words,
                            bool has_far_pointers, bool durable, uint64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
