/* mend.c - makes pointers null and lists shorter. See mend.h. */
#include "mend.h"

#include "os/os.h"

static int put_word(const mmb__words *message, uint32_t segment, uint32_t word, uint64_t value)
{
    unsigned char bytes[MMB_WORD];
    uint64_t place = message->offset + message->framing->start[segment] + (uint64_t)word * MMB_WORD;
    mmb__store64(bytes, value);
    return mmb__os_write_all(message->fd, false, bytes, sizeof bytes, place, NULL);
}

/* Follow a far pointer to the word that has the size of its object. */
static int follow(mmb__words *message, uint32_t *segment, uint32_t *word, uint64_t *pointer)
{
    int error = mmb__word_at(message, *segment, *word, pointer);
    if (error != 0 || mmb__kind(*pointer) != MMB__FAR) {
        return error;
    }
    *segment = mmb__far_segment(*pointer);
    *word = mmb__far_word(*pointer) + (mmb__is_double_far(*pointer) ? 1 : 0);
    return mmb__word_at(message, *segment, *word, pointer);
}

/* Shorten a composite list: its tag says how many elements it has, its pointer how many words. */
static int shorten_composite(mmb__words *message, const mmb__object *o)
{
    uint64_t tag;
    int error = mmb__word_at(message, o->segment, o->start, &tag);
    if (error != 0) {
        return error;
    }
    return put_word(message, o->segment, o->start,
                    (tag & ~(uint64_t)UINT32_MAX) | (uint32_t)(o->elements << 2));
}

int mmb__mend(mmb__words *message, uint32_t segment, uint32_t word, const mmb__object *o)
{
    if (o->mend == MMB__MAKE_NULL) {
        return put_word(message, segment, word, 0);
    }
    bool composite = o->size == MMB__COMPOSITE;
    uint32_t count = composite ? o->words - 1 : o->elements;
    uint64_t pointer;
    int error = follow(message, &segment, &word, &pointer);
    if (error == 0) {
        pointer = (pointer & (((uint64_t)1 << 35) - 1)) | (uint64_t)count << 35;
        error = put_word(message, segment, word, pointer);
    }
    return error == 0 && composite ? shorten_composite(message, o) : error;
}
