/* label.c - setting, reading and removing the label. */
#include "label.h"

#include <string.h>

/* The value of the attribute, in the byte order of the machine: a file that is being built is not
 * moved to another machine. */
typedef struct {
    uint64_t declared_size;
    uint64_t limit; /* EOF may stand here, too, and not only at multiples of MMB_GRANULE */
} label;

void mmb__set_label(const mmb__file *file)
{
    label value = {.declared_size = atomic_load(&file->shared->declared_size),
                   .limit = file->limit};
    mmb__os_set_attribute(file->fd, MMB__LABEL, &value, sizeof value);
}

void mmb__renew_label(const mmb__file *file)
{
    if (atomic_load_explicit(&file->shared->labelled, memory_order_relaxed)) {
        mmb__set_label(file);
    }
}

void mmb__remove_label(const mmb__file *file)
{
    if (atomic_exchange_explicit(&file->shared->labelled, false, memory_order_relaxed)) {
        mmb__os_remove_attribute(file->fd, MMB__LABEL);
    }
}

bool mmb__was_left_growing(int fd, uint64_t eof, uint64_t *declared)
{
    label value;
    if (!mmb__os_get_attribute(fd, MMB__LABEL, &value, sizeof value) ||
        (eof % MMB_GRANULE != 0 && eof != value.limit)) {
        return false; /* the file had no label, or others have changed the file since */
    }
    *declared = mmb__min(value.declared_size, eof);
    return true;
}
