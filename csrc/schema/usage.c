/* usage.c - finds what takes how many bytes in messages. See usage.h.
 *
 * Hostile bytes can do no harm, for these reasons:
 * - Bounds. Each object is found to lie in its segment before anything in it is read.
 * - Time. A tally counts the words of each object. The code looks into an object only if none of
 *   its words was counted before, so each word is read once. It does not look into objects without
 *   words.
 * - Memory. Objects that are still to be looked into wait on a stack. A large object is dealt with
 *   in parts, and waits again after each part, so that it does not put all it leads to on the stack
 *   at once. */
#include "usage.h"

#include "near.h"
#include "roots.h"
#include "usage_count.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTERS_A_PART = 1 << 10,
    POINTERS_A_QUESTION = 1 << 16, /* pointers between two questions */
};

static uint64_t load(const mmb_usage *u, uint32_t segment, uint64_t word)
{
    if (segment >= u->count || word >= u->segments[segment].words) {
        return 0; /* this happens only if the bytes have just changed */
    }
    return mmb__load64((const unsigned char *)u->segments[segment].base + word * MMB_WORD);
}

/* Return the pointer that describes the object. If landing pads lead to it, count them. */
static uint64_t count_pads(mmb_usage *u, uint64_t pointer, uint32_t node)
{
    if (mmb__kind(pointer) != MMB__FAR) {
        return pointer;
    }
    uint64_t words = mmb__is_double_far(pointer) ? 2 : 1;
    uint32_t segment = mmb__far_segment(pointer);
    uint64_t fresh = mmb_tally_add(&u->tally, segment, mmb__far_word(pointer), words);
    u->tree.nodes[node].far += fresh * MMB_WORD;
    return load(u, segment, mmb__far_word(pointer) + words - 1);
}

/* Find the object of a pointer, and the words that it claims. */
static int find(mmb_usage *u, uint32_t segment, uint64_t word, uint64_t pointer, uint32_t node,
                mmb__extent *out)
{
    mmb_object *o = &out->object;
    uint64_t sizes = pointer; /* the pointer that says how large the object is */
    if (segment < u->count && mmb__resolve_near(&u->segments[segment], word, o)) {
        o->segment = segment;
    } else {
        sizes = count_pads(u, pointer, node);
        int error = mmb_resolve(u->segments, u->count, segment, word, o, u->flaw);
        if (error != 0) {
            return error;
        }
    }
    bool is_list = o->kind == MMB_TO_LIST;
    out->start = o->word;
    out->words = (uint64_t)o->data_words + o->pointer_words;
    if (is_list && o->element_size == MMB__COMPOSITE) {
        out->start -= 1;
        out->words = 1 + (uint64_t)mmb__list_count(sizes);
    } else if (is_list) {
        out->words = ((uint64_t)o->elements * mmb__element_bits(o->element_size) + 63) / 64;
    }
    return 0;
}

/* ---- pointers ------------------------------------------------------------ */

static int ask(mmb_usage *u)
{
    if (++u->asked < POINTERS_A_QUESTION || u->interrupt == NULL) {
        return 0;
    }
    u->asked = 0;
    return u->interrupt->asked(u->interrupt->context, u->totals.words + u->tally.counted) ? EINTR
                                                                                          : 0;
}

/* Count one pointer at a node, and what it leads to. */
static int follow(mmb_usage *u, uint32_t segment, uint64_t word, uint32_t number, bool known)
{
    mmb__node *node = &u->tree.nodes[number];
    uint64_t pointer = load(u, segment, word);
    mmb__extent e;
    node->pointers += MMB_WORD;
    if (pointer == 0) {
        return 0;
    }
    node->count++;
    int error = ask(u);
    error = error != 0 ? error : find(u, segment, word, pointer, number, &e);
    if (error != 0) {
        return error;
    }
    switch (known ? u->tree.plan->types[node->type].kind : MMB_ANY_POINTER) {
    case MMB_TEXT:
    case MMB_DATA:
        return mmb__usage_count_bytes(
            u, &e, number, u->tree.plan->types[node->type].kind == MMB_TEXT, segment, word);
    case MMB_LIST:
        return mmb__usage_count_list(u, &e, number, segment, word);
    case MMB_STRUCT:
        return mmb__usage_count_struct(u, &e, number, segment, word);
    default:
        return mmb__usage_count_unknown(u, &e, number);
    }
}

/* Count a pointer that belongs to no field of the scope. A null pointer is padding. */
static int follow_other(mmb_usage *u, uint32_t segment, uint64_t word, uint32_t scope)
{
    uint32_t other;
    if (load(u, segment, word) == 0) {
        u->tree.nodes[scope].padding_bits += 64;
        return 0;
    }
    int error = mmb__tree_other(&u->tree, scope, &other);
    return error != 0 ? error : follow(u, segment, word, other, false);
}

/* ---- what waits ---------------------------------------------------------- */

/* Return the nodes of the pointers of the struct at `word`. */
static const uint32_t *slots_of(mmb_usage *u, const mmb__pending *item, uint64_t word,
                                uint32_t *count)
{
    const mmb__node *scope = &u->tree.nodes[item->node];
    uint32_t known = u->tree.plan->structs[scope->record].pointer_words;
    *count = known < item->pointers ? known : item->pointers;
    if (!scope->varies) {
        return scope->slots;
    }
    memcpy(u->slots, scope->slots, *count * sizeof *u->slots);
    const unsigned char *base = u->segments[item->segment].base;
    mmb__record_data record = {base + word * MMB_WORD, item->data};
    mmb__tree_count_unions(&u->tree, item->node, &record, u->slots, *count);
    return u->slots;
}

static int follow_struct(mmb_usage *u, const mmb__pending *item, uint64_t word)
{
    uint32_t count;
    const uint32_t *slots = slots_of(u, item, word, &count);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < item->pointers; i++) {
        uint32_t number = i < count ? slots[i] : 0;
        uint64_t at = word + item->data + i;
        error = number != 0 ? follow(u, item->segment, at, number, true)
                            : follow_other(u, item->segment, at, item->node);
    }
    return error;
}

static int follow_element(mmb_usage *u, const mmb__pending *item, uint64_t word)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < item->pointers; i++) {
        error = follow(u, item->segment, word + item->data + i, item->node,
                       i == 0 && item->as == MMB__AS_ELEMENTS);
    }
    return error;
}

/* Follow the pointers of the object on top of the stack, or of its next part. */
static int work(mmb_usage *u)
{
    mmb__pending item = u->stack[--u->waiting];
    uint64_t step = (uint64_t)item.data + item.pointers;
    uint32_t part =
        item.pointers == 0 ? item.elements : (uint32_t)POINTERS_A_PART / item.pointers + 1;
    if (part < item.elements) {
        mmb__pending rest = item;
        rest.elements -= part;
        rest.word += part * step;
        item.elements = part;
        int error = mmb__usage_push(u, &rest);
        if (error != 0) {
            return error;
        }
    }
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < item.elements; i++) {
        uint64_t word = item.word + i * step;
        error = item.as == MMB__AS_STRUCTS ? follow_struct(u, &item, word)
                                           : follow_element(u, &item, word);
    }
    return error;
}

/* ---- messages ------------------------------------------------------------ */

mmb_usage *mmb_usage_new(const mmb_plan *plan)
{
    mmb_usage *usage = calloc(1, sizeof *usage);
    if (usage == NULL) {
        return NULL;
    }
    usage->slots = calloc(UINT16_MAX + 1, sizeof *usage->slots);
    if (usage->slots == NULL || mmb__tree_start(&usage->tree, plan) != 0) {
        mmb_usage_free(usage);
        return NULL;
    }
    return usage;
}

void mmb_usage_free(mmb_usage *usage)
{
    if (usage != NULL) {
        mmb__tree_free(&usage->tree);
        mmb_tally_free(&usage->tally);
        free(usage->stack);
        free(usage->slots);
        free(usage);
    }
}

int mmb_usage_add(mmb_usage *u, const mmb_segment *segments, uint32_t count,
                  const mmb_interrupt *interrupt, mmb_flaw *flaw)
{
    u->segments = segments;
    u->count = count;
    u->interrupt = interrupt;
    u->flaw = flaw;
    u->waiting = 0;
    *flaw = (mmb_flaw){0};
    if (count == 0 || segments[0].words == 0) {
        return mmb__usage_fail(u, 0, 0, "the message has no root pointer");
    }
    int error = mmb_tally_start(&u->tally, segments, count);
    if (error == 0) {
        mmb_tally_add(&u->tally, 0, 0, 1);
        error = follow(u, 0, 0, 0, u->tree.plan != NULL);
    }
    while (error == 0 && u->waiting > 0) {
        error = work(u);
    }
    uint64_t words = 0;
    for (uint32_t i = 0; i < count; i++) {
        words += segments[i].words;
    }
    u->totals.words += words;
    u->totals.unreachable += words - u->tally.counted;
    u->segments = NULL;
    return error;
}

int mmb_usage_add_frames(mmb_usage *u, const unsigned char *frames, uint64_t bytes, uint64_t *done,
                         const mmb_interrupt *interrupt, mmb_flaw *flaw)
{
    mmb_segment segments[MMB_MAX_SEGMENTS];
    uint64_t place = 0;
    for (*done = 0; place < bytes; ++*done) {
        uint64_t size;
        uint32_t count;
        const char *reason;
        if (mmb_frame_segments(frames + place, bytes - place, segments, &count, &size, &reason) !=
            0) {
            *flaw = (mmb_flaw){.reason = reason};
            return MMB_EMESSAGE;
        }
        int error = mmb_usage_add(u, segments, count, interrupt, flaw);
        if (error != 0) {
            return error;
        }
        place += size;
    }
    return 0;
}

/* ---- results ------------------------------------------------------------- */

mmb_usage_totals mmb_usage_sum(const mmb_usage *usage)
{
    return usage->totals;
}

uint32_t mmb_usage_count(const mmb_usage *usage)
{
    return usage->tree.count;
}

void mmb_usage_paths(const mmb_usage *usage, mmb_usage_path *out)
{
    mmb__tree_paths(&usage->tree, out);
}

const mmb_tally *mmb_usage_tally(const mmb_usage *usage)
{
    return &usage->tally;
}
