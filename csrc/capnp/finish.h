/* finish.h - the writes that turn an unfinished message into a finished one. Private to
 * csrc/capnp. */
#ifndef MMB_FINISH_H
#define MMB_FINISH_H

#include "building.h"

/* Where the message lies. All of it is borrowed. */
typedef struct {
    mmb_map *map;    /* or NULL */
    int fd;          /* open for reading and writing */
    uint64_t offset; /* of the message: bytes from the start of the file */
    bool durable;    /* wait for the device between writes whose order matters */
} mmb__target;

/* What the finished table will say. Plain data, about 2 KiB. */
typedef struct {
    uint32_t entries;                 /* of the table that was set aside */
    uint32_t count;                   /* segments, at least 1; the last has used words */
    uint32_t words[MMB_MAX_SEGMENTS]; /* full words; for the last segment the used words */
    bool has_far_pointers;            /* there may be some */
    bool null_root;                   /* the root is null, whatever the file has in its place */
} mmb__plan;

/* Return the bytes of the finished message. Pure. */
uint64_t mmb__plan_bytes(const mmb__plan *plan);

/* Return the entries of the finished table; and how many of them have words. Pure. */
uint32_t mmb__plan_entries(const mmb__plan *plan);
uint32_t mmb__plan_segments(const mmb__plan *plan);

/* Finish the message. If something stops this at any step, the message still has its mark, and can
 * be recovered. */
int mmb__finish(const mmb__target *target, const mmb__plan *plan);

#endif
