/* private.h - a private copy in place of the file: for poisoned and closed maps.
 *
 * A private mapping of the file shows its content at the old addresses, costs
 * nothing until it is written, and keeps every later store out of the file; zeros
 * stand where the file has nothing. So a full disk needs no other memory than the
 * pages that are written after it, and a closed message stays readable. What it
 * cannot do: whoever truncates the file later takes the pages away, changed ones too. */
#ifndef MMB_MAP_PRIVATE_H
#define MMB_MAP_PRIVATE_H

#include "map.h"

/* Let the access at `offset` succeed in private memory, whatever the file's
 * state: the whole map becomes a private copy first, a page of zeros covers what
 * even then cannot be had. False if the kernel grants no memory for it, or if that
 * does not help. Handler: yes. */
bool mmb__make_private(mmb_map *map, uint64_t offset);

/* Replace the memory, if there is any, by a private copy of the whole file, unless that of a
 * poisoned map is one already: its stores are nowhere else. Handler: no. */
int mmb__make_all_private(mmb_map *map);

/* True if the fault at `offset` came back so often that our answer cannot be what it
 * needs. Handler: yes. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset);

/* In a forked child: who was replacing memory is not there. Handler: no. */
void mmb__private_after_fork(mmb_map *map);

#endif
