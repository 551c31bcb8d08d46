/* helper.h - the helper thread of a map, which works ahead of the program's stores and behind them.
 *
 * Ahead (prefault): pages of what growth has backed are brought in before the
 * stores meet them, so that a second core does the zeroing. Behind (writeback):
 * the kernel is told to start writing what the stores have left, so that a later
 * sync finds little to do. Both are advice: the thread changes no content, never
 * fills a hole, and gives up quietly on any error. */
#ifndef MMB_MAP_HELPER_H
#define MMB_MAP_HELPER_H

#include "map.h"

/* Start the thread, all signals blocked in it. Handler: no. */
int mmb__helper_start(mmb_map *map, bool prefault, bool writeback);

/* Stop it for a fork, so that the process has no thread of ours then: the child would not have
 * it, and Python warns of forks beside threads. mmb_map_resume_helper starts it again. Under the
 * registry's lock. Handler: no. */
void mmb__helper_pause(mmb_map *map);

/* Stop it and wait for its end; in a forked child, where it does not exist, only
 * free its memory. No thread may be growing the map any more. Handler: no. */
void mmb__helper_stop(mmb_map *map);

#endif
