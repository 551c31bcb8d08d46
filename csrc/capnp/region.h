/* region.h - a part of a growing file. Public.
 *
 * A *region* is the bytes [offset, offset + capacity) of the file of a map. One message is built in
 * it. If a file has only one message, its region begins at 0. */
#ifndef MMB_REGION_H
#define MMB_REGION_H

#include "mmb_map.h"

typedef struct {
    mmb_map *map;      /* borrowed */
    uint64_t offset;   /* in bytes; a multiple of 8 */
    uint64_t capacity; /* in bytes; offset + capacity is at most the capacity of the map */
} mmb_region;

#endif
