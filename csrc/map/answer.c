/* answer.c - judging a fault: the file must grow, a page cannot be had, or the file is lost. */
#include "answer.h"

#include "file/loss.h"
#include "memory.h"
#include "private.h"

#include <errno.h>

/* Return why a page below EOF cannot be had; 0 if it can. */
static int page_error(mmb_map *map, uint64_t start, mmb__access access)
{
    uint64_t page = mmb__os_page();
    int error = mmb__os_populate(mmb__base(map) + start, page, access == MMB__WRITE);
    if (error != EFAULT && !mmb__tried_too_often(map, start)) {
        return 0; /* the page is there by now, or the kernel will say more at the next try */
    }
    /* There is no page. We ask for its block, since the answer tells a full disk from a failing
     * one. If we get the block, the disk was full only for a moment. */
    error = mmb__allocate(&map->file, start, page);
    if (error != 0 && error != EOPNOTSUPP) {
        return error;
    }
    if (mmb__os_populate(mmb__base(map) + start, page, access == MMB__WRITE) == 0) {
        return 0;
    }
    uint64_t eof = 0;
    error = mmb__check(&map->file, &eof);
    if (error != 0) {
        return error; /* somebody has truncated the file since we looked */
    }
    /* A file system with large folios wants blocks for all of a granule at once. */
    return mmb__os_is_full(map->file.fd, MMB_GRANULE) ? ENOSPC : EIO;
}

/* Return the offset from which on stores do not reach the file: that of this access, or a lower one
 * if somebody has truncated the file. */
static uint64_t loss_from(const mmb_map *map, uint64_t start, int error)
{
    uint64_t eof = start;
    bool truncated = error == MMB_ETRUNCATED && mmb__our_file(&map->file, &eof) == 0;
    return truncated ? mmb__min(start, eof) : start;
}

/* Note that this store and all beyond it are lost to the file, so that the next call tells. */
static void report(mmb_map *map, uint64_t start, int error)
{
    if (error != ESTALE) {
        mmb__note_loss(&map->file, loss_from(map, start, error));
        mmb__poison(&map->file, error);
    } else if (!mmb__is_owner(&map->file)) {
        /* The owner is closing the map; the store that is lost is this process's. */
        atomic_store_explicit(&map->stored_late, true, memory_order_relaxed);
    }
}

bool mmb__answer_fault(mmb_map *map, uint64_t offset, mmb__access access)
{
    uint64_t start = mmb__round_down(offset, mmb__os_page());
    if (start >= atomic_load_explicit(&map->private_from, memory_order_acquire)) {
        return mmb__make_private(map, start);
    }
    bool moved = false;
    int error = mmb__grow(&map->file, start, start + mmb__os_page(), access, &moved);
    if (error == 0 && moved) {
        mmb__welcome_huge_page(map, start);
    } else if (error == 0) {
        error = page_error(map, start, access);
    }
    if (error == 0) {
        return true;
    }
    if (error == EBADF) {
        return false; /* the fd is not our file's any more */
    }
    report(map, start, error);
    return mmb__make_private(map, start);
}
