/* memory.h - the memory of a map: the file mapped over the whole range of addresses, made when
 * somebody first asks for it. */
#ifndef MMB_MAP_MEMORY_H
#define MMB_MAP_MEMORY_H

#include "map.h"

/* Map the file, if that is not done: whoever is to touch `base` without having got it from
 * mmb_map_base asks for this first. EBADF, an errno of mmap, or ESTALE when the memory was
 * detached or taken away. Handler: no. */
int mmb__have_memory(mmb_map *map);

/* To be called before the file is read by its descriptor: let it hold what was stored. EBADF, or
 * an errno of msync. Handler: no. */
int mmb__publish_stores(const mmb_map *map);

/* Take the memory away. Handler: no. */
void mmb__unmap(mmb_map *map);

/* A growth has moved EOF because of an access at `offset`: let its page be a huge one, if the
 * file is to become large and has got blocks for all of it. Handler: yes. */
void mmb__welcome_huge_page(mmb_map *map, uint64_t offset);

#endif
