/* usage_count.c - counts one object at its node, and lets it wait if it has pointers. */
#include "usage_count.h"

#include <errno.h>
#include <stdlib.h>

enum { MOST_PENDING = 1 << 22 };

int mmb__usage_fail(mmb_usage *u, uint32_t segment, uint64_t word, const char *reason)
{
    *u->flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
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

/* ---- the stack ------------------------------------------------------------ */

int mmb__usage_push(mmb_usage *u, const mmb__pending *item)
{
    if (u->waiting == u->room) {
        uint32_t room = u->room == 0 ? 1 << 12 : 2 * u->room;
        mmb__pending *grown = room <= MOST_PENDING ? realloc(u->stack, room * sizeof *grown) : NULL;
        if (grown == NULL) {
            return room <= MOST_PENDING
                       ? ENOMEM
                       : mmb__usage_fail(
                             u, item->segment, item->word,
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
static int push_object(mmb_usage *u, const mmb_object *o, uint32_t node, mmb__role as, bool varies)
{
    if (o->elements == 0 || (o->pointer_words == 0 && !(varies && o->data_words != 0))) {
        return 0;
    }
    mmb__pending item = {
        .word = o->word,
        .segment = o->segment,
        .elements = o->elements,
        .node = node,
        .data = o->data_words,
        .pointers = o->pointer_words,
        .as = as,
    };
    return mmb__usage_push(u, &item);
}

/* ---- objects -------------------------------------------------------------- */

/* Count an object for which no schema is known. */
int mmb__usage_count_unknown(mmb_usage *u, const mmb__extent *e, uint32_t number)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[number];
    if (o->kind == MMB_TO_CAPABILITY || !claim(u, e, number)) {
        return 0;
    }
    bool composite = o->kind == MMB_TO_LIST && o->element_size == MMB__COMPOSITE;
    uint64_t data = 64 * (uint64_t)o->data_words;
    if (o->kind == MMB_TO_LIST && !composite && o->pointer_words == 0) {
        data = mmb__element_bits(o->element_size);
    }
    uint64_t bits = data * o->elements;
    uint64_t pointers = (uint64_t)o->elements * o->pointer_words;
    node->bits += bits;
    node->pointers += composite ? MMB_WORD : 0;
    node->padding_bits += 64 * (e->words - (composite ? 1 : 0) - pointers) - bits;
    return push_object(u, o, number, MMB__AS_UNKNOWN, false);
}

/* Count structs: one, or the elements of a list. The scope counts what lies in them. */
static int count_structs(mmb_usage *u, const mmb_object *o, uint32_t number, mmb__role *as)
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
        *as = MMB__AS_UNKNOWN;
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
    *as = MMB__AS_STRUCTS;
    return push_object(u, o, scope, *as, u->tree.nodes[scope].varies);
}

int mmb__usage_count_struct(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                            uint64_t word)
{
    mmb__role unwanted;
    if (e->object.kind != MMB_TO_STRUCT) {
        return mmb__usage_fail(u, segment, word, "a pointer leads to something else than a struct");
    }
    return claim(u, e, number) ? count_structs(u, &e->object, number, &unwanted) : 0;
}

int mmb__usage_count_bytes(mmb_usage *u, const mmb__extent *e, uint32_t number, bool text,
                           uint32_t segment, uint64_t word)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[number];
    if (o->kind != MMB_TO_LIST || o->element_size != MMB__BYTES) {
        return mmb__usage_fail(u, segment, word,
                               "the pointer leads to something else than Text or Data");
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

/* ---- lists ---------------------------------------------------------------- */

/* Count the elements of a list: numbers, Voids, or pointers, which may lead to objects. */
static int count_values(mmb_usage *u, const mmb__extent *e, uint32_t elements, mmb_type_kind kind)
{
    const mmb_object *o = &e->object;
    mmb__node *node = &u->tree.nodes[elements];
    uint64_t bits = (uint64_t)o->elements * mmb_kind_bits(kind);
    uint64_t stored = (uint64_t)o->elements * 64 * o->data_words;
    if (o->element_size != MMB__COMPOSITE) {
        stored =
            o->pointer_words != 0 ? 0 : (uint64_t)o->elements * mmb__element_bits(o->element_size);
    }
    bits = bits < stored ? bits : stored;
    node->bits += bits;
    node->padding_bits += stored - bits;
    bool are_pointers = mmb_kind_is_pointer(kind);
    node->count += are_pointers ? 0 : o->elements;
    return push_object(u, o, elements, are_pointers ? MMB__AS_ELEMENTS : MMB__AS_UNKNOWN, false);
}

/* Count the elements of a list of structs. An older schema may have stored them as numbers. */
static int count_records(mmb_usage *u, const mmb__extent *e, uint32_t elements)
{
    const mmb_object *o = &e->object;
    mmb__role unwanted;
    uint32_t bits = o->element_size == MMB__COMPOSITE ? 0 : mmb__element_bits(o->element_size);
    u->tree.nodes[elements].count += o->elements;
    if (bits == 0 || o->pointer_words != 0) {
        return count_structs(u, o, elements, &unwanted);
    }
    u->tree.nodes[elements].bits += (uint64_t)bits * o->elements;
    return 0;
}

int mmb__usage_count_list(mmb_usage *u, const mmb__extent *e, uint32_t number, uint32_t segment,
                          uint64_t word)
{
    const mmb_plan *plan = u->tree.plan;
    const mmb_object *o = &e->object;
    mmb_type_kind kind = plan->types[plan->types[u->tree.nodes[number].type].refers_to].kind;
    uint32_t elements;
    if (o->kind != MMB_TO_LIST) {
        return mmb__usage_fail(u, segment, word, "a pointer leads to something else than a list");
    }
    const char *reason = mmb_list_mismatch(o, kind);
    if (reason != NULL) {
        return mmb__usage_fail(u, segment, word, reason);
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
                                   : mmb__element_bits(o->element_size);
    u->tree.nodes[number].pointers += composite ? MMB_WORD : 0;
    u->tree.nodes[elements].padding_bits +=
        64 * (e->words - (composite ? 1 : 0)) - step_bits * o->elements;
    if (elements == number) { /* the tree has no room for another path */
        u->tree.nodes[number].bits +=
            step_bits * o->elements - 64ull * o->elements * o->pointer_words;
        return push_object(u, o, number, MMB__AS_UNKNOWN, false);
    }
    return kind == MMB_STRUCT ? count_records(u, e, elements) : count_values(u, e, elements, kind);
}
