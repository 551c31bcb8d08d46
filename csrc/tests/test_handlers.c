/* test_handlers.c - living with others who want SIGBUS, or send it.
 *
 * A bus error that is none of ours must end as it would without us, and a growth
 * fault must be served whoever has put a handler above ours meanwhile. What dies
 * does so in a child, and its status is looked at. */
#include "tempfile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { SECONDS = 60, LEVELS = 16 };

static int start(mmb_map **map)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    int fd = temp_file();
    *map = open_map(fd, 4 * GIB);
    mmb_map_base(*map)[0] = 1;
    return fd;
}

/* A page beyond the end of a file that is not ours. */
static volatile char *foreign_page(void)
{
    int fd = temp_file();
    CHECK(ftruncate(fd, 4096) == 0);
    volatile char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    close(fd);
    return memory + 4096;
}

static void install(void (*handler)(int, siginfo_t *, void *), int flags, struct sigaction *old)
{
    struct sigaction action = {.sa_flags = flags};
    if (handler != NULL) {
        action.sa_sigaction = handler;
        action.sa_flags |= SA_SIGINFO;
    } else {
        action.sa_handler = SIG_DFL;
    }
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGBUS, &action, old) == 0);
}

static void set_plain(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

/* ---- a fault that is not ours ---------------------------------------------- */

static int foreign_fault(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    *foreign_page() = 1;
    return 9;
}

static int foreign_fault_with_sigbus_ignored_before(void *unused)
{
    set_plain(SIG_IGN);
    return foreign_fault(unused);
}

static int foreign_fault_with_sigbus_ignored_after(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    set_plain(SIG_IGN);
    CHECK_EQ(mmb_install_handler(), 0);
    mmb_map_base(map)[GIB] = 1; /* is served */
    *foreign_page() = 1;
    return 9;
}

static int foreign_fault_in_a_thread_while_others_grow(void *unused);

static void a_foreign_fault_kills(void)
{
    CHECK_KILLED(run_child(foreign_fault, NULL, SECONDS), SIGBUS);
    CHECK_KILLED(run_child(foreign_fault_with_sigbus_ignored_before, NULL, SECONDS), SIGBUS);
    CHECK_KILLED(run_child(foreign_fault_with_sigbus_ignored_after, NULL, SECONDS), SIGBUS);
    CHECK_KILLED(run_child(foreign_fault_in_a_thread_while_others_grow, NULL, SECONDS), SIGBUS);
}

static void *grow_for_ever(void *argument)
{
    unsigned char *base = mmb_map_base(argument);
    static _Atomic uint64_t next = 4096;
    for (;;) {
        base[atomic_fetch_add(&next, 8 * 4096) % GIB] = 1;
    }
    return NULL;
}

static int foreign_fault_in_a_thread_while_others_grow(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, grow_for_ever, map), 0);
    }
    sleep_ms(10);
    *foreign_page() = 1;
    return 9;
}

/* ---- previous handlers ------------------------------------------------------ */

static volatile char *expected_address;

/* _exit(0) only if the handler sees what it would see without us. */
static void judge(int number, siginfo_t *info, void *context)
{
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    bool mask_as_asked = sigismember(&mask, SIGBUS) == 1 && sigismember(&mask, SIGUSR1) == 0;
    _exit(number == SIGBUS && info->si_addr == (void *)(uintptr_t)expected_address &&
                  info->si_code == BUS_ADRERR && context != NULL && mask_as_asked
              ? 0
              : 3);
}

static void judge_plainly(int number)
{
    _exit(number == SIGBUS ? 0 : 3);
}

static int previous_with_siginfo(void *unused)
{
    mmb_map *map;
    (void)unused;
    install(judge, 0, NULL);
    start(&map);
    expected_address = foreign_page();
    *expected_address = 1;
    return 9;
}

static int previous_without_siginfo(void *unused)
{
    mmb_map *map;
    (void)unused;
    set_plain(judge_plainly);
    start(&map);
    *foreign_page() = 1;
    return 9;
}

static volatile sig_atomic_t calls;

static void count_call(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    calls++;
    if (calls > 1) {
        _exit(4);
    }
}

/* Called once and then the default, as the kernel would have it. */
static int previous_for_once(void *unused)
{
    mmb_map *map;
    (void)unused;
    install(count_call, (int)SA_RESETHAND, NULL);
    start(&map);
    *foreign_page() = 1;
    return 9;
}

static void a_previous_handler_gets_what_is_not_ours(void)
{
    CHECK_EXITED(run_child(previous_with_siginfo, NULL, SECONDS));
    CHECK_EXITED(run_child(previous_without_siginfo, NULL, SECONDS));
    CHECK_KILLED(run_child(previous_for_once, NULL, SECONDS), SIGBUS);
}

/* ---- signals that are sent ---------------------------------------------------- */

static int raise_it(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    raise(SIGBUS);
    return 9;
}

static int raise_it_in_a_fresh_thread_body(void *unused);

static int raise_it_ignored(void *unused)
{
    set_plain(SIG_IGN);
    mmb_map *map;
    (void)unused;
    start(&map);
    raise(SIGBUS);
    kill(getpid(), SIGBUS);
    mmb_map_base(map)[GIB] = 1;
    return 0;
}

static int wait_to_be_killed(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    kill(getppid(), SIGUSR1);
    sleep_ms(SECONDS * 1000);
    return 9;
}

static void *raise_in_thread(void *unused)
{
    raise(SIGBUS);
    return unused;
}

static int raise_it_in_a_fresh_thread_body(void *unused)
{
    mmb_map *map;
    pthread_t thread;
    (void)unused;
    start(&map);
    CHECK_EQ(pthread_create(&thread, NULL, raise_in_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    return 9;
}

static void a_sent_sigbus_does_what_it_did(void)
{
    CHECK_KILLED(run_child(raise_it, NULL, SECONDS), SIGBUS);
    CHECK_KILLED(run_child(raise_it_in_a_fresh_thread_body, NULL, SECONDS), SIGBUS);
    CHECK_EXITED(run_child(raise_it_ignored, NULL, SECONDS));

    sigset_t ready, before;
    sigemptyset(&ready);
    sigaddset(&ready, SIGUSR1);
    sigprocmask(SIG_BLOCK, &ready, &before);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(wait_to_be_killed(NULL));
    }
    int number;
    CHECK_EQ(sigwait(&ready, &number), 0);
    kill(pid, SIGBUS);
    CHECK_KILLED(wait_for(pid, SECONDS), SIGBUS);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* ---- handlers above ours ------------------------------------------------------ */

static struct sigaction chained;
static _Atomic int chain_calls;

static void chain(int number, siginfo_t *info, void *context)
{
    atomic_fetch_add(&chain_calls, 1);
    if ((chained.sa_flags & SA_SIGINFO) != 0) {
        chained.sa_sigaction(number, info, context);
    } else if (chained.sa_handler != SIG_DFL && chained.sa_handler != SIG_IGN) {
        chained.sa_handler(number);
    } else {
        _exit(5);
    }
}

static int served_through_a_chaining_handler(void *unused)
{
    mmb_map *map;
    (void)unused;
    int fd = start(&map);
    install(chain, 0, &chained);
    mmb_map_base(map)[GIB] = 1; /* through it */
    CHECK_EQ(atomic_load(&chain_calls), 1);
    CHECK_EQ(mmb_install_handler(), 0); /* on top again */
    mmb_map_base(map)[2 * GIB] = 1;
    CHECK_EQ(atomic_load(&chain_calls), 1);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(mmb_install_handler(), 0);
    }
    CHECK_EQ(file_size(fd), 2 * GIB + MMB_GRANULE);
    *foreign_page() = 1; /* down the whole chain, once, and dead */
    return 9;
}

/* What faulthandler does: print, put back what was there, raise again. */
static struct sigaction put_back;

static void restore_and_raise(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    atomic_fetch_add(&chain_calls, 1);
    sigaction(number, &put_back, NULL);
    raise(number);
}

static void crash_reporter_above(void)
{
    install(restore_and_raise, SA_NODEFER | SA_ONSTACK, &put_back);
}

static int served_though_a_crash_reporter_took_it(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    for (uint64_t i = 1; i < 30; i++) {
        crash_reporter_above();
        mmb_map_base(map)[i * 128 * MIB] = (unsigned char)i;
        CHECK_EQ(atomic_load(&chain_calls), (int)i);
        CHECK_EQ(mmb_map_base(map)[i * 128 * MIB], (unsigned char)i);
        if (i % 3 == 0) {
            CHECK_EQ(mmb_install_handler(), 0);
        }
    }
    return 0;
}

static int foreign_fault_with_a_crash_reporter(void *below)
{
    mmb_map *map;
    if (below != NULL) {
        crash_reporter_above(); /* it is there before us */
    }
    start(&map);
    if (below == NULL) {
        crash_reporter_above();
    }
    *foreign_page() = 1;
    return 9;
}

static int raise_after_a_crash_reporter_was_served(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    crash_reporter_above();
    mmb_map_base(map)[GIB] = 1;
    raise(SIGBUS); /* this one is meant */
    return 9;
}

typedef struct {
    mmb_map *map;
    uint64_t number;
} worker;

static void *grow_on_alternate_stack(void *argument)
{
    const worker *self = argument;
    size_t size = 32 * 1024;
    stack_t stack = {.ss_sp = malloc(size), .ss_size = size};
    CHECK(stack.ss_sp != NULL && sigaltstack(&stack, NULL) == 0);
    unsigned char *base = mmb_map_base(self->map);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t at = (self->number * 300 + i) * MMB_GRANULE;
        base[at] = (unsigned char)(self->number + 1);
        CHECK_EQ(base[at], (unsigned char)(self->number + 1));
    }
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    free(stack.ss_sp);
    return NULL;
}

/* The reporter comes again and again while four threads grow. */
static int threads_grow_under_a_crash_reporter(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    pthread_t threads[4];
    worker workers[4];
    for (uint64_t i = 0; i < 4; i++) {
        workers[i] = (worker){map, i};
        CHECK_EQ(pthread_create(&threads[i], NULL, grow_on_alternate_stack, &workers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        struct sigaction now;
        sigaction(SIGBUS, NULL, &now);
        if (now.sa_sigaction != restore_and_raise) {
            crash_reporter_above();
        }
        sleep_ms(1);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    return 0;
}

static void growth_is_served_below_others(void)
{
    CHECK_KILLED(run_child(served_through_a_chaining_handler, NULL, SECONDS), SIGBUS);
    CHECK_EXITED(run_child(served_though_a_crash_reporter_took_it, NULL, SECONDS));
    CHECK_EXITED(run_child(threads_grow_under_a_crash_reporter, NULL, SECONDS));
    CHECK_KILLED(run_child(foreign_fault_with_a_crash_reporter, NULL, SECONDS), SIGBUS);
    CHECK_KILLED(run_child(foreign_fault_with_a_crash_reporter, "below", SECONDS), SIGBUS);
    CHECK_KILLED(run_child(raise_after_a_crash_reporter_was_served, NULL, SECONDS), SIGBUS);
}

/* ---- more handlers than we have levels ---------------------------------------- */

#define MORE(n)                                                                                    \
    static struct sigaction below_##n;                                                             \
    static void more_##n(int number, siginfo_t *info, void *context)                               \
    {                                                                                              \
        if (++calls > 100) {                                                                       \
            _exit(6);                                                                              \
        }                                                                                          \
        if ((below_##n.sa_flags & SA_SIGINFO) != 0) {                                              \
            below_##n.sa_sigaction(number, info, context);                                         \
        } else {                                                                                   \
            _exit(7);                                                                              \
        }                                                                                          \
    }
MORE(0)
MORE(1)
MORE(2)
MORE(3)
MORE(4)
MORE(5)
MORE(6)
MORE(7)
MORE(8)
MORE(9)
MORE(10)
MORE(11)
MORE(12)
MORE(13)
MORE(14)
MORE(15)
MORE(16)
MORE(17)

static struct {
    void (*handler)(int, siginfo_t *, void *);
    struct sigaction *below;
} const more[] = {
    {more_0, &below_0},   {more_1, &below_1},   {more_2, &below_2},   {more_3, &below_3},
    {more_4, &below_4},   {more_5, &below_5},   {more_6, &below_6},   {more_7, &below_7},
    {more_8, &below_8},   {more_9, &below_9},   {more_10, &below_10}, {more_11, &below_11},
    {more_12, &below_12}, {more_13, &below_13}, {more_14, &below_14}, {more_15, &below_15},
    {more_16, &below_16}, {more_17, &below_17},
};

/* Each new handler takes SIGBUS from us and hands on; we get on top of each. When no
 * level is left that is an error, not a loop, and growth goes on below. */
static int one_handler_after_the_other(void *unused)
{
    mmb_map *map;
    (void)unused;
    start(&map);
    int armed = 0;
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        install(more[i].handler, 0, more[i].below);
        int error = mmb_install_handler();
        CHECK(error == 0 || error == EBUSY);
        armed += error == 0;
        mmb_map_base(map)[(i + 1) * 64 * MIB] = 1;
        calls = 0;
    }
    CHECK_EQ(armed, LEVELS - 1); /* one was for what was there at first */
    *foreign_page() = 1;
    return 9;
}

static void many_handlers_end_in_an_error_and_no_loop(void)
{
    CHECK_KILLED(run_child(one_handler_after_the_other, NULL, SECONDS), SIGBUS);
}

int main(void)
{
    if (is_emulated()) {
        fprintf(stderr, "  (not here: an emulator makes of signals what no kernel does)\n");
        return 0;
    }
    RUN(a_foreign_fault_kills);
    RUN(a_previous_handler_gets_what_is_not_ours);
    RUN(a_sent_sigbus_does_what_it_did);
    RUN(growth_is_served_below_others);
    RUN(many_handlers_end_in_an_error_and_no_loop);
    return 0;
}
