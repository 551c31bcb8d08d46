/* answer.h - the *answer* to a fault in a map. Either the file grows, or an error poisons the map
 * and the access succeeds in private memory. */
#ifndef MMB_MAP_ANSWER_H
#define MMB_MAP_ANSWER_H

#include "file/growth.h"
#include "map.h"

/* Answer an access at `offset` that the kernel has refused. True if the access will succeed when it
 * is tried again; false if the fault is not ours to answer. Handler: yes. */
bool mmb__answer_fault(mmb_map *map, uint64_t offset, mmb__access access);

#endif
