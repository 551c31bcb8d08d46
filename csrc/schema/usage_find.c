/* usage_find.c - finds the words that an object takes. See usage_find.h. */
#include "usage_find.h"

const uint8_t mmb__element_bits[8] = {0, 1, 8, 16, 32, 64, 64, 0};

static uint64_t list_words(const mmb_object *o)
{
    return ((uint64_t)o->elements * mmb__element_bits[o->element_size] + 63) / 64;
}

bool mmb__find_near(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                    uint64_t pointer, mmb__extent *out)
{
    uint64_t limit = segment < count ? segments[segment].words : 0;
    int64_t start = (int64_t)word + 1 + mmb__offset(pointer);
    mmb_object *o = &out->object;
    if (start < 0 || (uint64_t)start > limit) {
        return false;
    }
    *o = (mmb_object){.segment = segment, .word = (uint32_t)start};
    if (mmb__kind(pointer) == MMB__STRUCT) {
        o->kind = MMB_TO_STRUCT;
        o->data_words = mmb__data_words(pointer);
        o->pointer_words = mmb__pointer_words(pointer);
        o->elements = 1;
        out->words = (uint64_t)o->data_words + o->pointer_words;
    } else if (mmb__kind(pointer) == MMB__LIST && mmb__element_size(pointer) != MMB__COMPOSITE) {
        o->kind = MMB_TO_LIST;
        o->element_size = (uint8_t)mmb__element_size(pointer);
        o->elements = mmb__list_count(pointer);
        o->pointer_words = o->element_size == MMB__POINTERS;
        out->words = list_words(o);
    } else {
        return false;
    }
    out->start = (uint64_t)start;
    return out->words <= limit - (uint64_t)start;
}

int mmb__find_far(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                  uint64_t plain, mmb__extent *out, mmb_flaw *flaw)
{
    mmb_object *o = &out->object;
    int error = mmb_resolve(segments, count, segment, word, o, flaw);
    if (error != 0) {
        return error;
    }
    out->start = o->word;
    if (o->kind != MMB_TO_LIST) {
        out->words = (uint64_t)o->data_words + o->pointer_words;
        o->elements = 1;
    } else if (o->element_size == MMB__COMPOSITE) {
        out->start -= 1;
        out->words = 1 + (uint64_t)mmb__list_count(plain);
    } else {
        out->words = list_words(o);
    }
    return 0;
}

const char *mmb__list_mismatch(const mmb_object *list, mmb_type_kind element)
{
    bool is_bits = list->element_size == 1;
    if (list->elements == 0 || element == MMB_VOID) {
        return NULL;
    }
    if (is_bits != (element == MMB_BOOL)) {
        return is_bits ? "a list of bits stands for something else"
                       : "a list of something else stands for bits";
    }
    if (element == MMB_STRUCT) {
        return NULL;
    }
    if (mmb_kind_is_pointer(element)) {
        return list->pointer_words != 0 ? NULL : "a list without pointers stands for one of them";
    }
    uint32_t stored = list->element_size == MMB__COMPOSITE ? 64u * list->data_words
                                                           : mmb__element_bits[list->element_size];
    return stored >= mmb_kind_bits(element) && (stored == 0 || list->element_size != MMB__POINTERS)
               ? NULL
               : "the elements of a list are smaller than their type";
}
