/* wake.c - how long it takes to wake another process, and nothing else.
 *
 *     wake COUNT
 *
 * One process sleeps on a word of shared memory. Another one changes the word every 2 ms, and wakes
 * it. Prints the median and the ninth decile of COUNT such times, in nanoseconds: from before the
 * change of the word until the other process runs. */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    _Atomic uint32_t word;
    _Atomic uint64_t sent;
} shared;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void be_woken(shared *s, uint32_t count)
{
    uint64_t *times = calloc(count, sizeof *times);
    if (times == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        while (atomic_load(&s->word) == i) {
            syscall(SYS_futex, &s->word, FUTEX_WAIT, i, NULL, NULL, 0);
        }
        times[i] = now() - atomic_load(&s->sent);
    }
    qsort(times, count, sizeof *times, compare);
    printf("%llu %llu\n", (unsigned long long)times[count / 2],
           (unsigned long long)times[count * 9ull / 10]);
    free(times);
}

static void wake(shared *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        usleep(2000);
        atomic_store(&s->sent, now());
        atomic_store(&s->word, i + 1);
        syscall(SYS_futex, &s->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == 0 || s == MAP_FAILED) {
        return 1;
    }
    pid_t child = fork();
    if (child == 0) {
        be_woken(s, count);
        return 0;
    }
    wake(s, count);
    waitpid(child, NULL, 0);
    return 0;
}
