/* log_trust.c - compares messages of a log with the checksums of its index, and finds which of them
 * are good after the machine went down. See mmb_log.h.
 *
 * Bytes that were not on the device may be anything, page by page: what was stored, zeros, or older
 * bytes. The slots of the index say which bytes were on it. For the bytes behind these, the
 * checksums tell. */
#include "log_index.h"

#include "wire.h"

#include "os/os.h"

/* The state of the check, which goes through all messages in order. */
typedef struct {
    const unsigned char *memory; /* the index */
    uint64_t index_bytes;
    const unsigned char *data;
    uint64_t data_bytes;
    uint64_t synced_count;
    uint64_t synced;
    uint64_t known; /* messages that were there at close; another program wrote the later ones */
    bool unchecked;
} trust;

/* Return the checksum that the index has for the block of `number`; 0 if the index is too short. */
static uint64_t sum_of(const trust *t, uint64_t number)
{
    if (mmb_index_bytes(number) > t->index_bytes) {
        return 0;
    }
    return atomic_load_explicit(&mmb__index_block_of(t->memory, number)->sum, memory_order_relaxed);
}

/* Return the size of the frame at `place`; 0 if no whole frame is there. */
static uint64_t frame_at(const trust *t, uint64_t place)
{
    uint64_t bytes, have = t->data_bytes - place;
    const char *reason;
    return have != 0 && mmb_frame_measure(t->data + place, have, &bytes, &reason) == 0 &&
                   bytes <= have
               ? bytes
               : 0;
}

/* Add the messages below `number`, which are good. */
static int add_upto(const trust *t, mmb_places *places, uint64_t number)
{
    int error = 0;
    while (error == 0 && places->count < number) {
        error = mmb_places_add(places, frame_at(t, places->end));
    }
    return error;
}

/* Check all messages of a block, and add the good ones. The first message starts at `*place`.
 * Set `*place` to the end of the block; to 0 if nothing behind it can be trusted. */
static int look_at_block(trust *t, mmb_places *places, uint64_t first, uint64_t *place)
{
    uint64_t sum = sum_of(t, first), at = *place, size;
    uint32_t crc = 0;
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < MMB_INDEX_BLOCK; i++) {
        size = frame_at(t, at);
        if (size == 0) {
            *place = 0;
            return 0;
        }
        bool late = at + size > t->synced || first + i >= t->synced_count;
        if (first + MMB_INDEX_BLOCK > t->synced_count && i >= mmb__sum_from(sum) &&
            i < mmb__sum_upto(sum)) {
            crc = mmb__os_crc32c(crc, t->data + at, (size_t)size);
        }
        at += size;
        if (!late) {
            error = add_upto(t, places, first + i + 1);
        } else if (i < mmb__sum_from(sum) ||
                   (first + i >= t->known && places->count == first + i)) {
            t->unchecked = true;
            error = add_upto(t, places, first + i + 1);
        } else if (i + 1 == mmb__sum_upto(sum) && crc == (uint32_t)(sum >> 32)) {
            error = add_upto(t, places, first + i + 1);
        }
    }
    *place = places->count == first + MMB_INDEX_BLOCK ? at : 0;
    return error;
}

/* Return what follows the last good message, at `place`. */
static mmb_tail tail_at(const trust *t, uint64_t place)
{
    uint64_t have = t->data_bytes - place;
    if (have == 0) {
        return MMB_TAIL_NONE;
    }
    bool fence = have >= MMB_WORD && mmb__is_fence(mmb__load64(t->data + place));
    return fence ? MMB_TAIL_FENCE : MMB_TAIL_LOST;
}

int mmb_log_trust(const unsigned char *memory, uint64_t bytes, const unsigned char *data,
                  uint64_t data_bytes, mmb_places *places, mmb_tail *tail, bool *unchecked)
{
    const mmb__index_slot *slot = mmb__index_best_slot(mmb__index_header_of(memory));
    trust t = {.memory = memory, .index_bytes = bytes, .data = data, .data_bytes = data_bytes};
    t.known = mmb_index_is_settled(memory)
                  ? atomic_load_explicit(&mmb__index_header_of(memory)->count, memory_order_relaxed)
                  : UINT64_MAX;
    if (slot != NULL) {
        t.synced_count = slot->count;
        t.synced = slot->synced;
    }
    uint64_t place = 0;
    int error = 0;
    for (uint64_t first = 0; error == 0; first += MMB_INDEX_BLOCK) {
        error = look_at_block(&t, places, first, &place);
        if (place == 0) {
            break;
        }
    }
    *unchecked = t.unchecked;
    *tail = tail_at(&t, places->end);
    return error;
}

/* ---- at any time ------------------------------------------------------------------------------
 */

mmb_sum mmb_index_compare(const mmb_places *places, const unsigned char *data, uint64_t first)
{
    uint64_t left = places->count - first, start, end, bytes;
    uint32_t number = left < MMB_INDEX_BLOCK ? (uint32_t)left : MMB_INDEX_BLOCK;
    uint64_t sum = first < places->indexed
                       ? atomic_load_explicit(&mmb__index_block_of(places->index, first)->sum,
                                              memory_order_relaxed)
                       : 0;
    uint32_t from = mmb__sum_from(sum), upto = mmb__sum_upto(sum);
    if (from >= upto || upto > number) { /* if more are covered, a writer is at work */
        return MMB_SUM_MISSING;
    }
    if (mmb_places_find(places, data, first + from, &start, &bytes) != 0 ||
        mmb_places_find(places, data, first + upto - 1, &end, &bytes) != 0 || end < start) {
        return MMB_SUM_DIFFERS;
    }
    uint32_t crc = mmb__os_crc32c(0, data + start, (size_t)(end + bytes - start));
    if (crc != (uint32_t)(sum >> 32)) {
        return MMB_SUM_DIFFERS;
    }
    return from == 0 && upto == number ? MMB_SUM_AGREES : MMB_SUM_MISSING;
}
