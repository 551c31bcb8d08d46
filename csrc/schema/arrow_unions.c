/* arrow_unions.c - decides which member of a union is active in a row. See arrow_stager.h.
 *
 * A column @which says it. If there is none, the only member with a value is active. */
#include "arrow_stager.h"

/* Return whether a member of a union has a value in a row. */
static bool has_value(const mmb_binding *child, mmb__columns from, uint64_t row)
{
    if (child->is_inline) {
        for (uint32_t i = 0; i < child->child_count; i++) {
            if (!child->children[i].is_tag && has_value(&child->children[i], from, row)) {
                return true;
            }
        }
        return false;
    }
    mmb_arrow_part part = mmb__part_of(child, from);
    const mmb_binding *values = child->is_nullable_group ? &child->children[0] : child;
    return mmb__is_valid(values, part.array, part.start + row);
}

static uint32_t only_void(const mmb__stager *w, uint32_t record)
{
    const mmb_plan_struct *type = &w->plan->structs[record];
    uint32_t found = MMB_NONE;
    for (uint32_t tag = 0; tag < type->members; tag++) {
        uint32_t field = w->plan->members[type->first_member + tag];
        if (field != MMB_NONE && w->plan->types[w->plan->fields[field].type].kind == MMB_VOID) {
            if (found != MMB_NONE) {
                return MMB_NONE;
            }
            found = tag;
        }
    }
    return found;
}

/* Find the tag that a column of names has for a row. */
static bool named_tag(mmb__stager *w, const mmb_binding *child, mmb__columns from, uint64_t row,
                      uint32_t *tag)
{
    mmb_arrow_part part = mmb__part_of(child, from);
    const mmb_binding *names = child;
    uint64_t index = part.start + row;
    const unsigned char *start;
    uint64_t length;
    const mmb_plan_struct *type = &w->plan->structs[child->record];
    if (child->layout >= MMB_IN_DENSE_UNION) {
        const mmb_binding *member;
        if (!mmb__member_at(child, part.array, index, &member, &part, w->refusal)) {
            return mmb__fail_at(w, row);
        }
        *tag = w->plan->fields[member->field].tag;
        return true;
    }
    if (!mmb__is_valid(names, part.array, index)) {
        return mmb__fail(w, row, MMB_REFUSED_TYPE, child, "the value is missing");
    }
    if (names->has_dictionary && !mmb__look_up(&names, &part.array, &index, w->refusal)) {
        return mmb__fail_at(w, row);
    }
    if (!mmb__is_valid(names, part.array, index) ||
        !mmb__bytes_at(names, part.array, index, &start, &length, w->refusal)) {
        return mmb__fail(w, row, MMB_REFUSED_VALUE, child, "the value is missing or damaged");
    }
    for (*tag = 0; *tag < type->members; ++*tag) {
        uint32_t field = w->plan->members[type->first_member + *tag];
        if (field != MMB_NONE && mmb__name_is(w->plan->fields[field].name, start, length)) {
            return true;
        }
    }
    return mmb__fail(w, row, MMB_REFUSED_VALUE, child, "the union has no such member");
}

/* Find the tag of a row without a column of tags: it is that of the member that has a value. */
static bool implied_tag(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t row,
                        uint32_t record, uint32_t *tag)
{
    uint32_t members = 0;
    const mmb_binding *last = NULL;
    *tag = MMB_NONE;
    for (uint32_t i = 0; i < b->child_count; i++) {
        const mmb_binding *child = &b->children[i];
        const mmb_plan_field *field = &w->plan->fields[child->field];
        if (field->tag == MMB_NONE) {
            continue;
        }
        members++;
        last = child;
        if (has_value(child, from, row)) {
            if (*tag != MMB_NONE) {
                return mmb__fail(w, row, MMB_REFUSED_VALUE, child,
                                 "a second member of the union has a value: a column @which tells "
                                 "which one counts");
            }
            *tag = field->tag;
        }
    }
    if (*tag != MMB_NONE) {
        return true;
    }
    mmb_type_kind kind = w->plan->types[last->type].kind;
    if (members == 1 && mmb_kind_bits(kind) == 0) { /* null is a value of its type */
        *tag = w->plan->fields[last->field].tag;
        return true;
    }
    *tag = only_void(w, record);
    return *tag != MMB_NONE ||
           mmb__fail(w, row, MMB_REFUSED_TYPE, last, "no member of the union has a value");
}

static const mmb_binding *tag_column(const mmb_binding *b)
{
    for (uint32_t i = 0; i < b->child_count; i++) {
        if (b->children[i].is_tag) {
            return &b->children[i];
        }
    }
    return NULL;
}

/* Find and store the tags of a batch. */
bool mmb__put_tags(mmb__stager *w, const mmb_binding *b, mmb__columns from, uint64_t count,
                   mmb__structs to, const bool *mask, uint32_t *tags)
{
    const mmb_binding *names = tag_column(b);
    uint32_t offset = w->plan->structs[b->record].tag_offset;
    for (uint64_t i = 0; i < count; i++) {
        tags[i] = MMB_NONE;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        bool good = names != NULL ? named_tag(w, names, from, i, &tags[i])
                                  : implied_tag(w, b, from, i, b->record, &tags[i]);
        if (!good) {
            return false;
        }
        mmb_stage_store(w->stage, to.place + i * to.words, offset, 16, tags[i]);
    }
    return true;
}
