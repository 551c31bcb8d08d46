/* walk.c - every pointer of a message, from the root, checked once.
 *
 * What keeps hostile bytes at bay:
 *  - Bounds. Places are computed in 64 bits from fields of at most 30, and each
 *    object must lie in its segment before anything in it is read.
 *  - Time. Cap'n Proto messages are trees: each word belongs to one object. Every
 *    object (and landing pad) is charged by its words against those the message
 *    has, before its pointers are looked at. No slack is needed, so a loop, or an
 *    object reached twice too often, runs out at once. What takes no words (empty
 *    structs, lists of Void, composite lists of empty structs) costs no time
 *    either: its elements are not visited.
 *  - Memory. Pending objects wait in an array of fixed size. Before the first
 *    descent into an object all its *light* pointers, those to objects without
 *    pointers, are dealt with; with the last *heavy* one the object itself is
 *    dropped. So a chain of nodes of which each holds one heavy pointer, or in
 *    which the heavy pointer that leads on is the last, needs one frame however
 *    long it is. Only frames that still have something to do afterwards add up.
 *
 * Bytes that change while they are read are harmless: a pointer is checked again
 * in the second pass, and descents are charged when they are made.
 */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>

enum {
    MAX_FRAMES = 1 << 18
};

/* Pointers of an object that are still to be looked at. */
typedef struct {
    uint32_t next;     /* word of the next pointer */
    uint32_t elements; /* elements with pointers to look at, the current one included */
    uint32_t heavy;    /* heavy pointers among them */
    uint32_t depth;    /* of the object */
    uint16_t segment;
    uint16_t per_element; /* pointers in an element */
    uint16_t left;        /* of those, still to look at in the current one */
    uint16_t gap;         /* data words between the pointers of neighbours */
} frame;

/* What a pointer leads to. */
typedef struct {
    uint32_t segment;
    uint32_t start; /* word; of a composite list its tag */
    uint32_t words; /* the tag included */
    uint32_t elements;
    uint32_t first;    /* words from the start to the first pointer, if there is one */
    uint16_t data;     /* words of data in an element */
    uint16_t pointers; /* in an element */
    uint8_t pads;      /* words of landing pad on the way */
    bool is_null;
    bool is_object; /* a struct or list: neither null nor a capability */
} object;

typedef struct {
    const mmb__source *source;
    uint32_t *used;
    mmb_totals *totals;
    mmb_flaw *flaw;
    uint64_t budget; /* words not yet charged */
    frame *frames;   /* owned; NULL until one is needed */
    uint32_t count;  /* of frames */
    frame current;   /* the object that is looked at; not among `frames` */
} walk;

static int fault(walk *w, uint32_t segment, uint64_t word, const char *reason)
{
    *w->flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

static void note_used(walk *w, uint32_t segment, uint64_t end)
{
    if (end > w->used[segment]) {
        w->used[segment] = (uint32_t)end;
    }
}

static bool is_heavy(const object *o)
{
    return o->pointers != 0 && o->elements != 0;
}

/* Complete `o` for a struct pointer; o->segment and o->start are known. */
static void size_struct(uint64_t pointer, object *o)
{
    o->data = mmb__data_words(pointer);
    o->pointers = mmb__pointer_words(pointer);
    o->words = (uint32_t)o->data + o->pointers;
    o->elements = 1;
    o->first = o->data;
}

/* Complete `o` for a composite list: its tag must be in bounds to be read, and its
 * elements must fit into the words that the pointer gives. */
static int size_composite(walk *w, uint64_t pointer, uint64_t limit, object *o, const char **reason)
{
    uint64_t words = (uint64_t)mmb__list_count(pointer) + 1;
    if (o->start + words > limit) {
        *reason = "the list reaches beyond its segment";
        return MMB_EMESSAGE;
    }
    uint64_t tag;
    int error = mmb__source_word(w->source, o->segment, o->start, &tag);
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
static int size_list(walk *w, uint64_t pointer, uint64_t limit, object *o, const char **reason)
{
    static const uint8_t bits[] = {0, 1, 8, 16, 32, 64, 64};
    unsigned size = mmb__element_size(pointer);

    if (size == MMB__COMPOSITE) {
        return size_composite(w, pointer, limit, o, reason);
    }
    o->elements = mmb__list_count(pointer);
    o->pointers = size == MMB__POINTERS ? 1 : 0;
    o->words = (uint32_t)(((uint64_t)o->elements * bits[size] + 63) / 64);
    return 0;
}

/* Check the struct or list of `pointer`, which starts at word `start` (it may be
 * anything) of the segment `o->segment`. The place is for the flaw. */
static int resolve_object(walk *w, uint32_t segment, uint32_t word, uint64_t pointer, int64_t start,
                          object *o)
{
    uint64_t limit = mmb__source_words(w->source, o->segment);
    bool is_list = mmb__kind(pointer) == MMB__LIST;
    if (start < 0 || (uint64_t)start > limit) {
        return fault(w, segment, word,
                     is_list ? "the list lies outside its segment"
                             : "the struct lies outside its segment");
    }

    const char *reason = NULL;
    o->start = (uint32_t)start;
    o->is_object = true;
    if (is_list) {
        int error = size_list(w, pointer, limit, o, &reason);
        if (error != 0) {
            return reason != NULL ? fault(w, segment, word, reason) : error;
        }
    } else {
        size_struct(pointer, o);
    }
    uint64_t end = (uint64_t)o->start + o->words;
    if (end > limit) {
        return fault(w, segment, word,
                     is_list ? "the list reaches beyond its segment"
                             : "the struct reaches beyond its segment");
    }
    /* Objects without words count as well: where they lie must stay in bounds. */
    note_used(w, o->segment, end);
    return 0;
}

/* Read a landing pad of `words` words that the far pointer `far` leads to. */
static int read_pad(walk *w, uint32_t segment, uint32_t word, uint64_t far, uint32_t words,
                    uint64_t *pad)
{
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (pad_segment >= w->source->count) {
        return fault(w, segment, word, "the far pointer names a segment that is not there");
    }
    if ((uint64_t)pad_word + words > mmb__source_words(w->source, pad_segment)) {
        return fault(w, segment, word, "the landing pad of the far pointer is out of bounds");
    }
    for (uint32_t i = 0; i < words; i++) {
        int error = mmb__source_word(w->source, pad_segment, pad_word + i, &pad[i]);
        if (error != 0) {
            return error;
        }
    }
    note_used(w, pad_segment, (uint64_t)pad_word + words);
    return 0;
}

/* A far pointer: the pad is a plain pointer that lies in the object's segment. */
static int resolve_far(walk *w, uint32_t segment, uint32_t word, uint64_t far, object *o)
{
    uint64_t pad;
    int error = read_pad(w, segment, word, far, 1, &pad);
    if (error != 0) {
        return error;
    }
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (mmb__kind(pad) != MMB__STRUCT && mmb__kind(pad) != MMB__LIST) {
        return fault(w, pad_segment, pad_word, "the landing pad is not a struct or list pointer");
    }
    o->segment = pad_segment;
    o->pads = 1;
    return resolve_object(w, pad_segment, pad_word, pad, (int64_t)pad_word + 1 + mmb__offset(pad),
                          o);
}

/* A double-far pointer: the pad is a far pointer to the object's first word, and
 * then a tag, which is the object's pointer without the offset. */
static int resolve_double_far(walk *w, uint32_t segment, uint32_t word, uint64_t far, object *o)
{
    uint64_t pad[2];
    int error = read_pad(w, segment, word, far, 2, pad);
    if (error != 0) {
        return error;
    }
    uint32_t pad_segment = mmb__far_segment(far);
    uint32_t pad_word = mmb__far_word(far);
    if (mmb__kind(pad[0]) != MMB__FAR || mmb__is_double_far(pad[0])) {
        return fault(w, pad_segment, pad_word, "the double landing pad holds no far pointer");
    }
    if ((mmb__kind(pad[1]) != MMB__STRUCT && mmb__kind(pad[1]) != MMB__LIST) ||
        mmb__offset(pad[1]) != 0) {
        return fault(w, pad_segment, (uint64_t)pad_word + 1, "the landing pad has no valid tag");
    }
    if (mmb__far_segment(pad[0]) >= w->source->count) {
        return fault(w, pad_segment, pad_word, "the landing pad names a segment that is not there");
    }
    o->segment = mmb__far_segment(pad[0]);
    o->pads = 2;
    return resolve_object(w, pad_segment, pad_word, pad[1], mmb__far_word(pad[0]), o);
}

/* Find and check what the pointer at a place (known to be in bounds) leads to. */
static int resolve(walk *w, uint32_t segment, uint32_t word, object *o)
{
    uint64_t pointer;
    int error = mmb__source_word(w->source, segment, word, &pointer);
    if (error != 0) {
        return error;
    }
    *o = (object){.segment = segment};
    switch (mmb__kind(pointer)) {
    case MMB__FAR:
        return mmb__is_double_far(pointer) ? resolve_double_far(w, segment, word, pointer, o)
                                           : resolve_far(w, segment, word, pointer, o);
    case MMB__OTHER:
        return mmb__is_capability(pointer)
                   ? 0
                   : fault(w, segment, word, "the pointer is of no known kind");
    default:
        if (pointer == 0) {
            o->is_null = true;
            return 0;
        }
        return resolve_object(w, segment, word, pointer, (int64_t)word + 1 + mmb__offset(pointer),
                              o);
    }
}

/* Account for an object: once for each pointer, before what is in it is read. */
static int charge(walk *w, uint32_t segment, uint32_t word, const object *o, uint32_t depth)
{
    uint64_t cost = (uint64_t)o->words + o->pads;
    if (cost > w->budget) {
        return fault(
            w, segment, word,
            "more words are pointed at than the message has: objects overlap or form a loop");
    }
    w->budget -= cost;
    w->totals->words += cost;
    w->totals->pointers += o->is_null ? 0 : 1;
    w->totals->objects += o->is_object ? 1 : 0;
    if (o->is_object && depth > w->totals->depth) {
        w->totals->depth = depth;
    }
    return 0;
}

/* Step over the next pointer of `f`, which has one. */
static inline uint32_t take(frame *f)
{
    uint32_t word = f->next++;
    if (--f->left == 0) {
        f->elements--;
        f->left = f->per_element;
        f->next += f->gap;
    }
    return word;
}

/* Make `f` the pointers of a heavy object, of which none was looked at. */
static void enter(const object *o, uint32_t depth, frame *f)
{
    *f = (frame){
        .next = o->start + o->first,
        .elements = o->elements,
        .depth = depth,
        .segment = (uint16_t)o->segment,
        .per_element = o->pointers,
        .left = o->pointers,
        .gap = o->data,
    };
}

/* First pass over an object: charge its light pointers, count its heavy ones. */
static int scan(walk *w, frame *f)
{
    frame at = *f;
    while (at.elements != 0) {
        object o;
        uint32_t word = take(&at);
        int error = resolve(w, at.segment, word, &o);
        if (error == 0 && is_heavy(&o)) {
            f->heavy++;
        } else if (error == 0) {
            error = charge(w, at.segment, word, &o, at.depth + 1);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* Go on with `child` and come back to `parent` later, if it still has something to do. */
static int descend(walk *w, uint32_t word, const frame *parent, const frame *child)
{
    if (parent->heavy != 0) {
        if (w->count == MAX_FRAMES) {
            return fault(w, parent->segment, word,
                         "the message is nested deeper than this check can follow");
        }
        if (w->frames == NULL) { /* the system gives it pages only as far as it is used */
            w->frames = malloc(MAX_FRAMES * sizeof *w->frames);
        }
        if (w->frames == NULL) {
            return ENOMEM;
        }
        w->frames[w->count++] = *parent;
    }
    w->current = *child;
    return 0;
}

/* Second pass over the current object: up to its next heavy pointer, and into it. */
static int advance(walk *w)
{
    frame parent = w->current;
    frame child;
    object o;
    uint32_t word;

    do {
        if (parent.elements == 0) { /* the bytes have changed since the first pass */
            w->current.heavy = 0;
            return 0;
        }
        word = take(&parent);
        int error = resolve(w, parent.segment, word, &o);
        if (error != 0) {
            return error;
        }
    } while (!is_heavy(&o));

    parent.heavy--;
    int error = charge(w, parent.segment, word, &o, parent.depth + 1);
    if (error != 0) {
        return error;
    }
    enter(&o, parent.depth + 1, &child);
    error = scan(w, &child);
    if (error != 0) {
        return error;
    }
    if (child.heavy != 0) {
        return descend(w, word, &parent, &child);
    }
    w->current = parent;
    return 0;
}

static int walk_all(walk *w)
{
    for (;;) {
        while (w->current.heavy == 0) {
            if (w->count == 0) {
                return 0;
            }
            w->current = w->frames[--w->count];
        }
        int error = advance(w);
        if (error != 0) {
            return error;
        }
    }
}

/* Where nothing overlaps, the words met fit into the used parts of the segments. The
 * place of the flaw is not known; it is that of the root. */
static int check_sum(walk *w)
{
    uint64_t room = 0;
    for (uint32_t i = 0; i < w->source->count; i++) {
        room += w->used[i];
    }
    return w->totals->words <= room ? 0 : fault(w, 0, 0, "objects overlap");
}

int mmb__walk(const mmb__source *source, uint32_t *used, mmb_totals *totals, mmb_flaw *flaw)
{
    walk w = {.source = source, .used = used, .totals = totals, .flaw = flaw};

    *flaw = (mmb_flaw){0};
    *totals = (mmb_totals){0};
    for (uint32_t i = 0; i < source->count; i++) {
        used[i] = 0;
        w.budget += mmb__source_words(source, i);
    }
    if (source->count == 0 || mmb__source_words(source, 0) == 0) {
        return fault(&w, 0, 0, "the message has no root pointer");
    }

    /* The root pointer is the one pointer of an object that nothing points at. */
    object root = {.words = 1, .elements = 1, .pointers = 1};
    note_used(&w, 0, 1);
    w.budget -= 1;
    totals->words = 1;
    enter(&root, 0, &w.current);
    int error = scan(&w, &w.current);
    if (error == 0) {
        error = walk_all(&w);
    }
    if (error == 0) {
        error = check_sum(&w);
    }
    free(w.frames);
    return error;
}

int mmb_walk(const mmb_segment *segments, uint32_t count, uint32_t *used, mmb_totals *totals,
             mmb_flaw *flaw)
{
    mmb_totals unwanted;
    mmb__source source;
    mmb__source_memory(&source, segments, count);
    return mmb__walk(&source, used, totals != NULL ? totals : &unwanted, flaw);
}
