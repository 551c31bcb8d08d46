/* mark.h - the *mark* of a growing file: an extended attribute that the file has while EOF stands
 * beyond its content. It says how much of the content was declared.
 *
 * The mark is set before EOF first moves beyond the content, and removed before the owner
 * truncates the file at the end. So if a file has a mark, and its EOF is at a place where growth
 * leaves it, the program that wrote it was killed. The zeros at its end, beyond what the mark says,
 * are no content then. An ordinary file has no mark, and keeps its zeros. On file systems without
 * extended attributes no file has a mark. */
#ifndef MMB_FILE_MARK_H
#define MMB_FILE_MARK_H

#include "file.h"

/* Set the mark, if the file is to have one and has none yet. Call this before EOF moves beyond the
 * content. Handler: yes. */
void mmb__mark(const mmb__file *file);

/* Let the mark tell the declared size of this moment. Handler: no. */
void mmb__renew_mark(const mmb__file *file);

/* Take the mark away. Handler: no. */
void mmb__remove_mark(const mmb__file *file);

/* Return whether a growing file, whose EOF is at `eof`, was left by a program that was killed. How
 * much of it was declared then is in `*declared`. Handler: no. */
bool mmb__was_left_growing(int fd, uint64_t eof, uint64_t *declared);

#endif
