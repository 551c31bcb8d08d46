/* walk.c - checks each pointer of a message once, from the root on.
 *
 * Hostile bytes can do no harm, for these reasons:
 * - Bounds. Each object must lie in its segment before anything in it is read (see resolve.c).
 * - Time. Cap'n Proto messages are trees: each word belongs to one object. A message has a budget,
 *   which is the number of its words. Each object and each landing pad is charged for its words
 *   before its pointers are looked at. No slack is needed, so a loop, or an object that is reached
 *   too often, uses the budget up at once. Objects without words (empty structs, lists of Void,
 *   composite lists of empty structs) cost no time either: their elements are not visited. The
 *   zeros that an unfinished file will end with are neither visited nor charged, since there may be
 *   terabytes of them.
 * - Memory. Objects that wait are kept in an array of fixed size. A *light* pointer leads to an
 *   object without pointers; all others are *heavy*. All light pointers of an object are dealt with
 *   before the first descent from it. When its last heavy pointer is taken, the object itself is
 *   dropped. So a chain needs one frame, however long it is, if each node holds one heavy pointer,
 *   or if the heavy pointer that leads on is the last one. Only objects that still have pointers
 *   left take frames.
 *
 * Bytes may change while they are read: the second pass checks each pointer again, and a descent is
 * charged when it is made. */
#include "walk.h"

#include "mend.h"
#include "resolve.h"

#include <errno.h>
#include <stdlib.h>

enum { MAX_FRAMES = 1 << 18 };

/* The number of pointers between two calls of the interrupt, which are some milliseconds apart. */
enum { POINTERS_A_QUESTION = 1 << 16 };

/* The pointers of an object that are still to be looked at. */
typedef struct {
    uint32_t next;     /* word of the next pointer */
    uint32_t elements; /* elements with pointers to look at, the current one included */
    uint32_t heavy;    /* heavy pointers among them */
    uint32_t depth;    /* how many objects lead to this one */
    uint16_t segment;
    uint16_t per_element; /* pointers in an element */
    uint16_t left;        /* pointers of the current element that are still to be looked at */
    uint16_t gap;         /* data words between the pointers of neighbours */
} frame;

typedef struct {
    mmb__reader reader;
    const mmb__way *way;
    mmb_totals *totals;
    uint64_t budget;   /* words not yet charged */
    uint32_t pointers; /* how many were looked at since the last question, roughly */
    frame *frames;     /* owned; NULL until one is needed */
    uint32_t count;    /* of frames */
    frame current;     /* the object that is looked at; not among `frames` */
} walk;

static int report(const walk *w, uint32_t segment, uint64_t word, const char *reason)
{
    return mmb__report_flaw(&w->reader, segment, word, reason);
}

static bool is_heavy(const mmb__object *o)
{
    return o->pointers != 0 && o->elements != 0;
}

/* Return how many words of an object are in the file. The others are zeros behind its end. */
static uint64_t stored_words(const walk *w, const mmb__object *o)
{
    uint64_t stored = mmb__words_stored(w->reader.message, o->segment);
    uint64_t left = o->start < stored ? stored - o->start : 0;
    return o->words < left ? o->words : left;
}

/* Count what a pointer has lost, and mend it in the file. */
static int note_loss(walk *w, uint32_t segment, uint32_t word, const mmb__object *o)
{
    w->totals->lost++;
    w->totals->lost_values += o->dropped;
    return w->way->writes ? mmb__mend(w->reader.message, segment, word, o) : 0;
}

/* Charge for an object, once for each pointer to it, before anything in it is read. */
static int charge(walk *w, uint32_t segment, uint32_t word, const mmb__object *o, uint32_t depth)
{
    uint64_t cost = stored_words(w, o) + o->pads;
    if (cost > w->budget) {
        return report(
            w, segment, word,
            "more words are pointed at than the message has: objects overlap or form a loop");
    }
    w->budget -= cost;
    w->totals->words += (uint64_t)o->words + o->pads;
    w->totals->pointers += o->is_null ? 0 : 1;
    w->totals->objects += o->is_object ? 1 : 0;
    w->totals->far += o->pads != 0 ? 1 : 0;
    if (o->is_object && depth > w->totals->depth) {
        w->totals->depth = depth;
    }
    return o->mend != 0 ? note_loss(w, segment, word, o) : 0;
}

/* Return EINTR if the caller wants to stop. */
static int ask(walk *w)
{
    const mmb_interrupt *interrupt = w->way->interrupt;
    if (++w->pointers < POINTERS_A_QUESTION || interrupt == NULL) {
        return 0;
    }
    w->pointers = 0;
    return interrupt->asked(interrupt->context, w->totals->words) ? EINTR : 0;
}

/* Step over the next pointer of `f`, which has one, and return its place. */
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

/* Step over all elements of `f` whose pointers lie in the same hole as the last pointer. */
static void skip_hole(const walk *w, frame *f)
{
    uint64_t end = mmb__words_zeros_end(w->reader.message, f->segment, f->next);
    uint64_t step = (uint64_t)f->per_element + f->gap;
    uint64_t elements = (end - f->next) / step;
    elements = elements < f->elements ? elements : f->elements;
    f->elements -= (uint32_t)elements;
    f->next += (uint32_t)(elements * step);
}

/* Let `f` be all pointers of a heavy object. */
static void enter(const mmb__object *o, uint32_t depth, frame *f)
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

/* Do the first pass over an object: charge its light pointers and count its heavy ones. */
static int scan(walk *w, frame *f)
{
    frame at = *f;
    uint64_t stored = mmb__words_stored(w->reader.message, at.segment);
    while (at.elements != 0 && at.next < stored) { /* the pointers behind are all null */
        mmb__object o;
        uint32_t word = take(&at);
        int error = mmb__resolve(&w->reader, at.segment, word, &o);
        if (error == 0 && o.is_null) {
            skip_hole(w, &at);
        }
        if (error == 0) {
            error = ask(w);
        }
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

/* Go on with `child`, and keep `parent` for later if it has pointers left. */
static int descend(walk *w, uint32_t word, const frame *parent, const frame *child)
{
    if (parent->heavy != 0) {
        if (w->count == MAX_FRAMES) {
            return report(w, parent->segment, word,
                          "the message is nested deeper than this check can follow");
        }
        if (w->frames == NULL) { /* the system gives it only the pages that are used */
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

/* Do the second pass over the current object up to its next heavy pointer, and follow that one. */
static int advance(walk *w)
{
    frame parent = w->current;
    frame child;
    mmb__object o;
    uint32_t word;
    uint64_t stored = mmb__words_stored(w->reader.message, parent.segment);

    do {
        if (parent.elements == 0 ||
            parent.next >= stored) { /* the bytes have changed since the first pass */
            w->current.heavy = 0;
            return 0;
        }
        word = take(&parent);
        int error = mmb__resolve(&w->reader, parent.segment, word, &o);
        if (error == 0) {
            error = ask(w);
        }
        if (error != 0) {
            return error;
        }
        if (o.is_null) {
            skip_hole(w, &parent);
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

/* Check that the words of all objects fit into the used parts of the segments, as they do if
 * nothing overlaps. The place of this flaw is not known, so it is reported at the root. */
static int check_sum(walk *w)
{
    uint64_t room = 0;
    for (uint32_t i = 0; i < w->reader.message->count; i++) {
        room += w->reader.used[i];
    }
    return w->totals->words <= room ? 0 : report(w, 0, 0, "objects overlap");
}

int mmb__walk(mmb__words *message, const mmb__way *way, uint32_t *used, mmb_totals *totals,
              mmb_flaw *flaw)
{
    walk w = {
        .reader = {message, used, flaw, way->mends, way->lost_from},
        .way = way,
        .totals = totals,
    };

    *flaw = (mmb_flaw){0};
    *totals = (mmb_totals){0};
    for (uint32_t i = 0; i < message->count; i++) {
        used[i] = 0;
        w.budget += mmb__words_stored(message, i);
    }
    if (message->count == 0 || mmb__words_in(message, 0) == 0) {
        return report(&w, 0, 0, "the message has no root pointer");
    }

    /* Treat the root pointer as the only pointer of an object to which nothing points. */
    mmb__object root = {.words = 1, .elements = 1, .pointers = 1};
    used[0] = 1;
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
    static const mmb__way as_it_is = {.lost_from = MMB__NO_ZEROS};
    mmb_totals unwanted;
    mmb__words message;
    mmb__words_of_memory(&message, segments, count);
    return mmb__walk(&message, &as_it_is, used, totals != NULL ? totals : &unwanted, flaw);
}
