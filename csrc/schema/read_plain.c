/* read_plain.c - follows many pointers at once, if all lead to plain objects of their own segment,
 * as nearly all pointers do. See read.h. */
#include "read.h"

#include "near.h"
#include "utf8.h"

bool mmb_read_plain_root(const mmb_segment *segment, mmb_record *out)
{
    const unsigned char *base = segment->base;
    uint64_t root = segment->words != 0 ? mmb__load64(base) : 0;
    int64_t word = 1 + mmb__offset(root);
    uint64_t size = (uint64_t)mmb__data_words(root) + mmb__pointer_words(root);
    if (root == 0 || mmb__kind(root) != MMB__STRUCT || word < 1 ||
        (uint64_t)word + size > segment->words) {
        return false;
    }
    *out = (mmb_record){
        .data = base + word * (int64_t)MMB_WORD,
        .word = (uint64_t)word + mmb__data_words(root),
        .data_bits = 64u * mmb__data_words(root),
        .pointers = mmb__pointer_words(root),
    };
    return true;
}

/* Take `charge` words from what may still be visited, if there are as many. */
static bool afford(mmb_reading *reading, uint64_t charge)
{
    bool enough = charge <= reading->budget;
    reading->budget -= enough ? charge : 0;
    return enough;
}

/* Follow one pointer to a list of elements of `bits` bits, whose size is `size` in the pointer.
 * `*taken` becomes how many words the elements take. */
static inline bool read_plain_list(const mmb_reading *reading, uint32_t number, uint64_t word,
                                   uint32_t bits, unsigned size, const unsigned char **start,
                                   uint64_t *length, uint64_t *taken)
{
    if (number >= reading->count || word >= reading->segments[number].words) {
        return false;
    }
    const mmb_segment *segment = &reading->segments[number];
    const unsigned char *base = segment->base;
    uint64_t pointer = mmb__load64(base + word * MMB_WORD);
    /* If the list would lie before the segment, this becomes huge. */
    uint64_t first = word + 1 + (uint64_t)mmb__offset(pointer);
    *length = mmb__list_count(pointer);
    *taken = (*length * bits + 63) / 64;
    *start = base + first * MMB_WORD;
    return mmb__kind(pointer) == MMB__LIST && mmb__element_size(pointer) == size &&
           first <= segment->words && *taken <= segment->words - first;
}

bool mmb_read_plain_lists(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                          const bool *there, uint32_t count, uint32_t bits,
                          const unsigned char **starts, uint64_t *lengths)
{
    unsigned size = bits == 64 ? 5 : bits == 32 ? 4 : bits == 16 ? 3 : 2;
    uint64_t charge = 0, taken;
    for (uint32_t i = 0; i < count; i++) {
        if (!there[i] || !read_plain_list(reading, segments[i], words[i], bits, size, &starts[i],
                                          &lengths[i], &taken)) {
            return false;
        }
        charge += 1 + taken;
    }
    return afford(reading, charge);
}

/* Return whether some whole words have no byte above 127. */
static inline bool are_ascii(const unsigned char *bytes, uint64_t words)
{
    uint64_t any = 0;
    for (uint64_t i = 0; i < words; i++) {
        any |= mmb__load64(bytes + i * MMB_WORD);
    }
    return (any & 0x8080808080808080u) == 0;
}

bool mmb_read_plain_strings(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                            const bool *there, uint32_t count, bool text,
                            const unsigned char **starts, uint64_t *lengths)
{
    uint64_t charge = 0, taken;
    for (uint32_t i = 0; i < count; i++) {
        if (!there[i] || !read_plain_list(reading, segments[i], words[i], 8, MMB__BYTES, &starts[i],
                                          &lengths[i], &taken)) {
            return false;
        }
        charge += 1 + taken;
        if (charge > reading->budget) { /* checking many texts that overlap would take long */
            return false;
        }
        if (!text) {
            continue;
        }
        if (lengths[i] == 0 || starts[i][--lengths[i]] != 0 ||
            !(are_ascii(starts[i], taken) || mmb__is_utf8(starts[i], lengths[i]))) {
            return false;
        }
    }
    return afford(reading, charge);
}

bool mmb_read_struct_lists(mmb_reading *reading, const uint32_t *segments, const uint64_t *words,
                           const bool *there, uint32_t count, mmb_span *out)
{
    uint64_t charge = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!there[i] || segments[i] >= reading->count) {
            return false;
        }
        const mmb_segment *segment = &reading->segments[segments[i]];
        mmb_object list;
        if (!mmb__resolve_near(segment, words[i], &list) || list.element_size != MMB__COMPOSITE ||
            list.data_words + list.pointer_words == 0) {
            return false;
        }
        uint32_t step = (uint32_t)list.data_words + list.pointer_words;
        out[i] = (mmb_span){
            .start = segment->base + (uint64_t)list.word * MMB_WORD,
            .word = list.word,
            .segment = segments[i],
            .count = list.elements,
            .step_bits = 64 * step,
            .data_bits = 64u * list.data_words,
            .pointers = list.pointer_words,
        };
        charge += 1 + (uint64_t)list.elements * step;
    }
    return afford(reading, charge);
}
