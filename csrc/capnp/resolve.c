/* resolve.c - finds what one pointer leads to, and checks it. See resolve.h.
 *
 * Places are computed in 64 bits from fields of at most 30 bits. An object must lie in its segment
 * before anything in it is read. */
#include "resolve.h"

int mmb__report_flaw(const mmb__reader *r, uint32_t segment, uint64_t word, const char *reason)
{
    *r->flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

static void note_used(const mmb__reader *r, uint32_t segment, uint64_t end)
{
    if (r->used != NULL && end > r->used[segment]) {
        r->used[segment] = (uint32_t)end;
    }
}

/* ---- what is lost ------------------------------------------------------------------- */

/* Return how many words of a segment are not lost; at most UINT32_MAX. */
static uint64_t words_kept(const mmb__reader *r, uint32_t segment)
{
    if (!r->mends || r->lost_from == MMB__NO_ZEROS) {
        return UINT32_MAX;
    }
    uint64_t start = r->message->framing->start[segment];
    return r->lost_from > start ? (r->lost_from - start) / MMB_WORD : 0;
}

/* Return true if words at a place of a segment are lost, so that recovery does not find them. */
static bool is_lost(const mmb__reader *r, uint32_t segment, uint32_t word, uint32_t words)
{
    return r->mends &&
           (segment >= r->message->count || (uint64_t)word + words > words_kept(r, segment));
}

/* Let the pointer count as null. `dropped` elements are lost with it. */
static int lose(mmb__object *o, uint32_t dropped)
{
    *o = (mmb__object){
        .segment = o->segment, .is_null = true, .mend = MMB__MAKE_NULL, .dropped = dropped};
    return 0;
}

/* Keep the elements of a list that lie within the first `kept` words of its segment. Lose any
 * other object that reaches beyond these words. */
static int keep_part(mmb__object *o, uint64_t kept)
{
    static const uint8_t per_word[] = {0, 64, 0, 4, 2, 1, 1, 0};
    uint64_t room = kept > o->start ? kept - o->start : 0;
    uint64_t whole = room * per_word[o->size];
    uint64_t step = (uint64_t)o->data + o->pointers;
    bool composite = o->is_list && o->size == MMB__COMPOSITE;
    if (composite && room > 0) {
        whole = step == 0 ? o->elements : (room - 1) / step;
        whole = whole < o->elements ? whole : o->elements;
    }
    if (!o->is_list || whole == 0) { /* half an object would mean something else */
        return lose(o, o->is_list ? o->elements : 1);
    }
    o->dropped = o->elements - (uint32_t)whole;
    o->elements = (uint32_t)whole;
    o->words = composite ? (uint32_t)(1 + whole * step)
                         : (uint32_t)((whole + per_word[o->size] - 1) / per_word[o->size]);
    o->mend = MMB__SHORTEN;
    return 0;
}

/* ---- objects ------------------------------------------------------------------------ */

/* Complete `o` for a struct pointer. Its segment and its start are known. */
static void size_struct(uint64_t pointer, mmb__object *o)
{
    o->data = mmb__data_words(pointer);
    o->pointers = mmb__pointer_words(pointer);
    o->words = (uint32_t)o->data + o->pointers;
    o->elements = 1;
    o->first = o->data;
}

/* Complete `o` for a composite list. Its tag must be in bounds before it is read, and its
 * elements must fit into the words that the pointer gives. */
static int size_composite(const mmb__reader *r, uint64_t pointer, uint64_t limit, mmb__object *o,
                          const char **reason)
{
    uint64_t words = (uint64_t)mmb__list_count(pointer) + 1;
    if (o->start + words > limit) {
        *reason = "the list reaches beyond its segment";
        return MMB_EMESSAGE;
    }
    uint64_t tag;
    int error = mmb__word_at(r->message, o->segment, o->start, &tag);
    if (error != 0) {
        return error;
    }
    o->words = (uint32_t)words;
    o->elements = (uint32_t)tag >> 2;
    o->data = mmb__data_words(tag);
    o->pointers = mmb__pointer_words(tag);
    o->first = 1u + o->data;
    if (mmb__kind(tag) != MMB__STRUCT) {
        *reason = "the tag of the list is not that of structs";
        return MMB_EMESSAGE;
    }
    if (o->elements > MMB_MAX_SEGMENT_WORDS) {
        *reason = "the tag of the list has a negative count";
        return MMB_EMESSAGE;
    }
    if ((uint64_t)o->elements * ((uint32_t)o->data + o->pointers) > words - 1) {
        *reason = "the elements of the list need more words than it has";
        return MMB_EMESSAGE;
    }
    return 0;
}

/* Complete `o` for a list pointer. */
static int size_list(const mmb__reader *r, uint64_t pointer, uint64_t limit, mmb__object *o,
                     const char **reason)
{
    unsigned size = mmb__element_size(pointer);
    o->size = (uint8_t)size;
    if (size == MMB__COMPOSITE) {
        return size_composite(r, pointer, limit, o, reason);
    }
    o->elements = mmb__list_count(pointer);
    o->pointers = size == MMB__POINTERS ? 1 : 0;
    o->words = (uint32_t)(((uint64_t)o->elements * mmb__element_bits(size) + 63) / 64);
    return 0;
}

/* Check the struct or list of `pointer`, which starts at word `start` of the segment
 * `o->segment`; `start` may be anything. `segment` and `word` are the place that a flaw names. */
static int resolve_object(const mmb__reader *r, uint32_t segment, uint32_t word, uint64_t pointer,
                          int64_t start, mmb__object *o)
{
    uint64_t limit = mmb__words_in(r->message, o->segment);
    bool is_list = mmb__kind(pointer) == MMB__LIST;
    if (start < 0 || (uint64_t)start > limit) {
        return mmb__report_flaw(r, segment, word,
                                is_list ? "the list lies outside its segment"
                                        : "the struct lies outside its segment");
    }

    const char *reason = NULL;
    if (is_lost(r, o->segment, (uint32_t)start, 0)) {
        return lose(o, 1); /* the tag, which says its size, may be lost as well */
    }
    o->start = (uint32_t)start;
    o->is_object = true;
    o->is_list = is_list;
    if (is_list) {
        int error = size_list(r, pointer, limit, o, &reason);
        if (error != 0) {
            return reason != NULL ? mmb__report_flaw(r, segment, word, reason) : error;
        }
    } else {
        size_struct(pointer, o);
    }
    if ((uint64_t)o->start + o->words > limit) {
        return mmb__report_flaw(r, segment, word,
                                is_list ? "the list reaches beyond its segment"
                                        : "the struct reaches beyond its segment");
    }
    if (is_lost(r, o->segment, o->start, o->words)) {
        (void)keep_part(o, words_kept(r, o->segment));
    }
    /* Objects without words are noted, too, since they must stay in bounds. */
    if (!o->is_null) {
        note_used(r, o->segment, (uint64_t)o->start + o->words);
    }
    return 0;
}

/* Read the landing pad of `words` words that the far pointer `far` leads to. */
static int read_pad(const mmb__reader *r, uint32_t segment, uint32_t word, uint64_t far,
                    uint32_t words, uint64_t *pad)
{
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (pad_segment >= r->message->count) {
        return mmb__report_flaw(r, segment, word,
                                "the far pointer names a segment that is not there");
    }
    if ((uint64_t)pad_word + words > mmb__words_in(r->message, pad_segment)) {
        return mmb__report_flaw(r, segment, word,
                                "the landing pad of the far pointer is out of bounds");
    }
    for (uint32_t i = 0; i < words; i++) {
        int error = mmb__word_at(r->message, pad_segment, pad_word + i, &pad[i]);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Note the words of a landing pad as used if what it leads to was accepted. */
static void note_pad(const mmb__reader *r, uint64_t far, uint32_t words, const mmb__object *o)
{
    if (!o->is_null) {
        note_used(r, mmb__far_segment(far), (uint64_t)mmb__far_word(far) + words);
    }
}

/* Resolve a far pointer. Its pad is a plain pointer, which lies in the segment of the object. */
static int resolve_far(const mmb__reader *r, uint32_t segment, uint32_t word, uint64_t far,
                       mmb__object *o)
{
    uint64_t pad;
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (is_lost(r, pad_segment, pad_word, 1)) {
        return lose(o, 1);
    }
    int error = read_pad(r, segment, word, far, 1, &pad);
    if (error != 0) {
        return error;
    }
    /* A builder writes the far pointer first, and may die before it writes the pad. This is
     * likely where the pad is the first store into a page, for which the file may have to grow. */
    if (pad == 0 && r->mends) {
        return lose(o, 1);
    }
    if (mmb__kind(pad) != MMB__STRUCT && mmb__kind(pad) != MMB__LIST) {
        return mmb__report_flaw(r, pad_segment, pad_word,
                                "the landing pad is not a struct or list pointer");
    }
    o->segment = pad_segment;
    o->pads = 1;
    error =
        resolve_object(r, pad_segment, pad_word, pad, (int64_t)pad_word + 1 + mmb__offset(pad), o);
    note_pad(r, far, 1, o);
    return error;
}

/* Resolve a double-far pointer. Its pad is a far pointer to the first word of the object, and
 * then a tag: the pointer of the object without its offset. */
static int resolve_double_far(const mmb__reader *r, uint32_t segment, uint32_t word, uint64_t far,
                              mmb__object *o)
{
    uint64_t pad[2];
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (is_lost(r, pad_segment, pad_word, 2)) {
        return lose(o, 1);
    }
    int error = read_pad(r, segment, word, far, 2, pad);
    if (error != 0) {
        return error;
    }
    if (r->mends && pad[0] == 0) { /* the builder died before it wrote the pad */
        return lose(o, 1);
    }
    if (mmb__kind(pad[0]) != MMB__FAR || mmb__is_double_far(pad[0])) {
        return mmb__report_flaw(r, pad_segment, pad_word,
                                "the double landing pad holds no far pointer");
    }
    if ((mmb__kind(pad[1]) != MMB__STRUCT && mmb__kind(pad[1]) != MMB__LIST) ||
        mmb__offset(pad[1]) != 0) {
        return mmb__report_flaw(r, pad_segment, (uint64_t)pad_word + 1,
                                "the landing pad has no valid tag");
    }
    if (is_lost(r, mmb__far_segment(pad[0]), 0, 0)) {
        return lose(o, 1);
    }
    /* For readers an empty segment does not exist, even if only empty objects lie in it. */
    if (mmb__far_segment(pad[0]) >= r->message->count ||
        mmb__words_in(r->message, mmb__far_segment(pad[0])) == 0) {
        return mmb__report_flaw(r, pad_segment, pad_word,
                                "the landing pad names a segment that is not there");
    }
    o->segment = mmb__far_segment(pad[0]);
    o->pads = 2;
    error = resolve_object(r, pad_segment, pad_word, pad[1], mmb__far_word(pad[0]), o);
    note_pad(r, far, 2, o);
    return error;
}

int mmb__resolve(const mmb__reader *r, uint32_t segment, uint32_t word, mmb__object *o)
{
    uint64_t pointer;
    int error = mmb__word_at(r->message, segment, word, &pointer);
    if (error != 0) {
        return error;
    }
    *o = (mmb__object){.segment = segment};
    switch (mmb__kind(pointer)) {
    case MMB__FAR:
        return mmb__is_double_far(pointer) ? resolve_double_far(r, segment, word, pointer, o)
                                           : resolve_far(r, segment, word, pointer, o);
    case MMB__OTHER:
        return mmb__is_capability(pointer)
                   ? 0
                   : mmb__report_flaw(r, segment, word, "the pointer is of no known kind");
    default:
        if (pointer == 0) {
            o->is_null = true;
            return 0;
        }
        return resolve_object(r, segment, word, pointer, (int64_t)word + 1 + mmb__offset(pointer),
                              o);
    }
}

int mmb_resolve(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                mmb_object *out, mmb_flaw *flaw)
{
    mmb__words message;
    mmb__object o;

    mmb__words_of_memory(&message, segments, count);
    mmb__reader reader = {.message = &message, .flaw = flaw};
    *out = (mmb_object){.kind = MMB_TO_NOTHING};
    if (segment >= count || word >= segments[segment].words) {
        return mmb__report_flaw(&reader, segment, word,
                                "there is no pointer: the message ends before");
    }
    int error = mmb__resolve(&reader, segment, (uint32_t)word, &o);
    if (error != 0 || o.is_null) {
        return error;
    }
    if (!o.is_object) {
        out->kind = MMB_TO_CAPABILITY;
        return 0;
    }
    out->kind = o.is_list ? MMB_TO_LIST : MMB_TO_STRUCT;
    out->segment = o.segment;
    out->word = o.start + (o.is_list && o.size == MMB__COMPOSITE ? 1 : 0);
    out->elements = o.elements;
    out->data_words = o.data;
    out->pointer_words = o.pointers;
    out->element_size = o.size;
    return 0;
}

bool mmb_begins_message(const mmb_segment *segments, uint32_t count, uint32_t segment)
{
    if (segment >= count || segments[segment].words == 0) {
        return false;
    }
    uint64_t root = mmb__load64(segments[segment].base);
    mmb_object object;
    mmb_flaw unwanted;
    return root != 0 && mmb__kind(root) == MMB__STRUCT && mmb__offset(root) == 0 &&
           mmb_resolve(segments, count, segment, 0, &object, &unwanted) == 0;
}
