/* os.c - the operating systems: the only file of the core with an #ifdef for one.
 *
 * Linux gives the most: allocation that cannot shrink a file, pages populated on
 * demand, holes that can be found. Elsewhere the core falls back on ftruncate
 * under a lock and on reading memory; the callers see EOPNOTSUPP or ENOSYS. */
#if defined(__linux__)
#define _GNU_SOURCE
#elif defined(__APPLE__)
#define _DARWIN_C_SOURCE
#elif defined(__NetBSD__)
#define _NETBSD_SOURCE
#endif

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__APPLE__)
#include <mach/mach.h>
#else
#include <semaphore.h>
#endif
#if defined(__linux__)
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <ucontext.h>
#else
#include <pthread.h>
#include <sys/statvfs.h>
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0 /* systems that never reserve, or always do */
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* Set to the same values by whoever comes first; atomic only for form. */
static _Atomic uint64_t page_size = 4096;
static _Atomic bool initialised;
#if defined(__linux__)
static _Atomic bool populates;    /* an answer to MADV_POPULATE_* can be believed */
static _Atomic bool large_folios; /* the first touch brings in a huge page of a file */

/* That is so since Linux 5.18. */
static bool has_large_folios(void)
{
    struct utsname system;
    if (uname(&system) != 0) {
        return false;
    }
    char *rest = NULL;
    unsigned long major = strtoul(system.release, &rest, 10);
    unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
    return major > 5 || (major == 5 && minor >= 18);
}
#endif

void mmb__os_init(void)
{
    if (atomic_load_explicit(&initialised, memory_order_acquire)) {
        return;
    }
    long size = sysconf(_SC_PAGESIZE);
    if (size > 0) {
        atomic_store_explicit(&page_size, (uint64_t)size, memory_order_relaxed);
    }
#if defined(__linux__)
    /* Emulators accept any advice, and do nothing. */
    enum { NO_ADVICE = 9999 };
    bool refused = madvise(NULL, 0, NO_ADVICE) != 0;
    atomic_store_explicit(&populates, refused, memory_order_relaxed);
    atomic_store_explicit(&large_folios, has_large_folios(), memory_order_relaxed);
#endif
    atomic_store_explicit(&initialised, true, memory_order_release);
}

uint64_t mmb__os_page(void)
{
    return atomic_load_explicit(&page_size, memory_order_relaxed);
}

/* ---- memory --------------------------------------------------------------- */

uint64_t mmb__os_address_limit(void)
{
#if defined(RLIMIT_AS) /* not on OpenBSD */
    struct rlimit now;
    if (getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur != RLIM_INFINITY) {
        return (uint64_t)now.rlim_cur;
    }
#endif
    return UINT64_MAX;
}

#if defined(__linux__)

/* Wishes, not needs: what the kernel refuses stays as it was. */
static void advise(unsigned char *base, uint64_t length, uint64_t small)
{
    /* Random: without it, the first touch would make a small file read ahead. For huge
     * pages it means: one at a time. Otherwise the kernel would zero the next one as
     * well before the writer has filled this one, and both would have left the
     * processor's cache by then. */
    bool all = atomic_load_explicit(&large_folios, memory_order_relaxed);
    madvise(base, (size_t)(all ? length : small), MADV_RANDOM);
    if (small < length && madvise(base + small, (size_t)(length - small), MADV_HUGEPAGE) != 0 &&
        all) {
        madvise(base + small, (size_t)(length - small), MADV_NORMAL);
    }
}

void mmb__os_use_huge_pages(unsigned char *base, uint64_t length, bool yes)
{
    madvise(base, (size_t)length, yes ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

#else

static void advise(unsigned char *base, uint64_t length, uint64_t small)
{
    (void)base, (void)length, (void)small;
}

void mmb__os_use_huge_pages(unsigned char *base, uint64_t length, bool yes)
{
    (void)base, (void)length, (void)yes;
}

#endif

/* Reserve more than is wanted, take the aligned part, give the rest back. */
static int map_aligned(int fd, uint64_t length, uint64_t alignment, unsigned char **base)
{
    uint64_t reserved = length + alignment;
    unsigned char *start =
        mmap(NULL, (size_t)reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        return errno;
    }
    uint64_t skip = (alignment - (uintptr_t)start % alignment) % alignment;
    unsigned char *aligned = start + skip;
    if (skip > 0) {
        munmap(start, (size_t)skip);
    }
    munmap(aligned + length, (size_t)(alignment - skip));
    if (mmap(aligned, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
        MAP_FAILED) {
        int error = errno;
        munmap(aligned, (size_t)length);
        return error;
    }
    *base = aligned;
    return 0;
}

int mmb__os_map_file(int fd, uint64_t length, uint64_t alignment, uint64_t small,
                     unsigned char **base)
{
    /* Linux aligns files that may get huge pages by itself; others are at a good place
     * if that of the last one is free again. */
    static _Atomic uintptr_t last;
    void *hint = (void *)atomic_load_explicit(&last, memory_order_relaxed);
    unsigned char *start = mmap(hint, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED || (uintptr_t)start % alignment != 0) {
        if (start != MAP_FAILED) {
            munmap(start, (size_t)length);
        }
        int error = map_aligned(fd, length, alignment, &start);
        if (error != 0) {
            return error;
        }
    }
    *base = start;
    atomic_store_explicit(&last, (uintptr_t)start, memory_order_relaxed);
    advise(start, length, small < length ? small : length);
    return 0;
}

static int map_over(unsigned char *base, uint64_t length, int flags, int fd, uint64_t offset)
{
    flags |= MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
#if defined(__linux__) && __SIZEOF_LONG__ == 8
    /* Past all that may have been put over mmap, which is not made for handlers. */
    long at = syscall(SYS_mmap, base, length, PROT_READ | PROT_WRITE, flags, fd, offset);
    return at == -1 ? errno : 0;
#else
    void *at = mmap(base, (size_t)length, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
    return at == MAP_FAILED ? errno : 0;
#endif
}

int mmb__os_map_private(unsigned char *base, uint64_t length, int fd, uint64_t offset)
{
    return map_over(base, length, 0, fd, offset);
}

int mmb__os_map_zeros(unsigned char *base, uint64_t length)
{
    return map_over(base, length, MAP_ANONYMOUS, -1, 0);
}

void *mmb__os_shared_alloc(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void mmb__os_shared_free(void *memory, size_t size)
{
    munmap(memory, size);
}

int mmb__os_populate(unsigned char *base, uint64_t length, bool write)
{
#if defined(__linux__)
    /* Linux 5.14; the numbers stand here because older headers lack the names. */
    enum { POPULATE_READ = 22, POPULATE_WRITE = 23 };
    if (!atomic_load_explicit(&populates, memory_order_relaxed)) {
        return ENOSYS;
    }
    while (madvise(base, (size_t)length, write ? POPULATE_WRITE : POPULATE_READ) != 0) {
        if (errno == EINVAL) {
            return ENOSYS;
        }
        if (errno != EINTR && errno != EAGAIN) {
            return errno;
        }
    }
    return 0;
#else
    (void)base, (void)length, (void)write;
    return ENOSYS;
#endif
}

/* ---- files ---------------------------------------------------------------- */

#if defined(__linux__)

/* Signals are held back: tmpfs gives up at any that is pending and starts from
 * scratch, so that with a fast timer it would never end. */
static int linux_fallocate(int fd, int mode, uint64_t offset, uint64_t length)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
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
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == ENOSYS ? EOPNOTSUPP : error;
}

enum {
    KEEP_SIZE = 1,
    PUNCH_HOLE = 2,
    COLLAPSE_RANGE = 8,
};

enum {
    EXT4_TYPE = 0xef53,
    XFS_TYPE = 0x58465342,
    TMPFS_TYPE = 0x01021994,
    HUGETLB_TYPE = 0x958458f6,
    BTRFS_TYPE = 0x9123683e,
};

static uint32_t file_system(int fd, uint64_t *block)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) {
        return 0;
    }
    if (block != NULL) {
        *block = (uint64_t)fs.f_bsize;
    }
    return (uint32_t)fs.f_type;
}

int mmb__os_allocate(int fd, uint64_t offset, uint64_t length)
{
    return linux_fallocate(fd, KEEP_SIZE, offset, length);
}

int mmb__os_raise(int fd, uint64_t from, uint64_t end)
{
    return linux_fallocate(fd, 0, from, end - from);
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

int mmb__os_collapse(int fd, uint64_t offset, uint64_t length)
{
    return linux_fallocate(fd, COLLAPSE_RANGE, offset, length);
}

uint64_t mmb__os_collapse_unit(int fd)
{
    uint64_t block = 0;
    uint32_t type = file_system(fd, &block);
    if (type != EXT4_TYPE && type != XFS_TYPE) {
        return 0;
    }
    /* Whole pages as well, so that the snapshot can be mapped at what moved. */
    return block > mmb__os_page() ? block : mmb__os_page();
}

/* Files that ext4 keeps in the way of its predecessors. */
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

int mmb__os_look_at(int fd, mmb__traits *out)
{
    switch (file_system(fd, NULL)) {
    case HUGETLB_TYPE:
        return EOPNOTSUPP;
    case EXT4_TYPE:
        *out = (mmb__traits){
            .counts_blocks = true,
            .finds_data = has_extents(fd), /* without, it does not tell of late stores */
            .has_huge_pages = true,
            .moves_at_once = true,
        };
        return 0;
    case XFS_TYPE:
        *out = (mmb__traits){
            .counts_blocks = true,
            .finds_data = true,
            .has_huge_pages = true,
            .writes_cut = true,
        };
        return 0;
    case TMPFS_TYPE:
        *out = (mmb__traits){.counts_blocks = true, .finds_data = true, .moves_at_once = true};
        return check_seals(fd);
    case BTRFS_TYPE:
        /* Counts late, and compressed blocks. */
        *out = (mmb__traits){.finds_data = true};
        return 0;
    default:
        /* Others may answer from their metadata and miss pages that were dirtied through
         * a mapping and not written back yet; an overlay passes the question on to who
         * knows whom. */
        *out = (mmb__traits){.finds_data = false};
        return check_seals(fd);
    }
}

void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length)
{
    /* Advice: what cannot be written now is reported by the sync that follows. */
    sync_file_range(fd, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE);
}

int mmb__os_datasync(int fd)
{
    return fdatasync(fd) == 0 ? 0 : errno;
}

#else

int mmb__os_raise(int fd, uint64_t from, uint64_t end)
{
    (void)fd, (void)from, (void)end;
    return EOPNOTSUPP;
}

int mmb__os_allocate(int fd, uint64_t offset, uint64_t length)
{
    (void)fd, (void)offset, (void)length;
    return EOPNOTSUPP;
}

bool mmb__os_is_full(int fd, uint64_t room)
{
    struct statvfs fs;
    return fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0 &&
           (uint64_t)fs.f_bavail < room / (uint64_t)fs.f_frsize;
}

int mmb__os_punch(int fd, uint64_t offset, uint64_t length)
{
    (void)fd, (void)offset, (void)length;
    return EOPNOTSUPP;
}

int mmb__os_collapse(int fd, uint64_t offset, uint64_t length)
{
    (void)fd, (void)offset, (void)length;
    return EOPNOTSUPP;
}

uint64_t mmb__os_collapse_unit(int fd)
{
    (void)fd;
    return 0;
}

int mmb__os_next_data(int fd, uint64_t offset, uint64_t *found)
{
    (void)fd, (void)offset, (void)found;
    return EOPNOTSUPP;
}

int mmb__os_look_at(int fd, mmb__traits *out)
{
    (void)fd;
    *out = (mmb__traits){.counts_blocks = false, .finds_data = false};
    return 0;
}

void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length)
{
    (void)fd, (void)offset, (void)length;
}

int mmb__os_datasync(int fd)
{
#if defined(__APPLE__)
    /* fsync alone leaves the data in the drive's cache. */
    if (fcntl(fd, F_FULLFSYNC) == 0) {
        return 0;
    }
#endif
    return fsync(fd) == 0 ? 0 : errno;
}

#endif

int mmb__os_read(int fd, const unsigned char *base, uint64_t offset, void *buffer, size_t length,
                 size_t *got)
{
#if defined(__OpenBSD__)
    /* Mappings and read() have caches of their own there. */
    if (base != NULL) {
        memcpy(buffer, base + offset, length);
        *got = length;
        return 0;
    }
#endif
    (void)base;
    for (;;) {
        ssize_t done = pread(fd, buffer, length, (off_t)offset);
        if (done >= 0) {
            *got = (size_t)done;
            return 0;
        }
        if (errno != EINTR) {
            return errno;
        }
    }
}

int mmb__os_duplicate(int fd, int *copy)
{
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return *copy < 0 ? errno : 0;
}

/* ---- processes ------------------------------------------------------------ */

#if defined(__linux__)

/* A pid's descriptor can be read from once the process is dead (Linux 5.3). Before
 * that a parent at least can tell of its own children. */
static bool has_ended(int pid)
{
    enum { PIDFD_OPEN = 434 };
    long handle = syscall(PIDFD_OPEN, pid, 0);
    if (handle < 0) {
        siginfo_t state = {0};
        return syscall(SYS_waitid, P_PID, pid, &state, WEXITED | WNOHANG | WNOWAIT, NULL) == 0 &&
               state.si_pid == pid;
    }
    struct pollfd ask = {.fd = (int)handle, .events = POLLIN};
#if defined(SYS_poll)
    bool ended = syscall(SYS_poll, &ask, 1, 0) == 1;
#else
    const struct timespec at_once = {0};
    bool ended = syscall(SYS_ppoll, &ask, 1, &at_once, NULL, 0) == 1;
#endif
    syscall(SYS_close, handle);
    return ended;
}

#elif defined(__OpenBSD__)

static bool has_ended(int pid)
{
    (void)pid;
    return false;
}

#else

static bool has_ended(int pid)
{
    siginfo_t state = {0};
    return waitid(P_PID, (id_t)pid, &state, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           state.si_pid == pid;
}

#endif

bool mmb__os_is_alive(int pid)
{
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    return !has_ended(pid);
}

/* ---- waking a thread ------------------------------------------------------ */

#if defined(__APPLE__)

/* There are no unnamed POSIX semaphores; posting to a Mach one is a bare trap. */
struct mmb__os_event {
    semaphore_t semaphore;
};

static int event_init(mmb__os_event *event)
{
    kern_return_t result =
        semaphore_create(mach_task_self(), &event->semaphore, SYNC_POLICY_FIFO, 0);
    return result == KERN_SUCCESS ? 0 : ENOMEM;
}

void mmb__os_event_wait(mmb__os_event *event)
{
    while (semaphore_wait(event->semaphore) == KERN_ABORTED) {
    }
}

void mmb__os_event_post(mmb__os_event *event)
{
    semaphore_signal(event->semaphore);
}

static void event_destroy(mmb__os_event *event)
{
    semaphore_destroy(mach_task_self(), event->semaphore);
}

#else

struct mmb__os_event {
    sem_t semaphore;
};

static int event_init(mmb__os_event *event)
{
    return sem_init(&event->semaphore, 0, 0) == 0 ? 0 : errno;
}

void mmb__os_event_wait(mmb__os_event *event)
{
    while (sem_wait(&event->semaphore) != 0 && errno == EINTR) {
    }
}

void mmb__os_event_post(mmb__os_event *event)
{
    sem_post(&event->semaphore);
}

static void event_destroy(mmb__os_event *event)
{
    sem_destroy(&event->semaphore);
}

#endif

int mmb__os_event_new(mmb__os_event **event)
{
    mmb__os_event *made = malloc(sizeof *made);
    if (made == NULL) {
        return ENOMEM;
    }
    int error = event_init(made);
    if (error != 0) {
        free(made);
        return error;
    }
    *event = made;
    return 0;
}

void mmb__os_event_free(mmb__os_event *event)
{
    event_destroy(event);
    free(event);
}

/* ---- signals -------------------------------------------------------------- */

#if defined(__linux__) && defined(__x86_64__)

static bool fault_was_store(const ucontext_t *context)
{
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

/* The kernel writes the thread's last fault address into every signal frame,
 * that of a signal sent by raise() included. */
static uintptr_t last_fault_address(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_CR2];
}

#elif defined(__linux__) && defined(__aarch64__)

/* The frame's extra records are chained by (magic, size); the one with the
 * syndrome register has this magic. */
static bool fault_was_store(const ucontext_t *context)
{
    enum { SYNDROME_MAGIC = 0x45535201, SYNDROME_WRITE = 1 << 6 };
    const unsigned char *at = (const unsigned char *)context->uc_mcontext.__reserved;
    const unsigned char *end = at + sizeof context->uc_mcontext.__reserved;
    while (at + 16 <= end) {
        const uint32_t *head = (const uint32_t *)(const void *)at;
        if (head[0] == SYNDROME_MAGIC) {
            const uint64_t *syndrome = (const uint64_t *)(const void *)(at + 8);
            return (*syndrome & SYNDROME_WRITE) != 0;
        }
        if (head[0] == 0 || head[1] < 8) {
            break;
        }
        at += head[1];
    }
    return true;
}

static uintptr_t last_fault_address(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.fault_address;
}

#elif defined(__linux__)

static bool fault_was_store(const ucontext_t *context)
{
    (void)context;
    return true; /* not known: what serves a store serves a load */
}

static uintptr_t last_fault_address(const ucontext_t *context)
{
    (void)context;
    return 0;
}

#endif

mmb__signal mmb__os_read_signal(const siginfo_t *info, const void *context)
{
    mmb__signal signal = {
        .cause = MMB__FAULT, .again = true, .write = true, .address = (uintptr_t)info->si_addr};
#if defined(__linux__)
    if (info->si_code <= 0) {
        bool ours = info->si_code != SI_KERNEL && info->si_pid == getpid();
        signal.cause = ours ? MMB__SENT_BY_US : MMB__SENT;
        signal.again = false;
        signal.address = last_fault_address(context);
    } else if (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO) {
        signal.cause = MMB__OTHER_FAULT;
        signal.again = info->si_code == BUS_MCEERR_AR;
    } else if (info->si_code == BUS_ADRALN) {
        signal.cause = MMB__OTHER_FAULT; /* misaligned: no page will cure that */
    }
    signal.write = fault_was_store(context);
#else
    (void)context;
#if defined(SI_USER)
    if (info->si_code == SI_USER) {
        signal.cause = MMB__SENT;
        signal.again = false;
    }
#endif
#endif
    return signal;
}

void mmb__os_resend(int number, siginfo_t *info)
{
#if defined(__linux__)
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info) == 0) {
        return;
    }
#else
    (void)info;
#endif
    raise(number);
}

unsigned long mmb__os_thread(void)
{
#if defined(__linux__)
    return (unsigned long)syscall(SYS_gettid);
#else
    return (unsigned long)(uintptr_t)pthread_self();
#endif
}

const sigset_t *mmb__os_interrupted_mask(const void *context)
{
#if defined(__linux__)
    return &((const ucontext_t *)context)->uc_sigmask;
#else
    (void)context;
    return NULL;
#endif
}
