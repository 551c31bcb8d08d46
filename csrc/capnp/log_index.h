/* log_index.h - how the index of a log lies in its file. Private to csrc/capnp.
 *
 * A header page, then *blocks*: the places of 1,024 messages each, as one base and distances
 * from it in words. After the last message comes the place where it ends. Numbers are in the
 * machine's byte order, since the index is of no use elsewhere.
 *
 * One process writes, any number read at the same time, so each shared field says how:
 * everything about a message is stored before `count` counts it (release), and who has read
 * `count` (acquire) finds it. */
#ifndef MMB_LOG_INDEX_H
#define MMB_LOG_INDEX_H

#include "mmb_log.h"

#include <stdatomic.h>

enum { MMB__INDEX_BLOCK = 1024 }; /* messages */

/* A distance that does not fit: the message is found by going on from the one before it. */
#define MMB__FAR_AWAY UINT32_MAX

typedef struct {
    uint64_t base;                    /* bytes; place of the first message */
    uint32_t delta[MMB__INDEX_BLOCK]; /* words from there; relaxed, published by `count` */
} mmb__index_block;

typedef struct {
    /* Written once, before the file gets its name. `check` is over the four after it. */
    unsigned char magic[8];
    uint64_t check;
    uint64_t device;
    uint64_t inode;
    char key[MMB_KEY_BYTES]; /* by the writer, before it publishes anything */
    uint64_t unused[4];

    /* Written by the writer of the log, read by anybody. */
    _Atomic uint64_t count;     /* messages; release, acquire */
    _Atomic uint64_t committed; /* bytes; stored before `count`, so it may be ahead of it */
    /* 1: good while the file has this size and time. Stored (release) after them. 0: good
     * while the machine is not started again; `boot` is stored before. */
    _Atomic uint32_t settled;
    /* 1 while someone waits for `news` to change. Set by followers, taken back by the writer,
     * which then adds 1 to `news` and wakes all of them. seq_cst, as `count` is where a
     * follower looks at it once more: either the writer sees the follower, or the follower
     * sees the message. */
    _Atomic uint32_t awaited;
    uint64_t size;
    uint64_t mtime;
    unsigned char boot[16];
    _Atomic uint32_t news;
} mmb__index_header;

/* The place of message `number`, or of one before it with how many are left to go on. */
uint64_t mmb__index_nearest(const unsigned char *index, uint64_t number, uint64_t *left);

/* Note in `block` where message `number` starts, or where the one before it ends. */
void mmb__index_put(mmb__index_block *block, uint64_t number, uint64_t place);

/* The header of a settled index of `count` messages that end at `end`. */
void mmb__index_head(mmb__index_header *out, const mmb_log_identity *identity, uint64_t count,
                     uint64_t end);

#endif
