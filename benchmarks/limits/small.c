/* small.c - the least that a small file costs when it is made through a mapping.
 *
 *     small WAY DIRECTORY COUNT
 *
 * Makes COUNT files of 4 KiB in the new DIRECTORY and prints the seconds. The ways:
 *
 *     write   open, write, close
 *     sized   open, ftruncate to 4 KiB, mmap, store, munmap, close
 *     grown   what a file that grows by stores cannot do without: open, lock, 64 GiB of
 *             addresses, an end at 2 MiB, store, cut, unmap, unlock, close */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY ((size_t)64 << 30)
#define GRANULE ((off_t)2 << 20)
#define SMALL ((off_t)64 << 10)

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

static void map_it(int fd, size_t length, bool grows)
{
    char *base = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(base != MAP_FAILED);
    if (grows) {
        check(flock(fd, LOCK_EX | LOCK_NB) == 0);
        madvise(base, SMALL, MADV_RANDOM);
        madvise(base + SMALL, length - SMALL, MADV_HUGEPAGE);
        check(ftruncate(fd, GRANULE) == 0);
    } else {
        check(ftruncate(fd, sizeof data) == 0);
    }
    memcpy(base, data, sizeof data);
    if (grows) {
        check(ftruncate(fd, sizeof data) == 0);
    }
    munmap(base, length);
    if (grows) {
        flock(fd, LOCK_UN);
    }
}

int main(int count, char **words)
{
    check(count == 4);
    memset(data, 'x', sizeof data);
    check(mkdir(words[2], 0777) == 0);
    int files = atoi(words[3]);
    double start = now();
    for (int i = 0; i < files; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%d", words[2], i);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        check(fd >= 0);
        if (strcmp(words[1], "write") == 0) {
            write_it(fd);
        } else {
            bool grows = strcmp(words[1], "grown") == 0;
            map_it(fd, grows ? CAPACITY : sizeof data, grows);
        }
        close(fd);
    }
    printf("{\"closed\": %.6f}\n", now() - start);
    return 0;
}
