/* test_growth.c - EOF moves up as it is written: how often, how far, and for how many
 * threads at once. Every byte that was stored is looked at again. */
#include "tempfile.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/vfs.h>

/* ---- the policy ------------------------------------------------------------ */

static void sequential_stores_need_few_growths(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 2 * GIB);
    unsigned char *base = mmb_map_base(map);
    CHECK_EQ((uintptr_t)base % MMB_GRANULE, 0);
    for (uint64_t at = 0; at < GIB; at += 4096) {
        base[at] = (unsigned char)(at >> 12);
    }
    mmb_stats stats = stats_of(map);
    CHECK(stats.growths <= 32);
    CHECK(stats.faults <= 32);
    CHECK_EQ(stats.backed, file_size(fd));
    for (uint64_t at = 0; at < GIB; at += 4096) {
        CHECK_EQ(base[at], (unsigned char)(at >> 12));
    }
    close_map(map, GIB);
    CHECK_EQ(file_size(fd), GIB);
    close(fd);
}

static void eof_stands_at_multiples_of_the_granule(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 8 * GIB + 12345);
    unsigned char *base = mmb_map_base(map);
    uint64_t seed = 7;
    for (int i = 0; i < 200; i++) {
        base[next_random(&seed) % (8 * GIB)] = 1;
        CHECK_EQ(file_size(fd) % MMB_GRANULE, 0);
        CHECK_EQ(file_size(fd), stats_of(map).backed);
    }
    close_map(map, 1);
    close(fd);
}

static void a_jump_backs_its_own_granule_only(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 64 * GIB);
    volatile unsigned char *base = mmb_map_base(map); /* stored to in this order */
    base[0] = 1;
    uint64_t far = 40 * GIB + 5;
    base[far] = 2;
    CHECK_EQ(file_size(fd), 40 * GIB + MMB_GRANULE);
    struct stat now;
    CHECK(fstat(fd, &now) == 0);
    CHECK((uint64_t)now.st_blocks * 512 < 16 * MIB);
    CHECK_EQ(base[20 * GIB], 0); /* the hole */
    base[20 * GIB] = 3;          /* is below EOF: no growth */
    CHECK_EQ(stats_of(map).growths, 2);
    CHECK_EQ(base[0] + base[far] + base[20 * GIB], 6);
    close_map(map, far + 1);
    CHECK_EQ(file_size(fd), far + 1);
    close(fd);
}

static void a_load_beyond_eof_sees_zero_and_takes_no_blocks(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 4 * GIB);
    volatile unsigned char *base = mmb_map_base(map);
    for (uint64_t at = 0; at < 4 * GIB; at += MMB_GRANULE) {
        CHECK_EQ(base[at], 0);
    }
    CHECK(stats_of(map).growths < 100);
    struct stat now;
    struct statfs fs;
    enum { TMPFS_TYPE = 0x01021994 }; /* where even the kernel's own zeros take blocks */
    CHECK(fstat(fd, &now) == 0 && fstatfs(fd, &fs) == 0);
    bool loads_are_told = !is_emulated() && fs.f_type != TMPFS_TYPE;
    CHECK(!loads_are_told || (uint64_t)now.st_blocks * 512 < 16 * MIB);
    base[3 * GIB] = 1;
    CHECK_EQ(base[3 * GIB], 1);
    close_map(map, 0);
    close(fd);
}

static void the_last_page_of_an_odd_capacity_can_be_used(void)
{
    static const uint64_t capacities[] = {1,       8,           4095,    4096,        4097,
                                          MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 70 * MIB + 9};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        uint64_t capacity = capacities[i];
        int fd = temp_file();
        mmb_map *map = open_map(fd, capacity);
        unsigned char *base = mmb_map_base(map);
        base[capacity - 1] = 9;
        CHECK(file_size(fd) >= capacity);
        CHECK(file_size(fd) < capacity + 4096);
        CHECK_EQ(mmb_map_reserve(map, 0, capacity), 0);
        CHECK_EQ(mmb_map_reserve(map, 0, capacity + 1), MMB_ECAPACITY);
        CHECK_EQ(mmb_map_write(map, capacity, "x", 1), MMB_ECAPACITY);
        CHECK_EQ(mmb_map_write(map, capacity - 1, "x", 1), 0);
        CHECK_EQ(base[capacity - 1], 'x');
        close_map(map, capacity);
        CHECK_EQ(file_size(fd), capacity);
        close(fd);
    }
}

static void what_is_reserved_raises_no_more_faults(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    CHECK_EQ(mmb_map_reserve(map, 0, 100 * MIB + 1), 0);
    uint64_t growths = stats_of(map).growths;
    memset(mmb_map_base(map), 5, 100 * MIB + 1);
    CHECK_EQ(stats_of(map).faults, 0);
    CHECK_EQ(stats_of(map).growths, growths);
    /* The kernel's own stores reach it too. */
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    CHECK_EQ(write(pipes[1], "kernel", 6), 6);
    CHECK_EQ(read(pipes[0], mmb_map_base(map) + 100 * MIB - 3, 6), 6);
    CHECK(memcmp(mmb_map_base(map) + 100 * MIB - 3, "kernel", 6) == 0);
    close(pipes[0]);
    close(pipes[1]);
    close_map(map, 100 * MIB + 1);
    close(fd);
}

static void a_block_may_come_from_beyond_eof_of_another_map(void)
{
    int fd = temp_file(), other_fd = temp_file();
    mmb_map *map = open_map(fd, GIB), *other = open_map(other_fd, GIB);
    mmb_map_base(other)[4000] = 1;
    CHECK_EQ(mmb_map_write(map, 100, mmb_map_base(other), 300 * MIB), 0);
    CHECK_EQ(mmb_map_base(map)[4100], 1);
    CHECK_EQ(mmb_map_base(map)[4099], 0);
    close_map(map, 300 * MIB);
    close_map(other, 4096);
    close(fd);
    close(other_fd);
}

/* ---- threads --------------------------------------------------------------- */

typedef struct {
    mmb_map *map;
    uint64_t *order; /* the pages of this thread */
    uint64_t pages;
    unsigned number;
} filler;

static uint64_t word_for(uint64_t page, uint64_t place)
{
    return (page * 512 + place) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static void *fill(void *argument)
{
    const filler *self = argument;
    for (uint64_t i = 0; i < self->pages; i++) {
        uint64_t page = self->order[i];
        uint64_t *words = (uint64_t *)(void *)(mmb_map_base(self->map) + page * 4096);
        for (uint64_t place = 0; place < 512; place++) {
            words[place] = word_for(page, place);
        }
    }
    return NULL;
}

typedef struct {
    int fd;
    _Atomic bool stop;
    bool fell;
} watcher;

static void *watch_eof(void *argument)
{
    watcher *self = argument;
    uint64_t last = 0;
    while (!atomic_load(&self->stop)) {
        uint64_t now = file_size(self->fd);
        self->fell = self->fell || now < last;
        last = now;
    }
    return NULL;
}

/* Pages in random order (`span` of them, so with jumps and holes) or in turn. */
static void fill_with_threads(unsigned count, uint64_t pages, bool shuffled)
{
    enum { MOST = 16 };
    int fd = temp_file();
    mmb_options options = {.capacity = pages * 4096 + 4096, .max_growth = 8 * MIB};
    mmb_map *map = open_map_by(fd, &options);
    uint64_t *order = malloc(pages * sizeof *order);
    CHECK(order != NULL);
    uint64_t seed = 99 + count;
    for (uint64_t i = 0; i < pages; i++) {
        order[i] = i;
    }
    for (uint64_t i = pages - 1; shuffled && i > 0; i--) {
        uint64_t j = next_random(&seed) % (i + 1), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    watcher watching = {.fd = fd};
    pthread_t threads[MOST], watching_thread;
    filler fillers[MOST];
    CHECK_EQ(pthread_create(&watching_thread, NULL, watch_eof, &watching), 0);
    /* Where pages are taken in turn, neighbours race for the same growth. */
    uint64_t *dealt = malloc(pages * sizeof *dealt);
    CHECK(dealt != NULL);
    uint64_t used = 0;
    for (unsigned t = 0; t < count; t++) {
        fillers[t] = (filler){map, dealt + used, 0, t};
        for (uint64_t i = t; i < pages; i += count) {
            dealt[used++] = order[i];
            fillers[t].pages++;
        }
    }
    for (unsigned t = 0; t < count; t++) {
        CHECK_EQ(pthread_create(&threads[t], NULL, fill, &fillers[t]), 0);
    }
    for (unsigned t = 0; t < count; t++) {
        CHECK_EQ(pthread_join(threads[t], NULL), 0);
    }
    atomic_store(&watching.stop, true);
    CHECK_EQ(pthread_join(watching_thread, NULL), 0);
    CHECK(!watching.fell);
    close_map(map, pages * 4096);

    /* By way of the file, not of the memory that the threads had. */
    const uint64_t *words = mmap(NULL, pages * 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(words != MAP_FAILED);
    for (uint64_t i = 0; i < pages * 512; i++) {
        if (words[i] != word_for(i / 512, i % 512)) {
            fprintf(stderr, "page %llu\n", (unsigned long long)(i / 512));
            CHECK_EQ(words[i], word_for(i / 512, i % 512));
        }
    }
    munmap((void *)(uintptr_t)words, pages * 4096);
    free(order);
    free(dealt);
    close(fd);
}

static void threads_grow_one_map(void)
{
    static const unsigned counts[] = {2, 3, 4, 8, 16};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        fill_with_threads(counts[i], LESS_UNDER_TSAN(32768), true);
        fill_with_threads(counts[i], LESS_UNDER_TSAN(32768), false);
    }
}

/* ---- the first growths of one map ------------------------------------------------ */

typedef struct {
    mmb_map *map;
    uint64_t at;
    _Atomic unsigned *waiting; /* threads that are not ready yet */
} first_store;

static void *store_first(void *argument)
{
    first_store *store = argument;
    atomic_fetch_sub(store->waiting, 1);
    for (int looks = 0; atomic_load(store->waiting) > 0; looks++) {
        if (looks > 1000) { /* there are fewer processors than threads */
            sched_yield();
        }
    }
    mmb_map_base(store->map)[store->at] = 1;
    return NULL;
}

/* The first move of EOF may make a file shorter that another thread has just made longer, unless
 * they take turns. */
static void no_first_growth_undoes_another(void)
{
    enum { THREADS = 2 };
    int rounds = LESS_UNDER_TSAN(1000);
    for (int round = 0; round < rounds; round++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, GIB);
        pthread_t threads[THREADS];
        first_store stores[THREADS];
        _Atomic unsigned waiting = THREADS;
        for (uint64_t i = 0; i < THREADS; i++) {
            stores[i] = (first_store){map, i * 100 * MIB, &waiting};
            CHECK_EQ(pthread_create(&threads[i], NULL, store_first, &stores[i]), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        CHECK_EQ(mmb_map_poison(map), 0);
        CHECK_EQ(file_size(fd), stats_of(map).backed);
        for (uint64_t i = 0; i < THREADS; i++) {
            unsigned char byte = 0;
            CHECK(pread(fd, &byte, 1, (off_t)(i * 100 * MIB)) == 1 && byte == 1);
        }
        mmb_map_free(map);
        close(fd);
    }
}

/* ---- a signal in the middle of a growth -------------------------------------------- */

enum { SIGNALS = 500 };

static unsigned char *signal_base;
static volatile sig_atomic_t signals;

static void store_in_a_handler(int number)
{
    (void)number;
    if (signals < SIGNALS) {
        signal_base[2 * GIB + (uint64_t)signals * 2 * MIB] = 1;
        signals = signals + 1;
    }
}

static int grow_under_signals(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, 4 * GIB);
    signal_base = mmb_map_base(map);
    struct sigaction ours = {.sa_handler = store_in_a_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 200}, {0, 200}};
    CHECK(sigaction(SIGALRM, &ours, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (uint64_t end = 0; signals < SIGNALS; end = (end + 2 * MIB) % GIB) {
        CHECK_EQ(mmb_map_reserve(map, end, end + 2 * MIB), 0);
    }
    CHECK_EQ(mmb_map_poison(map), 0);
    for (uint64_t i = 0; i < SIGNALS; i++) {
        unsigned char byte = 0;
        CHECK(pread(fd, &byte, 1, (off_t)(2 * GIB + i * 2 * MIB)) == 1 && byte == 1);
    }
    return 0;
}

/* A signal handler of the program stores where the file must grow, in a thread that makes it
 * grow. It would wait for its own thread if signals were not blocked then, so this is a child. */
static void a_signal_handler_may_store(void)
{
    if (IS_UNDER_TSAN) {
        return; /* it calls handlers later with all signals blocked, so a fault would be the end */
    }
    CHECK_EXITED(run_child(grow_under_signals, NULL, 60));
}

/* ---- many maps -------------------------------------------------------------------- */

static void *open_grow_close(void *argument)
{
    unsigned number = *(unsigned *)argument;
    uint64_t seed = number + 1;
    for (int round = 0; round < LESS_UNDER_TSAN(160); round++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, 64 * MIB);
        unsigned char *base = mmb_map_base(map);
        uint64_t size = 1 + next_random(&seed) % (6 * MIB);
        for (uint64_t at = 0; at < size; at += 997) {
            base[at] = (unsigned char)(at ^ number);
        }
        for (uint64_t at = 0; at < size; at += 997) {
            CHECK_EQ(base[at], (unsigned char)(at ^ number));
        }
        close_map(map, size);
        CHECK_EQ(file_size(fd), size);
        close(fd);
    }
    return NULL;
}

/* Faults of each map race with the closing of all the others. */
static void maps_are_opened_grown_and_closed_at_once(void)
{
    enum { COUNT = 8 };
    pthread_t threads[COUNT];
    unsigned numbers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        numbers[i] = i;
        CHECK_EQ(pthread_create(&threads[i], NULL, open_grow_close, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
    RUN(sequential_stores_need_few_growths);
    RUN(eof_stands_at_multiples_of_the_granule);
    RUN(a_jump_backs_its_own_granule_only);
    RUN(a_load_beyond_eof_sees_zero_and_takes_no_blocks);
    RUN(the_last_page_of_an_odd_capacity_can_be_used);
    RUN(what_is_reserved_raises_no_more_faults);
    RUN(a_block_may_come_from_beyond_eof_of_another_map);
    RUN(threads_grow_one_map);
    RUN(no_first_growth_undoes_another);
    RUN(a_signal_handler_may_store);
    RUN(maps_are_opened_grown_and_closed_at_once);
    return 0;
}
