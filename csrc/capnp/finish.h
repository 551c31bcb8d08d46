/* finish.h - the writes that turn an unfinished message into a finished one. Private to
 * csrc/capnp. */
#ifndef MMB_FINISH_H
#define MMB_FINISH_H

#include "building.h"

/* Where the message lies. Borrows all. */
typedef struct {
    mmb_map *map;    /* or NULL */
    int fd;          /* open for reading and writing */
    uint64_t offset; /* of the message: bytes from the start of the file */
    bool durable;    /* wait for the device between writes of which the order matters */
} mmb__target;

/* What the finished table is going to say. Plain data, about 2 KiB. */
typedef struct {
    uint32_t entries;                 /* of the table that was set aside */
    uint32_t count;                   /* segments, at least 1; the last has used words */
    uint32_t words[MMB_MAX_SEGMENTS]; /* full words, of the last the used ones */
    bool has_far_pointers;            /* or it is not known */
    bool null_root;                   /* whatever lies where the root pointer would be */
} mmb__plan;

/* Bytes of the finished message. Pure. */
uint64_t mmb__plan_bytes(const mmb__plan *plan);

/* Entries of the finished table, and segments of it that have words. Pure. */
uint32_t mmb__plan_entries(const mmb__plan *plan);
uint32_t mmb__plan_segments(const mmb__plan *plan);

/* Finish the message. Whatever stops it, and wherever: until it is finished, the mark stands
 * and the message can be recovered. */
int mmb__finish(const mmb__target *target, const mmb__plan *plan);

#endif
