/* faults.c - what the handler itself costs, beside the growth that it does.
 *
 *     faults FILE COUNT [ROUNDS]
 *
 * Loads from FILE, COUNT times 2 MiB beyond its end: the handler answers by moving the end
 * up, which allocates next to nothing. Then a program that knows beforehand does the
 * same with the same system call and the same load. The difference is the handler: the
 * signal, the registry of maps, the checks. Best done on tmpfs, where the rest is least.
 * Prints nanoseconds for each growth, of either way and of the difference, as medians
 * of ROUNDS (9). */
#define _GNU_SOURCE
#include "map/mmb_map.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MOST_ROUNDS 99

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int new_file(const char *name)
{
    unlink(name);
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static double by_faults(const char *name, uint64_t count)
{
    int fd = new_file(name);
    mmb_options options = {.capacity = (count + 1) * MMB_GRANULE, .max_growth = MMB_GRANULE};
    mmb_map *map = NULL;
    int error = mmb_map_open(fd, &options, &map, NULL);
    if (error != 0) {
        fprintf(stderr, "%s\n", mmb_strerror(error));
        exit(1);
    }
    unsigned char *memory = NULL;
    if (mmb_map_memory(map, &memory) != 0) {
        exit(1);
    }
    volatile unsigned char *base = memory;
    unsigned sum = base[0];
    double start = now();
    for (uint64_t i = 1; i <= count; i++) {
        sum += base[i * MMB_GRANULE];
    }
    double taken = now() - start;
    mmb_stats stats;
    mmb_map_get_stats(map, &stats);
    if (stats.faults != count + 1 || sum != 0) {
        fprintf(stderr, "%llu faults\n", (unsigned long long)stats.faults);
        exit(1);
    }
    mmb_map_free(map);
    close(fd);
    return taken;
}

static double by_hand(const char *name, uint64_t count)
{
    int fd = new_file(name);
    size_t length = (count + 1) * MMB_GRANULE;
    unsigned char *start = mmap(NULL, length + MMB_GRANULE, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    start += MMB_GRANULE - (uintptr_t)start % MMB_GRANULE;
    volatile unsigned char *base =
        mmap(start, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    madvise(start, length, MADV_HUGEPAGE);
    madvise(start, length, MADV_RANDOM);
    unsigned sum = 0;
    double begin = now();
    for (uint64_t i = 1; i <= count; i++) {
        off_t end = (off_t)((i + 1) * MMB_GRANULE);
        if (fallocate(fd, 0, end - 1, 1) != 0) {
            perror("fallocate");
            exit(1);
        }
        sum += base[i * MMB_GRANULE];
    }
    double taken = now() - begin;
    if (sum != 0) {
        exit(1);
    }
    munmap(start, length);
    close(fd);
    return taken;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

int main(int count, char **words)
{
    if (count < 3) {
        fprintf(stderr, "usage: faults FILE COUNT [ROUNDS]\n");
        return 1;
    }
    uint64_t growths = strtoull(words[2], NULL, 10);
    int rounds = count > 3 ? atoi(words[3]) : 9;
    rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    double faults[MOST_ROUNDS], hand[MOST_ROUNDS], handler[MOST_ROUNDS];
    by_hand(words[1], growths); /* memory and caches warmed up */
    for (int i = 0; i < rounds; i++) {
        faults[i] = by_faults(words[1], growths) / (double)growths;
        hand[i] = by_hand(words[1], growths) / (double)growths;
        handler[i] = faults[i] - hand[i];
    }
    printf("{\"fault\": %.0f, \"by_hand\": %.0f, \"handler\": %.0f}\n", median(faults, rounds),
           median(hand, rounds), median(handler, rounds));
    return 0;
}
