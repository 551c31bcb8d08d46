/* mark.h - the mark of a growing file: an extended attribute that says how far its content was
 * declared, while EOF stands somewhere beyond the content.
 *
 * It is set before EOF first moves there, and taken away before the file is truncated in the end.
 * So a file that has one, and whose EOF is where growth leaves it, was left by a program that was
 * killed: the zeros at its end are nobody's, beyond what the mark says. An ordinary file has no
 * mark, and keeps its zeros. Where file systems have no such attributes, nothing is marked. */
#ifndef MMB_FILE_MARK_H
#define MMB_FILE_MARK_H

#include "file.h"

/* EOF is about to move beyond the content: mark the file, if it wants to be marked and is not
 * yet. Handler: yes. */
void mmb__mark(const mmb__file *file);

/* Let the mark tell the declared size of this moment. Handler: no. */
void mmb__renew_mark(const mmb__file *file);

/* Take the mark away. Handler: no. */
void mmb__remove_mark(const mmb__file *file);

/* Whether growth has left the file of `fd` with its EOF at `eof`; how much of it was declared then
 * in *declared. Handler: no. */
bool mmb__was_left_growing(int fd, uint64_t eof, uint64_t *declared);

#endif
