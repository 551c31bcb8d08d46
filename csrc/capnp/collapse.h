/* collapse.h - taking the unused tails of segments out of a file. Private to csrc/capnp. */
#ifndef MMB_COLLAPSE_H
#define MMB_COLLAPSE_H

#include "journal.h"

/* Decide what to collapse: lowers `plan->after` below `plan->before` for segments
 * but the last of which `used_words` leaves enough to be worth it. Only looks. */
void mmb__collapse_plan(const mmb_map *map, mmb__plan *plan, const uint32_t *used_words);

/* Collapse as planned. The file system may refuse; then `plan->after` is raised to
 * what was reached, and that is no error. */
int mmb__collapse_run(mmb_map *map, mmb__plan *plan);

#endif
