/* usage_unions.c - finds which members of unions are active in a struct, for its usage. See
 * usage_tree.h. */
#include "usage_tree.h"

/* Count the active member of a union. */
static void count_member(mmb__tree *tree, uint32_t scope, uint32_t field_number,
                         const mmb__record_data *record, uint32_t *slots, uint32_t count)
{
    const mmb_plan *plan = tree->plan;
    const mmb__node *node = &tree->nodes[scope];
    const mmb_plan_struct *type = &plan->structs[node->record];
    const mmb_plan_field *field = &plan->fields[field_number];
    mmb_type_kind kind = plan->types[field->type].kind;
    uint32_t number = node->fields[field_number - type->first];
    mmb__node *member = &tree->nodes[number];
    uint32_t bits = mmb_kind_bits(kind);
    if (kind == MMB_GROUP) {
        member->count++;
        member->present[record->words < type->data_words ? record->words : type->data_words]++;
        mmb__tree_set_slots(tree, number, slots, count);
        mmb__tree_count_unions(tree, number, record, slots, count);
    } else if (!mmb_kind_is_pointer(kind)) {
        bool there = (uint64_t)field->offset + bits <= 64ull * record->words || bits == 0;
        member->count += there ? 1 : 0;
        member->bits += there ? bits : 0;
    } else if (field->offset < count) {
        slots[field->offset] = number;
    }
}

void mmb__tree_count_unions(mmb__tree *tree, uint32_t scope, const mmb__record_data *record,
                            uint32_t *slots, uint32_t count)
{
    const mmb_plan *plan = tree->plan;
    const mmb__node *node = &tree->nodes[scope];
    const mmb_plan_struct *type = &plan->structs[node->record];
    if (!node->varies) {
        return;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        const mmb_plan_field *field = &plan->fields[type->first + i];
        if (plan->types[field->type].kind == MMB_GROUP && !mmb__is_in_union(field)) {
            mmb__tree_count_unions(tree, node->fields[i], record, slots, count);
        }
    }
    if (type->members != 0) {
        bool there = (uint64_t)type->tag_offset + 16 <= 64ull * record->words;
        const unsigned char *at = record->data + type->tag_offset / 8;
        uint32_t tag = there ? (uint32_t)at[0] | (uint32_t)at[1] << 8 : 0;
        uint32_t field = tag < type->members ? plan->members[type->first_member + tag] : MMB_NONE;
        if (field != MMB_NONE) {
            count_member(tree, scope, field, record, slots, count);
        }
    }
}
