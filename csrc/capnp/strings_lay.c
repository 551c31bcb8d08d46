/* strings_lay.c - lays many strings into a message at once, with the pointers to them.
 *
 * A Text or a Data is a list of bytes, padded to a word. In the segment of its pointer it needs no
 * more. In another segment a landing pad stands before it, and its pointer is a far pointer. The 30
 * bits of an offset reach any place in a segment. */
#include "mmb_capnp.h"
#include "utf8.h"
#include "wire.h"

#include <string.h>

static uint64_t offset_at(const mmb_strings *strings, uint64_t index)
{
    if (strings->width == 4) {
        uint32_t narrow;
        memcpy(&narrow, strings->offsets + index * sizeof narrow, sizeof narrow);
        return narrow;
    }
    uint64_t wide;
    memcpy(&wide, strings->offsets + index * sizeof wide, sizeof wide);
    return wide;
}

static bool has_string(const mmb_strings *strings, uint64_t index)
{
    uint64_t bit = strings->valid_first + index;
    return strings->valid == NULL || (strings->valid[bit / 8] >> (bit % 8) & 1) != 0;
}

/* Return true if no UTF-8 character of `bytes`, which end at `end`, goes on at `at`. */
static bool is_start(const unsigned char *bytes, uint64_t at, uint64_t end)
{
    return at >= end || (bytes[at] & 0xC0) != 0x80;
}

const char *mmb_strings_measure(const mmb_strings *strings, const unsigned char *wanted, bool text,
                                uint64_t *words, uint64_t *found, uint64_t *bad)
{
    uint64_t start = offset_at(strings, 0);
    uint64_t last = offset_at(strings, strings->count);
    /* One check of all bytes is quicker than one for each string. If they all are UTF-8, a
     * string is UTF-8 unless it begins or ends within a character. (Bytes of missing strings may
     * be anything.) */
    bool all = text && start <= last && last <= strings->size &&
               mmb__is_utf8(strings->bytes + start, last - start);
    *words = 0;
    *found = 0;
    for (uint64_t i = 0; i < strings->count; i++) {
        uint64_t end = offset_at(strings, i + 1);
        *bad = i;
        if (start > end || end > strings->size) {
            return "the offsets of the strings are damaged";
        }
        if (has_string(strings, i) && (wanted == NULL || wanted[i] != 0)) {
            if (end - start > MMB_MAX_SEGMENT_WORDS - (text ? 1 : 0)) {
                return "the string is longer than Cap'n Proto allows";
            }
            if (text &&
                !(all ? is_start(strings->bytes, start, last) && is_start(strings->bytes, end, last)
                      : mmb__is_utf8(strings->bytes + start, end - start))) {
                return "the string is not UTF-8";
            }
            *words += mmb_string_words(end - start, text);
            *found += 1;
        }
        start = end;
    }
    return NULL;
}

int mmb_pointers_check(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                       mmb_flaw *flaw)
{
    *flaw = (mmb_flaw){.segment = pointers->segment, .word = pointers->word};
    if (pointers->count == 0) {
        return 0;
    }
    uint64_t words = pointers->segment < count ? segments[pointers->segment].words : 0;
    uint64_t steps = pointers->count - 1;
    if (pointers->word < words &&
        (steps == 0 || pointers->stride - 1 < (words - 1 - pointers->word) / steps)) {
        return 0;
    }
    flaw->reason = "the list reaches beyond its segment";
    return MMB_EMESSAGE;
}

static unsigned char *address(const mmb_segment *segments, uint32_t segment, uint64_t word)
{
    /* Segments are declared constant, for callers that only read them. */
    return (unsigned char *)(uintptr_t)segments[segment].base + word * MMB_WORD;
}

/* Zero the bytes that the pointer at a place leads to, if it leads to bytes, and its landing
 * pad. */
static void zero_old(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word)
{
    mmb_object old;
    mmb_flaw unwanted;
    uint64_t pointer = mmb__load64(address(segments, segment, word));
    if (mmb_resolve(segments, count, segment, word, &old, &unwanted) != 0 ||
        old.kind != MMB_TO_LIST || old.element_size != MMB__BYTES) {
        return;
    }
    if (mmb__kind(pointer) == MMB__FAR) {
        uint32_t pad = mmb__far_segment(pointer);
        uint64_t at = mmb__far_word(pointer);
        uint64_t words = mmb__is_double_far(pointer) ? 2 : 1;
        /* The pad was checked when the pointer was resolved, but the pointer may have changed
         * since. */
        if (pad < count && at + words <= segments[pad].words) {
            memset(address(segments, pad, at), 0, words * MMB_WORD);
        }
    }
    memset(address(segments, old.segment, old.word), 0,
           mmb_string_words(old.elements, false) * MMB_WORD);
}

static uint64_t bytes_pointer(int64_t offset, uint64_t length)
{
    uint32_t low = (uint32_t)((uint64_t)offset << 2) | MMB__LIST;
    return low | (uint64_t)MMB__BYTES << 32 | length << 35;
}

/* The strings that are laid into a message, and the room that is left for them. */
typedef struct {
    const mmb_segment *segments;
    uint32_t count;
    const mmb_pointers *pointers;
    uint32_t block_segment;
    uint64_t at, end; /* words of the block that are left */
    bool far;         /* the block and the pointers lie in different segments */
    bool text;
} layer;

static int layer_start(layer *l, const mmb_segment *segments, uint32_t count,
                       const mmb_pointers *pointers, bool text, const mmb_block *block,
                       mmb_flaw *flaw)
{
    if (mmb_pointers_check(segments, count, pointers, flaw) != 0) {
        return MMB_EMESSAGE;
    }
    uint64_t limit = block->segment < count ? segments[block->segment].words : 0;
    if (block->word > limit || block->words > limit - block->word) {
        *flaw = (mmb_flaw){.segment = block->segment,
                           .word = block->word,
                           .reason = "the block reaches beyond its segment"};
        return MMB_EMESSAGE;
    }
    *l = (layer){
        .segments = segments,
        .count = count,
        .pointers = pointers,
        .block_segment = block->segment,
        .at = block->word,
        .end = block->word + block->words,
        .far = block->segment != pointers->segment,
        .text = text,
    };
    return 0;
}

static void layer_finish(const layer *l, mmb_block *block)
{
    block->words = l->end - l->at;
    block->word = l->at;
}

static inline bool is_too_long(const layer *l, uint64_t length)
{
    return length > MMB_MAX_SEGMENT_WORDS - (l->text ? 1 : 0);
}

/* Lay one string, or a null pointer if `bytes` is NULL. Return false if there is no room. */
static inline bool lay_one(layer *l, uint64_t number, const unsigned char *bytes, uint64_t length)
{
    uint64_t word = l->pointers->word + number * l->pointers->stride;
    unsigned char *pointer = address(l->segments, l->pointers->segment, word);
    uint64_t value = 0;
    if (bytes != NULL) {
        uint64_t elements = length + (l->text ? 1 : 0);
        uint64_t words = mmb_string_words(elements, false);
        if (words + (l->far ? 1 : 0) > l->end - l->at) {
            return false;
        }
        if (l->far) {
            mmb__store64(address(l->segments, l->block_segment, l->at), bytes_pointer(0, elements));
            value = l->at << 3 | MMB__FAR | (uint64_t)l->block_segment << 32;
            l->at++;
        } else {
            value = bytes_pointer((int64_t)l->at - (int64_t)word - 1, elements);
        }
        mmb__copy_bytes(address(l->segments, l->block_segment, l->at), bytes, length);
        l->at += words;
    }
    if (mmb__load64(pointer) != 0) {
        zero_old(l->segments, l->count, l->pointers->segment, word);
    }
    mmb__store64(pointer, value);
    return true;
}

static int changed(mmb_flaw *flaw)
{
    *flaw = (mmb_flaw){.reason = "the strings changed while they were used"};
    return MMB_EMESSAGE;
}

int mmb_strings_lay(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                    const mmb_strings *strings, const unsigned char *wanted, bool text,
                    uint64_t *next, mmb_block *block, mmb_flaw *flaw)
{
    layer l;
    int error = layer_start(&l, segments, count, pointers, text, block, flaw);
    if (error != 0) {
        return error;
    }
    uint64_t i = *next;
    uint64_t end = strings->count < pointers->count ? strings->count : pointers->count;
    for (; i < end; i++) {
        if (wanted != NULL && wanted[i] == 0) {
            continue;
        }
        const unsigned char *bytes = NULL;
        uint64_t length = 0;
        if (has_string(strings, i)) {
            uint64_t from = offset_at(strings, i);
            uint64_t to = offset_at(strings, i + 1);
            if (from > to || to > strings->size || is_too_long(&l, to - from)) {
                error = changed(flaw);
                break;
            }
            bytes = strings->bytes + from;
            length = to - from;
        }
        if (!lay_one(&l, i, bytes, length)) {
            break;
        }
    }
    *next = i;
    layer_finish(&l, block);
    return error;
}

int mmb_slices_lay(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                   const mmb_slice *slices, uint64_t slice_count, bool text, uint64_t *laid,
                   mmb_block *block, mmb_flaw *flaw)
{
    layer l;
    *laid = 0;
    int error = layer_start(&l, segments, count, pointers, text, block, flaw);
    if (error != 0) {
        return error;
    }
    uint64_t end = slice_count < pointers->count ? slice_count : pointers->count;
    for (; *laid < end; *laid += 1) {
        const mmb_slice *slice = &slices[*laid];
        if (slice->skip) {
            continue;
        }
        if (is_too_long(&l, slice->length)) {
            error = changed(flaw);
            break;
        }
        if (!lay_one(&l, *laid, slice->bytes, slice->length)) {
            break;
        }
    }
    layer_finish(&l, block);
    return error;
}
