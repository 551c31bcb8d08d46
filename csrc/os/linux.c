/* linux.c - Linux: memory, processes, threads and signals. linux_files.c has its files. */
#if defined(__linux__)
#define _GNU_SOURCE

#include "os.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Every thread that initialises sets these to the same values. */
static _Atomic bool populates;    /* the answer to MADV_POPULATE_* is reliable */
static _Atomic bool large_folios; /* the first touch brings in a huge page of a file */

/* Return true since Linux 5.18. */
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

void mmb__os_init_system(void)
{
    /* An emulator accepts any advice and does nothing: one that accepts this is an emulator. */
    enum { NO_ADVICE = 9999 };
    bool refused = madvise(NULL, 0, NO_ADVICE) != 0;
    atomic_store_explicit(&populates, refused, memory_order_relaxed);
    atomic_store_explicit(&large_folios, has_large_folios(), memory_order_relaxed);
}

/* ---- memory --------------------------------------------------------------- */

/* This is advice only: if the kernel refuses some of it, nothing is wrong. */
void mmb__os_advise(unsigned char *base, uint64_t length, uint64_t small)
{
    /* Without MADV_RANDOM, the first touch would make the kernel read a small file ahead. With it,
     * huge pages come one at a time. Otherwise the kernel would zero the next page before the
     * program has filled this one, and both would have left the processor's cache. */
    bool all = atomic_load_explicit(&large_folios, memory_order_relaxed);
    madvise(base, (size_t)(all ? length : small), MADV_RANDOM);
    if (small < length && madvise(base + small, (size_t)(length - small), MADV_HUGEPAGE) != 0 &&
        all) {
        madvise(base + small, (size_t)(length - small), MADV_NORMAL);
    }
}

void mmb__os_use_huge_pages(unsigned char *base, uint64_t length)
{
    madvise(base, (size_t)length, MADV_HUGEPAGE);
}

/* Map memory by the bare system call: a library may have replaced mmap() by a function that must
 * not be called in a handler. */
static void *map_inaccessible(void *at, uint64_t length, int flags, int fd, uint64_t offset)
{
#if __SIZEOF_LONG__ == 8
    long made = syscall(SYS_mmap, at, length, PROT_NONE, flags, fd, offset);
    return made == -1 ? NULL : (void *)made;
#else
    void *made = mmap(at, (size_t)length, PROT_NONE, flags, fd, (off_t)offset);
    return made == MAP_FAILED ? NULL : made;
#endif
}

/* After mlockall(MCL_FUTURE) the kernel counts every new mapping as locked, even one that cannot be
 * accessed, and refuses what is beyond RLIMIT_MEMLOCK. But it lets a mapping grow that was
 * unlocked. */
static void *map_some_and_grow(void *at, uint64_t length, int flags, int fd, uint64_t offset)
{
    enum { SOME = 64 << 10 }; /* whole pages, however large they are */
    void *small = map_inaccessible(NULL, SOME, flags, fd, offset);
    if (small == NULL) {
        return NULL;
    }
    (void)syscall(SYS_munlock, small, (long)SOME);
    long how = at == NULL ? MREMAP_MAYMOVE : MREMAP_MAYMOVE | MREMAP_FIXED;
    long grown = syscall(SYS_mremap, small, (long)SOME, length, how, at);
    if (grown == -1) {
        int error = errno;
        (void)syscall(SYS_munmap, small, (long)SOME);
        errno = error;
        return NULL;
    }
    return (void *)grown;
}

/* Map memory that will be moved over `base`. The kernel moves a gibibyte at a time if both ranges
 * start at the same offset in one, and if there are no page tables for the gibibyte that is moved.
 * Otherwise it moves 2 MiB at a time, which for 64 GiB takes 0.1 ms. So we ask for an address that
 * is whole gibibytes below `base`, and does not end in the gibibyte where `base` begins. If it is
 * not free, the kernel chooses one, and we ask for another one below that. */
static void *map_elsewhere(const unsigned char *base, uint64_t length, int flags, int fd,
                           uint64_t offset)
{
    const uint64_t gibibyte = (uint64_t)1 << 30;
    uint64_t below = (length / gibibyte + 2) * gibibyte;
    bool large = length >= gibibyte && (uintptr_t)base > below;
    flags |= MAP_PRIVATE | MAP_NORESERVE;
    unsigned char *made =
        map_inaccessible(large ? (void *)(base - below) : NULL, length, flags, fd, offset);
    if (made == NULL) {
        return errno == EAGAIN ? map_some_and_grow(NULL, length, flags, fd, offset) : NULL;
    }
    if (!large || made == base - below) {
        return made;
    }
    uint64_t excess = ((uintptr_t)made - (uintptr_t)base) % gibibyte;
    (void)syscall(SYS_munmap, made, length);
    return map_inaccessible(made - excess - gibibyte, length, flags, fd, offset);
}

void *mmb__os_reserve(unsigned char *at, uint64_t length, int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    void *made = map_inaccessible(at, length, at == NULL ? flags : flags | MAP_FIXED, fd, 0);
    return made == NULL && errno == EAGAIN ? map_some_and_grow(at, length, flags, fd, 0) : made;
}

/* Make new private memory. It is not accessible at first: after mlockall(MCL_FUTURE) the kernel
 * would bring in and lock all memory that is accessible. */
static int make_elsewhere(const unsigned char *base, uint64_t length, int flags, int fd,
                          uint64_t offset, void **out)
{
    *out = map_elsewhere(base, length, flags, fd, offset);
    if (*out == NULL) {
        return errno;
    }
    (void)syscall(SYS_munlock, *out, length);
    if (syscall(SYS_mprotect, *out, length, PROT_READ | PROT_WRITE) != 0) {
        int error = errno;
        (void)syscall(SYS_munmap, *out, length);
        return error;
    }
    return 0;
}

/* Move new memory over `base`. Other threads see one step: at no moment is `base` unmapped. */
static int move_over(unsigned char *base, uint64_t length, void *made)
{
    if (syscall(SYS_mremap, made, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, base) != -1) {
        return 0;
    }
    int error = errno;
    (void)syscall(SYS_munmap, made, length);
    return error;
}

static int replace(unsigned char *base, uint64_t length, int flags, int fd, uint64_t offset)
{
    void *made = NULL;
    int error = make_elsewhere(base, length, flags, fd, offset, &made);
    return error != 0 ? error : move_over(base, length, made);
}

int mmb__os_map_private(unsigned char *base, uint64_t length, int fd, uint64_t offset)
{
    return replace(base, length, 0, fd, offset);
}

int mmb__os_map_zeros(unsigned char *base, uint64_t length)
{
    return replace(base, length, MAP_ANONYMOUS, -1, 0);
}

/* The kernel does the copying: where a load of ours would be a fault, the kernel just gives up.
 * Bytes that it cannot read stay zeros. */
int mmb__os_map_copy(unsigned char *base, uint64_t length)
{
    void *made = NULL;
    int error = make_elsewhere(base, length, MAP_ANONYMOUS, -1, 0, &made);
    if (error != 0) {
        return error;
    }
    const struct iovec to = {.iov_base = made, .iov_len = (size_t)length};
    const struct iovec from = {.iov_base = base, .iov_len = (size_t)length};
    (void)syscall(SYS_process_vm_readv, (long)getpid(), &to, 1UL, &from, 1UL, 0UL);
    return move_over(base, length, made);
}

int mmb__os_populate(unsigned char *base, uint64_t length, bool write)
{
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
}

/* ---- processes and threads ------------------------------------------------- */

/* Since Linux 5.3 the descriptor of a process becomes readable when the process is dead. On older
 * kernels we can tell that only of our own children. */
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

bool mmb__os_is_alive(int pid)
{
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return false;
    }
    return !has_ended(pid);
}

uint64_t mmb__os_pid_namespace(void)
{
    struct stat namespace;
    return stat("/proc/self/ns/pid", &namespace) == 0 ? (uint64_t)namespace.st_ino : 0;
}

unsigned long mmb__os_thread(void)
{
    return (unsigned long)syscall(SYS_gettid);
}

/* ---- signals -------------------------------------------------------------- */

#if defined(__x86_64__)

static bool fault_was_store(const ucontext_t *context)
{
    return (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
}

/* The kernel writes the address of the thread's last fault into every signal frame, even into that
 * of a signal which raise() has sent. */
static uintptr_t last_fault_address(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_CR2];
}

#elif defined(__aarch64__)

/* A signal frame ends with a chain of records (magic, size, ...). The record with this magic has
 * the syndrome register, which tells loads from stores. */
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

#else

static bool fault_was_store(const ucontext_t *context)
{
    (void)context;
    return true; /* we do not know: an answer that is good for a store is good for a load */
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
    if (info->si_code <= 0) {
        bool ours = info->si_code != SI_KERNEL && info->si_pid == getpid();
        signal.cause = ours ? MMB__SENT_BY_US : MMB__SENT;
        signal.again = false;
        signal.address = last_fault_address(context);
    } else if (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO) {
        signal.cause = MMB__OTHER_FAULT;
        signal.again = info->si_code == BUS_MCEERR_AR;
    } else if (info->si_code == BUS_ADRALN) {
        signal.cause = MMB__OTHER_FAULT; /* misaligned: no page helps against that */
    }
    signal.write = fault_was_store(context);
    return signal;
}

void mmb__os_resend(int number, siginfo_t *info)
{
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info) != 0) {
        raise(number);
    }
}

const sigset_t *mmb__os_interrupted_mask(const void *context)
{
    return &((const ucontext_t *)context)->uc_sigmask;
}

void mmb__os_wait_for_word(const uint32_t *word, uint32_t value, uint64_t most)
{
    const struct timespec timeout = {.tv_sec = (time_t)(most / 1000000000u),
                                     .tv_nsec = (long)(most % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0);
}

void mmb__os_wake_word(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void mmb__os_nap(void)
{
    /* libc's wrappers are cancellation points, which a handler must not meet; poll, without any
     * descriptor, is the one call for this that every kernel and processor has. */
    const struct timespec millisecond = {.tv_nsec = 1000000};
    syscall(SYS_ppoll, NULL, 0, &millisecond, NULL, 0);
}

void mmb__os_await_end_of_thread(unsigned long thread)
{
    while (syscall(SYS_tgkill, getpid(), (pid_t)thread, 0) == 0) {
        sched_yield();
    }
}

void mmb__os_wake_one_of_word(const uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#else
typedef int mmb__os_linux_is_empty; /* C wants a declaration in every file */
#endif
