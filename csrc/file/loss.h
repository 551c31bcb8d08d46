/* loss.h - the *loss* of a file: the least offset from which on stores did not reach the file.
 *
 * A store that finds no room or no page completes in private memory, so the file does not get it.
 * The shared state keeps the least offset of all such stores, of all processes. Every store below
 * it has reached the file. The owner may have the offset written into the file as well, in a
 * *loss record*, which outlives the processes. On a full btrfs, which wants a new block for every
 * write, there may be no room for the record. Then an extended attribute tells the offset.
 *
 * There are no locks. The least offset is kept by compare-and-swap, and a thread that has written
 * the record looks again whether its offset is still the least. */
#ifndef MMB_FILE_LOSS_H
#define MMB_FILE_LOSS_H

#include "file.h"

#define MMB__NOTHING_LOST UINT64_MAX

/* Note that stores at or beyond `offset` do not reach the file. Handler: yes. */
void mmb__note_loss(const mmb__file *file, uint64_t offset);

/* The least offset noted so far, or MMB__NOTHING_LOST. Handler: yes. */
uint64_t mmb__lost_from(const mmb__file *file);

/* Have the least offset written at `place` in the file, in a record (mmb_file.h) whose lower bits
 * are `kept`: at once if anything is lost, and again whenever more is lost. With
 * MMB__NOTHING_LOST as the place, no record is written any more, and no thread is still writing one
 * when this returns. Handler: no. */
void mmb__note_loss_at(const mmb__file *file, uint64_t place, uint64_t kept);

/* The owner calls this when the file is sealed. If a record is wanted and the disk had no room for
 * it, as on a full btrfs, the length of the file tells the loss instead: the file then ends one
 * byte behind the least offset. No growth gives it such a length. Handler: no. */
void mmb__settle_loss(const mmb__file *file);

#endif
