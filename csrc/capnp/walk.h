/* walk.h - the walk over any source of words. Private to csrc/capnp. */
#ifndef MMB_WALK_H
#define MMB_WALK_H

#include "source.h"

/* mmb_walk over `source`; also returns the source's errors of reading. `used` has
 * room for source->count. */
int mmb__walk(const mmb__source *source, uint32_t *used, mmb_totals *totals, mmb_flaw *flaw);

#endif
