/* private.h - private memory in place of the file: where a store is lost, and after the close.
 *
 * A private mapping of the file shows its content at the old addresses, costs
 * nothing until it is written, and keeps every later store out of the file; zeros
 * stand where the file has nothing. So a full disk needs no other memory than the
 * pages that are written after it, and a closed message stays readable. What it
 * cannot do: whoever truncates the file later takes the pages away, changed ones too.
 *
 * Invariants:
 * 1. At no moment is there nothing at an address of the map: new memory is moved over the old.
 * 2. Where the file cannot be mapped privately, as on a file system that has failed, the shared
 *    mapping stays, and page by page, as accesses to it fail, becomes a copy of what can be
 *    read there.
 * 3. `private_from` only goes down. What is private stays so: its stores are nowhere else. */
#ifndef MMB_MAP_PRIVATE_H
#define MMB_MAP_PRIVATE_H

#include "map.h"

/* Let the access at `offset` succeed in private memory, whatever the file's state: what lies
 * from its page on becomes private first; a page that even then cannot be had becomes a copy of
 * itself, or zeros. False if the kernel grants no memory for that, or if it does not help.
 * Handler: yes. */
bool mmb__make_private(mmb_map *map, uint64_t offset);

/* Make all of the memory private, if there is any: it shows the file as it is now, up to `end`,
 * and zeros beyond. On a poisoned map what was private before stays as it is. Handler: no. */
int mmb__make_all_private(mmb_map *map, uint64_t end);

/* True if the fault at `offset` came back so often that our answer cannot be what it
 * needs. Handler: yes. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset);

/* In a forked child: who was replacing memory is not there. Handler: no. */
void mmb__private_after_fork(mmb_map *map);

#endif
