/* content.c - finding the end of the content, taking ranges for appends, and clearing what follows
 * the content. */
#include "content.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* ---- the last byte that is not zero ------------------------------------------------ */

/* Tell whether there is data at or after `offset` and below `end`. */
static int has_data(const mmb__file *file, uint64_t offset, uint64_t end, bool *answer)
{
    uint64_t found = 0;
    int error = mmb__os_next_data(file->fd, offset, &found);
    *answer = error == 0 && found < end;
    return error == ENXIO ? 0 : error;
}

/* Find the end of the page of the last data below `end`; `floor` if there is none. This is done by
 * halving: "is there data from x on" is true up to that page and false beyond it. The first page
 * is tried by itself, since many files have no other. */
static int last_data(const mmb__file *file, uint64_t floor, uint64_t end, uint64_t *last)
{
    bool some = false;
    int error = has_data(file, floor, end, &some);
    if (error != 0) {
        return error;
    }
    if (!some) {
        *last = floor;
        return 0;
    }
    uint64_t page = mmb__os_page();
    uint64_t low = floor; /* data from here on */
    uint64_t high = end;  /* none from here on */
    uint64_t step = page;
    while (error == 0 && mmb__round_down(high - 1, page) > low) {
        uint64_t middle = mmb__round_up(low + step, page);
        middle = middle < high ? middle : mmb__round_down(high - 1, page);
        error = has_data(file, middle, end, &some);
        if (some) {
            low = middle;
        } else {
            high = middle;
        }
        step = (high - low) / 2;
    }
    *last = high;
    return error;
}

/* Return the end of the last byte of `bytes` that is not zero, or 0. */
static size_t last_nonzero(const unsigned char *bytes, size_t length)
{
    uint64_t word = 0;
    while (length % sizeof word != 0 && bytes[length - 1] == 0) {
        length--;
    }
    if (length % sizeof word == 0) {
        while (length > 0) {
            memcpy(&word, bytes + length - sizeof word, sizeof word);
            if (word != 0) {
                break;
            }
            length -= sizeof word;
        }
        while (length > 0 && bytes[length - 1] == 0) {
            length--;
        }
    }
    return length;
}

/* Find the same in [from, to) of the file; `from` if all bytes are zero. */
static int last_used(const mmb__file *file, uint64_t from, uint64_t to, uint64_t *last)
{
    unsigned char bytes[1 << 14];
    *last = from;
    while (to > from) {
        size_t length = (size_t)mmb__min(to - from, sizeof bytes), got = 0;
        uint64_t at = to - length;
        int error = mmb__os_read_all(file->fd, bytes, length, at, &got);
        if (error != 0) {
            return error;
        }
        size_t end = last_nonzero(bytes, got);
        if (end > 0) {
            *last = at + end;
            return 0;
        }
        to = at;
    }
    return 0;
}

/* Bytes. */
#define FIRST_REACH ((uint64_t)1 << 14)

/* Do the work of mmb__find_used. This moves the file offset. */
static int find_used_below(const mmb__file *file, uint64_t floor, uint64_t end, uint64_t *used)
{
    uint64_t reach = FIRST_REACH;
    while (end > floor) {
        uint64_t last = end;
        int error =
            file->traits.seek_data_is_reliable ? last_data(file, floor, end, &last) : EOPNOTSUPP;
        if (error == EOPNOTSUPP) {
            last = end; /* the file system does not tell, so we read everything */
        } else if (error != 0) {
            return error;
        }
        if (last <= floor) {
            break;
        }
        /* Read one granule; if it has nothing but zeros, go on with the one before it. Read less at
         * first: on tmpfs, moving EOF over blocks that were allocated before leaves a page of data
         * at the end, and nothing but holes before it. */
        uint64_t start = mmb__max(floor, mmb__round_down(last - 1, reach));
        reach = MMB_GRANULE;
        uint64_t found = start;
        error = last_used(file, start, last, &found);
        if (error != 0) {
            return error;
        }
        if (found > start) {
            *used = found;
            return 0;
        }
        end = start;
    }
    *used = floor;
    return 0;
}

/* Take the turn on the file offset, and give it back. Our fd is a duplicate of the caller's, so
 * both have one offset: the end puts it back to where the beginning found it. */
static off_t begin_offset_turn(mmb__file *file)
{
    while (atomic_exchange(&file->offset_turn, true)) {
        sched_yield();
    }
    return lseek(file->fd, 0, SEEK_CUR);
}

static void end_offset_turn(mmb__file *file, off_t before)
{
    if (before >= 0) {
        lseek(file->fd, before, SEEK_SET);
    }
    atomic_store(&file->offset_turn, false);
}

int mmb__find_used(mmb__file *file, uint64_t floor, uint64_t *used)
{
    uint64_t eof = 0;
    int error = mmb__our_file(file, &eof);
    if (error != 0) {
        return error;
    }
    uint64_t end = mmb__min(eof, file->capacity);
    if (floor >= end) {
        *used = floor;
        return 0;
    }
    off_t before = begin_offset_turn(file);
    error = find_used_below(file, floor, end, used);
    end_offset_turn(file, before);
    return error;
}

/* ---- the size and the cursor ----------------------------------------------------- */

/* Bytes. Only clongdouble is a longer scalar of NumPy, and it has two parts of this length. */
#define LONGEST_SCALAR 16

int mmb__find_size(mmb__file *file, uint64_t *size)
{
    uint64_t declared = atomic_load(&file->shared->declared_size), used = 0;
    int error = mmb__find_used(file, declared, &used);
    if (error == 0) {
        *size = used > declared ? mmb__min(mmb__round_up(used, LONGEST_SCALAR), file->capacity)
                                : declared;
    }
    return error;
}

void mmb__declare(mmb__file *file, uint64_t end)
{
    _Atomic uint64_t *declared = &file->shared->declared_size;
    uint64_t seen = atomic_load(declared);
    while (seen < end && !atomic_compare_exchange_weak(declared, &seen, end)) {
    }
}

int mmb__take_range(mmb__file *file, uint64_t align, uint64_t length, mmb__range *taken)
{
    uint64_t cursor = atomic_load(&file->shared->cursor), start = 0;
    do {
        /* For a cursor far beyond the capacity the sum would overflow. */
        start = cursor > file->capacity ? cursor : mmb__round_up(cursor, align);
        if (start > file->capacity || length > file->capacity - start) {
            return MMB_ECAPACITY;
        }
    } while (!atomic_compare_exchange_weak(&file->shared->cursor, &cursor, start + length));
    *taken = (mmb__range){.cursor = cursor, .start = start, .end = start + length};
    return 0;
}

void mmb__give_back(mmb__file *file, const mmb__range *taken)
{
    uint64_t end = taken->end;
    atomic_compare_exchange_strong(&file->shared->cursor, &end, taken->cursor);
}

/* ---- zeros ----------------------------------------------------------------------- */

/* Write zeros, for file systems that make no holes. */
static int write_zeros(const mmb__file *file, uint64_t from, uint64_t to)
{
    static const unsigned char zeros[1 << 16];
    int error = 0;
    for (uint64_t at = from; error == 0 && at < to; at += sizeof zeros) {
        size_t length = (size_t)mmb__min(to - at, sizeof zeros);
        error = mmb__os_write_all(file->fd, file->is_shared, zeros, length, at, NULL);
    }
    return error;
}

/* Note that from `end` on there may be no blocks. Call this between mmb__begin_blocks and
 * mmb__end_blocks. */
static void forget_blocks_from(mmb__file *file, uint64_t end)
{
    _Atomic uint64_t *allocated_end = &file->shared->allocated_end;
    uint64_t seen = atomic_load(allocated_end);
    while (seen > end && !atomic_compare_exchange_weak(allocated_end, &seen, end)) {
    }
}

static int punch(mmb__file *file, uint64_t offset, uint64_t length)
{
    mmb__turn turn;
    mmb__begin_blocks(file, &turn);
    forget_blocks_from(file, offset);
    int error = mmb__os_punch(file->fd, offset, length);
    mmb__end_blocks(file, &turn);
    return error;
}

int mmb__zero_from(mmb__file *file, uint64_t from)
{
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0 && !mmb__is_owner(file)) {
        return EPERM;
    }
    if (error != 0 || from >= eof) {
        return error;
    }
    /* A huge page needs blocks for all of it when it comes in again, and by then the disk may be
     * full. So the blocks of such a page stay. Of a file so small only the first granule has a
     * huge page, and only if the file is to become large. */
    bool huge = file->small == 0 && from < MMB_GRANULE;
    uint64_t punched = huge ? MMB_GRANULE : mmb__round_up(from, mmb__os_page());
    punched = mmb__min(punched, eof);
    error = write_zeros(file, from, punched);
    if (error != 0 || punched == eof) {
        return error;
    }
    error = punch(file, punched, eof - punched);
    return error == EOPNOTSUPP ? write_zeros(file, punched, eof) : error;
}

int mmb__make_hole(mmb__file *file, uint64_t offset, uint64_t length)
{
    uint64_t eof = 0;
    int error = mmb__our_file(file, &eof);
    if (error != 0 || !mmb__is_owner(file)) {
        return error != 0 ? error : EPERM;
    }
    return punch(file, offset, length);
}
