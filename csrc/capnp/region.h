/* region.h - a part of a growing file. Public.
 *
 * A *region* is the bytes [offset, offset + capacity) of the file of a map, in which one
 * message is built. A message that has its file to itself has the region that begins at 0;
 * a log has one region after the other. */
#ifndef MMB_REGION_H
#define MMB_REGION_H

#include "mmb_map.h"

typedef struct {
    mmb_map *map;      /* borrowed */
    uint64_t offset;   /* bytes; a multiple of 8 */
    uint64_t capacity; /* bytes; offset + capacity is at most that of the map */
} mmb_region;

#endif
