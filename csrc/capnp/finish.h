/* finish.h - the writes that turn an unfinished message into a finished one. Private to
 * csrc/capnp. */
#ifndef MMB_FINISH_H
#define MMB_FINISH_H

#include "building.h"

/* The file of a message, and where the message lies in it. All of it is borrowed. */
typedef struct {
    mmb_map *map;    /* or NULL */
    int fd;          /* open for reading and writing */
    uint64_t offset; /* of the message: bytes from the start of the file */
    bool durable;    /* wait for the device between writes whose order matters */
} mmb__message_file;

/* An *outcome* is what a message will be when it is finished. Plain data, about 2 KiB. */
typedef struct {
    uint32_t entries;                 /* of the table that was set aside */
    uint32_t count;                   /* segments, at least 1; the last has used words */
    uint32_t words[MMB_MAX_SEGMENTS]; /* full words; for the last segment the used words */
    bool has_far_pointers;            /* there may be some */
    bool null_root;                   /* the root is null, whatever the file has in its place */
} mmb__outcome;

/* Return the bytes of the finished message. Pure. */
uint64_t mmb__outcome_bytes(const mmb__outcome *outcome);

/* Return the entries of the finished table; and how many of them have words. Pure. */
uint32_t mmb__outcome_entries(const mmb__outcome *outcome);
uint32_t mmb__outcome_segments(const mmb__outcome *outcome);

/* Finish the message. If something stops this at any step, the message still has its mark, and can
 * be recovered. */
int mmb__finish(const mmb__message_file *file, const mmb__outcome *outcome);

#endif
