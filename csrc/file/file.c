/* file.c - checks of a file (is it ours, long enough, poisoned, without its blocks), and notes
 * about it in the shared state. */
#include "file.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

int mmb__our_file(const mmb__file *file, uint64_t *size)
{
    struct stat now;
    if (fstat(file->fd, &now) != 0) {
        return errno;
    }
    if (now.st_dev != file->dev || now.st_ino != file->ino) {
        return EBADF;
    }
    *size = (uint64_t)now.st_size;
    return 0;
}

bool mmb__appends(const mmb__file *file)
{
    if (file->is_shared && mmb__os_ignores_append()) {
        return false;
    }
    int flags = fcntl(file->fd, F_GETFL);
    return flags >= 0 && (flags & O_APPEND) != 0;
}

int mmb__check(const mmb__file *file, uint64_t *size)
{
    mmb__shared *shared = file->shared;
    uint64_t backed = atomic_load_explicit(&shared->backed, memory_order_acquire);
    int error = mmb__our_file(file, size);
    if (error != 0) {
        return error;
    }
    int poison = atomic_load_explicit(&shared->poison, memory_order_acquire);
    if (poison != 0) {
        return poison;
    }
    if (atomic_load(&file->sealed) || atomic_load(&shared->sealed)) {
        return ESTALE;
    }
    return *size < backed ? MMB_ETRUNCATED : 0;
}

bool mmb__lacks_blocks(const mmb__file *file)
{
    /* We read the number of blocks, then the number that should be there. Both may be changing, so
     * blocks count as missing only if they are missing at every look. */
    enum { LOOKS = 100 };
    if (!file->traits.block_count_is_exact || atomic_load(&file->shared->allocated_end) == 0) {
        return false;
    }
    for (int i = 0; i < LOOKS; i++) {
        struct stat now;
        if (fstat(file->fd, &now) != 0 || now.st_ino != file->ino ||
            (uint64_t)now.st_blocks * 512 >= atomic_load(&file->shared->allocated_end)) {
            return false;
        }
        sched_yield();
    }
    return true;
}

int mmb__allocate(const mmb__file *file, uint64_t start, uint64_t length)
{
    atomic_store(&file->shared->may_have_blocks_beyond_eof, true);
    return mmb__os_allocate(file->fd, start, length);
}

void mmb__note_backed(const mmb__file *file, uint64_t end)
{
    _Atomic uint64_t *backed = &file->shared->backed;
    uint64_t seen = atomic_load_explicit(backed, memory_order_relaxed);
    while (seen < end && !atomic_compare_exchange_weak_explicit(
                             backed, &seen, end, memory_order_release, memory_order_relaxed)) {
    }
}

void mmb__note_allocated(const mmb__file *file, uint64_t from, uint64_t to)
{
    uint64_t seen = atomic_load(&file->shared->allocated_end);
    while (from <= seen && seen < to &&
           !atomic_compare_exchange_weak(&file->shared->allocated_end, &seen, to)) {
    }
}

void mmb__poison(const mmb__file *file, int cause)
{
    int none = 0;
    atomic_compare_exchange_strong(&file->shared->poison, &none, cause);
}

bool mmb__is_owner(const mmb__file *file)
{
    return mmb__is_this_process(file->owner);
}

int mmb__truncate(const mmb__file *file, uint64_t size)
{
    if (!mmb__is_owner(file)) {
        return EPERM;
    }
    uint64_t eof = 0;
    int error = mmb__our_file(file, &eof);
    /* If ftruncate makes the file longer, blocks that a growth has left beyond EOF would stay. */
    if (error == 0 && eof <= size && atomic_load(&file->shared->may_have_blocks_beyond_eof)) {
        error = mmb__os_truncate(file->fd, eof);
    }
    if (error == 0 && eof != size) {
        error = mmb__os_truncate(file->fd, size);
    }
    return error;
}
