/* answer.h - the answer to a fault in a map: the file grows, or what is wrong with it poisons
 * the map and the access succeeds in private memory. */
#ifndef MMB_MAP_ANSWER_H
#define MMB_MAP_ANSWER_H

#include "file/growth.h"
#include "map.h"

/* Answer an access at `offset` that the kernel refused. True if it will succeed when it is tried
 * again; false if that is not for us to bring about. Handler: yes. */
bool mmb__answer_fault(mmb_map *map, uint64_t offset, mmb__access access);

#endif
