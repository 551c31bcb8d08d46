/* usage_tree.c - keeps the tree of paths of a usage. See usage_tree.h. */
#include "usage_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The most nodes of a tree. A schema may have more paths than a person can look at. */
enum { MOST_NODES = 1 << 16 };

static int add_node(mmb__tree *tree, mmb_path_kind kind, uint32_t parent, uint32_t field,
                    uint32_t type, uint32_t *number)
{
    if (tree->count == tree->room) {
        uint32_t room = tree->room == 0 ? 64 : 2 * tree->room;
        mmb__node *grown = realloc(tree->nodes, room * sizeof *grown);
        if (grown == NULL) {
            return ENOMEM;
        }
        tree->nodes = grown;
        tree->room = room;
    }
    tree->nodes[tree->count] = (mmb__node){
        .kind = kind,
        .parent = parent,
        .field = field,
        .type = type,
        .record = MMB_NONE,
        .same_as = MMB_NONE,
    };
    *number = tree->count++;
    return 0;
}

int mmb__tree_start(mmb__tree *tree, const mmb_plan *plan)
{
    uint32_t root;
    *tree = (mmb__tree){.plan = plan};
    return add_node(tree, MMB_PATH_ROOT, 0, MMB_NONE, plan == NULL ? MMB_NONE : 0, &root);
}

void mmb__tree_free(mmb__tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        free(tree->nodes[i].fields);
        free(tree->nodes[i].slots);
        free(tree->nodes[i].present);
    }
    free(tree->nodes);
    *tree = (mmb__tree){0};
}

/* ---- scopes ------------------------------------------------------------------------------ */

static bool has_union(const mmb_plan *plan, uint32_t record)
{
    const mmb_plan_struct *type = &plan->structs[record];
    if (type->members != 0) {
        return true;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        const mmb_plan_type *of = &plan->types[plan->fields[type->first + i].type];
        if (of->kind == MMB_GROUP && has_union(plan, of->refers_to)) {
            return true;
        }
    }
    return false;
}

/* Return how many nodes the fields of a struct need; fields of its groups count, too. */
static uint64_t fields_within(const mmb_plan *plan, uint32_t record)
{
    const mmb_plan_struct *type = &plan->structs[record];
    uint64_t found = 2 + (uint64_t)type->count;
    for (uint32_t i = 0; i < type->count; i++) {
        const mmb_plan_type *of = &plan->types[plan->fields[type->first + i].type];
        found += of->kind == MMB_GROUP ? fields_within(plan, of->refers_to) : 0;
    }
    return found;
}

/* Return the outermost struct of the same type around a struct; the node itself if there is
 * none. */
static uint32_t outermost(const mmb__tree *tree, uint32_t node, uint32_t record)
{
    uint32_t at = node;
    while (at != 0) {
        at = tree->nodes[at].parent;
        if (tree->nodes[at].record == record && tree->nodes[at].slots != NULL) {
            return at;
        }
    }
    return node;
}

/* Make the children of a struct or group, and also those of its groups, which are finitely many. */
static int open_scope(mmb__tree *tree, uint32_t number, uint32_t record, bool counts)
{
    const mmb_plan *plan = tree->plan;
    const mmb_plan_struct *type = &plan->structs[record];
    mmb__node *node = &tree->nodes[number];
    node->fields = calloc((size_t)type->count + 1, sizeof *node->fields);
    node->present = counts ? calloc((size_t)type->data_words + 1, sizeof *node->present) : NULL;
    if (node->fields == NULL || (counts && node->present == NULL)) {
        return ENOMEM;
    }
    node->record = record;
    node->varies = has_union(plan, record);
    uint32_t child;
    int error = 0;
    if (type->members != 0) {
        error = add_node(tree, MMB_PATH_TAG, number, MMB_NONE, MMB_NONE, &child);
        tree->nodes[number].tag = error == 0 ? child : 0;
    }
    for (uint32_t i = 0; error == 0 && i < type->count; i++) {
        const mmb_plan_field *field = &plan->fields[type->first + i];
        const mmb_plan_type *of = &plan->types[field->type];
        error = add_node(tree, MMB_PATH_FIELD, number, type->first + i, field->type, &child);
        if (error == 0) {
            tree->nodes[number].fields[i] = child;
        }
        if (error == 0 && of->kind == MMB_GROUP) {
            error = open_scope(tree, child, of->refers_to, mmb__is_in_union(field));
        }
    }
    return error;
}

void mmb__tree_set_slots(const mmb__tree *tree, uint32_t scope, uint32_t *slots, uint32_t count)
{
    const mmb_plan *plan = tree->plan;
    const mmb_plan_struct *type = &plan->structs[tree->nodes[scope].record];
    for (uint32_t i = 0; i < type->count; i++) {
        const mmb_plan_field *field = &plan->fields[type->first + i];
        mmb_type_kind kind = plan->types[field->type].kind;
        uint32_t child = tree->nodes[scope].fields[i];
        if (mmb__is_in_union(field)) {
            continue;
        }
        if (kind == MMB_GROUP) {
            mmb__tree_set_slots(tree, child, slots, count);
        } else if (mmb_kind_is_pointer(kind) && field->offset < count) {
            slots[field->offset] = child;
        }
    }
}

int mmb__tree_open(mmb__tree *tree, uint32_t number, uint32_t *scope)
{
    mmb__node *node = &tree->nodes[number];
    *scope = number;
    if (node->slots != NULL || node->folded) {
        return 0;
    }
    uint32_t record = tree->plan->types[node->type].refers_to;
    if (node->same_as == MMB_NONE) {
        node->same_as = outermost(tree, number, record);
    }
    *scope = node->same_as;
    if (*scope != number) {
        return 0;
    }
    if (fields_within(tree->plan, record) > MOST_NODES - tree->count) {
        node->folded = true;
        return 0;
    }
    int error = open_scope(tree, number, record, true);
    uint32_t pointers = tree->plan->structs[record].pointer_words;
    uint32_t *slots = error == 0 ? calloc((size_t)pointers + 1, sizeof *slots) : NULL;
    if (slots == NULL) {
        return ENOMEM;
    }
    mmb__tree_set_slots(tree, number, slots, pointers);
    tree->nodes[number].slots = slots;
    return 0;
}

int mmb__tree_elements(mmb__tree *tree, uint32_t number, uint32_t *child)
{
    mmb__node *node = &tree->nodes[number];
    *child = node->elements;
    if (*child != 0) {
        return 0;
    }
    *child = number;
    if (tree->count >= MOST_NODES) {
        return 0;
    }
    uint32_t type = tree->plan->types[node->type].refers_to;
    int error = add_node(tree, MMB_PATH_ELEMENTS, number, MMB_NONE, type, child);
    tree->nodes[number].elements = error == 0 ? *child : 0;
    return error;
}

int mmb__tree_other(mmb__tree *tree, uint32_t number, uint32_t *child)
{
    mmb__node *node = &tree->nodes[number];
    *child = node->other;
    if (*child != 0) {
        return 0;
    }
    *child = number;
    if (node->record == MMB_NONE || tree->count >= MOST_NODES) {
        return 0;
    }
    int error = add_node(tree, MMB_PATH_OTHER, number, MMB_NONE, MMB_NONE, child);
    tree->nodes[number].other = error == 0 ? *child : 0;
    return error;
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* The bytes of the data sections of a struct that its numbers have not taken yet. */
typedef struct {
    const mmb__tree *tree;
    mmb_usage_path *out;
    uint64_t left; /* bytes */
} sections;

static void give(sections *s, uint32_t number, uint64_t bits)
{
    uint64_t bytes = bits / 8 < s->left ? bits / 8 : s->left;
    s->out[number].data += bytes;
    s->left -= bytes;
}

/* Return how many structs have data sections that reach to `bits`. */
static uint64_t reaching(const uint64_t *present, uint32_t data_words, uint64_t bits)
{
    uint64_t found = 0;
    for (uint64_t words = (bits + 63) / 64; words <= data_words; words++) {
        found += present[words];
    }
    return found;
}

static void give_numbers(sections *s, uint32_t scope, const uint64_t *present)
{
    const mmb_plan *plan = s->tree->plan;
    const mmb__node *node = &s->tree->nodes[scope];
    const mmb_plan_struct *type = &plan->structs[node->record];
    if (node->tag != 0) {
        uint64_t found = reaching(present, type->data_words, (uint64_t)type->tag_offset + 16);
        s->out[node->tag].count += found;
        give(s, node->tag, 16 * found);
    }
    for (uint32_t i = 0; i < type->count; i++) {
        const mmb_plan_field *field = &plan->fields[type->first + i];
        const mmb__node *child = &s->tree->nodes[node->fields[i]];
        mmb_type_kind kind = plan->types[field->type].kind;
        uint32_t bits = mmb_kind_bits(kind);
        if (kind == MMB_GROUP) {
            give_numbers(s, node->fields[i], child->present != NULL ? child->present : present);
        } else if (mmb_kind_is_pointer(kind)) {
            continue; /* the pointers were counted when they were met */
        } else if (mmb__is_in_union(field)) {
            give(s, node->fields[i], child->bits);
        } else {
            uint64_t found = reaching(present, type->data_words, (uint64_t)field->offset + bits);
            s->out[node->fields[i]].count += found;
            give(s, node->fields[i], found * bits);
        }
    }
}

/* Return true if a node is a number of a struct, which gets its bits at the end. */
static bool is_number(const mmb__tree *tree, const mmb__node *node)
{
    return node->kind == MMB_PATH_FIELD && node->type != MMB_NONE &&
           !mmb_kind_is_pointer(tree->plan->types[node->type].kind);
}

void mmb__tree_paths(const mmb__tree *tree, mmb_usage_path *out)
{
    for (uint32_t i = 0; i < tree->count; i++) {
        const mmb__node *node = &tree->nodes[i];
        uint64_t bits = is_number(tree, node) ? 0 : node->bits;
        out[i] = (mmb_usage_path){
            .kind = node->kind,
            .parent = node->parent,
            .field = node->field,
            .count = node->count,
            .data = bits / 8,
            .pointers = node->pointers,
            .text = node->text,
            .padding = (bits % 8 + node->padding_bits) / 8,
            .far = node->far,
        };
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        const mmb__node *node = &tree->nodes[i];
        if (node->slots != NULL) {
            sections s = {tree, out, node->section_bits / 8};
            give_numbers(&s, i, node->present);
            out[i].padding += s.left;
        }
    }
}
