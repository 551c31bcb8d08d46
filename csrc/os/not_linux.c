/* not_linux.c - what systems other than Linux do where linux.c and linux_files.c use calls that
 * only Linux has. Most functions return EOPNOTSUPP or ENOSYS: then their callers use another way.
 */
#if !defined(__linux__)
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#elif defined(__NetBSD__)
#define _NETBSD_SOURCE
#endif

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0 /* systems that never reserve, or always do */
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

void mmb__os_init_system(void)
{
}

void mmb__os_init_files(void)
{
}

/* ---- memory --------------------------------------------------------------- */

void *mmb__os_reserve(unsigned char *at, uint64_t length, int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    void *made = mmap(at, (size_t)length, PROT_NONE, at == NULL ? flags : flags | MAP_FIXED, fd, 0);
    return made == MAP_FAILED ? NULL : made;
}

void mmb__os_advise(unsigned char *base, uint64_t length, uint64_t small)
{
    (void)base, (void)length, (void)small;
}

void mmb__os_use_huge_pages(unsigned char *base, uint64_t length)
{
    (void)base, (void)length;
}

/* These systems cannot move memory. So we first try whether the system grants such a mapping at
 * another address. If it does, it will grant it once more. */
static int replace(unsigned char *base, uint64_t length, int flags, int fd, uint64_t offset)
{
    const int access = PROT_READ | PROT_WRITE;
    flags |= MAP_PRIVATE | MAP_NORESERVE;
    void *tried = mmap(NULL, (size_t)length, access, flags, fd, (off_t)offset);
    if (tried == MAP_FAILED) {
        return errno;
    }
    munmap(tried, (size_t)length);
    void *at = mmap(base, (size_t)length, access, flags | MAP_FIXED, fd, (off_t)offset);
    return at == MAP_FAILED ? errno : 0;
}

int mmb__os_map_private(unsigned char *base, uint64_t length, int fd, uint64_t offset)
{
    return replace(base, length, 0, fd, offset);
}

int mmb__os_map_zeros(unsigned char *base, uint64_t length)
{
    return replace(base, length, MAP_ANONYMOUS, -1, 0);
}

int mmb__os_map_copy(unsigned char *base, uint64_t length)
{
    return mmb__os_map_zeros(base, length); /* no call tells safely what can be read */
}

int mmb__os_populate(unsigned char *base, uint64_t length, bool write)
{
    (void)base, (void)length, (void)write;
    return ENOSYS;
}

/* ---- files ---------------------------------------------------------------- */

int mmb__os_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        return errno;
    }
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFD, FD_CLOEXEC) != 0 || fcntl(ends[i], F_SETFL, O_NONBLOCK) != 0) {
            int error = errno;
            close(ends[0]);
            close(ends[1]);
            return error;
        }
    }
    return 0;
}

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

void mmb__os_set_attribute(int fd, mmb__attribute which, const void *value, size_t length)
{
    (void)fd, (void)which, (void)value, (void)length;
}

void mmb__os_remove_attribute(int fd, mmb__attribute which)
{
    (void)fd, (void)which;
}

bool mmb__os_get_attribute(int fd, mmb__attribute which, void *value, size_t length)
{
    (void)fd, (void)which, (void)value, (void)length;
    return false;
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

int mmb__os_next_data(int fd, uint64_t offset, uint64_t *found)
{
    (void)fd, (void)offset, (void)found;
    return EOPNOTSUPP;
}

int mmb__os_look_at(int fd, mmb__traits *out)
{
    (void)fd;
    *out = (mmb__traits){.block_count_is_exact = false, .seek_data_is_reliable = false};
    return 0;
}

ssize_t mmb__os_write(int fd, bool shared, const void *from, size_t length, uint64_t offset)
{
    (void)shared;
    return pwrite(fd, from, length, (off_t)offset);
}

void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length)
{
    (void)fd, (void)offset, (void)length;
}

/* ---- processes and threads ------------------------------------------------- */

#if defined(__OpenBSD__)

static bool has_ended(int pid)
{
    (void)pid; /* there is no waitid() */
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

uint64_t mmb__os_pid_namespace(void)
{
    return 0;
}

unsigned long mmb__os_thread(void)
{
    return (unsigned long)(uintptr_t)pthread_self();
}

/* ---- signals -------------------------------------------------------------- */

mmb__signal mmb__os_read_signal(const siginfo_t *info, const void *context)
{
    (void)context;
    mmb__signal signal = {
        .cause = MMB__FAULT, .again = true, .write = true, .address = (uintptr_t)info->si_addr};
#if defined(SI_USER)
    if (info->si_code == SI_USER) {
        signal.cause = MMB__SENT;
        signal.again = false;
    }
#endif
    return signal;
}

void mmb__os_resend(int number, siginfo_t *info)
{
    (void)info;
    raise(number);
}

const sigset_t *mmb__os_interrupted_mask(const void *context)
{
    (void)context;
    return NULL;
}

void mmb__os_wait_for_word(const uint32_t *word, uint32_t value, uint64_t most)
{
    enum { NAP = 1000000 };
    const struct timespec pause = {.tv_nsec = most < NAP ? (long)most : NAP};
    (void)word;
    (void)value;
    nanosleep(&pause, NULL);
}

void mmb__os_wake_word(const uint32_t *word)
{
    (void)word;
}

void mmb__os_nap(void)
{
    const struct timespec millisecond = {.tv_nsec = 1000000};
    nanosleep(&millisecond, NULL);
}

void mmb__os_await_end_of_thread(unsigned long thread)
{
    (void)thread;
}

void mmb__os_wake_one_of_word(const uint32_t *word)
{
    (void)word;
}

int mmb__os_hold_byte(int fd, uint64_t offset, bool exclusive, bool wait)
{
    (void)fd;
    (void)offset;
    (void)exclusive;
    (void)wait;
    return ENOTSUP;
}

void mmb__os_release_byte(int fd, uint64_t offset)
{
    (void)fd;
    (void)offset;
}

bool mmb__os_bytes_are_held(int fd, uint64_t offset, uint64_t length)
{
    (void)fd;
    (void)offset;
    (void)length;
    return false; /* there are no such holds */
}

#else
typedef int mmb__os_not_linux_is_empty; /* C wants a declaration in every file */
#endif
