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

#include "mmb_log.h"
#include "usage_find.h"
#include "usage_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINTERS_A_PART = 1 << 10,
    MOST_PENDING = 1 << 22,
    POINTERS_A_QUESTION = 1 << 16, /* pointers between two questions */
};

/* What the pointers of an object belong to. */
typedef enum {
    AS_STRUCTS,  /* fields of a scope */
    AS_ELEMENTS, /* the first pointer of each element is a value of the node's type */
    AS_UNKNOWN,  /* no schema is known for them */
} role;

/* An object whose pointers are still to be followed, or the rest of such an object. */
typedef struct {
    uint64_t word; /* place of the first element that is left */
    uint32_t segment;
    uint32_t elements;
    uint32_t node;
    uint16_t data; /* words of data in an element */
    uint16_t pointers;
    role as;
} pending;

struct mmb_usage {
    mmb__tree tree;
    mmb_tally tally;
    mmb_usage_totals totals;
    pending *stack; /* owned */
    uint32_t waiting, room;
    /* Owned; nodes of the pointers of a struct with unions; room for the most that a struct can
     * have. */
    uint32_t *slots;
    const mmb_segment *segments;
    uint32_t count; /* number of segments */
    uint32_t asked; /* pointers since the last call of the interrupt */
    const mmb_interrupt *interrupt;
    mmb_flaw *flaw;
};

static int fail(mmb_usage *u, uint32_t segment, uint64_t word, const char *reason)
{
    *u->flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

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

static int find(mmb_usage *u, uint32_t segment, uint64_t word, uint64_t pointer, uint32_t node,
                mmb__extent *out)
{
    if (mmb__find_near(u->segments, u->count, segment, word, pointer, out)) {
        return 0;
    }
    uint64_t plain = count_pads(u, pointer, node);
    return mmb__find_far(u->segments, u->count, segment, word, plain, out, u->flaw);
}

/* Count the words of an object. Return true if none of them was counted before: then the caller
 * looks into the object. Otherwise count the new words as data, and read nothing of it. */
static bool claim(mmb_usage *u, const mmb__extent *e, uint32_t node)
{
    if (e->words == 0) {
        return true;
    }
    uint64_t fresh = mmb_tally_add(&u->tally, e->object.segment, e->start, e->words);
    if (fresh == e->words) {
        return true;
    }
    u->totals.overlaps++;
    u->tree.nodes[node].bits += 64 * fresh;
    return false;
}

/* ---- the stack --------------------------------------------------------------------------------
 */

static int push(mmb_usage *u, const pending *item)
{
    if (u->waiting == u->room) {
        uint32_t room = u->room == 0 ? 1 << 12 : 2 * u->room;
        pending *grown = room <= MOST_PENDING ? realloc(u->stack, room * sizeof *grown) : NULL;
        if (grown == NULL) {
            return room <= MOST_PENDING
                       ? ENOMEM
                       : fail(u, item->segment, item->word,
                              "the message is nested deeper than its usage can be found out");
        }
        u->stack = grown;
        u->room = room;
    }
    u->stack[u->waiting++] = *item;
    return 0;
}

/* Let an object wait, so that its pointers and unions are looked at later. One without them does
 * not wait. */
static int push_object(mmb_usage *u, const mmb_object *o, uint32_t node, role as, bool varies)
{
    if (o->elements == 0 || (o->pointer_words == 0 && !(varies && o->data_words != 0))) {
        return 0;
    }
    pending item = {
        .word = o->word,
        .segment = o->segment,
        .elements = o->elements,
        .node = node,
        .data = o->data_words,
        .pointers = o->pointer_words,
        .as = as,
    };
    return push(u, &item);
}

/* ---- objects ----------------------------------------------------------------------------------
 */

/* Count an object for which no schema is known. */
static int count_unknown(mmb_usage *u, const mmb__extent *e, uint32_t number)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[number];
    if (o->kind == MMB_TO_CAPABILITY || !claim(u, e, number)) {
        return 0;
    }
    bool composite = o->kind == MMB_TO_LIST && o->element_size == MMB__COMPOSITE;
    uint64_t data = 64 * (uint64_t)o->data_words;
    if (o->kind == MMB_TO_LIST && !composite && o->pointer_words == 0) {
        data = mmb__element_bits[o->element_size];
    }
    uint64_t bits = data * o->elements;
    uint64_t pointers = (uint64_t)o->elements * o->pointer_words;
    node->bits += bits;
    node->pointers += composite ? MMB_WORD : 0;
    node->padding_bits += 64 * (e->words - (composite ? 1 : 0) - pointers) - bits;
    return push_object(u, o, number, AS_UNKNOWN, false);
}

/* Count structs: one, or the elements of a list. The scope counts what lies in them. */
static int count_structs(mmb_usage *u, const mmb_object *o, uint32_t number, role *as)
{
    uint32_t scope;
    int error = mmb__tree_open(&u->tree, number, &scope);
    if (error != 0) {
        return error;
    }
    mmb__node *node = &u->tree.nodes[scope];
    uint64_t data = 64 * (uint64_t)o->data_words * o->elements;
    if (node->folded) {
        node->bits += data;
        *as = AS_UNKNOWN;
        return push_object(u, o, scope, *as, false);
    }
    uint32_t known = u->tree.plan->structs[node->record].data_words;
    uint32_t have = o->data_words < known ? o->data_words : known;
    node->present[have] += o->elements;
    node->section_bits += 64 * (uint64_t)have * o->elements;
    if (o->data_words > known && o->elements > 0) {
        uint32_t other;
        error = mmb__tree_other(&u->tree, scope, &other);
        if (error != 0) {
            return error;
        }
        u->tree.nodes[other].bits += 64 * (uint64_t)(o->data_words - known) * o->elements;
    }
    *as = AS_STRUCTS;
    return push_object(u, o, scope, *as, u->tree.nodes[scope].varies);
}

static int count_struct(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                        uint64_t word)
{
    role unwanted;
    if (e->object.kind != MMB_TO_STRUCT) {
        return fail(u, segment, word, "a pointer leads to something else than a struct");
    }
    return claim(u, e, number) ? count_structs(u, &e->object, number, &unwanted) : 0;
}

static int count_bytes(mmb_usage *u, const mmb__extent *e, uint32_t number, bool text,
                       uint32_t segment, uint64_t word)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[number];
    if (o->kind != MMB_TO_LIST || o->element_size != MMB__BYTES) {
        return fail(u, segment, word, "the pointer leads to something else than Text or Data");
    }
    if (!claim(u, e, number)) {
        return 0;
    }
    if (!text) {
        node->bits += 8 * (uint64_t)o->elements;
        node->padding_bits += 64 * e->words - 8 * (uint64_t)o->elements;
        return 0;
    }
    uint64_t length = o->elements == 0 ? 0 : o->elements - 1;
    node->text += length;
    node->padding_bits += 64 * e->words - 8 * length;
    return 0;
}

/* ---- lists ------------------------------------------------------------------------------------
 */

/* Count the elements of a list: numbers, Voids, or pointers, which may lead to objects. */
static int count_values(mmb_usage *u, const mmb__extent *e, uint32_t elements, mmb_type_kind kind)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[elements];
    uint64_t bits = (uint64_t)o->elements * mmb_kind_bits(kind);
    uint64_t stored = (uint64_t)o->elements * 64 * o->data_words;
    if (o->element_size != MMB__COMPOSITE) {
        stored =
            o->pointer_words != 0 ? 0 : (uint64_t)o->elements * mmb__element_bits[o->element_size];
    }
    bits = bits < stored ? bits : stored;
    node->bits += bits;
    node->padding_bits += stored - bits;
    bool are_pointers = mmb_kind_is_pointer(kind);
    node->count += are_pointers ? 0 : o->elements;
    return push_object(u, o, elements, are_pointers ? AS_ELEMENTS : AS_UNKNOWN, false);
}

/* Count the elements of a list of structs. An older schema may have stored them as numbers. */
static int count_records(mmb_usage *u, const mmb__extent *e, uint32_t elements)
{
    const mmb_object *o = &e->object;
    role unwanted;
    uint32_t bits = o->element_size == MMB__COMPOSITE ? 0 : mmb__element_bits[o->element_size];
    u->tree.nodes[elements].count += o->elements;
    if (bits == 0 || o->pointer_words != 0) {
        return count_structs(u, o, elements, &unwanted);
    }
    u->tree.nodes[elements].bits += (uint64_t)bits * o->elements;
    return 0;
}

static int count_list(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                      uint64_t word)
{
    const mmb_plan *plan = u->tree.plan;
    const mmb_object *o = &e->object;
    mmb_type_kind kind = plan->types[plan->types[u->tree.nodes[number].type].target].kind;
    uint32_t elements;
    if (o->kind != MMB_TO_LIST) {
        return fail(u, segment, word, "a pointer leads to something else than a list");
    }
    const char *reason = mmb__list_mismatch(o, kind);
    if (reason != NULL) {
        return fail(u, segment, word, reason);
    }
    if (!claim(u, e, number)) {
        return 0;
    }
    int error = mmb__tree_elements(&u->tree, number, &elements);
    if (error != 0) {
        return error;
    }
    bool composite = o->element_size == MMB__COMPOSITE;
    uint64_t step_bits = composite ? 64 * ((uint64_t)o->data_words + o->pointer_words)
                                   : mmb__element_bits[o->element_size];
    u->tree.nodes[number].pointers += composite ? MMB_WORD : 0;
    u->tree.nodes[elements].padding_bits +=
        64 * (e->words - (composite ? 1 : 0)) - step_bits * o->elements;
    if (elements == number) { /* the tree has no room for another path */
        u->tree.nodes[number].bits +=
            step_bits * o->elements - 64ull * o->elements * o->pointer_words;
        return push_object(u, o, number, AS_UNKNOWN, false);
    }
    return kind == MMB_STRUCT ? count_records(u, e, elements) : count_values(u, e, elements, kind);
}

/* ---- pointers ---------------------------------------------------------------------------------
 */

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
        return count_bytes(u, &e, number, u->tree.plan->types[node->type].kind == MMB_TEXT, segment,
                           word);
    case MMB_LIST:
        return count_list(u, &e, number, segment, word);
    case MMB_STRUCT:
        return count_struct(u, &e, number, segment, word);
    default:
        return count_unknown(u, &e, number);
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

/* ---- what waits -------------------------------------------------------------------------------
 */

/* Return the nodes of the pointers of the struct at `word`. */
static const uint32_t *slots_of(mmb_usage *u, const pending *item, uint64_t word, uint32_t *count)
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

static int follow_struct(mmb_usage *u, const pending *item, uint64_t word)
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

static int follow_element(mmb_usage *u, const pending *item, uint64_t word)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < item->pointers; i++) {
        error = follow(u, item->segment, word + item->data + i, item->node,
                       i == 0 && item->as == AS_ELEMENTS);
    }
    return error;
}

/* Follow the pointers of the object on top of the stack, or of its next part. */
static int work(mmb_usage *u)
{
    pending item = u->stack[--u->waiting];
    uint64_t step = (uint64_t)item.data + item.pointers;
    uint32_t part =
        item.pointers == 0 ? item.elements : (uint32_t)POINTERS_A_PART / item.pointers + 1;
    if (part < item.elements) {
        pending rest = item;
        rest.elements -= part;
        rest.word += part * step;
        item.elements = part;
        int error = push(u, &rest);
        if (error != 0) {
            return error;
        }
    }
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < item.elements; i++) {
        uint64_t word = item.word + i * step;
        error =
            item.as == AS_STRUCTS ? follow_struct(u, &item, word) : follow_element(u, &item, word);
    }
    return error;
}

/* ---- messages ---------------------------------------------------------------------------------
 */

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
        return fail(u, 0, 0, "the message has no root pointer");
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
        const unsigned char *table = frames + place;
        uint64_t size;
        const char *reason = "the messages end too early";
        if (mmb_frame_measure(table, bytes - place, &size, &reason) != 0 || size > bytes - place) {
            *flaw = (mmb_flaw){.reason = reason};
            return MMB_EMESSAGE;
        }
        uint32_t count = mmb__load32(table) + 1;
        const unsigned char *start = table + mmb_table_bytes(count);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t words = mmb__load32(table + 4 + (size_t)i * 4);
            segments[i] = (mmb_segment){.base = start, .words = words};
            start += (uint64_t)words * MMB_WORD;
        }
        int error = mmb_usage_add(u, segments, count, interrupt, flaw);
        if (error != 0) {
            return error;
        }
        place += size;
    }
    return 0;
}

/* ---- results ----------------------------------------------------------------------------------
 */

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
