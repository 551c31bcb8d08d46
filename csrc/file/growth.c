/* growth.c - how far a file grows, and how its EOF gets there. */
#include "growth.h"

#include "in_flight.h"
#include "mark.h"
#include "turn.h"

#include <errno.h>

/* ---- one move of EOF ------------------------------------------------------- */

/* Blocks for [start, blocks_end), EOF at `end`. */
typedef struct {
    uint64_t start;
    uint64_t blocks_end;
    uint64_t end;
} move;

/* Raise EOF to `end` on a file system without fallocate. */
static int raise_by_truncation(const mmb__file *file, uint64_t end)
{
    mmb__lock_eof(file);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0 && eof < end) {
        error = mmb__os_truncate(file->fd, end);
    }
    if (error == 0) {
        mmb__note_backed(file, end); /* before the next in turn looks */
    }
    mmb__unlock_eof(file);
    return error;
}

static int raise_by_allocation(const mmb__file *file, const move *wanted)
{
    uint64_t from = wanted->end - 1;
    if (wanted->blocks_end > wanted->start) {
        int error = mmb__allocate(file, wanted->start, wanted->blocks_end - wanted->start);
        if (error == EOPNOTSUPP) {
            from = wanted->start; /* NFS: only blocks and EOF together */
        } else if (error != 0) {
            return error;
        }
    }
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    return error != 0 ? error : mmb__os_raise(file->fd, from, wanted->end);
}

/* A move from a granule or more: others may be making theirs. */
static int raise_later(const mmb__file *file, const move *wanted)
{
    if (mmb__can_allocate(file)) {
        int error = raise_by_allocation(file, wanted);
        if (error != EOPNOTSUPP) {
            return error;
        }
        atomic_store_explicit(&file->shared->cannot_allocate, true, memory_order_relaxed);
    }
    return raise_by_truncation(file, wanted->end);
}

/* Raise EOF over a hole, but for the blocks of a few pages. */
static int raise_without_blocks(const mmb__file *file, const move *wanted)
{
    if (wanted->blocks_end > wanted->start) {
        int error = mmb__allocate(file, wanted->start, wanted->blocks_end - wanted->start);
        if (error != 0) {
            return error;
        }
    }
    return mmb__os_truncate(file->fd, wanted->end);
}

/* The first move, from below a granule: from 0, mostly. Nobody else's move can get in
 * between, since it would be a first one too; so ftruncate cannot shrink what another
 * process has raised. */
static int raise_first(const mmb__file *file, const move *wanted)
{
    mmb__lock_eof(file);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    bool first = error == 0 && eof < MMB_GRANULE;
    if (first && wanted->blocks_end == wanted->end) {
        error = raise_by_allocation(file, wanted);
    } else if (first) {
        error = raise_without_blocks(file, wanted);
    }
    if (first && error == 0) {
        mmb__note_backed(file, wanted->end);
    }
    mmb__unlock_eof(file);
    if (first ? error == EOPNOTSUPP : error == 0) {
        /* Another process was first: EOF may be high enough, but its blocks are not
         * those that are wanted here. */
        error = raise_later(file, wanted);
    }
    return error;
}

static int raise_eof(const mmb__file *file, uint64_t eof, const move *wanted)
{
    return eof < MMB_GRANULE ? raise_first(file, wanted) : raise_later(file, wanted);
}

/* ---- policy ---------------------------------------------------------------- */

static bool no_space(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

/* How many bytes the file grows by where a writer goes on at its end: it doubles, from a first
 * step up to a limit. */
static uint64_t step_from(const mmb__file *file, uint64_t eof)
{
    uint64_t most =
        mmb__min(file->max_growth, atomic_load_explicit(&file->step_limit, memory_order_relaxed));
    return mmb__min(mmb__max(mmb__round_up(eof, MMB_GRANULE), file->first_step), most);
}

/* Up to where a growth that asks for [from, to) gets blocks.
 *
 * The first granule of a small file gets none: they come one by one with its pages, and the
 * second growth gives it the rest. It is the same when small calls fill it. Where closing
 * would write out a file that was truncated, the first pages get theirs at once, which spares
 * that. */
static uint64_t blocks_end_of(const mmb__file *file, const move *planned, uint64_t from,
                              uint64_t to, uint64_t eof)
{
    bool by_small_calls =
        0 < eof && eof <= file->small && to <= MMB_GRANULE && to - from <= file->small;
    bool is_first_and_small = eof < MMB_GRANULE && to <= file->small;
    if (by_small_calls) {
        return planned->start;
    }
    if (is_first_and_small) {
        return file->traits.flushes_after_truncate ? to : planned->start;
    }
    return planned->end;
}

/* Near the end of the file a growth is a whole step; a jump far beyond it gets its own granule
 * and leaves a hole. */
static move plan(const mmb__file *file, uint64_t from, uint64_t to, uint64_t eof,
                 mmb__access access)
{
    /* What calls have written at the start of a file makes it no larger than an empty one. */
    uint64_t begun = eof < MMB_GRANULE ? 0 : eof;
    uint64_t step = step_from(file, begun);
    bool near = from <= begun + step;
    uint64_t wanted = near ? mmb__max(to, begun + step) : to;
    move planned = {
        .start = near ? begun : mmb__round_down(from, MMB_GRANULE),
        .end = mmb__min(mmb__round_up(wanted, MMB_GRANULE), file->limit),
    };
    if (near && begun <= MMB_GRANULE) {
        uint64_t have = atomic_load_explicit(&file->shared->allocated_end, memory_order_relaxed);
        planned.start = mmb__min(begun, have);
    }
    planned.blocks_end =
        access == MMB__READ ? planned.start : blocks_end_of(file, &planned, from, to, eof);
    return planned;
}

/* The disk cannot give a whole step: try what is needed and no more, first in
 * granules, then in pages. */
static int grow_on_full_disk(mmb__file *file, uint64_t from, uint64_t to, uint64_t eof,
                             move *wanted)
{
    atomic_store_explicit(&file->step_limit, MMB_GRANULE, memory_order_relaxed);
    wanted->start = mmb__max(eof, mmb__round_down(from, MMB_GRANULE));
    wanted->end = mmb__min(mmb__round_up(to, MMB_GRANULE), file->limit);
    wanted->blocks_end = wanted->end;
    int error = raise_eof(file, eof, wanted);
    if (no_space(error)) {
        wanted->start = mmb__max(eof, mmb__round_down(from, mmb__os_page()));
        wanted->blocks_end = mmb__round_up(to, mmb__os_page());
        error = raise_eof(file, eof, wanted);
    }
    return error;
}

/* A full disk is not full for ever: after each step that it could give, try a larger one. */
static void relax_step_limit(mmb__file *file)
{
    uint64_t limit = atomic_load_explicit(&file->step_limit, memory_order_relaxed);
    if (limit < file->max_growth) {
        atomic_store_explicit(&file->step_limit, mmb__min(2 * limit, file->max_growth),
                              memory_order_relaxed);
    }
}

/* Tell the helper thread, if there is one, that EOF has moved, and where there are blocks. */
static void wake_helper(mmb__file *file, const move *made)
{
    if (file->grown == NULL) {
        return;
    }
    uint64_t first = mmb__round_up(made->start, MMB_GRANULE) / MMB_GRANULE;
    uint64_t end = made->blocks_end / MMB_GRANULE;
    if (first < end) {
        uint64_t count = mmb__min(end - first, MMB__MOST_FRESH);
        atomic_store_explicit(&file->fresh, first << MMB__FRESH_BITS | count, memory_order_relaxed);
    }
    mmb__os_event_post(file->grown);
}

static void note_growth(mmb__file *file, const move *made)
{
    mmb__note_backed(file, made->end);
    if (mmb__can_allocate(file)) {
        mmb__note_allocated(file, made->start, made->blocks_end);
    }
    atomic_fetch_add_explicit(&file->shared->growths, 1, memory_order_relaxed);
    wake_helper(file, made);
}

static int extend(mmb__file *file, uint64_t from, uint64_t to, uint64_t eof, mmb__access access)
{
    move wanted = plan(file, from, to, eof, access);
    mmb__mark(file);
    int error = raise_eof(file, eof, &wanted);
    if (no_space(error) && access == MMB__WRITE) {
        error = grow_on_full_disk(file, from, to, eof, &wanted);
    } else if (error == 0) {
        relax_step_limit(file);
    }
    if (error == 0) {
        note_growth(file, &wanted);
    }
    return error;
}

int mmb__grow(mmb__file *file, uint64_t from, uint64_t to, mmb__access access, bool *moved)
{
    *moved = false;
    if (to > file->limit) {
        return MMB_ECAPACITY;
    }
    sigset_t before;
    uint32_t entry = mmb__in_flight_enter(file->shared);
    mmb__begin_turn(file, &before);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0 && to > eof) {
        error = extend(file, from, to, eof, access);
        *moved = error == 0;
    }
    mmb__end_turn(file, &before);
    mmb__in_flight_leave(file->shared, entry);
    return error;
}

int mmb__ensure(mmb__file *file, uint64_t from, uint64_t to)
{
    if (to > file->limit) {
        return MMB_ECAPACITY;
    }
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    bool moved = false;
    return error != 0 || to <= eof ? error : mmb__grow(file, from, to, MMB__WRITE, &moved);
}

/* ---- where EOF may stand ------------------------------------------------------ */

/* Move EOF from `eof` to the next multiple of a granule. From below the first one by ftruncate,
 * which takes no blocks, under the lock that all first moves are made under. */
static int round_up_eof(mmb__file *file, uint64_t eof)
{
    uint64_t end = mmb__min(mmb__round_up(eof, MMB_GRANULE), file->limit);
    if (eof >= end) {
        return 0;
    }
    mmb__mark(file);
    int error = eof < MMB_GRANULE ? EOPNOTSUPP : mmb__os_raise(file->fd, end - 1, end);
    if (error == EOPNOTSUPP || no_space(error)) {
        /* On a full disk there is no block for the last byte, but none is needed. */
        error = mmb__os_truncate(file->fd, end);
    }
    if (error == 0) {
        mmb__note_backed(file, end);
        atomic_fetch_add_explicit(&file->shared->growths, 1, memory_order_relaxed);
    }
    return error;
}

int mmb__prepare_for_stores(mmb__file *file)
{
    sigset_t before;
    uint32_t entry = mmb__in_flight_enter(file->shared);
    mmb__begin_blocks(file, &before);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0) {
        error = round_up_eof(file, eof);
    } else if (error != EBADF) {
        error = 0; /* EOF is no more to be moved; a store will find the error, and report it */
    }
    if (error == 0) {
        atomic_store_explicit(&file->eof_is_exact, false, memory_order_release);
    }
    mmb__end_blocks(file, &before);
    mmb__in_flight_leave(file->shared, entry);
    return error;
}

void mmb__prepare_for_fork(mmb__file *file)
{
    atomic_store_explicit(&file->was_forked, true, memory_order_release);
    if (atomic_load_explicit(&file->eof_is_exact, memory_order_acquire)) {
        sigset_t before;
        mmb__begin_turn(file, &before);
        atomic_store_explicit(&file->eof_is_exact, false, memory_order_release);
        mmb__end_turn(file, &before);
    }
}
