/* small.c - the least that a small file costs when it is made through a mapping.
 *
 *     small WAY DIRECTORY COUNT
 *
 * Makes COUNT files of 4 KiB in the new DIRECTORY and prints the seconds. The ways:
 *
 *     write   open, write, close
 *     sized   open, ftruncate to 4 KiB, mmap, store, munmap, close
 *     called  what a file that could grow by stores, but is written by one call, cannot do
 *             without: open, lock, write, unlock, close
 *     grown   what one that does grow by a store cannot do without: open, lock, 64 GiB of
 *             addresses, an end at 2 MiB, store, unmap, cut, unlock, close. xfs gets the
 *             block at once: it would write out a file that was cut when it is closed */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY ((size_t)64 << 30)
#define GRANULE ((off_t)2 << 20)

static char data[4096];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void check(bool good)
{
    if (!good) {
        perror("small");
        exit(1);
    }
}

static void write_it(int fd)
{
    check(write(fd, data, sizeof data) == (ssize_t)sizeof data);
}

static void map_it(int fd)
{
    check(ftruncate(fd, sizeof data) == 0);
    char *base = mmap(NULL, sizeof data, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(base != MAP_FAILED);
    memcpy(base, data, sizeof data);
    munmap(base, sizeof data);
}

static void grow_it(int fd, bool allocate)
{
    char *base = mmap(NULL, CAPACITY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(base != MAP_FAILED);
    madvise(base, CAPACITY, MADV_RANDOM);
    madvise(base + GRANULE, CAPACITY - GRANULE, MADV_HUGEPAGE);
    if (allocate) {
        check(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, sizeof data) == 0);
    }
    check(ftruncate(fd, GRANULE) == 0);
    memcpy(base, data, sizeof data);
    munmap(base, CAPACITY);
    check(ftruncate(fd, sizeof data) == 0);
}

int main(int count, char **words)
{
    check(count == 4);
    memset(data, 'x', sizeof data);
    check(mkdir(words[2], 0777) == 0);
    struct statfs fs;
    check(statfs(words[2], &fs) == 0);
    bool is_xfs = fs.f_type == 0x58465342;
    int files = atoi(words[3]);
    double start = now();
    for (int i = 0; i < files; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%d", words[2], i);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        check(fd >= 0);
        if (strcmp(words[1], "write") == 0) {
            write_it(fd);
        } else if (strcmp(words[1], "sized") == 0) {
            map_it(fd);
        } else {
            check(flock(fd, LOCK_EX | LOCK_NB) == 0);
            if (strcmp(words[1], "grown") == 0) {
                grow_it(fd, is_xfs);
            } else {
                write_it(fd);
            }
            flock(fd, LOCK_UN);
        }
        close(fd);
    }
    printf("{\"closed\": %.6f}\n", now() - start);
    return 0;
}
