/* content.h - the *content* of a file: the bytes that the file keeps when it is closed. EOF may
 * stand beyond it.
 *
 * Two numbers in the shared state belong to the content. The *cursor* is where the next append
 * goes. The *declared size* is the least size of the content that calls have told. Stores through
 * a mapping tell nothing, so we look for bytes beyond the declared size that are not zero. */
#ifndef MMB_FILE_CONTENT_H
#define MMB_FILE_CONTENT_H

#include "file.h"

/* Find where the content ends; this is the only definition. It is the declared size. If stores
 * reach further, it is the end of the last byte that is not zero, rounded up so that no scalar of
 * NumPy is split, but not beyond the capacity. Errors as of mmb__find_used. Handler: no. */
int mmb__find_size(mmb__file *file, uint64_t *size);

/* Raise the declared size to `end`; it is never lowered. A caller that has just written up to there
 * is still in flight (file.h). Handler: yes. */
void mmb__declare(mmb__file *file, uint64_t end);

/* What an append has taken. */
typedef struct {
    uint64_t cursor; /* where the cursor was */
    uint64_t start;  /* the same, aligned */
    uint64_t end;    /* where it is now */
} mmb__range;

/* Take the next `length` bytes at the cursor that start at a multiple of `align`, a power of
 * two. MMB_ECAPACITY if they do not fit. Handler: yes. */
int mmb__take_range(mmb__file *file, uint64_t align, uint64_t length, mmb__range *taken);

/* Put the cursor back after a failure, unless another append has taken the next range. Handler:
 * yes. */
void mmb__give_back(mmb__file *file, const mmb__range *taken);

/* Find the end of the last byte at or beyond `floor` that is not zero; `floor` if there is none.
 * Holes take no time. On systems where reads of the file do not see stores at once, call
 * mmb__os_publish_stores before. Handler: no. */
int mmb__find_used(mmb__file *file, uint64_t floor, uint64_t *used);

/* Make [from, EOF) read as zeros, and give blocks back where the file system can; EOF stays.
 * EPERM if this is not the owner. Handler: no. */
int mmb__zero_from(mmb__file *file, uint64_t from);

/* Give back the blocks of [offset, offset + length), which is below EOF; EOF stays. EOPNOTSUPP if
 * the file system cannot; EPERM if this is not the owner. Handler: no. */
int mmb__make_hole(mmb__file *file, uint64_t offset, uint64_t length);

#endif
