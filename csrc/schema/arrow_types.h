/* arrow_types.h - the types of Arrow: how they are spelt, and what they can become. Private to
 * arrow_*.c. */
#ifndef MMB_ARROW_TYPES_H
#define MMB_ARROW_TYPES_H

#include "arrow_binding.h"

/* Set the layout, the width and the meaning of a binding from a type of Arrow. Return false if
 * values of this type are not taken. */
bool mmb__read_format(mmb_binding *b, const char *format);

/* What errors call the types of a schema. */
extern const char *const mmb__kind_names[MMB_TYPE_KINDS];

/* Return what to do with values of a type that is not taken. */
const char *mmb__format_hint(const char *format);

/* Check that values as the binding describes them can become values of a type. Note in the
 * binding how to convert counts of another unit. `format` is for the refusal. */
bool mmb__check_type(mmb_binding *b, const mmb_binding *values, const mmb_plan_type *type,
                     const char *format, mmb_refusal *refusal);

/* Return the code of member `index` of a union, from a format such as "+ud:0,1"; -1 if the
 * format has none. */
int mmb__union_code(const char *format, int64_t index);

static inline bool mmb__is_bytes(mmb_in_layout layout)
{
    return layout == MMB_IN_BYTES || layout == MMB_IN_FIXED_BYTES || layout == MMB_IN_VIEWS;
}

#endif
