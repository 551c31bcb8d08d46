/* private.h - *private memory*, which replaces the file after a lost store and after the close.
 *
 * A private mapping of the file shows its content at the old addresses, and zeros where the file
 * has nothing. It takes no memory until it is written to, and no later store reaches the file. So
 * after a disk has run full we need memory only for the pages that are still written, and a
 * closed message stays readable. One thing it cannot do: if another program truncates the file
 * later, the pages go, those that were written to as well.
 *
 * Invariants:
 * 1. At no moment is an address of the map unmapped: new memory is moved over the old.
 * 2. A file system that has failed may refuse a private mapping of the file. Then the shared
 *    mapping stays. When an access to one of its pages fails, that page becomes a copy of what
 *    can be read there.
 * 3. `private_from` only goes down. Private memory stays private, since what was stored in it is
 *    nowhere else. */
#ifndef MMB_MAP_PRIVATE_H
#define MMB_MAP_PRIVATE_H

#include "map.h"

/* Let the access at `offset` succeed in private memory, whatever the state of the file. First the
 * memory from its page on becomes private. If the page cannot be had even then, it becomes a copy
 * of itself, or zeros. False if the kernel grants no memory for that, or if the fault still comes
 * back. Handler: yes. */
bool mmb__make_private(mmb_map *map, uint64_t offset);

/* Make all of the memory private, if there is any. It shows the file as it is now up to `end`, and
 * zeros beyond; `lazily` is as for mmb_map_snapshot. If the map is poisoned, memory that is private
 * already stays as it is. Handler: no. */
int mmb__make_all_private(mmb_map *map, uint64_t end, bool lazily);

/* Return true if the fault at `offset` has come back so often that our answer does not help.
 * Handler: yes. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset);

/* A forked child calls this: the thread that was replacing memory does not exist there.
 * Handler: no. */
void mmb__private_after_fork(mmb_map *map);

#endif
