/* memory.h - the memory of a map: the file mapped over the whole range of addresses.
 *
 * It is made when somebody first asks for it, or at opening, where addresses may be short. What
 * it is at a moment is one of mmb__memory (map.h). */
#ifndef MMB_MAP_MEMORY_H
#define MMB_MAP_MEMORY_H

#include "map.h"

/* Map the file, if that is not done; nobody has the address thereby. EBADF, an errno of mmap,
 * or ESTALE when the memory was given up or taken away. Handler: no. */
int mmb__make_memory(mmb_map *map);

/* To be called before the file is read by its descriptor: let it hold what was stored. EBADF, or
 * an errno of msync. Handler: no. */
int mmb__publish_stores(const mmb_map *map);

/* Take the memory away. Handler: no. */
void mmb__unmap(mmb_map *map);

/* A growth has moved EOF because of an access at `offset`: let its page be a huge one, if the
 * file is to become large and has got blocks for all of it. Handler: yes. */
void mmb__welcome_huge_page(mmb_map *map, uint64_t offset);

#endif
