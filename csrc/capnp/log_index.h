/* log_index.h - how the index of a log lies in its file. Private to csrc/capnp.
 *
 * A header page, then *blocks*: the places of 1,024 messages each, as one base and distances
 * from it in words, with a checksum of the messages. After the last message comes the place
 * where it ends. Numbers are in the machine's byte order, since the index is of no use elsewhere.
 *
 * One process writes at a time, any number read meanwhile, so each shared field says how:
 * everything about a message is stored before `count` counts it (release), and who has read
 * `count` (acquire) finds it. */
#ifndef MMB_LOG_INDEX_H
#define MMB_LOG_INDEX_H

#include "mmb_log.h"

#include <stdatomic.h>

enum {
    MMB__INDEX_BLOCK = 1024, /* messages */
    MMB__MARKS = 64,
};

/* A distance that does not fit: the message is found by going on from the one before it. */
#define MMB__FAR_AWAY UINT32_MAX

typedef struct {
    uint64_t base; /* bytes; place of the first message */
    /* CRC32C of the bytes of the messages [from, upto) of this block, and these two numbers:
     * crc << 32 | from << 16 | upto. Those before `from` were noted without a checksum. One store,
     * so that whoever is killed leaves the old checksum or the new. Relaxed: only writers and
     * those who recover look at it. */
    _Atomic uint64_t sum;
    uint64_t unused[2];
    uint32_t delta[MMB__INDEX_BLOCK]; /* words from there; relaxed, published by `count` */
} mmb__index_block;

/* What is on the device: alternately written, each valid if its check is right. */
typedef struct {
    uint64_t synced; /* bytes */
    uint64_t count;
    uint64_t check;
} mmb__index_slot;

/* The tail of the log's file, for all its writers; read and written under their lock. */
typedef struct {
    uint64_t ready; /* [committed, ready) has blocks and lies in the file */
    uint64_t reach; /* bytes that the present fence claims; 0: there is none, the file is cut */
    uint64_t cuts;  /* times that the file was made shorter: maps from before are of no use */
    uint64_t marks; /* taken so far */
    struct {
        uint64_t time;  /* monotonic, ns */
        uint64_t end;   /* the committed end then */
    } mark[MMB__MARKS]; /* number i is mark[i % MMB__MARKS] */
} mmb__log_tail;

typedef struct {
    /* Written once, before the file gets its name. `check` is over the three after it. */
    unsigned char magic[8];
    uint64_t check;
    uint64_t device;
    uint64_t inode;
    uint64_t generation;     /* when the index was made, ns */
    char key[MMB_KEY_BYTES]; /* by the writer, before it publishes anything */
    uint64_t unused[3];

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

    /* The lock of the writers: 0, or the token of its owner, with MMB__CONTENDED if somebody may
     * sleep until it is free. Acquire, release. */
    _Atomic uint32_t lock;

    _Atomic uint64_t synced; /* bytes; the most that a slot has told after it was on the device */
    mmb__index_slot slot[2]; /* under the lock */
    mmb__log_tail tail;      /* under the lock */
} mmb__index_header;

_Static_assert(sizeof(mmb__index_header) <= 4096, "the header has one page");

#define MMB__CONTENDED 0x80000000u

static inline mmb__index_header *mmb__index_header_of(const unsigned char *memory)
{
    return (mmb__index_header *)(uintptr_t)memory;
}

mmb__index_block *mmb__index_block_of(const unsigned char *memory, uint64_t number);

/* The place of message `number`, or of one before it with how many are left to go on. */
uint64_t mmb__index_nearest(const unsigned char *index, uint64_t number, uint64_t *left);

/* Note in `block` where message `number` starts, or where the one before it ends. */
void mmb__index_put(mmb__index_block *block, uint64_t number, uint64_t place);

/* The header of a settled index of `count` messages that end at `end`. */
void mmb__index_head(mmb__index_header *out, const mmb_log_identity *identity, uint64_t count,
                     uint64_t end);

/* Parts of `sum`. */
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

/* The slot of the two that tells the most, NULL if none is valid. */
const mmb__index_slot *mmb__index_best_slot(const mmb__index_header *header);

/* Write the other slot. */
void mmb__index_put_slot(mmb__index_header *header, uint64_t count, uint64_t synced);

#endif
