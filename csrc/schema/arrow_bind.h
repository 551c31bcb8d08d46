/* arrow_bind.h - which column of Arrow is for which field of a schema.
 *
 * A *binding* says which field of a struct a column of Arrow is for, and how its values are
 * read. It is made once for the schemas of the arrays; making it refuses types that do not
 * fit. Afterwards it is constant, and any thread may use it.
 *
 * No function here may be called from a signal handler.
 */
#ifndef MMB_ARROW_BIND_H
#define MMB_ARROW_BIND_H

#include "arrow_binding.h"

/* Bind columns of these schemas to the fields of a struct. Names may be dotted, for fields
 * of groups. NULL with the fault set. */
mmb_binding *mmb_bind_columns(const mmb_plan *plan, uint32_t record,
                              const mmb_arrow_schema *const *schemas, uint32_t count,
                              mmb_fault *fault);

/* Bind one array to a list of `element`s, as which its values are staged. */
mmb_binding *mmb_bind_elements(const mmb_plan *plan, uint32_t element,
                               const mmb_arrow_schema *schema, mmb_fault *fault);
void mmb_binding_free(mmb_binding *binding);

#endif
