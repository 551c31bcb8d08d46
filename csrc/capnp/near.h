/* near.h - follows a pointer to an object of its own segment, as nearly all pointers are. Private
 * to csrc/capnp and csrc/schema. */
#ifndef MMB_NEAR_H
#define MMB_NEAR_H

#include "mmb_capnp.h"
#include "wire.h"

/* Do this for a list of structs, which `words` words behind its tag at `start` are for. */
static inline bool mmb__resolve_near_structs(const mmb_segment *segment, uint64_t start,
                                             uint64_t words, mmb_object *out)
{
    if (start >= segment->words || words >= segment->words - start) {
        return false;
    }
    uint64_t tag = mmb__load64(segment->base + start * MMB_WORD);
    uint32_t count = (uint32_t)tag >> 2;
    *out = (mmb_object){.kind = MMB_TO_LIST,
                        .word = (uint32_t)start + 1,
                        .elements = count,
                        .data_words = mmb__data_words(tag),
                        .pointer_words = mmb__pointer_words(tag),
                        .element_size = MMB__COMPOSITE};
    return mmb__kind(tag) == MMB__STRUCT && count <= MMB_MAX_SEGMENT_WORDS &&
           count * ((uint64_t)out->data_words + out->pointer_words) <= words;
}

/* Follow the pointer at `word`. Return false if it is a far pointer or is not valid; mmb_resolve
 * then says what it is. The segment of the object is left to the caller. */
static inline bool mmb__resolve_near(const mmb_segment *segment, uint64_t word, mmb_object *out)
{
    uint64_t limit = segment->words;
    if (word >= limit) {
        return false;
    }
    const unsigned char *base = segment->base;
    uint64_t pointer = mmb__load64(base + word * MMB_WORD);
    /* If the object would lie before the segment, this becomes huge. */
    uint64_t start = word + 1 + (uint64_t)mmb__offset(pointer);
    if (pointer == 0) {
        *out = (mmb_object){.kind = MMB_TO_NOTHING};
        return true;
    }
    if (mmb__kind(pointer) == MMB__STRUCT) {
        uint64_t words = (uint64_t)mmb__data_words(pointer) + mmb__pointer_words(pointer);
        *out = (mmb_object){.kind = MMB_TO_STRUCT,
                            .word = (uint32_t)start,
                            .elements = 1,
                            .data_words = mmb__data_words(pointer),
                            .pointer_words = mmb__pointer_words(pointer)};
        return start <= limit && words <= limit - start;
    }
    uint8_t size = (uint8_t)mmb__element_size(pointer);
    uint32_t count = mmb__list_count(pointer);
    if (mmb__kind(pointer) != MMB__LIST) {
        return false;
    }
    if (size == MMB__COMPOSITE) {
        return mmb__resolve_near_structs(segment, start, count, out);
    }
    *out = (mmb_object){.kind = MMB_TO_LIST,
                        .word = (uint32_t)start,
                        .elements = count,
                        .pointer_words = size == MMB__POINTERS ? 1 : 0,
                        .element_size = size};
    return start <= limit && ((uint64_t)count * mmb__element_bits(size) + 63) / 64 <= limit - start;
}

#endif
