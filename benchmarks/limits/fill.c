/* fill.c - how fast this machine fills a new file, in each way there is: the limits
 * that the package is measured against.
 *
 *     fill WAY FILE BYTES [STEP_MIB]
 *
 * Fills FILE, a ready block of 1 MiB at a time, and prints as JSON the seconds from open
 * to the last byte stored and to the close, and the processor time of the thread that
 * filled. The ways:
 *
 *     write       write(2) of the block
 *     sized       mmap of a file sized by ftruncate
 *     huge        the same, 2 MiB aligned, with MADV_HUGEPAGE
 *     single      as huge, with MADV_RANDOM as well: one huge page at a time
 *     allocated   as single, but sized by fallocate
 *     steps       as single, but fallocate of STEP_MIB (64) at a time, just before the stores
 *     cut         as steps, with ftruncate in place of fallocate
 *     ahead       as steps, and a second thread populates each step from its last
 *                 three quarters on, while the first fills it from its start
 *     populated   as single on a file of full size; a second thread populates all of it
 *     memory      stores into anonymous memory, then write(2) of it
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define GRANULE (2 * MIB)

static unsigned char block[MIB];

static double seconds(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(bool good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static void write_all(int fd, const unsigned char *from, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, from, length);
        check(done > 0, "write");
        from += done;
        length -= (size_t)done;
    }
}

/* Address space aligned to a huge page, with `fd` over it or, for -1, nothing. */
static unsigned char *map_aligned(int fd, size_t length, bool huge, bool single)
{
    unsigned char *start =
        mmap(NULL, length + GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(start != MAP_FAILED, "mmap");
    start += GRANULE - (uintptr_t)start % GRANULE;
    int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    start = mmap(start, length, PROT_READ | PROT_WRITE, flags, fd, 0);
    check(start != MAP_FAILED, "mmap");
    if (huge) {
        madvise(start, length, MADV_HUGEPAGE);
    }
    if (single) {
        madvise(start, length, MADV_RANDOM);
    }
    return start;
}

/* The second thread: populates what it is told to. */
static struct {
    sem_t told;
    unsigned char *start;
    size_t length;
} order;

static void *populate(void *unused)
{
    (void)unused;
    for (;;) {
        sem_wait(&order.told);
        unsigned char *start = order.start;
        size_t length = order.length;
        if (length == 0) {
            return NULL;
        }
        for (size_t done = 0; done < length; done += GRANULE) {
            madvise(start + done, length - done < GRANULE ? length - done : GRANULE, 23);
        }
    }
}

int main(int count, char **words)
{
    check(count >= 4, "usage: fill WAY FILE BYTES [STEP_MIB]");
    const char *way = words[1];
    size_t length = strtoull(words[3], NULL, 10);
    size_t step = (count > 4 ? strtoull(words[4], NULL, 10) : 64) * MIB;
    memset(block, 0x5a, sizeof block);
    unlink(words[2]);

    bool steps = strcmp(way, "steps") == 0, cut = strcmp(way, "cut") == 0;
    bool ahead = strcmp(way, "ahead") == 0, populated = strcmp(way, "populated") == 0;
    bool writes = strcmp(way, "write") == 0, memory = strcmp(way, "memory") == 0;
    bool allocated = strcmp(way, "allocated") == 0, sized = strcmp(way, "sized") == 0;
    bool single = !sized && !memory && strcmp(way, "huge") != 0;
    size_t head = step / 4;
    unsigned char *base = NULL;
    pthread_t thread;

    double start = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_THREAD_CPUTIME_ID);
    if (ahead || populated) {
        sem_init(&order.told, 0, 0);
        pthread_create(&thread, NULL, populate, NULL);
    }
    int fd = open(words[2], O_RDWR | O_CREAT | O_EXCL, 0666);
    check(fd >= 0, words[2]);
    if (writes) {
        for (size_t at = 0; at < length; at += MIB) {
            write_all(fd, block, MIB);
        }
    } else {
        base = map_aligned(memory ? -1 : fd, length, !sized, single);
        if (allocated) {
            check(fallocate(fd, 0, 0, (off_t)length) == 0, "fallocate");
        } else if (!memory && !steps && !cut && !ahead) {
            check(ftruncate(fd, (off_t)length) == 0, "ftruncate");
        }
        if (populated) {
            order.start = base;
            order.length = length;
            sem_post(&order.told);
        }
        for (size_t at = 0; at < length; at += MIB) {
            if ((steps || cut || ahead) && at % step == 0) {
                int failed = cut ? ftruncate(fd, (off_t)(at + step))
                                 : fallocate(fd, 0, (off_t)at, (off_t)step);
                check(failed == 0, "grow");
                if (ahead) {
                    order.start = base + at + head;
                    order.length = step - head;
                    sem_post(&order.told);
                }
            }
            memcpy(base + at, block, MIB);
        }
        if (memory) {
            write_all(fd, base, length);
        }
    }
    double filled = seconds(CLOCK_MONOTONIC);
    used = seconds(CLOCK_THREAD_CPUTIME_ID) - used;
    if (ahead || populated) {
        order.length = 0;
        sem_post(&order.told);
        pthread_join(thread, NULL);
    }
    if (base != NULL) {
        munmap(base, length);
    }
    close(fd);
    printf("{\"stored\": %.6f, \"closed\": %.6f, \"processor\": %.6f}\n", filled - start,
           seconds(CLOCK_MONOTONIC) - start, used);
    return 0;
}
