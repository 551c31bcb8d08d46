/* posix.c - what every system does alike, as POSIX says it. */
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#if !defined(__APPLE__)
#include <semaphore.h>
#endif

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* Several threads may set these at the same time, to the same values. So they are atomic. */
static _Atomic uint64_t page_size = 4096;
static _Atomic bool initialised;

void mmb__os_init(void)
{
    if (atomic_load_explicit(&initialised, memory_order_acquire)) {
        return;
    }
    long size = sysconf(_SC_PAGESIZE);
    if (size > 0) {
        atomic_store_explicit(&page_size, (uint64_t)size, memory_order_relaxed);
    }
    mmb__os_init_system();
    mmb__os_init_files();
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

/* Map at an address that is `alignment` below a multiple of `unit`. Reserve more addresses than are
 * needed, take the right part of them, and give the rest back. */
static int map_below(int fd, uint64_t length, uint64_t alignment, uint64_t unit,
                     unsigned char **base)
{
    uint64_t reserved = length + unit;
    unsigned char *start = mmb__os_reserve(NULL, reserved, -1);
    if (start == NULL) {
        return errno;
    }
    uint64_t skip = unit - 1 - ((uintptr_t)start + alignment - 1) % unit;
    unsigned char *aligned = start + skip;
    if (skip > 0) {
        munmap(start, (size_t)skip);
    }
    munmap(aligned + length, (size_t)(unit - skip));
    if (mmb__os_reserve(aligned, length, fd) == NULL) {
        int error = errno;
        munmap(aligned, (size_t)length);
        return error;
    }
    *base = aligned;
    return 0;
}

/* Bytes that one page of page tables covers on most processors, if its entries are whole tables. To
 * unmap memory, the system looks at all entries behind the first one of that memory. So a small
 * file is unmapped in half the time if its first page has the last entry. */
#define TABLE ((uint64_t)1 << 30)

static int map_anywhere(int fd, uint64_t length, uint64_t alignment, unsigned char **base)
{
    if (length >= TABLE && map_below(fd, length, alignment, TABLE, base) == 0) {
        return 0;
    }
    return map_below(fd, length, alignment, alignment, base);
}

/* We propose the address of the mapping before: the system takes it if it is free again. */
static int map_somewhere(int fd, uint64_t length, uint64_t alignment, unsigned char **base)
{
    static _Atomic uintptr_t last;
    void *hint = (void *)atomic_load_explicit(&last, memory_order_relaxed);
    unsigned char *start =
        hint == NULL ? MAP_FAILED : mmap(hint, (size_t)length, PROT_NONE, MAP_SHARED, fd, 0);
    if (start == MAP_FAILED || (uintptr_t)start % alignment != 0) {
        if (start != MAP_FAILED) {
            munmap(start, (size_t)length);
        }
        int error = map_anywhere(fd, length, alignment, &start);
        if (error != 0) {
            return error;
        }
    }
    atomic_store_explicit(&last, (uintptr_t)start, memory_order_relaxed);
    *base = start;
    return 0;
}

int mmb__os_map_file(int fd, uint64_t length, uint64_t alignment, uint64_t small,
                     unsigned char **base)
{
    unsigned char *start = NULL;
    int error = map_somewhere(fd, length, alignment, &start);
    if (error != 0) {
        return error;
    }
    /* The memory becomes accessible after it is unlocked. In the other order the kernel would bring
     * in the whole file after mlockall(MCL_FUTURE), and lock it in memory. */
    munlock(start, (size_t)length);
    if (mprotect(start, (size_t)length, PROT_READ | PROT_WRITE) != 0) {
        error = errno;
        munmap(start, (size_t)length);
        return error;
    }
    mmb__os_advise(start, length, small < length ? small : length);
    *base = start;
    return 0;
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

/* ---- files ---------------------------------------------------------------- */

int mmb__os_read_all(int fd, void *to, size_t length, uint64_t offset, size_t *got)
{
    size_t done = 0;
    int error = 0;
    while (done < length) {
        ssize_t n = pread(fd, (char *)to + done, length - done, (off_t)(offset + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            break;
        } else if (errno != EINTR) {
            error = errno;
            break;
        }
    }
    *got = done;
    return error;
}

int mmb__os_put(int fd, bool shared, const void *from, size_t length, uint64_t offset)
{
    ssize_t done;
    do {
        done = mmb__os_write(fd, shared, from, length, offset);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? errno : done == (ssize_t)length ? 0 : EIO;
}

int mmb__os_write_all(int fd, bool shared, const void *from, size_t length, uint64_t offset,
                      size_t *written)
{
    size_t done = 0;
    int error = 0;
    while (done < length) {
        ssize_t n =
            mmb__os_write(fd, shared, (const char *)from + done, length - done, offset + done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            error = n == 0 ? EIO : errno;
            break;
        }
    }
    if (written != NULL) {
        *written = done;
    }
    return error;
}

int mmb__os_truncate(int fd, uint64_t size)
{
    while (ftruncate(fd, (off_t)size) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

uint64_t mmb__os_changed_at(const struct stat *file)
{
#if defined(__APPLE__)
    const struct timespec at = file->st_mtimespec;
#else
    const struct timespec at = file->st_mtim;
#endif
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

int mmb__os_duplicate(int fd, int *copy)
{
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    return *copy < 0 ? errno : 0;
}

/* ---- waking a thread ------------------------------------------------------ */

#if !defined(__APPLE__) /* which has no unnamed semaphores */

struct mmb__os_event {
    sem_t semaphore;
};

int mmb__os_event_new(mmb__os_event **event)
{
    mmb__os_event *made = malloc(sizeof *made);
    if (made == NULL) {
        return ENOMEM;
    }
    if (sem_init(&made->semaphore, 0, 0) != 0) {
        int error = errno;
        free(made);
        return error;
    }
    *event = made;
    return 0;
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

void mmb__os_event_free(mmb__os_event *event)
{
    sem_destroy(&event->semaphore);
    free(event);
}

#endif
