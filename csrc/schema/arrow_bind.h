/* arrow_bind.h - finds out which column of Arrow is for which field of a schema.
 *
 * A *binding* says for which field of a struct a column of Arrow is, and how its values are read.
 * It is made once from the schemas of the arrays. Types that do not fit are refused at that time. A
 * finished binding is constant, and any thread may use it.
 *
 * No function here may be called from a signal handler. */
#ifndef MMB_ARROW_BIND_H
#define MMB_ARROW_BIND_H

#include "arrow_binding.h"

/* Bind the columns of these schemas to the fields of a struct. A name with dots means a field of
 * a group. Return NULL with the refusal set on an error. */
mmb_binding *mmb_bind_columns(const mmb_plan *plan, uint32_t record,
                              const mmb_arrow_schema *const *schemas, uint32_t count,
                              mmb_refusal *refusal);

/* Bind one array to a list whose elements have the type `element`; its values are staged as
 * such. */
mmb_binding *mmb_bind_elements(const mmb_plan *plan, uint32_t element,
                               const mmb_arrow_schema *schema, mmb_refusal *refusal);
void mmb_binding_free(mmb_binding *binding);

#endif
