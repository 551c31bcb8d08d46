/* mmb_file.h - the public words for a growing file: where its end stands, and its errors. */
#ifndef MMB_FILE_H
#define MMB_FILE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* EOF stands at multiples of this while the memory of a map can be stored to, and the base
 * of a map is aligned to it: the kernel may map a huge page across EOF, and a store beyond
 * EOF but inside that page raises no signal. */
#define MMB_GRANULE ((uint64_t)2 << 20)

/* What poisoned a map when the cause is not an errno of the system's own. */
#define MMB_ETRUNCATED (-1) /* the file became shorter under us: someone else truncated it */
#define MMB_ECAPACITY (-2)  /* more was asked for than the capacity holds */
#define MMB_EAPPENDS (-3)   /* someone set O_APPEND: what was written may be in the wrong place */

/* A loss record, as a file holds it: 8 bytes, little-endian. The lower MMB_LOSS_KEPT_BITS are
 * the caller's; the others tell the first offset from which on stores were lost, exactly below
 * 1 GiB, and otherwise up to 1/131072 too low. */
#define MMB_LOSS_KEPT_BITS 41

/* The offset that a record tells of; UINT64_MAX if nothing was lost. Handler: yes. */
uint64_t mmb_loss_offset(uint64_t record);

/* Copy [offset, end) of the file `from` to the same place in `to`, which reads as zeros there.
 * Zeros and holes are left out; where data lies, the file system is asked only if its answer
 * can be relied on. Handler: no. */
int mmb_file_copy(int from, int to, uint64_t offset, uint64_t end);

/* Which process this is: a forked child has another value than its parent, even where pid
 * namespaces give both the same pid. The upper half alone tells the two apart. Never 0.
 * Handler: no. */
uint64_t mmb_this_process(void);

/* Words for an error value, MMB_E values included; static or thread-local storage.
 * Handler: no. */
const char *mmb_strerror(int error);

/* The errno that best stands for an error value: itself, EIO for
 * MMB_ETRUNCATED, EFBIG for MMB_ECAPACITY, EINVAL for MMB_EAPPENDS. Handler: yes. */
int mmb_errno(int error);

#ifdef __cplusplus
}
#endif
#endif
