/* arrow_bind.c - columns of Arrow and fields of a schema, brought together by their names. */
#include "arrow_bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 64 };

/* ---- faults ---------------------------------------------------------------------------------- */

static void spell(const mmb_binding *binding, char *to, size_t size)
{
    size_t used = 0;
    to[0] = 0;
    if (binding == NULL) {
        return;
    }
    spell(binding->up, to, size);
    used = strlen(to);
    if (binding->name != NULL && binding->name[0] != 0 && used + 2 < size) {
        snprintf(to + used, size - used, "%s%s", used != 0 ? "." : "", binding->name);
    }
}

bool mmb__bind_fail(mmb_fault *fault, mmb_fault_kind kind, const mmb_binding *binding,
                    const char *format, ...)
{
    va_list args;
    fault->kind = kind;
    spell(binding, fault->column, sizeof fault->column);
    va_start(args, format);
    vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    return false;
}

/* ---- types of Arrow ---------------------------------------------------------------------------
 */

static bool set(mmb_binding *binding, mmb_in_layout layout, uint32_t width)
{
    binding->layout = layout;
    binding->width = width;
    return true;
}

/* The number after a prefix such as "w:"; false if there is none that fits. */
static bool set_fixed(mmb_binding *binding, mmb_in_layout layout, const char *number)
{
    char *end;
    unsigned long width = strtoul(number, &end, 10);
    return *number >= '0' && *number <= '9' && *end == 0 && width <= MMB_MAX_SEGMENT_WORDS &&
           set(binding, layout, (uint32_t)width);
}

static bool read_format(mmb_binding *b, const char *format)
{
    static const struct {
        const char *format;
        mmb_in_layout layout;
        uint32_t width;
    } known[] = {
        {"n", MMB_IN_NULL, 0},     {"b", MMB_IN_BITS, 0},        {"c", MMB_IN_SIGNED, 1},
        {"s", MMB_IN_SIGNED, 2},   {"i", MMB_IN_SIGNED, 4},      {"l", MMB_IN_SIGNED, 8},
        {"C", MMB_IN_UNSIGNED, 1}, {"S", MMB_IN_UNSIGNED, 2},    {"I", MMB_IN_UNSIGNED, 4},
        {"L", MMB_IN_UNSIGNED, 8}, {"e", MMB_IN_FLOAT, 2},       {"f", MMB_IN_FLOAT, 4},
        {"g", MMB_IN_FLOAT, 8},    {"u", MMB_IN_BYTES, 4},       {"U", MMB_IN_BYTES, 8},
        {"z", MMB_IN_BYTES, 4},    {"Z", MMB_IN_BYTES, 8},       {"vu", MMB_IN_VIEWS, 0},
        {"vz", MMB_IN_VIEWS, 0},   {"+l", MMB_IN_LIST, 4},       {"+L", MMB_IN_LIST, 8},
        {"+m", MMB_IN_LIST, 4},    {"+vl", MMB_IN_LIST_VIEW, 4}, {"+vL", MMB_IN_LIST_VIEW, 8},
        {"+s", MMB_IN_STRUCT, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(format, known[i].format) == 0) {
            return set(b, known[i].layout, known[i].width);
        }
    }
    if (strncmp(format, "w:", 2) == 0) {
        return set_fixed(b, MMB_IN_FIXED_BYTES, format + 2);
    }
    if (strncmp(format, "+w:", 3) == 0) {
        return set_fixed(b, MMB_IN_FIXED_LIST, format + 3);
    }
    return false;
}

static const char *hint(const char *format)
{
    if (format[0] == 't') {
        return "cast times, dates and durations to integers: the schema does not say their unit";
    }
    if (format[0] == 'd') {
        return "cast decimals to integers or floats: the schema does not say their scale";
    }
    if (strncmp(format, "+u", 2) == 0) {
        return "unions of Arrow are not taken: give each member a column, and @which";
    }
    if (strcmp(format, "+r") == 0) {
        return "decode runs first";
    }
    return "this type of Arrow is not taken";
}

static bool read_dictionary(mmb_binding *b, const mmb_arrow_schema *schema, mmb_fault *fault)
{
    if (schema->dictionary == NULL) {
        return true;
    }
    b->dictionary = calloc(1, sizeof *b->dictionary);
    if (b->dictionary == NULL) {
        return mmb__bind_fail(fault, MMB_FAULT_MEMORY, b, "no memory");
    }
    *b->dictionary = (mmb_binding){.up = b->up, .name = b->name, .type = b->type};
    const char *format = schema->dictionary->format;
    bool plain = b->layout == MMB_IN_SIGNED || b->layout == MMB_IN_UNSIGNED;
    if (!plain || schema->dictionary->dictionary != NULL || format == NULL ||
        !read_format(b->dictionary, format) || b->dictionary->layout >= MMB_IN_LIST) {
        return mmb__bind_fail(fault, MMB_FAULT_TYPE, b, "such a dictionary is not taken");
    }
    b->has_dictionary = true;
    return true;
}

static bool is_number(mmb_in_layout layout)
{
    return layout == MMB_IN_SIGNED || layout == MMB_IN_UNSIGNED;
}

static bool is_bytes(mmb_in_layout layout)
{
    return layout == MMB_IN_BYTES || layout == MMB_IN_FIXED_BYTES || layout == MMB_IN_VIEWS;
}

/* Whether values of an array can become values of a type. */
static bool converts(mmb_in_layout layout, mmb_type_kind kind)
{
    if (layout == MMB_IN_NULL) {
        return true;
    }
    switch (kind) {
    case MMB_VOID:
        return true;
    case MMB_BOOL:
        return layout == MMB_IN_BITS;
    case MMB_FLOAT32:
    case MMB_FLOAT64:
        return is_number(layout) || layout == MMB_IN_FLOAT;
    case MMB_ENUM:
        return is_number(layout) || is_bytes(layout);
    case MMB_TEXT:
    case MMB_DATA:
        return is_bytes(layout);
    case MMB_LIST:
        return layout == MMB_IN_LIST || layout == MMB_IN_LIST_VIEW || layout == MMB_IN_FIXED_LIST;
    case MMB_STRUCT:
    case MMB_GROUP:
        return layout == MMB_IN_STRUCT;
    default:
        return is_number(layout);
    }
}

static const char *const kind_names[MMB_TYPE_KINDS] = {
    "Void",   "Bool",    "Int8",     "Int16",        "Int32",      "Int64",   "UInt8",
    "UInt16", "UInt32",  "UInt64",   "Float32",      "Float64",    "Text",    "Data",
    "a list", "an enum", "a struct", "an interface", "AnyPointer", "a group",
};

/* ---- binding ------------------------------------------------------------------------------------
 */

static bool bind_value(const mmb_plan *plan, mmb_binding *b, const mmb_arrow_schema *schema,
                       unsigned depth, mmb_fault *fault);

static uint32_t find_field(const mmb_plan *plan, uint32_t record, const char *name, size_t length)
{
    const mmb_plan_struct *type = &plan->structs[record];
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        if (strlen(plan->fields[i].name) == length &&
            memcmp(plan->fields[i].name, name, length) == 0) {
            return i;
        }
    }
    return MMB_NONE;
}

/* Add a child to a struct's binding. The array has room for as many as there are columns
 * and groups on the way to them. */
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

/* Children move when their array grows, so that who is above whom is set at the end. */
static void set_up(mmb_binding *binding)
{
    for (uint32_t i = 0; i < binding->child_count; i++) {
        binding->children[i].up = binding;
        set_up(&binding->children[i]);
    }
    if (binding->dictionary != NULL) {
        binding->dictionary->up = binding->up;
    }
}

static bool bind_column(const mmb_plan *plan, mmb_binding *parent, uint32_t record,
                        const char *name, uint32_t arrow, const mmb_arrow_schema *schema,
                        unsigned depth, mmb_fault *fault);

/* The child for a group or struct of which single fields are given, made when the first is. */
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
        group->record = plan->types[group->type].target;
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

/* The tag of the union: names of the members. */
static bool bind_tag(const mmb_plan *plan, mmb_binding *parent, uint32_t record, uint32_t arrow,
                     const mmb_arrow_schema *schema, mmb_fault *fault)
{
    mmb_binding *child = add_child(parent);
    if (child == NULL) {
        return mmb__bind_fail(fault, MMB_FAULT_MEMORY, parent, "no memory");
    }
    child->is_tag = true;
    child->record = record;
    child->arrow = arrow;
    child->name = "@which";
    parent->has_union = true;
    (void)plan;
    if (schema->format == NULL || !read_format(child, schema->format) ||
        !read_dictionary(child, schema, fault) ||
        !is_bytes(child->has_dictionary ? child->dictionary->layout : child->layout)) {
        return mmb__bind_fail(fault, MMB_FAULT_TYPE, child, "the names of members are required");
    }
    return !twice(parent, MMB_NONE, true) ||
           mmb__bind_fail(fault, MMB_FAULT_VALUE, child, "the column is given twice");
}

static bool no_field(const mmb_binding *parent, const char *name, mmb_fault *fault)
{
    mmb_binding unknown = {.up = parent, .name = name};
    return mmb__bind_fail(fault, MMB_FAULT_NAME, &unknown, "the schema has no such field");
}

static bool bind_column(const mmb_plan *plan, mmb_binding *parent, uint32_t record,
                        const char *name, uint32_t arrow, const mmb_arrow_schema *schema,
                        unsigned depth, mmb_fault *fault)
{
    if (strcmp(name, "@which") == 0 && plan->structs[record].members != 0) {
        return bind_tag(plan, parent, record, arrow, schema, fault);
    }
    const char *dot = strchr(name, '.');
    size_t length = dot != NULL ? (size_t)(dot - name) : strlen(name);
    uint32_t field = find_field(plan, record, name, length);
    if (field == MMB_NONE) {
        return no_field(parent, name, fault);
    }
    const mmb_plan_type *type = &plan->types[plan->fields[field].type];
    parent->has_union = parent->has_union || plan->fields[field].tag != MMB_NONE;
    if (dot != NULL) {
        if (type->kind != MMB_GROUP && type->kind != MMB_STRUCT) {
            return no_field(parent, name, fault);
        }
        mmb_binding *group = inline_group(plan, parent, field);
        if (group == NULL) {
            return mmb__bind_fail(fault, MMB_FAULT_MEMORY, parent, "no memory");
        }
        group->up = parent;
        return bind_column(plan, group, type->target, dot + 1, arrow, schema, depth + 1, fault);
    }
    mmb_binding *child = add_child(parent);
    if (child == NULL) {
        return mmb__bind_fail(fault, MMB_FAULT_MEMORY, parent, "no memory");
    }
    child->up = parent;
    child->name = plan->fields[field].name;
    child->arrow = arrow;
    child->field = field;
    child->type = plan->fields[field].type;
    child->record = type->target;
    if (twice(parent, field, false)) {
        return mmb__bind_fail(fault, MMB_FAULT_VALUE, child, "the column is given twice");
    }
    return bind_value(plan, child, schema, depth, fault);
}

static bool bind_struct(const mmb_plan *plan, mmb_binding *b, uint32_t record,
                        const mmb_arrow_schema *schema, unsigned depth, mmb_fault *fault)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        const mmb_arrow_schema *child = schema->children[i];
        if (!bind_column(plan, b, record, child->name != NULL ? child->name : "", (uint32_t)i,
                         child, depth + 1, fault)) {
            return false;
        }
    }
    return true;
}

/* Bind values to the type of `b`. */
static bool bind_value(const mmb_plan *plan, mmb_binding *b, const mmb_arrow_schema *schema,
                       unsigned depth, mmb_fault *fault)
{
    const mmb_plan_type *type = &plan->types[b->type];
    if (depth > MOST_DEPTH) {
        return mmb__bind_fail(fault, MMB_FAULT_VALUE, b, "columns nest more than %d deep",
                              (int)MOST_DEPTH);
    }
    if (type->kind == MMB_ANY_POINTER || type->kind == MMB_INTERFACE) {
        return mmb__bind_fail(fault, MMB_FAULT_TYPE, b, "%s can only be set with pycapnp",
                              kind_names[type->kind]);
    }
    if (schema->format == NULL || !read_format(b, schema->format)) {
        return mmb__bind_fail(fault, MMB_FAULT_TYPE, b, "%s",
                              hint(schema->format != NULL ? schema->format : ""));
    }
    if (!read_dictionary(b, schema, fault)) {
        return false;
    }
    mmb_in_layout layout = b->has_dictionary ? b->dictionary->layout : b->layout;
    if (type->kind == MMB_GROUP && layout != MMB_IN_STRUCT) {
        uint32_t value = mmb_plan_nullable(plan, type->target);
        if (value != MMB_NONE) {
            b->is_nullable_group = true;
            mmb_binding *inner = add_child(b);
            if (inner == NULL) {
                return mmb__bind_fail(fault, MMB_FAULT_MEMORY, b, "no memory");
            }
            inner->up = b;
            inner->field = value;
            inner->type = plan->fields[value].type;
            inner->record = plan->types[inner->type].target;
            return bind_value(plan, inner, schema, depth + 1, fault);
        }
    }
    if (!converts(layout, type->kind)) {
        return mmb__bind_fail(fault, MMB_FAULT_TYPE, b, "%s cannot be made of Arrow's type \"%s\"",
                              kind_names[type->kind], schema->format);
    }
    if (b->has_dictionary) {
        b->dictionary->type = b->type;
    }
    if (b->layout == MMB_IN_STRUCT) {
        return bind_struct(plan, b, type->target, schema, depth, fault);
    }
    if (type->kind == MMB_LIST && layout != MMB_IN_NULL) {
        if (schema->n_children != 1) {
            return mmb__bind_fail(fault, MMB_FAULT_TYPE, b, "a list without one child");
        }
        mmb_binding *element = add_child(b);
        if (element == NULL) {
            return mmb__bind_fail(fault, MMB_FAULT_MEMORY, b, "no memory");
        }
        element->up = b;
        element->type = type->target;
        element->record = plan->types[type->target].target;
        return bind_value(plan, element, schema->children[0], depth + 1, fault);
    }
    return true;
}

static void clear(mmb_binding *binding)
{
    for (uint32_t i = 0; i < binding->child_count; i++) {
        clear(&binding->children[i]);
    }
    free(binding->children);
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
                              mmb_fault *fault)
{
    mmb_binding *binding = calloc(1, sizeof *binding);
    *fault = (mmb_fault){0};
    if (binding == NULL) {
        fault->kind = MMB_FAULT_MEMORY;
        return NULL;
    }
    binding->field = MMB_NONE;
    binding->record = record;
    binding->layout = MMB_IN_STRUCT;
    bool good = true;
    for (uint32_t i = 0; good && i < count; i++) {
        const char *name = schemas[i]->name != NULL ? schemas[i]->name : "";
        good = bind_column(plan, binding, record, name, i, schemas[i], 0, fault);
    }
    return finish(binding, good);
}

mmb_binding *mmb_bind_elements(const mmb_plan *plan, uint32_t element,
                               const mmb_arrow_schema *schema, mmb_fault *fault)
{
    mmb_binding *binding = calloc(1, sizeof *binding);
    *fault = (mmb_fault){0};
    if (binding == NULL) {
        fault->kind = MMB_FAULT_MEMORY;
        return NULL;
    }
    binding->field = MMB_NONE;
    binding->type = element;
    binding->record = plan->types[element].target;
    return finish(binding, bind_value(plan, binding, schema, 0, fault));
}
