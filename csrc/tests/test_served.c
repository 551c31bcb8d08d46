/* test_served.c - what a served fault leaves as it was: errno, masks, timers of others,
 * and all of the stack but a little. */
#include "tempfile.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>

static int start(mmb_map **map)
{
    int fd = temp_file();
    *map = open_map(fd, 4 * GIB);
    mmb_map_base(*map)[0] = 1;
    return fd;
}

static void errno_is_as_it_was(void)
{
    mmb_map *map;
    int fd = start(&map);
    for (uint64_t i = 1; i < 30; i++) {
        errno = 1234;
        mmb_map_base(map)[i * 64 * MIB] = 1;
        CHECK_EQ(errno, 1234);
    }
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
    /* Where calls of the handler fail by design. */
    CHECK_EQ(mmb_map_detach(map), 0);
    CHECK(ftruncate(fd, 0) == 0);
    errno = 1234;
    CHECK_EQ(mmb_map_base(map)[0], 0);
    CHECK_EQ(errno, 1234);
    mmb_map_free(map);
    close(fd);
}

static _Atomic unsigned ticks;

static void tick(int number)
{
    (void)number;
    atomic_fetch_add(&ticks, 1);
}

static void grow_with_timer(int flags, int fd)
{
    struct sigaction action = {.sa_handler = tick, .sa_flags = flags}, before;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGALRM, &action, &before) == 0);
    struct itimerval every_ms = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &every_ms, NULL) == 0);
    mmb_map *map = open_map(fd, 4 * GIB);
    uint64_t *words = (uint64_t *)(void *)mmb_map_base(map);
    const uint64_t size = LESS_UNDER_TSAN(512 * MIB);
    for (uint64_t i = 0; i < size / 8; i += 64) {
        words[i] = i;
    }
    /* A long allocation, which some file systems break off at any signal. */
    CHECK_EQ(mmb_map_reserve(map, 0, size + 256 * MIB), 0);
    CHECK_EQ(mmb_map_ensure(map, size + 300 * MIB), 0);
    mmb_map_base(map)[3 * GIB] = 1;
    CHECK_EQ(mmb_map_reserve(map, size + 300 * MIB, size + 600 * MIB), 0); /* a hole */
    CHECK(setitimer(ITIMER_REAL, &off, NULL) == 0);
    for (uint64_t i = 0; i < size / 8; i += 64) {
        CHECK_EQ(words[i], i);
    }
    CHECK(sigaction(SIGALRM, &before, NULL) == 0);
    close_map(map, size);
    close(fd);
}

static void a_fast_timer_changes_nothing(void)
{
    grow_with_timer(SA_RESTART, temp_file());
    grow_with_timer(0, temp_file());
    grow_with_timer(0, memfd_create("memory", MFD_CLOEXEC));
    CHECK(atomic_load(&ticks) > 0);
}

/* ---- the stack that it needs ---------------------------------------------------- */

static void *grow_on_a_small_stack(void *argument)
{
    enum { SIZE = 64 * 1024, SMALL = 8 * 1024 };
    mmb_map *map = argument;
    unsigned char *memory =
        mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 0xa5, SIZE);
    /* What lies below would be the next thing in memory: nothing may be written there. */
    stack_t stack = {.ss_sp = memory + SIZE - SMALL, .ss_size = SMALL};
    CHECK(sigaltstack(&stack, NULL) == 0);
    unsigned char *base = mmb_map_base(map);
    for (uint64_t i = 1; i < 20; i++) {
        base[i * 64 * MIB] = 1;
        base[i * 64 * MIB + MMB_GRANULE] = 1;
    }
    mmb_map_set_poison(map, EIO);
    base[3 * GIB] = 1; /* the way that covers */
    stack_t off = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&off, NULL) == 0);
    size_t untouched = 0;
    while (untouched < SIZE && memory[untouched] == 0xa5) {
        untouched++;
    }
    CHECK(untouched > SIZE - SMALL);
    fprintf(stderr, "  (%zu bytes of a signal stack, the kernel's frame included)\n",
            SIZE - untouched);
    munmap(memory, SIZE);
    return NULL;
}

static void a_small_signal_stack_is_enough(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    /* Sanitizers have handlers and frames of their own, which are not what ships. */
    (void)grow_on_a_small_stack;
#else
    mmb_map *map;
    int fd = start(&map);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, grow_on_a_small_stack, map), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    mmb_map_free(map);
    close(fd);
#endif
}

/* ---- a raise of the program's own ---------------------------------------------------- */

/* A thread inherits the address of its creator's last fault, which the kernel tells with each
 * signal that it raises. */
static void *raise_when_told(void *argument)
{
    _Atomic bool *told = argument;
    while (!atomic_load(told)) {
        sched_yield();
    }
    raise(SIGBUS);
    return NULL;
}

static int raise_after_faults_of_others(void *by_thread)
{
    mmb_map *map;
    start(&map);
    mmb_map_base(map)[64 * MIB] = 1; /* this is the address */
    _Atomic bool told = false;
    pthread_t thread;
    int go[2];
    CHECK(pipe(go) == 0);
    pid_t pid = 0;
    if (by_thread != NULL) {
        CHECK_EQ(pthread_create(&thread, NULL, raise_when_told, &told), 0);
    } else {
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            char byte;
            CHECK_EQ(read(go[0], &byte, 1), 1);
            raise(SIGBUS);
            _exit(0);
        }
    }
    for (uint64_t i = 2; i < 50; i++) {
        mmb_map_base(map)[i * 64 * MIB] = 1;
    }
    atomic_store(&told, true);
    CHECK_EQ(write(go[1], "g", 1), 1);
    if (by_thread != NULL) {
        CHECK_EQ(pthread_join(thread, NULL), 0);
        return 0; /* which is not reached */
    }
    CHECK_KILLED(wait_for(pid, 20), SIGBUS);
    return 0;
}

static void a_raise_is_not_taken_for_a_fault_of_others(void)
{
    int yes = 1;
    CHECK_KILLED(run_child(raise_after_faults_of_others, &yes, 60), SIGBUS);
    CHECK_EXITED(run_child(raise_after_faults_of_others, NULL, 60));
}

int main(void)
{
    RUN(errno_is_as_it_was);
    RUN(a_fast_timer_changes_nothing);
    RUN(a_small_signal_stack_is_enough);
    RUN(a_raise_is_not_taken_for_a_fault_of_others);
    return 0;
}
