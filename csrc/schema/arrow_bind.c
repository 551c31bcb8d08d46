/* arrow_bind.c - binds columns of Arrow to the fields of a schema by their names. */
#include "arrow_bind.h"

#include "arrow_types.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 64 };

/* ---- binding ------------------------------------------------------------------------------ */

static bool read_dictionary(mmb_binding *b, const mmb_arrow_schema *schema, mmb_refusal *refusal)
{
    if (schema->dictionary == NULL) {
        return true;
    }
    b->dictionary = calloc(1, sizeof *b->dictionary);
    if (b->dictionary == NULL) {
        return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, b, "no memory");
    }
    *b->dictionary = (mmb_binding){.up = b->up, .name = b->name, .type = b->type};
    const char *format = schema->dictionary->format;
    bool plain = b->layout == MMB_IN_SIGNED || b->layout == MMB_IN_UNSIGNED;
    if (!plain || schema->dictionary->dictionary != NULL || format == NULL ||
        !mmb__read_format(b->dictionary, format) || b->dictionary->layout >= MMB_IN_LIST) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "such a dictionary is not supported");
    }
    b->has_dictionary = true;
    return true;
}

static bool bind_value(const mmb_plan *plan, mmb_binding *b, const mmb_arrow_schema *schema,
                       unsigned depth, mmb_refusal *refusal);

static uint32_t find_field(const mmb_plan *plan, uint32_t record, const char *name, size_t length)
{
    const mmb_plan_struct *type = &plan->structs[record];
    const unsigned char *at = (const unsigned char *)name;
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        const mmb_plan_field *field = &plan->fields[i];
        if (mmb__name_is(field->name, at, length) || mmb__name_is(field->column, at, length)) {
            return i;
        }
    }
    return MMB_NONE;
}

/* Find the field whose column has a name of its own, which may contain dots. */
static uint32_t find_column(const mmb_plan *plan, uint32_t record, const char *name)
{
    const mmb_plan_struct *type = &plan->structs[record];
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        const char *column = plan->fields[i].column;
        if (column != NULL && strcmp(column, name) == 0) {
            return i;
        }
    }
    return MMB_NONE;
}

/* Add a child to the binding of a struct. */
static mmb_binding *add_child(mmb_binding *parent)
{
    mmb_binding *grown =
        realloc(parent->children, (parent->child_count + 1u) * sizeof *parent->children);
    if (grown == NULL) {
        return NULL;
    }
    parent->children = grown;
    mmb_binding *child = &grown[parent->child_count++];
    *child = (mmb_binding){.field = MMB_NONE};
    return child;
}

/* Set the parent of each binding. This is done at the end, since children move when their array
 * grows. */
static void set_up(mmb_binding *binding)
{
    for (uint32_t i = 0; i < binding->child_count; i++) {
        binding->children[i].up = binding;
        set_up(&binding->children[i]);
    }
    if (binding->dictionary != NULL) {
        binding->dictionary->up = binding->up;
        set_up(binding->dictionary);
    }
}

static bool bind_column(const mmb_plan *plan, mmb_binding *parent, uint32_t record,
                        const char *name, uint32_t arrow, const mmb_arrow_schema *schema,
                        unsigned depth, mmb_refusal *refusal);

/* Return the child for a group or struct whose fields come one by one. The first of them makes
 * it. */
static mmb_binding *inline_group(const mmb_plan *plan, mmb_binding *parent, uint32_t field)
{
    for (uint32_t i = 0; i < parent->child_count; i++) {
        if (parent->children[i].field == field && parent->children[i].is_inline) {
            return &parent->children[i];
        }
    }
    mmb_binding *group = add_child(parent);
    if (group != NULL) {
        group->field = field;
        group->type = plan->fields[field].type;
        group->record = plan->types[group->type].refers_to;
        group->is_inline = true;
        group->name = plan->fields[field].name;
    }
    return group;
}

static bool twice(const mmb_binding *parent, uint32_t field, bool is_tag)
{
    for (uint32_t i = 0; i + 1 < parent->child_count; i++) {
        const mmb_binding *other = &parent->children[i];
        if ((is_tag && other->is_tag) || (!is_tag && other->field == field)) {
            return true;
        }
    }
    return false;
}

/* Return whether a group or struct has come as one column. */
static bool is_whole(const mmb_binding *parent, uint32_t field)
{
    for (uint32_t i = 0; i < parent->child_count; i++) {
        const mmb_binding *other = &parent->children[i];
        if (other->field == field && !other->is_inline) {
            return true;
        }
    }
    return false;
}

static bool bind_members(const mmb_plan *plan, mmb_binding *b, uint32_t record,
                         const mmb_arrow_schema *schema, unsigned depth, mmb_refusal *refusal);

static bool is_union(mmb_in_layout layout)
{
    return layout == MMB_IN_DENSE_UNION || layout == MMB_IN_SPARSE_UNION;
}

/* Bind the tag of a union. The column has names of members, or is a union of Arrow with all
 * values. */
static bool bind_tag(const mmb_plan *plan, mmb_binding *parent, uint32_t record, uint32_t arrow,
                     const mmb_arrow_schema *schema, unsigned depth, mmb_refusal *refusal)
{
    mmb_binding *child = add_child(parent);
    if (child == NULL) {
        return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, parent, "no memory");
    }
    child->is_tag = true;
    child->record = record;
    child->arrow = arrow;
    child->name = "@which";
    parent->has_union = true;
    child->up = parent;
    if (twice(parent, MMB_NONE, true)) {
        return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, child, "the column is given twice");
    }
    if (schema->format != NULL && mmb__read_format(child, schema->format) &&
        is_union(child->layout)) {
        return bind_members(plan, child, record, schema, depth + 1, refusal);
    }
    if (schema->format == NULL || !mmb__read_format(child, schema->format) ||
        !read_dictionary(child, schema, refusal) ||
        !mmb__is_bytes(child->has_dictionary ? child->dictionary->layout : child->layout)) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, child,
                              "the names of members are required");
    }
    return true;
}

static bool too_deep(const mmb_binding *b, mmb_refusal *refusal)
{
    return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b, "columns nest more than %d deep",
                          (int)MOST_DEPTH);
}

static bool no_field(const mmb_binding *parent, const char *name, mmb_refusal *refusal)
{
    mmb_binding unknown = {.up = parent, .name = name};
    return mmb__bind_fail(refusal, MMB_REFUSED_NAME, &unknown, "the schema has no such field");
}

static bool bind_column(const mmb_plan *plan, mmb_binding *parent, uint32_t record,
                        const char *name, uint32_t arrow, const mmb_arrow_schema *schema,
                        unsigned depth, mmb_refusal *refusal)
{
    if (depth > MOST_DEPTH) { /* a name can have any number of dots */
        return too_deep(parent, refusal);
    }
    if (strcmp(name, "@which") == 0 && plan->structs[record].members != 0) {
        return bind_tag(plan, parent, record, arrow, schema, depth, refusal);
    }
    uint32_t field = find_column(plan, record, name);
    const char *dot = field == MMB_NONE ? strchr(name, '.') : NULL;
    size_t length = dot != NULL ? (size_t)(dot - name) : strlen(name);
    field = field == MMB_NONE ? find_field(plan, record, name, length) : field;
    if (field == MMB_NONE) {
        return no_field(parent, name, refusal);
    }
    const mmb_plan_type *type = &plan->types[plan->fields[field].type];
    parent->has_union = parent->has_union || plan->fields[field].tag != MMB_NONE;
    if (dot != NULL) {
        if (type->kind != MMB_GROUP && type->kind != MMB_STRUCT) {
            return no_field(parent, name, refusal);
        }
        mmb_binding *group = inline_group(plan, parent, field);
        if (group == NULL) {
            return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, parent, "no memory");
        }
        group->up = parent;
        if (is_whole(parent, field)) {
            return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, group, "the column is given twice");
        }
        return bind_column(plan, group, type->refers_to, dot + 1, arrow, schema, depth + 1,
                           refusal);
    }
    mmb_binding *child = add_child(parent);
    if (child == NULL) {
        return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, parent, "no memory");
    }
    child->up = parent;
    child->name = plan->fields[field].name;
    child->arrow = arrow;
    child->field = field;
    child->type = plan->fields[field].type;
    child->record = type->refers_to;
    if (twice(parent, field, false)) {
        return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, child, "the column is given twice");
    }
    return bind_value(plan, child, schema, depth, refusal);
}

/* Return the schema of a child; NULL with the refusal set if it is missing. */
static const mmb_arrow_schema *child_schema(const mmb_binding *b, const mmb_arrow_schema *schema,
                                            int64_t index, mmb_refusal *refusal)
{
    const mmb_arrow_schema *child = schema->children != NULL ? schema->children[index] : NULL;
    if (child == NULL) {
        mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b,
                       "the Arrow schema is damaged: a child is missing");
    }
    return child;
}

static bool bind_struct(const mmb_plan *plan, mmb_binding *b, uint32_t record,
                        const mmb_arrow_schema *schema, unsigned depth, mmb_refusal *refusal)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        const mmb_arrow_schema *child = child_schema(b, schema, i, refusal);
        if (child == NULL || !bind_column(plan, b, record, child->name != NULL ? child->name : "",
                                          (uint32_t)i, child, depth + 1, refusal)) {
            return false;
        }
    }
    return true;
}

static bool has_code(const mmb_binding *b, int code)
{
    for (uint32_t i = 0; i < b->child_count; i++) {
        if (b->children[i].code == code) {
            return true;
        }
    }
    return false;
}

/* Bind the children of a union of Arrow to the members of a union of the schema. */
static bool bind_members(const mmb_plan *plan, mmb_binding *b, uint32_t record,
                         const mmb_arrow_schema *schema, unsigned depth, mmb_refusal *refusal)
{
    if (plan->structs[record].members == 0) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "the schema has no union here");
    }
    b->record = record;
    for (int64_t i = 0; i < schema->n_children; i++) {
        const mmb_arrow_schema *child = child_schema(b, schema, i, refusal);
        if (child == NULL) {
            return false;
        }
        const char *name = child->name != NULL ? child->name : "";
        int code = mmb__union_code(schema->format, i);
        uint32_t before = b->child_count;
        if (strchr(name, '.') != NULL) {
            return no_field(b, name, refusal);
        }
        if (code < 0 || i >= MMB_MOST_UNION_CODES || has_code(b, code)) {
            return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b,
                                  "the Arrow schema is damaged: a wrong code of a union");
        }
        if (!bind_column(plan, b, record, name, (uint32_t)i, child, depth + 1, refusal)) {
            return false;
        }
        mmb_binding *member = &b->children[before];
        if (member->is_tag || plan->fields[member->field].tag == MMB_NONE) {
            return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, member,
                                  "the field is no member of the union");
        }
        member->code = (int8_t)code;
    }
    return true;
}

/* Bind values that come in runs. */
static bool bind_runs(const mmb_plan *plan, mmb_binding *b, const mmb_arrow_schema *schema,
                      unsigned depth, mmb_refusal *refusal)
{
    const mmb_arrow_schema *ends = NULL, *values = NULL;
    if (schema->n_children == 2) {
        ends = child_schema(b, schema, 0, refusal);
        values = ends == NULL ? NULL : child_schema(b, schema, 1, refusal);
    }
    if (values == NULL || ends->format == NULL || !mmb__read_format(b, ends->format) ||
        b->layout != MMB_IN_SIGNED) {
        return mmb__bind_fail(refusal, MMB_REFUSED_VALUE, b,
                              "the Arrow schema is damaged: runs without ends or values");
    }
    b->dictionary = calloc(1, sizeof *b->dictionary);
    if (b->dictionary == NULL) {
        return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, b, "no memory");
    }
    b->has_dictionary = b->is_runs = true;
    *b->dictionary = (mmb_binding){
        .up = b->up, .name = b->name, .type = b->type, .field = b->field, .record = b->record};
    return bind_value(plan, b->dictionary, values, depth + 1, refusal);
}

/* Bind values to the type of `b`. */
static bool bind_value(const mmb_plan *plan, mmb_binding *b, const mmb_arrow_schema *schema,
                       unsigned depth, mmb_refusal *refusal)
{
    const mmb_plan_type *type = &plan->types[b->type];
    if (depth > MOST_DEPTH) {
        return too_deep(b, refusal);
    }
    if (type->kind == MMB_ANY_POINTER || type->kind == MMB_INTERFACE) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "%s can only be set with pycapnp",
                              type->kind == MMB_INTERFACE ? "an interface" : "AnyPointer");
    }
    bool is_runs = schema->format != NULL && strcmp(schema->format, "+r") == 0;
    if (is_runs && type->kind != MMB_GROUP) {
        return bind_runs(plan, b, schema, depth, refusal);
    }
    bool holds_runs = is_runs && type->kind == MMB_GROUP;
    if (schema->format == NULL || (!holds_runs && !mmb__read_format(b, schema->format))) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "%s",
                              mmb__format_hint(schema->format != NULL ? schema->format : ""));
    }
    if (!read_dictionary(b, schema, refusal)) {
        return false;
    }
    mmb_in_layout layout = b->has_dictionary ? b->dictionary->layout : b->layout;
    if (type->kind == MMB_GROUP && is_union(layout)) {
        return bind_members(plan, b, type->refers_to, schema, depth, refusal);
    }
    if (type->kind == MMB_GROUP && layout != MMB_IN_STRUCT) {
        uint32_t value = mmb_plan_nullable(plan, type->refers_to);
        if (value != MMB_NONE) {
            b->is_nullable_group = true;
            mmb_binding *inner = add_child(b);
            if (inner == NULL) {
                return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, b, "no memory");
            }
            inner->up = b;
            inner->field = value;
            inner->type = plan->fields[value].type;
            inner->record = plan->types[inner->type].refers_to;
            return bind_value(plan, inner, schema, depth + 1, refusal);
        }
    }
    if (holds_runs) {
        return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "%s", mmb__format_hint("+r"));
    }
    if (!mmb__check_type(b, b->has_dictionary ? b->dictionary : b, type, schema->format, refusal)) {
        return false;
    }
    if (b->has_dictionary) {
        b->dictionary->type = b->type;
        b->dictionary->multiply = b->multiply;
        b->dictionary->divide = b->divide;
    }
    if (b->layout == MMB_IN_STRUCT) {
        return bind_struct(plan, b, type->refers_to, schema, depth, refusal);
    }
    if (type->kind == MMB_LIST && layout != MMB_IN_NULL) {
        if (schema->n_children != 1) {
            return mmb__bind_fail(refusal, MMB_REFUSED_TYPE, b, "a list without one child");
        }
        mmb_binding *element = add_child(b);
        if (element == NULL) {
            return mmb__bind_fail(refusal, MMB_REFUSED_MEMORY, b, "no memory");
        }
        element->up = b;
        element->type = type->refers_to;
        element->record = plan->types[type->refers_to].refers_to;
        const mmb_arrow_schema *child = child_schema(b, schema, 0, refusal);
        return child != NULL && bind_value(plan, element, child, depth + 1, refusal);
    }
    return true;
}

static void clear(mmb_binding *binding)
{
    for (uint32_t i = 0; i < binding->child_count; i++) {
        clear(&binding->children[i]);
    }
    free(binding->children);
    if (binding->dictionary != NULL) {
        clear(binding->dictionary);
    }
    free(binding->dictionary);
}

void mmb_binding_free(mmb_binding *binding)
{
    if (binding != NULL) {
        clear(binding);
        free(binding);
    }
}

static mmb_binding *finish(mmb_binding *binding, bool good)
{
    if (!good) {
        mmb_binding_free(binding);
        return NULL;
    }
    set_up(binding);
    return binding;
}

mmb_binding *mmb_bind_columns(const mmb_plan *plan, uint32_t record,
                              const mmb_arrow_schema *const *schemas, uint32_t count,
                              mmb_refusal *refusal)
{
    mmb_binding *binding = calloc(1, sizeof *binding);
    *refusal = (mmb_refusal){0};
    if (binding == NULL) {
        refusal->kind = MMB_REFUSED_MEMORY;
        return NULL;
    }
    binding->field = MMB_NONE;
    binding->record = record;
    binding->layout = MMB_IN_STRUCT;
    bool good = true;
    for (uint32_t i = 0; good && i < count; i++) {
        const char *name = schemas[i]->name != NULL ? schemas[i]->name : "";
        good = bind_column(plan, binding, record, name, i, schemas[i], 0, refusal);
    }
    return finish(binding, good);
}

mmb_binding *mmb_bind_elements(const mmb_plan *plan, uint32_t element,
                               const mmb_arrow_schema *schema, mmb_refusal *refusal)
{
    mmb_binding *binding = calloc(1, sizeof *binding);
    *refusal = (mmb_refusal){0};
    if (binding == NULL) {
        refusal->kind = MMB_REFUSED_MEMORY;
        return NULL;
    }
    binding->field = MMB_NONE;
    binding->type = element;
    binding->record = plan->types[element].refers_to;
    return finish(binding, bind_value(plan, binding, schema, 0, refusal));
}
