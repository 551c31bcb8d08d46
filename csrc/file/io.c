/* io.c - the calls that write to a file and reserve room in it. */
#include "io.h"

#include "content.h"
#include "growth.h"

#include <errno.h>
#include <string.h>

/* Bytes; one call allocates or writes no more. Signals are blocked while blocks are allocated. */
#define PIECE ((uint64_t)256 << 20)

/* ---- room ------------------------------------------------------------------- */

int mmb__extend_to(mmb__file *file, uint64_t end)
{
    if (end > file->limit) {
        return MMB_ECAPACITY;
    }
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    while (error == 0 && eof < end) {
        bool moved = false;
        uint64_t next = mmb__min(end, eof + PIECE);
        error = mmb__grow(file, eof, next, MMB__WRITE, &moved);
        eof = next;
    }
    return error;
}

/* A small file has no blocks yet. A program that reserves room in it is likely to go on, so we
 * allocate blocks from the end of the present ones on, and some ahead for the next calls. */
static bool reserve_ahead(mmb__file *file, uint64_t allocated_end, uint64_t stop)
{
    uint64_t ahead = mmb__min(mmb__round_up(stop, MMB__SMALL), file->limit);
    if (stop > MMB_GRANULE || mmb__allocate(file, allocated_end, ahead - allocated_end) != 0) {
        return false;
    }
    mmb__note_allocated(file, allocated_end, ahead);
    return true;
}

/* Give blocks to [start, stop), which is below EOF and may have holes from `allocated_end` on. */
static int fill_holes(mmb__file *file, uint64_t allocated_end, uint64_t start, uint64_t stop)
{
    mmb__turn turn;
    mmb__begin_blocks(file, &turn);
    uint64_t eof = 0;
    int error = mmb__check(file, &eof);
    if (error == 0 && !reserve_ahead(file, allocated_end, stop)) {
        error = mmb__allocate(file, start, stop - start);
        if (error == EOPNOTSUPP) {
            error = mmb__os_raise(file->fd, start, stop); /* NFS */
        }
        if (error == 0) {
            mmb__note_allocated(file, start, stop);
        }
    }
    mmb__end_blocks(file, &turn);
    return error;
}

static int reserve_piece(mmb__file *file, uint64_t start, uint64_t stop)
{
    int error = mmb__ensure(file, start, stop);
    uint64_t allocated_end = atomic_load(&file->shared->allocated_end);
    return error != 0 || stop <= allocated_end ? error
                                               : fill_holes(file, allocated_end, start, stop);
}

int mmb__reserve(mmb__file *file, uint64_t start, uint64_t stop)
{
    bool without_blocks = false;
    int error = 0;
    for (uint64_t at = start; error == 0 && at < stop; at += PIECE) {
        error = reserve_piece(file, at, mmb__min(stop, at + PIECE));
        if (error == EOPNOTSUPP) {
            without_blocks = true;
            error = 0;
        }
    }
    return error == 0 && without_blocks ? EOPNOTSUPP : error;
}

/* ---- writing, in the usual way ------------------------------------------------- */

/* Give blocks to [offset, offset + length) if a write there could find the disk full half way. The
 * growth for one piece allocates blocks. But holes below EOF have none, and of several pieces a
 * later one may find no room. A short write is not worth the calls. Without fallocate we could
 * only bring in the pages, which takes longer than the write. */
static int make_room(mmb__file *file, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    bool is_new = offset >= atomic_load(&file->shared->backed) && length <= PIECE;
    bool has_blocks = end <= atomic_load(&file->shared->allocated_end);
    if (length <= MMB__SMALL || is_new || has_blocks || !mmb__can_allocate(file)) {
        return 0;
    }
    uint64_t page = mmb__os_page();
    int error = mmb__reserve(file, mmb__round_down(offset, page), mmb__round_up(end, page));
    return error == EOPNOTSUPP ? 0 : error;
}

/* Write up to a page of `data` that the kernel could not read, since it lies beyond the EOF of a
 * mapping: only a load of ours makes that other file grow. */
static int write_by_way_of_buffer(mmb__file *file, uint64_t offset, const unsigned char *data,
                                  uint64_t length, size_t *written)
{
    unsigned char buffer[4096];
    size_t some = (size_t)mmb__min(length, sizeof buffer);
    memcpy(buffer, data, some);
    return mmb__os_write_all(file->fd, file->is_shared, buffer, some, offset, written);
}

/* Grow the file for a piece and write it. `*written` is how much was written, after an error as
 * well. Only the last piece declares the range, so a write that fails declares nothing. */
static int write_piece(mmb__file *file, uint64_t offset, const unsigned char *data, uint64_t length,
                       bool last, size_t *written)
{
    uint32_t entry = mmb__in_flight_enter(file->shared);
    int error = mmb__ensure(file, offset, offset + length);
    if (error == 0) {
        error = mmb__os_write_all(file->fd, file->is_shared, data, (size_t)length, offset, written);
    }
    if (error == EFAULT) {
        size_t before = *written;
        error =
            write_by_way_of_buffer(file, offset + before, data + before, length - before, written);
        *written += before;
    }
    if (error == 0 && last && *written == length) {
        mmb__declare(file, offset + length);
    }
    mmb__in_flight_leave(file->shared, entry);
    return error;
}

static int write_in_pieces(mmb__file *file, uint64_t offset, const unsigned char *data,
                           uint64_t length)
{
    int error = make_room(file, offset, length);
    while (error == 0 && length > 0) {
        size_t written = 0;
        error = write_piece(file, offset, data, mmb__min(length, PIECE), length <= PIECE, &written);
        data += written;
        offset += written;
        length -= written;
    }
    return error;
}

/* ---- writing where EOF is exact ------------------------------------------------- */

/* EOF must stand at a granule because of stores: a store beyond EOF, but in a page that is mapped,
 * raises no fault and is not in the file. While no code can store, EOF may stand where the content
 * ends, as after write(2). That saves two moves of EOF for a file that one call makes. Each move is
 * a transaction of the file system, and takes longer than everything else. Only one thread at a
 * time writes like this: otherwise a write could leave EOF inside a page while another thread
 * begins to store. Beyond MMB__SMALL nothing is gained any more, and writes should run side by
 * side, so there the file grows in the usual way. */
static bool is_left_to_writes(const mmb__file *file)
{
    return file->traits.extends_without_io &&
           atomic_load_explicit(&file->eof_is_exact, memory_order_acquire);
}

/* Do the write. The caller has the turn on EOF. False if it must be done in the usual way. */
static bool write_and_move_eof(mmb__file *file, uint64_t offset, const void *data, uint64_t length,
                               int *error)
{
    uint64_t eof = 0;
    size_t written = 0;
    *error = mmb__check(file, &eof);
    if (*error != 0) {
        return true;
    }
    if (!is_left_to_writes(file) || eof > file->small) {
        return false;
    }
    *error = mmb__os_write_all(file->fd, file->is_shared, data, (size_t)length, offset, &written);
    if (*error == 0) {
        mmb__declare(file, offset + length);
    }
    if (written > 0) {
        mmb__note_backed(file, mmb__max(eof, offset + written));
        if (eof == 0) {
            atomic_fetch_add_explicit(&file->shared->growths, 1, memory_order_relaxed);
        }
    }
    /* EFAULT: the source lies beyond the EOF of another map. The load that makes that map grow must
     * not be made while signals are blocked. */
    return *error != EFAULT;
}

/* Try the write with EOF at the end of the content. True if it was tried; then `*error` is 0 or
 * what stopped it, and a part of the bytes may be written. */
static bool write_with_exact_eof(mmb__file *file, uint64_t offset, const void *data,
                                 uint64_t length, int *error)
{
    if (offset + length > file->small || !is_left_to_writes(file)) {
        return false;
    }
    mmb__turn turn;
    mmb__begin_turn(file, &turn);
    bool done = write_and_move_eof(file, offset, data, length, error);
    mmb__end_turn(file, &turn);
    return done;
}

int mmb__write(mmb__file *file, uint64_t offset, const void *data, uint64_t length)
{
    int error = 0;
    if (!write_with_exact_eof(file, offset, data, length, &error)) {
        error = write_in_pieces(file, offset, data, length);
    }
    /* Where the system does not help, another program may set the flag now, and take it back before
     * the end. */
    if (error == 0 && file->is_shared && mmb__appends(file)) {
        mmb__poison(file, MMB_EAPPENDS);
        error = MMB_EAPPENDS;
    }
    return error;
}
