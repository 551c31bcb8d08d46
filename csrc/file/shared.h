/* shared.h - the *shared state* of a file: what a forked child shares with its parent.
 *
 * It lies in shared anonymous memory. So when a child finds the disk full, the parent's close
 * learns of it; and when the parent has sealed the file, a child does not grow it. The state
 * begins as zeros. The comment of each field says who writes it, who reads it, and under which
 * memory order.
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
    /* Bytes; how far we have moved EOF. Raised (release) after the file was extended, never
     * lowered. A thread that reads it (acquire) *before* fstat must find the file at least this
     * long; otherwise another program has truncated the file. */
    _Atomic uint64_t backed;
    /* Bytes; [0, allocated_end) is known to have blocks. Raised (compare-and-swap) by a thread
     * that has allocated some, lowered before blocks are given back. A value that is too low is
     * always safe. One that is too high would make a hole look like another program's truncation.
     * Blocks below EOF are allocated, and given back, under mmb__begin_blocks (file.h). */
    _Atomic uint64_t allocated_end;
    /* Where the next append goes. Appends take ranges by compare-and-swap. Any value is safe,
     * since each append looks whether its range fits. seq_cst. */
    _Atomic uint64_t cursor;
    /* Bytes; the content has at least this size, which is at most the capacity. A thread that has
     * written up to there, and still is in flight, raises it (compare-and-swap): the owner's seal
     * waits for that thread before it reads this. Only the owner's truncate lowers it. seq_cst. */
    _Atomic uint64_t declared_size;
    /* 0, or the first cause of poisoning. It is set once, by compare-and-swap. */
    _Atomic int poison;
    /* The least offset from which on stores did not reach the file; the place in the file where
     * the record of it goes; what else the record keeps (loss.h). UINT64_MAX stands for none.
     * The first is lowered by compare-and-swap. The owner sets the others, the place last.
     * seq_cst. */
    _Atomic uint64_t lost_from;
    _Atomic uint64_t loss_place;
    _Atomic uint64_t loss_kept;
    /* Threads, of all processes, that are writing the record at this moment. They count themselves
     * in (seq_cst) before they read the place. The thread that takes the place away waits for them.
     */
    _Atomic uint32_t loss_writers;
    /* The owner's seal sets it (seq_cst). A thread that grows the file reads it (seq_cst) after it
     * has counted itself in below. So either that thread sees the seal, or the seal sees that
     * thread and waits. */
    _Atomic bool sealed;
    /* Each entry has a pid, its namespace, and the number of threads of that process that are in
     * flight, or is 0 when it is free. Threads that find no entry are counted in
     * `in_flight_overflow`. Only file.c reads and writes them. seq_cst. */
    _Atomic uint64_t in_flight[MMB__IN_FLIGHT];
    _Atomic uint32_t in_flight_overflow;
    /* mmb_this_process() in the process that holds the lock on EOF (file.h); 0 when free. */
    _Atomic uint64_t eof_lock_holder;
    /* The file system has said that it has no fallocate. Relaxed: a thread that reads an old value
     * makes one more call that is refused. */
    _Atomic bool cannot_allocate;
    /* It is set (seq_cst) before blocks are allocated. From then on there may be blocks beyond EOF,
     * even if the growth fails. The owner reads it when it truncates. */
    _Atomic bool may_have_blocks_beyond_eof;
    /* The file has its label (label.h). The growth that first moves EOF beyond the content sets
     * it; the owner clears it before it truncates. Relaxed: the label matters only after a crash.
     */
    _Atomic bool labelled;
    /* Counters. Relaxed: no code draws conclusions from their order. */
    _Atomic uint64_t growths;
    _Atomic uint64_t faults;
    _Atomic uint64_t prefaulted;
} mmb__shared;

/* Make a shared state of zeros; NULL if there is no memory. Handler: no. */
mmb__shared *mmb__shared_new(void);

/* Give a shared state back. Children that share it go on using it. Handler: no. */
void mmb__shared_free(mmb__shared *shared);

/* The handlers of a fork (map/fork.c) call these. Handler: no. */
void mmb__shared_before_fork(void);
void mmb__shared_after_fork_in_parent(void);
void mmb__shared_after_fork_in_child(void);

#endif
