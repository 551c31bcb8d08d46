/* strings_write.c - writes many strings into a message at once, with the pointers to them.
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

const char *mmb_strings_measure(const mmb_strings *strings, const unsigned char *mask, bool text,
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
        if (has_string(strings, i) && (mask == NULL || mask[i] != 0)) {
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

/* The strings that are written into a message, and the room that is left for them. */
typedef struct {
    const mmb_segment *segments;
    uint32_t count;
    const mmb_pointers *pointers;
    uint32_t room_segment;
    uint64_t at, end; /* words of the room that are left */
    bool far;         /* the room and the pointers lie in different segments */
    bool text;
} string_writer;

static int start_writing(string_writer *w, const mmb_segment *segments, uint32_t count,
                         const mmb_pointers *pointers, bool text, const mmb_room *room,
                         mmb_flaw *flaw)
{
    if (mmb_pointers_check(segments, count, pointers, flaw) != 0) {
        return MMB_EMESSAGE;
    }
    uint64_t limit = room->segment < count ? segments[room->segment].words : 0;
    if (room->word > limit || room->words > limit - room->word) {
        *flaw = (mmb_flaw){.segment = room->segment,
                           .word = room->word,
                           .reason = "the room reaches beyond its segment"};
        return MMB_EMESSAGE;
    }
    *w = (string_writer){
        .segments = segments,
        .count = count,
        .pointers = pointers,
        .room_segment = room->segment,
        .at = room->word,
        .end = room->word + room->words,
        .far = room->segment != pointers->segment,
        .text = text,
    };
    return 0;
}

static void stop_writing(const string_writer *w, mmb_room *room)
{
    room->words = w->end - w->at;
    room->word = w->at;
}

static inline bool is_too_long(const string_writer *w, uint64_t length)
{
    return length > MMB_MAX_SEGMENT_WORDS - (w->text ? 1 : 0);
}

/* Write one string, or a null pointer if `bytes` is NULL. Return false if there is no room. */
static inline bool write_one(string_writer *w, uint64_t number, const unsigned char *bytes,
                             uint64_t length)
{
    uint64_t word = w->pointers->word + number * w->pointers->stride;
    unsigned char *pointer = address(w->segments, w->pointers->segment, word);
    uint64_t value = 0;
    if (bytes != NULL) {
        uint64_t elements = length + (w->text ? 1 : 0);
        uint64_t words = mmb_string_words(elements, false);
        if (words + (w->far ? 1 : 0) > w->end - w->at) {
            return false;
        }
        if (w->far) {
            mmb__store64(address(w->segments, w->room_segment, w->at), bytes_pointer(0, elements));
            value = w->at << 3 | MMB__FAR | (uint64_t)w->room_segment << 32;
            w->at++;
        } else {
            value = bytes_pointer((int64_t)w->at - (int64_t)word - 1, elements);
        }
        mmb__copy_bytes(address(w->segments, w->room_segment, w->at), bytes, length);
        w->at += words;
    }
    if (mmb__load64(pointer) != 0) {
        zero_old(w->segments, w->count, w->pointers->segment, word);
    }
    mmb__store64(pointer, value);
    return true;
}

static int changed(mmb_flaw *flaw)
{
    *flaw = (mmb_flaw){.reason = "the strings changed while they were used"};
    return MMB_EMESSAGE;
}

int mmb_strings_write(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                      const mmb_strings *strings, const unsigned char *mask, bool text,
                      uint64_t *next, mmb_room *room, mmb_flaw *flaw)
{
    string_writer w;
    int error = start_writing(&w, segments, count, pointers, text, room, flaw);
    if (error != 0) {
        return error;
    }
    uint64_t i = *next;
    uint64_t end = strings->count < pointers->count ? strings->count : pointers->count;
    for (; i < end; i++) {
        if (mask != NULL && mask[i] == 0) {
            continue;
        }
        const unsigned char *bytes = NULL;
        uint64_t length = 0;
        if (has_string(strings, i)) {
            uint64_t from = offset_at(strings, i);
            uint64_t to = offset_at(strings, i + 1);
            if (from > to || to > strings->size || is_too_long(&w, to - from)) {
                error = changed(flaw);
                break;
            }
            bytes = strings->bytes + from;
            length = to - from;
        }
        if (!write_one(&w, i, bytes, length)) {
            break;
        }
    }
    *next = i;
    stop_writing(&w, room);
    return error;
}

int mmb_string_refs_write(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                          const mmb_string_ref *refs, uint64_t ref_count, bool text,
                          uint64_t *written, mmb_room *room, mmb_flaw *flaw)
{
    string_writer w;
    *written = 0;
    int error = start_writing(&w, segments, count, pointers, text, room, flaw);
    if (error != 0) {
        return error;
    }
    uint64_t end = ref_count < pointers->count ? ref_count : pointers->count;
    for (; *written < end; *written += 1) {
        const mmb_string_ref *ref = &refs[*written];
        if (ref->skip) {
            continue;
        }
        if (is_too_long(&w, ref->length)) {
            error = changed(flaw);
            break;
        }
        if (!write_one(&w, *written, ref->bytes, ref->length)) {
            break;
        }
    }
    stop_writing(&w, room);
    return error;
}
