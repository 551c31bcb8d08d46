/* arrow_mask.c - tells which part of a row the columns of a binding write. See arrow_in.h. */
#include "arrow_in.h"

#include <stdlib.h>

static void mask_bits(uint64_t *mask, uint32_t offset, uint32_t bits)
{
    uint64_t ones = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    if (bits != 0) {
        mask[offset / 64] |= ones << (offset % 64);
    }
}

/* Mark the bits of all members of a union. When another member becomes active, the old bits of a
 * member without a column must go, since they would be read as another value. */
static void mask_members(uint64_t *mask, const mmb_plan *plan, uint32_t record, uint32_t data_words,
                         bool all)
{
    const mmb_plan_struct *type = &plan->structs[record];
    if (type->members != 0) {
        mask_bits(mask, type->tag_offset, 16);
    }
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        const mmb_plan_field *field = &plan->fields[i];
        const mmb_plan_type *kind = &plan->types[field->type];
        if (!all && field->tag == MMB_NONE) {
            continue;
        }
        if (kind->kind == MMB_GROUP) {
            mask_members(mask, plan, kind->refers_to, data_words, true);
        } else if (mmb_kind_is_pointer(kind->kind)) {
            mask[data_words + field->offset] = UINT64_MAX;
        } else {
            mask_bits(mask, field->offset, mmb_kind_bits(kind->kind));
        }
    }
}

static void mask_children(uint64_t *mask, const mmb_plan *plan, const mmb_binding *b,
                          uint32_t data_words)
{
    if (b->has_union || b->is_nullable_group) {
        mask_bits(mask, plan->structs[b->record].tag_offset, 16);
    }
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        if (child->is_tag) {
            mask_members(mask, plan, b->record, data_words, false);
            continue;
        }
        const mmb_plan_field *field = &plan->fields[child->field];
        mmb_type_kind kind = plan->types[child->type].kind;
        if (kind == MMB_GROUP && child->layout >= MMB_IN_DENSE_UNION) {
            mask_members(mask, plan, child->record, data_words, false);
        } else if (kind == MMB_GROUP) {
            mask_children(mask, plan, child, data_words);
        } else if (mmb_kind_is_pointer(kind)) {
            mask[data_words + field->offset] = UINT64_MAX;
        } else {
            mask_bits(mask, field->offset, mmb_kind_bits(kind));
        }
    }
}

bool mmb_stage_mask_columns(mmb_stage *stage, const mmb_plan *plan, const mmb_binding *binding)
{
    stage->mask = calloc((size_t)stage->data_words + stage->pointer_words + 1, 8);
    if (stage->mask != NULL) {
        mask_children(stage->mask, plan, binding, stage->data_words);
    }
    return stage->mask != NULL;
}
