/* plan.c - makes a plan, and checks that its numbers fit together. See plan.h. */
#include "plan.h"

#include <stdlib.h>

/* Allocate zeroed elements, and one more: calloc may return NULL for a count of 0. */
static void *array(size_t count, size_t size, bool *good)
{
    void *made = calloc(count + 1, size);
    *good = *good && made != NULL;
    return made;
}

mmb_plan *mmb_plan_new(const mmb_plan *sizes)
{
    mmb_plan *plan = malloc(sizeof *plan);
    if (plan == NULL) {
        return NULL;
    }
    bool good = true;
    *plan = *sizes;
    plan->types = array(sizes->type_count, sizeof *plan->types, &good);
    plan->structs = array(sizes->struct_count, sizeof *plan->structs, &good);
    plan->fields = array(sizes->field_count, sizeof *plan->fields, &good);
    plan->enums = array(sizes->enum_count, sizeof *plan->enums, &good);
    plan->members = array(sizes->member_count, sizeof *plan->members, &good);
    plan->enumerants = array(sizes->enumerant_count, sizeof *plan->enumerants, &good);
    plan->text = array(sizes->text_bytes, 1, &good);
    plan->objects = array(sizes->object_count, sizeof *plan->objects, &good);
    if (!good) {
        mmb_plan_free(plan);
        return NULL;
    }
    return plan;
}

void mmb_plan_free(mmb_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    free(plan->types);
    free(plan->structs);
    free(plan->fields);
    free(plan->enums);
    free(plan->members);
    free((void *)plan->enumerants);
    free(plan->text);
    for (uint32_t i = 0; plan->objects != NULL && i < plan->object_count; i++) {
        free((void *)(uintptr_t)plan->objects[i].base);
    }
    free(plan->objects);
    free(plan);
}

static bool fits(uint32_t first, uint32_t count, uint32_t all)
{
    return first <= all && count <= all - first;
}

static bool check_meaning(const mmb_plan_type *type)
{
    const mmb_meaning *m = &type->meaning;
    bool integer = type->kind >= MMB_INT8 && type->kind <= MMB_UINT64;
    switch (m->what) {
    case MMB_MEANS_NUMBER:
        return true;
    case MMB_DECIMAL:
        return (integer || type->kind == MMB_DATA) && m->precision <= 76;
    case MMB_DATE32:
        return type->kind == MMB_INT32;
    case MMB_TIME:
        return type->kind == (m->unit < 6 ? MMB_INT32 : MMB_INT64) && m->unit <= 9;
    default:
        return type->kind == MMB_INT64 && m->what < MMB_MEANINGS && m->unit <= 9;
    }
}

static bool check_type(const mmb_plan *plan, const mmb_plan_type *type)
{
    if (!check_meaning(type)) {
        return false;
    }
    switch (type->kind) {
    case MMB_LIST:
        return type->refers_to < plan->type_count && plan->types[type->refers_to].kind != MMB_GROUP;
    case MMB_ENUM:
        return type->refers_to < plan->enum_count;
    case MMB_STRUCT:
    case MMB_GROUP:
        return type->refers_to < plan->struct_count &&
               plan->structs[type->refers_to].is_group == (type->kind == MMB_GROUP);
    default:
        return (unsigned)type->kind < MMB_TYPE_KINDS;
    }
}

/* Check a field. A group must lie in the sections of its holder, and must not hold a group that is
 * around it: so a walk from groups into groups ends. */
static bool check_field(const mmb_plan *plan, uint32_t holder, const mmb_plan_field *field)
{
    const mmb_plan_struct *record = &plan->structs[holder];
    if (field->type >= plan->type_count || field->name == NULL) {
        return false;
    }
    if (field->tag != MMB_NONE && field->tag >= record->members) {
        return false;
    }
    mmb_type_kind kind = plan->types[field->type].kind;
    if (field->default_object > plan->object_count ||
        (field->default_object != 0 && kind != MMB_LIST && kind != MMB_STRUCT)) {
        return false;
    }
    if (kind == MMB_GROUP) {
        uint32_t target = plan->types[field->type].refers_to;
        const mmb_plan_struct *group = &plan->structs[target];
        return target > holder && group->data_words <= record->data_words &&
               group->pointer_words <= record->pointer_words;
    }
    if (mmb_kind_is_pointer(kind)) {
        return field->offset < record->pointer_words;
    }
    uint64_t bits = mmb_kind_bits(kind);
    return field->offset + bits <= 64u * (uint64_t)record->data_words &&
           (bits == 0 || field->offset % bits == 0);
}

static bool check_struct(const mmb_plan *plan, uint32_t number)
{
    const mmb_plan_struct *record = &plan->structs[number];
    if (!fits(record->first, record->count, plan->field_count) ||
        !fits(record->first_member, record->members, plan->member_count)) {
        return false;
    }
    if (record->members != 0 && (record->tag_offset % 16 != 0 ||
                                 record->tag_offset + 16u > 64u * (uint64_t)record->data_words)) {
        return false;
    }
    for (uint32_t tag = 0; tag < record->members; tag++) {
        uint32_t field = plan->members[record->first_member + tag];
        if (field != MMB_NONE &&
            (field < record->first || field - record->first >= record->count)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < record->count; i++) {
        if (!check_field(plan, number, &plan->fields[record->first + i])) {
            return false;
        }
    }
    return true;
}

bool mmb_plan_check(const mmb_plan *plan)
{
    for (uint32_t i = 0; i < plan->type_count; i++) {
        if (!check_type(plan, &plan->types[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->enum_count; i++) {
        if (!fits(plan->enums[i].first, plan->enums[i].count, plan->enumerant_count)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->struct_count; i++) {
        if (!check_struct(plan, i)) {
            return false;
        }
    }
    return true;
}

uint32_t mmb_plan_nullable(const mmb_plan *plan, uint32_t group)
{
    const mmb_plan_struct *type = &plan->structs[group];
    if (type->count != 2 || type->members != 2) {
        return MMB_NONE;
    }
    mmb_type_kind first = plan->types[plan->fields[type->first].type].kind;
    mmb_type_kind second = plan->types[plan->fields[type->first + 1].type].kind;
    if ((first == MMB_VOID) == (second == MMB_VOID) || first == MMB_GROUP || second == MMB_GROUP) {
        return MMB_NONE;
    }
    return first == MMB_VOID ? type->first + 1 : type->first;
}
