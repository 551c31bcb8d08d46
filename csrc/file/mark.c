/* mark.c - setting, reading and removing the mark. */
#include "mark.h"

#include <string.h>

/* The value of the attribute, in the byte order of the machine: nobody moves a file that is being
 * built to another machine. */
typedef struct {
    uint64_t declared_size;
    uint64_t limit; /* EOF may stand here, too, and not only at multiples of MMB_GRANULE */
} mark;

static void set(const mmb__file *file)
{
    mark value = {.declared_size = atomic_load(&file->shared->declared_size), .limit = file->limit};
    mmb__os_set_attribute(file->fd, MMB__MARK, &value, sizeof value);
}

void mmb__mark(const mmb__file *file)
{
    if (file->marks &&
        !atomic_exchange_explicit(&file->shared->marked, true, memory_order_relaxed)) {
        set(file);
    }
}

void mmb__renew_mark(const mmb__file *file)
{
    if (atomic_load_explicit(&file->shared->marked, memory_order_relaxed)) {
        set(file);
    }
}

void mmb__remove_mark(const mmb__file *file)
{
    if (atomic_exchange_explicit(&file->shared->marked, false, memory_order_relaxed)) {
        mmb__os_remove_attribute(file->fd, MMB__MARK);
    }
}

bool mmb__was_left_growing(int fd, uint64_t eof, uint64_t *declared)
{
    mark value;
    if (!mmb__os_get_attribute(fd, MMB__MARK, &value, sizeof value) ||
        (eof % MMB_GRANULE != 0 && eof != value.limit)) {
        return false; /* the file had no mark, or others have changed the file since */
    }
    *declared = mmb__min(value.declared_size, eof);
    return true;
}
