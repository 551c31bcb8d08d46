/* mmb_file.h - the public header of csrc/file: the granule, the errors, and a few calls. */
#ifndef MMB_FILE_H
#define MMB_FILE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes. While a program can store in the memory of a map, EOF stands at a multiple of this, and
 * the base of the map is aligned to it. Otherwise the kernel might map a huge page across EOF, and
 * a store beyond EOF but inside that page would raise no signal. */
#define MMB_GRANULE ((uint64_t)2 << 20)

/* Causes of poisoning that are no errno of the system. */
#define MMB_ETRUNCATED (-1) /* the file became shorter under us: someone else truncated it */
#define MMB_ECAPACITY (-2)  /* more was asked for than the capacity holds */
#define MMB_EAPPENDS (-3)   /* someone set O_APPEND: what was written may be in the wrong place */

/* A loss record in a file has 8 bytes, little-endian. Its lower MMB_LOSS_KEPT_BITS bits are the
 * caller's. The others tell the first offset from which on stores were lost: exactly below 1 GiB,
 * and at most 1/131072 too low above. */
#define MMB_LOSS_KEPT_BITS 41

/* The offset that a record tells of; UINT64_MAX if nothing was lost. Handler: yes. */
uint64_t mmb_loss_offset(uint64_t record);

/* Return the record that tells of `offset` and keeps the lower bits of `kept`. Handler: yes. */
uint64_t mmb_loss_record(uint64_t kept, uint64_t offset);

/* The attribute that tells of a loss where there was no room for the record: read it, which is
 * false if there is none, and remove it. Handler: no. */
bool mmb_loss_told(int fd, uint64_t *offset);
void mmb_loss_forget(int fd);

/* Copy [offset, end) of the file `from` to the same place in `to`, which must read as zeros there.
 * Zeros and holes are left out. The file system is asked where data lies only if its answer is
 * reliable. Handler: no. */
int mmb_file_copy(int from, int to, uint64_t offset, uint64_t end);

/* Return a text for an error value, MMB_E values included. Its storage is static or thread-local.
 * Handler: no. */
const char *mmb_strerror(int error);

/* Return the errno that stands for an error value: itself, EIO for MMB_ETRUNCATED, EFBIG for
 * MMB_ECAPACITY, EINVAL for MMB_EAPPENDS. Handler: yes. */
int mmb_errno(int error);

#ifdef __cplusplus
}
#endif
#endif
