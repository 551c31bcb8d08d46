/* content.h - the content of a file: what is in it up to its last non-zero byte, while EOF
 * stands somewhere beyond. */
#ifndef MMB_FILE_CONTENT_H
#define MMB_FILE_CONTENT_H

#include "file.h"

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
