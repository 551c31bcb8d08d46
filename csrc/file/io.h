/* io.h - calls that write to a file or reserve room in it. They return errors, where a store would
 * meet a fault.
 *
 * A thread that writes is in flight (file.h) from the growth until it has declared what it wrote.
 * Otherwise the owner's close could truncate the file in between. */
#ifndef MMB_FILE_IO_H
#define MMB_FILE_IO_H

#include "file.h"

/* Write [offset, offset + length), grow the file as needed, and declare the range (content.h). On
 * a full disk ENOSPC comes before anything is written, unless `length` is at most MMB__SMALL or
 * the file system has no fallocate. `data` may lie in a mapping of any file, and beyond its EOF,
 * but not in the range that this call writes. Handler: no. */
int mmb__write(mmb__file *file, uint64_t offset, const void *data, uint64_t length);

/* Move EOF to `end` at least, by the growth policy, from where it is now. Handler: no. */
int mmb__extend_to(mmb__file *file, uint64_t end);

/* Give blocks to the whole pages [start, stop), and move EOF beyond them. EOPNOTSUPP if the file
 * system cannot promise blocks; EOF has moved then as well. Handler: no. */
int mmb__reserve(mmb__file *file, uint64_t start, uint64_t stop);

#endif
