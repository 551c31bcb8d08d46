/* strings_read.c - finds and copies many strings of a message at once. */
#include "mmb_capnp.h"
#include "utf8.h"
#include "wire.h"

#include <string.h>

/* Find one string; `*start` becomes NULL if its pointer is null. The terminator of a Text is
 * checked, and does not count. */
static int find(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                uint64_t index, const unsigned char *mask, bool text, const unsigned char **start,
                uint64_t *length, mmb_flaw *flaw)
{
    mmb_object object;
    uint64_t word = pointers->word + index * pointers->stride;
    const char *reason = NULL;

    *start = NULL;
    *length = 0;
    if (mask != NULL && mask[index] == 0) {
        return 0;
    }
    if (mmb_resolve(segments, count, pointers->segment, word, &object, flaw) != 0) {
        return MMB_EMESSAGE;
    }
    if (object.kind == MMB_TO_NOTHING) {
        return 0;
    }
    if (object.kind != MMB_TO_LIST || object.element_size != MMB__BYTES) {
        reason = "the pointer leads to something else than Text or Data";
    } else {
        const unsigned char *segment = segments[object.segment].base;
        *start = segment + (uint64_t)object.word * MMB_WORD;
        *length = object.elements;
        if (text && (*length == 0 || (*start)[*length - 1] != 0)) {
            reason = "the Text has no terminator";
        } else if (text) {
            *length -= 1;
        }
    }
    if (reason == NULL) {
        return 0;
    }
    *flaw = (mmb_flaw){.segment = pointers->segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

int mmb_strings_find(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                     const unsigned char *mask, bool text, uint64_t *offsets, unsigned char *valid,
                     uint64_t *size, mmb_flaw *flaw)
{
    /* Each word belongs to one object, so all strings together fit into the message. If they do
     * not, they overlap, and copies of them might fill all memory. */
    uint64_t room = 0;
    for (uint32_t i = 0; i < count; i++) {
        room += segments[i].words * MMB_WORD;
    }
    int error = mmb_pointers_check(segments, count, pointers, flaw);
    if (error != 0) {
        return error;
    }
    memset(valid, 0, (pointers->count + 7) / 8);
    *size = 0;
    offsets[0] = 0;
    for (uint64_t i = 0; i < pointers->count; i++) {
        const unsigned char *start;
        uint64_t length;
        error = find(segments, count, pointers, i, mask, text, &start, &length, flaw);
        if (error != 0) {
            return error;
        }
        const char *reason = NULL;
        *size += length;
        if (*size > room) {
            reason = "more words are pointed at than the message has: objects overlap";
        } else if (text && start != NULL && !mmb__is_utf8(start, length)) {
            reason = "the Text is not UTF-8";
        }
        if (reason != NULL) {
            *flaw = (mmb_flaw){.segment = pointers->segment,
                               .word = pointers->word + i * pointers->stride,
                               .reason = reason};
            return MMB_EMESSAGE;
        }
        offsets[i + 1] = *size;
        if (start != NULL) {
            valid[i / 8] = (unsigned char)(valid[i / 8] | 1u << (i % 8));
        }
    }
    return 0;
}

int mmb_strings_copy(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                     const unsigned char *mask, bool text, const uint64_t *offsets,
                     unsigned char *bytes, mmb_flaw *flaw)
{
    for (uint64_t i = 0; i < pointers->count; i++) {
        const unsigned char *start;
        uint64_t length;
        int error = find(segments, count, pointers, i, mask, text, &start, &length, flaw);
        if (error != 0) {
            return error;
        }
        if (length != offsets[i + 1] - offsets[i]) {
            *flaw = (mmb_flaw){.segment = pointers->segment,
                               .word = pointers->word + i * pointers->stride,
                               .reason = "the message changed while it was read"};
            return MMB_EMESSAGE;
        }
        if (length != 0) {
            memcpy(bytes + offsets[i], start, length);
        }
    }
    return 0;
}
