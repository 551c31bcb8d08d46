/* read.c - follows pointers to what a schema expects. See read.h. */
#include "read.h"

#include "near.h"
#include "utf8.h"

/* If no objects overlap, each word is visited once; a reading may visit each word TIMES times.
 * Objects without words take no room in a message, but still cost something, so some words are
 * free. */
enum { TIMES = 4, FREE_WORDS = 1 << 16 };

static void allow(mmb_reading *reading)
{
    for (uint32_t i = 0; i < reading->count; i++) {
        reading->budget += TIMES * reading->segments[i].words;
    }
}

void mmb_reading_start(mmb_reading *reading, const mmb_segment *segments, uint32_t count,
                       bool trusted)
{
    *reading = (mmb_reading){.segments = segments, .count = count, .budget = UINT64_MAX};
    if (!trusted) {
        reading->budget = FREE_WORDS;
        allow(reading);
    }
}

void mmb_reading_use_defaults(mmb_reading *reading, const mmb_plan *plan)
{
    uint64_t words = 0, defaults = 0, most = UINT64_MAX / 4 / TIMES;
    reading->plan = plan;
    if (plan->object_count == 0 || reading->budget > UINT64_MAX / 2) {
        return;
    }
    for (uint32_t i = 0; i < plan->object_count; i++) {
        defaults += plan->objects[i].words;
    }
    for (uint32_t i = 0; i < reading->count; i++) {
        words += reading->segments[i].words;
    }
    if (defaults != 0) {
        reading->budget += TIMES * (words > most / defaults ? most : words * defaults);
    }
}

void mmb_reading_go_on(mmb_reading *reading, const mmb_segment *segments, uint32_t count)
{
    reading->segments = segments;
    reading->count = count;
    allow(reading);
}

int mmb_reading_fail(mmb_reading *reading, uint32_t segment, uint64_t word, const char *reason)
{
    reading->flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

/* Charge for `words` words that a pointer leads to. */
static int charge(mmb_reading *reading, uint32_t segment, uint64_t word, uint64_t words)
{
    if (words > reading->budget) {
        return mmb_reading_fail(reading, segment, word,
                                "many times the words of the message are pointed at: objects "
                                "overlap (if the message can be trusted, say trusted=True)");
    }
    reading->budget -= words;
    return 0;
}

static int resolve(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_object *out)
{
    if (segment < reading->count && mmb__resolve_near(&reading->segments[segment], word, out)) {
        out->segment = segment;
        return 0;
    }
    if (!reading->separate) {
        return mmb_resolve(reading->segments, reading->count, segment, word, out, &reading->flaw);
    }
    int error = mmb_resolve(&reading->segments[segment], segment < reading->count ? 1 : 0, 0, word,
                            out, &reading->flaw);
    out->segment += segment;
    reading->flaw.segment = segment;
    return error;
}

int mmb_read_object(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_object *out)
{
    if ((segment & MMB_DEFAULTS) == 0) {
        return resolve(reading, segment, word, out);
    }
    uint32_t number = segment & ~MMB_DEFAULTS;
    if (reading->plan == NULL || number >= reading->plan->object_count) {
        return mmb_reading_fail(reading, segment, word, "there is no such default");
    }
    int error = mmb_resolve(&reading->plan->objects[number], 1, 0, word, out, &reading->flaw);
    out->segment = segment;
    return error;
}

static const unsigned char *base_of(const mmb_reading *reading, uint32_t segment)
{
    return (segment & MMB_DEFAULTS) == 0 ? reading->segments[segment].base
                                         : reading->plan->objects[segment & ~MMB_DEFAULTS].base;
}

bool mmb_read_default(const mmb_reading *reading, const mmb_plan_field *field, bool there,
                      uint32_t *segment, uint64_t *word)
{
    if (reading->plan == NULL || field->default_object == 0) {
        return there;
    }
    if (!there || mmb__load64(base_of(reading, *segment) + *word * MMB_WORD) == 0) {
        *segment = MMB_DEFAULTS | (field->default_object - 1);
        *word = field->default_word;
    }
    return true;
}

/* Follow a pointer to an object of the wanted kind. `object->kind` becomes MMB_TO_NOTHING if the
 * pointer is null. */
static int follow(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_kind wanted,
                  const char *reason, mmb_object *object)
{
    if (mmb_read_object(reading, segment, word, object) != 0) {
        return MMB_EMESSAGE;
    }
    bool good = object->kind == wanted || object->kind == MMB_TO_NOTHING;
    return good ? 0 : mmb_reading_fail(reading, segment, word, reason);
}

/* Return the bits of data in each element of a list. */
static uint32_t data_bits_of(const mmb_object *list)
{
    return list->element_size == MMB__COMPOSITE  ? 64u * list->data_words
           : list->element_size == MMB__POINTERS ? 0
                                                 : mmb__element_bits(list->element_size);
}

int mmb_read_struct(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_record *out,
                    bool *is_null)
{
    mmb_object object;
    *out = (mmb_record){0};
    *is_null = true;
    int error = follow(reading, segment, word, MMB_TO_STRUCT,
                       "a pointer leads to something else than a struct", &object);
    if (error != 0 || object.kind == MMB_TO_NOTHING) {
        return error;
    }
    const unsigned char *base = base_of(reading, object.segment);
    *out = (mmb_record){
        .data = base + (uint64_t)object.word * MMB_WORD,
        .word = (uint64_t)object.word + object.data_words,
        .data_bits = 64u * object.data_words,
        .pointers = object.pointer_words,
        .segment = object.segment,
    };
    *is_null = false;
    return charge(reading, segment, word, (uint64_t)object.data_words + object.pointer_words + 1);
}

const char *mmb_list_mismatch(const mmb_object *list, mmb_type_kind element)
{
    bool is_bits = list->element_size == 1;
    if (element == MMB_BOOL) {
        return is_bits || list->elements == 0 ? NULL : "a list of something else stands for bits";
    }
    if (element == MMB_VOID) {
        return NULL;
    }
    if (is_bits && list->elements != 0) {
        return "a list of bits stands for something else";
    }
    if (list->elements == 0 || element == MMB_STRUCT) {
        return NULL;
    }
    if (mmb_kind_is_pointer(element)) {
        return list->pointer_words != 0 ? NULL : "a list without pointers stands for one of them";
    }
    return data_bits_of(list) >= mmb_kind_bits(element)
               ? NULL
               : "the elements of a list are smaller than their type";
}

/* Return the least words that the elements of a list are charged for, since each becomes a value. A
 * Void becomes a pointer at most. A struct has as many values as its type has fields, even if no
 * word of it is stored. */
static uint64_t least_words(const mmb_span *span, mmb_type_kind element, uint32_t values)
{
    if (element == MMB_STRUCT) {
        return span->count * (span->step_bits == 0 ? 1 + (uint64_t)values : 1);
    }
    return span->step_bits == 0 ? span->count / 8 : 0;
}

int mmb_read_span(mmb_reading *reading, uint32_t segment, uint64_t word, mmb_type_kind element,
                  uint32_t values, mmb_span *out)
{
    mmb_object object;
    *out = (mmb_span){.is_null = true};
    int error = follow(reading, segment, word, MMB_TO_LIST,
                       "a pointer leads to something else than a list", &object);
    if (error != 0 || object.kind == MMB_TO_NOTHING) {
        return error;
    }
    const char *reason = mmb_list_mismatch(&object, element);
    if (reason != NULL) {
        return mmb_reading_fail(reading, segment, word, reason);
    }
    const unsigned char *base = base_of(reading, object.segment);
    uint32_t data_bits = data_bits_of(&object);
    *out = (mmb_span){
        .start = base + (uint64_t)object.word * MMB_WORD,
        .word = object.word,
        .segment = object.segment,
        .count = object.elements,
        .step_bits = data_bits + 64u * object.pointer_words,
        .data_bits = data_bits,
        .pointers = object.pointer_words,
    };
    uint64_t words = ((uint64_t)object.elements * out->step_bits + 63) / 64;
    uint64_t least = least_words(out, element, values);
    return charge(reading, segment, word, 1 + (words > least ? words : least));
}

int mmb_read_bytes(mmb_reading *reading, uint32_t segment, uint64_t word, bool text,
                   const unsigned char **start, uint64_t *length)
{
    mmb_object object;
    *start = NULL;
    *length = 0;
    const char *reason = "the pointer leads to something else than Text or Data";
    int error = follow(reading, segment, word, MMB_TO_LIST, reason, &object);
    if (error != 0 || object.kind == MMB_TO_NOTHING) {
        return error;
    }
    if (object.element_size != MMB__BYTES) {
        return mmb_reading_fail(reading, segment, word, reason);
    }
    const unsigned char *base = base_of(reading, object.segment);
    *start = base + (uint64_t)object.word * MMB_WORD;
    *length = object.elements;
    if (text) {
        if (*length == 0 || (*start)[*length - 1] != 0) {
            return mmb_reading_fail(reading, segment, word, "the Text has no terminator");
        }
        *length -= 1;
        if (!mmb__is_utf8(*start, *length)) {
            return mmb_reading_fail(reading, segment, word, "the Text is not UTF-8");
        }
    }
    return charge(reading, segment, word, *length / MMB_WORD + 1);
}
