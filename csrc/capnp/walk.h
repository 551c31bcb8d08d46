/* walk.h - the walk over any source of words. Private to csrc/capnp. */
#ifndef MMB_WALK_H
#define MMB_WALK_H

#include "mmb_capnp.h"
#include "source.h"

/* How to walk. All zero: a message that must be right as it is. */
typedef struct {
    const mmb_interrupt *interrupt; /* or NULL */
    bool mends;                     /* see mmb__reader */
    bool writes;                    /* and what is mended is written into the file */
    uint64_t lost_from;
} mmb__way;

/* mmb_walk over `source`; also returns the source's errors of reading and writing, and EINTR.
 * `used` has room for source->count. */
int mmb__walk(mmb__source *source, const mmb__way *way, uint32_t *used, mmb_totals *totals,
              mmb_flaw *flaw);

#endif
