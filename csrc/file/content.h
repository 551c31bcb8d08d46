/* content.h - the content of a file: the bytes of it that count, while EOF stands somewhere
 * beyond.
 *
 * Two numbers in the shared state belong to it: the *cursor*, where the next append goes, and
 * the *declared size*, the least that the content holds, because a call said so. Stores through
 * a mapping say nothing: what they left beyond the declared size is looked for. */
#ifndef MMB_FILE_CONTENT_H
#define MMB_FILE_CONTENT_H

#include "file.h"

/* Where the content ends; there is no other definition. The declared size, or where stores
 * reach further: the end of the last byte that is not zero, rounded up so that no scalar of
 * NumPy is split (but not beyond the capacity). As mmb__find_used otherwise. Handler: no. */
int mmb__find_size(mmb__file *file, uint64_t *size);

/* Raise the declared size to `end`, never lower it. Who has just written to there is in flight
 * still (in_flight.h). Handler: yes. */
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

/* After a failure: unless somebody has taken the next range. Handler: yes. */
void mmb__give_back(mmb__file *file, const mmb__range *taken);

/* End of the last non-zero byte at or beyond `floor`, else `floor`. Holes cost nothing. On
 * systems where stores are not at once visible to reads of the file, call
 * mmb__os_publish_stores first. Handler: no. */
int mmb__find_used(mmb__file *file, uint64_t floor, uint64_t *used);

/* Make [from, EOF) read as zeros again, giving blocks back where the file system can; EOF
 * stays. The owner's right: EPERM in a child. Handler: no. */
int mmb__zero_from(mmb__file *file, uint64_t from);

/* Give back the blocks of [offset, offset + length), below EOF; EOF stays. EOPNOTSUPP where the
 * file system cannot. The owner's right as well. Handler: no. */
int mmb__make_hole(mmb__file *file, uint64_t offset, uint64_t length);

#endif
