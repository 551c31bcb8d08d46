/* arrow_stager.c - makes refusals that name their row, and finds parts of columns. See
 * arrow_stager.h. */
#include "arrow_stager.h"

bool mmb__fail(mmb__stager *w, uint64_t index, mmb_refusal_kind kind, const mmb_binding *b,
               const char *text)
{
    mmb__bind_fail(w->refusal, kind, b, "%s", text);
    w->refusal->has_row = true;
    w->refusal->row = w->level == 0 ? w->base + index : w->row;
    return false;
}

bool mmb__fail_at(mmb__stager *w, uint64_t index)
{
    w->refusal->has_row = true;
    w->refusal->row = w->level == 0 ? w->base + index : w->row;
    return false;
}

bool mmb__fail_stage(mmb__stager *w, uint64_t index, const mmb_binding *b, int error)
{
    bool full = error == MMB_ECAPACITY;
    return mmb__fail(w, index, full ? MMB_REFUSED_CAPACITY : MMB_REFUSED_MEMORY, b,
                     full ? "more than a list, or the 4 GiB of one segment, can hold"
                          : "no memory");
}

mmb_arrow_part mmb__part_of(const mmb_binding *child, mmb__columns from)
{
    if (from.parts != NULL) {
        mmb_arrow_part part = from.parts[child->arrow];
        part.start += from.start;
        return part;
    }
    return (mmb_arrow_part){from.array->children[child->arrow],
                            (uint64_t)from.array->offset + from.start};
}
