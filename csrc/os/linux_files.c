/* linux_files.c - Linux: blocks, holes, and the traits of file systems. */
#if defined(__linux__)
#define _GNU_SOURCE

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static int linux_fallocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    int error;
    do {
#if __SIZEOF_LONG__ == 8
        /* libc's wrapper is a cancellation point, which a handler must not meet. */
        long result = syscall(SYS_fallocate, fd, mode, offset, length);
#else
        int result = fallocate(fd, mode, (off_t)offset, (off_t)length);
#endif
        error = result == 0 ? 0 : errno;
    } while (error == EINTR);
    return error == ENOSYS ? EOPNOTSUPP : error;
}

int mmb__os_pipe(int ends[2])
{
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : errno;
}

enum {
    KEEP_SIZE = 1,
    PUNCH_HOLE = 2,
};

enum {
    EXT4_TYPE = 0xef53,
    XFS_TYPE = 0x58465342,
    TMPFS_TYPE = 0x01021994,
    HUGETLB_TYPE = 0x958458f6,
    BTRFS_TYPE = 0x9123683e,
};

static uint32_t file_system(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 ? (uint32_t)fs.f_type : 0;
}

int mmb__os_allocate(int fd, uint64_t offset, uint64_t length)
{
    return linux_fallocate(fd, KEEP_SIZE, offset, length);
}

int mmb__os_raise(int fd, uint64_t from, uint64_t end)
{
    return linux_fallocate(fd, 0, from, end - from);
}

/* These are locks of open files. A process would lose its own locks (F_SETLK) when it closes any
 * descriptor of the file. */
static int lock_byte(int fd, int command, short kind, uint64_t offset)
{
    struct flock lock = {
        .l_type = kind, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    if (fcntl(fd, command, &lock) == 0) {
        return 0;
    }
    switch (errno) {
    case EAGAIN:
    case EACCES:
        return EAGAIN;
    case EINTR:
    case EBADF:
        return errno;
    default:
        return ENOTSUP;
    }
}

int mmb__os_hold_byte(int fd, uint64_t offset, bool exclusive, bool wait)
{
    return lock_byte(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, exclusive ? F_WRLCK : F_RDLCK, offset);
}

void mmb__os_release_byte(int fd, uint64_t offset)
{
    (void)lock_byte(fd, F_OFD_SETLK, F_UNLCK, offset);
}

bool mmb__os_bytes_are_held(int fd, uint64_t offset, uint64_t length)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = (off_t)length};
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

static const char *const attributes[] = {
    [MMB__LABEL] = "user.mmapbuilder",
    [MMB__LOSS] = "user.mmapbuilder.lost",
};

void mmb__os_set_attribute(int fd, mmb__attribute which, const void *value, size_t length)
{
    (void)fsetxattr(fd, attributes[which], value, length, 0);
}

void mmb__os_remove_attribute(int fd, mmb__attribute which)
{
    (void)fremovexattr(fd, attributes[which]);
}

bool mmb__os_get_attribute(int fd, mmb__attribute which, void *value, size_t length)
{
    return fgetxattr(fd, attributes[which], value, length) == (ssize_t)length;
}

bool mmb__os_is_full(int fd, uint64_t room)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && fs.f_blocks > 0 &&
           (uint64_t)fs.f_bavail < room / (uint64_t)fs.f_bsize;
}

int mmb__os_punch(int fd, uint64_t offset, uint64_t length)
{
    return linux_fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length);
}

/* Return false for a file that ext4 stores as ext2 and ext3 did, without extents. */
static bool has_extents(int fd)
{
    enum { EXTENTS = 0x80000 };
    int flags = 0; /* libcs disagree about the type of a request */
    return syscall(SYS_ioctl, fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & EXTENTS) != 0;
}

int mmb__os_next_data(int fd, uint64_t offset, uint64_t *found)
{
    off_t at = lseek(fd, (off_t)offset, SEEK_DATA);
    if (at < 0) {
        return errno == EINVAL ? EOPNOTSUPP : errno;
    }
    *found = (uint64_t)at;
    return 0;
}

static int check_seals(int fd)
{
#if defined(F_GET_SEALS)
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals >= 0 && (seals & (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE)) != 0) {
        return EPERM;
    }
#endif
    (void)fd;
    return 0;
}

/* Linux knows this flag since 6.9. */
#define NO_APPEND 0x20L

static _Atomic bool knows_no_append; /* set by mmb__os_init */

int mmb__os_look_at(int fd, mmb__traits *out)
{
    bool ignores_append = atomic_load_explicit(&knows_no_append, memory_order_relaxed);
    switch (file_system(fd)) {
    case HUGETLB_TYPE:
        return EOPNOTSUPP;
    case EXT4_TYPE:
        *out = (mmb__traits){
            .block_count_is_exact = true,
            .seek_data_is_reliable = has_extents(fd), /* otherwise it misses late stores */
            .has_huge_pages = true,
            .extends_without_io = true,
            .ignores_append = ignores_append,
        };
        return 0;
    case XFS_TYPE:
        *out = (mmb__traits){
            .block_count_is_exact = true,
            .seek_data_is_reliable = true,
            .has_huge_pages = true,
            .flushes_after_truncate = true,
            .ignores_append = ignores_append,
        };
        return 0;
    case TMPFS_TYPE:
        *out = (mmb__traits){.block_count_is_exact = true,
                             .seek_data_is_reliable = true,
                             .holes_take_blocks = true,
                             .extends_without_io = true,
                             .ignores_append = ignores_append};
        return check_seals(fd);
    case BTRFS_TYPE:
        /* btrfs counts blocks late, and counts compressed ones. */
        *out = (mmb__traits){.seek_data_is_reliable = true, .ignores_append = ignores_append};
        return 0;
    default:
        /* Other file systems may answer from their metadata, and miss pages that were stored to
         * through a mapping and are not written back yet. An overlay passes the question on to a
         * file system that we do not know, and drops the flag that makes a write ignore O_APPEND.
         */
        *out = (mmb__traits){.seek_data_is_reliable = false};
        return check_seals(fd);
    }
}

void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length)
{
    /* This is advice only: if something cannot be written, the sync that follows reports it. */
    sync_file_range(fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE);
}

int mmb__os_datasync(int fd)
{
    while (fdatasync(fd) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* The call is made without libc: its wrappers are cancellation points, which a handler must not
 * meet. */
static ssize_t write_where_told(int fd, const void *from, size_t length, uint64_t offset)
{
#if __SIZEOF_LONG__ == 8 && defined(SYS_pwritev2)
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)from, .iov_len = length};
    return syscall(SYS_pwritev2, fd, &piece, 1L, (long)offset, 0L, NO_APPEND);
#else
    (void)fd, (void)from, (void)length, (void)offset;
    errno = ENOSYS;
    return -1;
#endif
}

void mmb__os_init_files(void)
{
    int fd = (int)syscall(SYS_memfd_create, "", 1U /* close-on-exec */);
    if (fd >= 0) {
        atomic_store(&knows_no_append, write_where_told(fd, "", 1, 0) == 1);
        close(fd);
    }
}

ssize_t mmb__os_write(int fd, bool shared, const void *from, size_t length, uint64_t offset)
{
    if (shared && atomic_load_explicit(&knows_no_append, memory_order_relaxed)) {
        return write_where_told(fd, from, length, offset);
    }
#if __SIZEOF_LONG__ == 8
    return syscall(SYS_pwrite64, fd, from, length, offset);
#else
    return pwrite(fd, from, length, (off_t)offset);
#endif
}

int mmb__os_publish_stores(const unsigned char *base, uint64_t length)
{
    (void)base, (void)length; /* mappings and read() share one cache */
    return 0;
}

#else
typedef int mmb__os_linux_files_is_empty; /* C wants a declaration in every file */
#endif
