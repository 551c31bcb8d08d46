/* loss.h - the loss record of a file: from which offset on stores did not reach it.
 *
 * A store that finds no room, or no page, completes in private memory, and is lost to the file.
 * The least such offset over all processes and all losses is kept in the shared state: below it
 * every store reached the file. The owner may have it written into the file, too, where it
 * outlives the processes.
 *
 * No locks: the least offset is kept by compare-and-swap, and whoever has written it looks
 * again afterwards whether it still is the least. */
#ifndef MMB_FILE_LOSS_H
#define MMB_FILE_LOSS_H

#include "file.h"

#define MMB__NOTHING_LOST UINT64_MAX

/* Note that stores at or beyond `offset` do not reach the file. Handler: yes. */
void mmb__note_loss(const mmb__file *file, uint64_t offset);

/* The least offset noted so far, or MMB__NOTHING_LOST. Handler: yes. */
uint64_t mmb__lost_from(const mmb__file *file);

/* Have the least offset written at `place` in the file, in a record (mmb_file.h) with `kept` in
 * its lower bits, now if anything is lost and whenever more is lost. MMB__NOTHING_LOST as the
 * place: no more. Handler: yes. */
void mmb__note_loss_at(const mmb__file *file, uint64_t place, uint64_t kept);

/* For the owner of a sealed file: where the record is wanted and there was no room for it, as on a
 * full btrfs, tell the loss by the length of the file instead. It then ends one byte behind the
 * least offset, which is a length that no growth gives it. Handler: no. */
void mmb__settle_loss(const mmb__file *file);

#endif
