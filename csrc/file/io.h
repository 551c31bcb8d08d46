/* io.h - what calls write to a file, and the room that they reserve in it: errors are returned,
 * not met by a fault.
 *
 * Whoever writes is in flight (in_flight.h) from the growth until what was written is declared,
 * lest the owner's close truncates the file in between. */
#ifndef MMB_FILE_IO_H
#define MMB_FILE_IO_H

#include "file.h"

/* Write [offset, offset + length), growing as needed, and declare it (content.h). A full disk is
 * ENOSPC before anything is written, unless `length` is MMB__SMALL at the most or the file system
 * has no fallocate. `data` may lie beyond EOF in a mapping of any file, but not where it would be
 * written to by this call. Handler: no. */
int mmb__write(mmb__file *file, uint64_t offset, const void *data, uint64_t length);

/* Move EOF to `end` at least, by the growth policy, from where it is now. Handler: no. */
int mmb__extend_to(mmb__file *file, uint64_t end);

/* Blocks for the whole pages [start, stop), EOF beyond them. EOPNOTSUPP where the file system
 * cannot promise any, with EOF moved all the same. Handler: no. */
int mmb__reserve(mmb__file *file, uint64_t start, uint64_t stop);

#endif
