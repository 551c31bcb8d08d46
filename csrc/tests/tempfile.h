/* tempfile.h - files, maps and children for the tests of the core.
 *
 * Files are made in $MMB_TEST_DIR, else $TMPDIR, else /tmp. */
#ifndef MMB_TESTS_TEMPFILE_H
#define MMB_TESTS_TEMPFILE_H

/* What plain C11 hides; works because this header is the first of each test. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "files.h"
#include "mmb_map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static inline const char *temp_directory(void)
{
    const char *names[] = {"MMB_TEST_DIR", "TMPDIR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && *value != '\0') {
            return value;
        }
    }
    return "/tmp";
}

static inline int temp_file(void)
{
    return make_file_in(temp_directory(), NULL);
}

/* Ask for the memory of `map`; what mmb_map_memory returns. */
static inline int ask_for_memory(mmb_map *map)
{
    unsigned char *base = NULL;
    return mmb_map_memory(map, &base);
}

/* A map whose memory can be stored to. */
static inline mmb_map *open_map_by(int fd, const mmb_options *options)
{
    mmb_map *map = NULL;
    CHECK_EQ(mmb_map_open(fd, options, &map, NULL), 0);
    CHECK_EQ(ask_for_memory(map), 0);
    return map;
}

static inline mmb_map *open_map(int fd, uint64_t capacity)
{
    mmb_options options = {.capacity = capacity, .max_growth = 64 * MIB};
    return open_map_by(fd, &options);
}

/* Seal, cut, free: an orderly end. */
static inline void close_map(mmb_map *map, uint64_t size)
{
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_poison(map), 0);
    CHECK_EQ(mmb_map_cut(map, size), 0);
    mmb_map_free(map);
}

static inline mmb_stats stats_of(const mmb_map *map)
{
    mmb_stats stats;
    mmb_map_get_stats(map, &stats);
    return stats;
}

static inline double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void sleep_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* xorshift64*: good enough, and the same everywhere. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* The wait status of `pid`, which is killed, and the test failed, after `seconds`:
 * from outside, since a process stuck in a signal handler is deaf to alarm(). */
static inline int wait_for(pid_t pid, int seconds)
{
    double end = now_seconds() + seconds;
    int status = 0;
    for (;;) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        CHECK(done >= 0);
        if (done == pid) {
            return status;
        }
        if (now_seconds() > end) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fprintf(stderr, "a child was still running after %d s\n", seconds);
            exit(1);
        }
        sleep_ms(2);
    }
}

/* Run `work(argument)` in a child; its exit code is that of `work`. */
static inline int run_child(int (*work)(void *), void *argument, int seconds)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        _exit(work(argument));
    }
    return wait_for(pid, seconds);
}

#define CHECK_EXITED(status) CHECK_EQ(status, 0)
#define CHECK_KILLED(status, number)                                                               \
    do {                                                                                           \
        int status_ = (status);                                                                    \
        CHECK(WIFSIGNALED(status_));                                                               \
        CHECK_EQ(WTERMSIG(status_), number);                                                       \
    } while (0)

/* Under ThreadSanitizer everything is ten times slower, and so is asked for less. */
#if defined(__SANITIZE_THREAD__)
#define IS_UNDER_TSAN true
#define LESS_UNDER_TSAN(n) ((n) / 8 > 0 ? (n) / 8 : 1)
#else
#define IS_UNDER_TSAN false
#define LESS_UNDER_TSAN(n) (n)
#endif

/* True where this runs on an emulated kernel: it has neither all limits, nor its own
 * signals and threads only, nor the advice by which the core asks for pages. */
static inline bool is_emulated(void)
{
    return madvise(NULL, 0, 9999) == 0;
}

/* Skips are said; in CI nothing is skipped. */
static inline void skip(const char *reason)
{
    const char *ci = getenv("CI");
    if (ci != NULL && strcmp(ci, "true") == 0) {
        fprintf(stderr, "cannot run: %s\n", reason);
        exit(1);
    }
    fprintf(stderr, "  skipped: %s\n", reason);
}

#endif
