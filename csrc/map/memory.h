/* memory.h - the *memory* of a map: the file, mapped over the whole range of addresses.
 *
 * It is made when it is first asked for, or when the map is opened if addresses may be short.
 * Its state is one of mmb__memory (map.h). */
#ifndef MMB_MAP_MEMORY_H
#define MMB_MAP_MEMORY_H

#include "map.h"

/* Map the file, unless that is done. The caller does not learn the address, so EOF may stay where
 * it is. Return 0, EBADF, an errno of mmap, or ESTALE if the memory was given up. Handler: no. */
int mmb__make_memory(mmb_map *map);

/* Let reads by the descriptor see what was stored in the memory. Return 0, EBADF, or an errno of
 * msync. Handler: no. */
int mmb__publish_stores(const mmb_map *map);

/* Take the memory away. Handler: no. */
void mmb__unmap(mmb_map *map);

#endif
