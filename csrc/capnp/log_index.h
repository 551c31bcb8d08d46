/* log_index.h - how the index of a log lies in its file. Private to csrc/capnp.
 *
 * The file has a header page, and then *blocks*. A block has the places of 1,024 messages, as one
 * base and distances from it in words, and a checksum of these messages. Behind the last message
 * comes the place where it ends. Numbers are in the machine's byte order, since the index is of no
 * use on another machine.
 *
 * One process writes at a time, and any number read meanwhile, so each shared field says how this
 * is done. All about a message is stored before `count` counts the message (release). A reader that
 * has read `count` (acquire) finds all of it. */
#ifndef MMB_LOG_INDEX_H
#define MMB_LOG_INDEX_H

#include "mmb_log.h"

#include <stdatomic.h>

enum { MMB__MARKS = 64 };

/* This stands for a distance that does not fit. The message is then found from the one before
 * it. */
#define MMB__FAR_AWAY UINT32_MAX

typedef struct {
    uint64_t base; /* place of the first message in bytes */
    /* The CRC32C of the bytes of messages [from, upto) of this block, together with these two
     * numbers: crc << 32 | from << 16 | upto. Messages before `from` were noted without a
     * checksum. It is one store, so a writer that is killed leaves the old checksum or the new
     * one. Relaxed: only writers and recovery look at it. */
    _Atomic uint64_t sum;
    uint64_t unused[2];
    uint32_t delta[MMB_INDEX_BLOCK]; /* words from the base; relaxed, published by `count` */
} mmb__index_block;

/* What is known to be on the device. The two slots are written in turn; a slot is valid if its
 * check is right. */
typedef struct {
    uint64_t synced; /* bytes */
    uint64_t count;
    uint64_t check;
} mmb__index_slot;

/* The tail of the log's file, for all its writers. Their lock guards it. */
typedef struct {
    uint64_t ready; /* [committed, ready) has blocks and lies in the file */
    uint64_t reach; /* bytes that the present fence claims; 0: the file is cut and has no fence */
    uint64_t cuts;  /* how often the file was made shorter; maps from before that cannot be used */
    uint64_t marks; /* how many marks were taken so far */
    struct {
        uint64_t time;  /* monotonic, ns */
        uint64_t end;   /* the committed end at that time */
    } mark[MMB__MARKS]; /* number i is mark[i % MMB__MARKS] */
} mmb__log_tail;

typedef struct {
    /* These are written once, before the file gets its name. `check` covers the three numbers
     * after it. */
    unsigned char magic[8];
    uint64_t check;
    uint64_t device;
    uint64_t inode;
    uint64_t generation;     /* when the index was made, ns */
    char key[MMB_KEY_BYTES]; /* the writer sets it before it publishes anything */
    /* 1: a writer has waited long for the lock. Any writer sets it or takes it back. Relaxed: if it
     * is wrong, some writer waits a few milliseconds longer. */
    _Atomic uint32_t starving;
    uint32_t unused[5];

    /* The writer of the log writes these; any process may read them. */
    _Atomic uint64_t count;     /* number of messages; release, acquire */
    _Atomic uint64_t committed; /* in bytes; stored before `count`, so it may be ahead of it */
    /* 1: the index is good while the file has this size and time, which are stored before
     * (release). 0: it is good until the machine starts again; `boot` is stored before. */
    _Atomic uint32_t settled;
    /* 1 while a follower waits for `news` to change. Followers set it. The writer takes it back,
     * adds 1 to `news`, and wakes all of them. It is seq_cst, as `count` is where a follower
     * looks at it again: either the writer sees the follower, or the follower sees the message. */
    _Atomic uint32_t awaited;
    uint64_t size;
    uint64_t mtime;
    unsigned char boot[16];
    _Atomic uint32_t news;

    /* The lock of the writers: 0, or the token of its owner, with MMB__CONTENDED if another
     * writer may sleep until the lock is free. MMB__CONTENDED alone: it is free, but kept for a
     * writer that starves. Acquire, release. */
    _Atomic uint32_t lock;

    _Atomic uint64_t synced; /* in bytes; the most that a slot on the device has said */
    mmb__index_slot slot[2]; /* the lock guards it */
    mmb__log_tail tail;      /* the lock guards it */
} mmb__index_header;

_Static_assert(sizeof(mmb__index_header) <= 4096, "the header has one page");

#define MMB__CONTENDED 0x80000000u

static inline mmb__index_header *mmb__index_header_of(const unsigned char *memory)
{
    return (mmb__index_header *)(uintptr_t)memory;
}

mmb__index_block *mmb__index_block_of(const unsigned char *memory, uint64_t number);

/* Return the place of message `number`, or that of a message before it; `*left` is how far apart
 * they are. */
uint64_t mmb__index_nearest(const unsigned char *index, uint64_t number, uint64_t *left);

/* Note in `block` where message `number` starts, or where the last message ends. */
void mmb__index_put(mmb__index_block *block, uint64_t number, uint64_t place);

/* Make the header of a settled index of `count` messages that end at `end`. */
void mmb__index_head(mmb__index_header *out, const mmb_log_identity *identity, uint64_t count,
                     uint64_t end);

/* Make a `sum` of its parts, or return a part of it. */
static inline uint64_t mmb__sum(uint32_t crc, uint32_t from, uint32_t upto)
{
    return (uint64_t)crc << 32 | from << 16 | upto;
}

static inline uint32_t mmb__sum_from(uint64_t sum)
{
    return (uint32_t)sum >> 16;
}

static inline uint32_t mmb__sum_upto(uint64_t sum)
{
    return (uint32_t)sum & 0xFFFF;
}

/* Return whether the header of a frame is a fence. */
static inline bool mmb__is_fence(uint64_t header)
{
    return header != 0 && header % mmb_fence_of(MMB_FENCE_UNIT) == 0;
}

/* Return the slot that says the most; NULL if neither is valid. */
const mmb__index_slot *mmb__index_best_slot(const mmb__index_header *header);

/* Write the other slot, which says less. */
void mmb__index_put_slot(mmb__index_header *header, uint64_t count, uint64_t synced);

#endif
