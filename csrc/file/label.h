/* label.h - the *label* of a growing file: an extended attribute that the file has while EOF stands
 * beyond its content. It says how much of the content was declared.
 *
 * The label is set before EOF first moves beyond the content, and removed before the owner
 * truncates the file at the end. So if a file has a label, and its EOF is at a place where growth
 * leaves it, the program that wrote it was killed. The zeros at its end, beyond what the label
 * says, are no content then. An ordinary file has no label, and keeps its zeros. On file systems
 * without extended attributes no file has a label. */
#ifndef MMB_FILE_LABEL_H
#define MMB_FILE_LABEL_H

#include "file.h"

/* Set the label. Handler: yes. */
void mmb__set_label(const mmb__file *file);

/* Set the label if the file is to have one and has none yet, which is once in its life. Call this
 * before EOF moves beyond the content. Handler: yes. */
static inline void mmb__label(const mmb__file *file)
{
    if (file->takes_label &&
        !atomic_exchange_explicit(&file->shared->labelled, true, memory_order_relaxed)) {
        mmb__set_label(file);
    }
}

/* Let the label tell the declared size of this moment. Handler: no. */
void mmb__renew_label(const mmb__file *file);

/* Take the label away. Handler: no. */
void mmb__remove_label(const mmb__file *file);

/* Return whether a growing file, whose EOF is at `eof`, was left by a program that was killed. How
 * much of it was declared then is in `*declared`. Handler: no. */
bool mmb__was_left_growing(int fd, uint64_t eof, uint64_t *declared);

#endif
