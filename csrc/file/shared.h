/* shared.h - the shared state of a file: the part that a forked child shares with its parent.
 *
 * It lies in shared anonymous memory, so that a disk found full by the child reaches the
 * parent's close, and a file sealed by the parent is not grown by the child. It begins
 * zeroed. Each field says who writes it, who reads it, and under which memory order.
 *
 * Lock order: the mutex of the pool (shared.c) is taken alone; a fork takes it last. */
#ifndef MMB_FILE_SHARED_H
#define MMB_FILE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Processes that can move the EOF of a file at once and be told apart. */
#define MMB__IN_FLIGHT 32

typedef struct {
    /* EOF as moved by us. Raised (release) after the file was extended, never
     * lowered: whoever reads it (acquire) *before* fstat must find the file at
     * least this long, or someone else has truncated it. */
    _Atomic uint64_t backed;
    /* [0, allocated_end) is known to have blocks. Raised (compare-and-swap) by whoever has
     * allocated them, lowered before some are punched out; too low is always safe, too
     * high would make a truncation of a hole. What was below EOF when it got blocks, and
     * what is punched out, is so under mmb__begin_blocks (turn.h). */
    _Atomic uint64_t allocated_end;
    /* Where the next append goes; taken range by range with compare-and-swap. Any value
     * is safe: whoever takes a range looks whether it fits. seq_cst. */
    _Atomic uint64_t cursor;
    /* The least that the content holds, in bytes, at the most the capacity. Raised
     * (compare-and-swap) by whoever has written to there and is in flight still, for whom the
     * owner's seal waits before it reads this; lowered by the owner's truncate only. seq_cst. */
    _Atomic uint64_t declared_size;
    /* 0, or the first cause of poisoning. Set once by compare-and-swap. */
    _Atomic int poison;
    /* The least offset from which on stores did not reach the file, and where in the file
     * that is to be written; UINT64_MAX for none. With it goes what the record keeps beside
     * it. The first is lowered by compare-and-swap, the others are set by the owner, the place
     * last; seq_cst. See loss.h. */
    _Atomic uint64_t lost_from;
    _Atomic uint64_t loss_place;
    _Atomic uint64_t loss_kept;
    /* Set by the owner's seal (seq_cst), read by growers (seq_cst) after they
     * count themselves in below: either the grower sees the seal, or the seal
     * sees the grower and waits. */
    _Atomic bool sealed;
    /* pid << 32 | threads of that process that are moving EOF; 0 when free. Those that
     * find no entry are counted in `in_flight_overflow`. Written and read by in_flight.c,
     * seq_cst. */
    _Atomic uint64_t in_flight[MMB__IN_FLIGHT];
    _Atomic uint32_t in_flight_overflow;
    /* mmb_this_process() of the one that holds the lock on EOF (turn.h); 0 when free. */
    _Atomic uint64_t eof_lock_holder;
    /* Set once the file system has said that it has no fallocate. Relaxed: being late
     * costs one more refused call. */
    _Atomic bool cannot_allocate;
    /* Set (seq_cst) before blocks are allocated: there may be some beyond EOF since, whether
     * or not the growth came off. Read by the owner when it truncates. */
    _Atomic bool may_have_blocks_beyond_eof;
    /* The file has its mark (mark.h). Set by the growth that is first to move EOF beyond the
     * content, cleared by the owner before it truncates. Relaxed: advice for after a crash. */
    _Atomic bool marked;
    /* Counters, relaxed: they order nothing. */
    _Atomic uint64_t growths;
    _Atomic uint64_t faults;
    _Atomic uint64_t prefaulted;
} mmb__shared;

/* A new one, zeroed, or NULL. Handler: no. */
mmb__shared *mmb__shared_new(void);

/* Give one back. Children that have it too go on using theirs. Handler: no. */
void mmb__shared_free(mmb__shared *shared);

/* Around a fork, from map/fork.c. Handler: no. */
void mmb__shared_before_fork(void);
void mmb__shared_after_fork_in_parent(void);
void mmb__shared_after_fork_in_child(void);

#endif
