/* growth.c - the growth policy, which says how far a file grows, and the moves of EOF. */
#include "growth.h"

#include "label.h"

#include <errno.h>

/* ---- one move of EOF ------------------------------------------------------- */

/* A planned move: [start, blocks_end) gets blocks, and EOF moves to `end`. */
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
        mmb__note_backed(file, end); /* before the next thread in turn looks at it */
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

/* Move EOF from a granule or more. Other processes may be moving it at the same time. */
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

/* Raise EOF over a hole, in which a few pages at most get blocks. */
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

/* Make the first move. It starts below a granule, and mostly at 0. Any other move at this time
 * would be a first one, too, and wait for the lock. So ftruncate cannot shrink a file that another
 * process has just made longer. */
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
        /* Another process was first. EOF may be high enough by now, but the blocks that we want
         * may be missing. */
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

/* Return by how many bytes the file grows when calls go on to write at its end: the file doubles,
 * but by no less than its first step and by no more than a limit. */
static uint64_t step_from(const mmb__file *file, uint64_t eof)
{
    uint64_t most =
        mmb__min(file->max_growth, atomic_load_explicit(&file->step_limit, memory_order_relaxed));
    return mmb__min(mmb__max(mmb__round_up(eof, MMB_GRANULE), file->first_step), most);
}

/* Return the end of the blocks that a growth for [from, to) allocates.
 *
 * The first granule of a small file gets no blocks: they come one by one with its pages, and the
 * second growth allocates the rest. The same holds while small calls fill the granule. On file
 * systems where closing a truncated file writes it out, the first pages get their blocks at once,
 * since then closing writes nothing. */
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

/* Plan a growth. Near the end of the file it is a whole step. A store far beyond the end gets its
 * own granule, and leaves a hole before it. */
static move plan(const mmb__file *file, uint64_t from, uint64_t to, uint64_t eof,
                 mmb__access access)
{
    /* A file in whose first granule calls have written counts as empty here. */
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

/* Grow although the disk has no room for a whole step: try the granules that are needed and no
 * more, then the pages that are needed and no more. */
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

/* A full disk may get room again: after each step that succeeds, allow a larger one. */
static void relax_step_limit(mmb__file *file)
{
    uint64_t limit = atomic_load_explicit(&file->step_limit, memory_order_relaxed);
    if (limit < file->max_growth) {
        atomic_store_explicit(&file->step_limit, mmb__min(2 * limit, file->max_growth),
                              memory_order_relaxed);
    }
}

/* Tell the helper thread, if there is one, that EOF has moved and which blocks are new. */
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
    mmb__label(file);
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
    mmb__turn turn;
    mmb__begin_turn(file, &turn);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0 && to > eof) {
        error = extend(file, from, to, eof, access);
        *moved = error == 0;
    }
    mmb__end_turn(file, &turn);
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

/* Move EOF from `eof` to the next multiple of a granule. From below the first granule this is an
 * ftruncate, which takes no blocks. The caller holds the lock on EOF. */
static int round_up_eof(mmb__file *file, uint64_t eof)
{
    uint64_t end = mmb__min(mmb__round_up(eof, MMB_GRANULE), file->limit);
    if (eof >= end) {
        return 0;
    }
    mmb__label(file);
    int error = eof < MMB_GRANULE ? EOPNOTSUPP : mmb__os_raise(file->fd, end - 1, end);
    if (error == EOPNOTSUPP || no_space(error)) {
        /* A full disk has no block for the last byte, but ftruncate needs none. */
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
    mmb__turn turn;
    mmb__begin_blocks(file, &turn);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0) {
        error = round_up_eof(file, eof);
    } else if (error != EBADF) {
        error = 0; /* EOF cannot move any more; a store will find the error and report it */
    }
    if (error == 0) {
        atomic_store_explicit(&file->eof_is_exact, false, memory_order_release);
    }
    mmb__end_blocks(file, &turn);
    return error;
}

void mmb__prepare_for_fork(mmb__file *file)
{
    atomic_store_explicit(&file->was_forked, true, memory_order_release);
    if (atomic_load_explicit(&file->eof_is_exact, memory_order_acquire)) {
        mmb__turn turn;
        mmb__begin_turn(file, &turn);
        atomic_store_explicit(&file->eof_is_exact, false, memory_order_release);
        mmb__end_turn(file, &turn);
    }
}
