/* test_private.c - memory that outlives its file: after detach it can be read and
 * written for ever, and nothing of it reaches the file any more. */
#include "tempfile.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { PAGE = 4096 };

static unsigned char value_of(uint64_t at)
{
    return (unsigned char)(at * 31 / PAGE + 1);
}

static mmb_map *filled(int *fd, uint64_t capacity, uint64_t size)
{
    *fd = temp_file();
    mmb_map *map = open_map(*fd, capacity);
    for (uint64_t at = 0; at < size; at += PAGE / 4) {
        mmb_map_base(map)[at] = value_of(at);
    }
    return map;
}

static void check_filled(const mmb_map *map, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += PAGE / 4) {
        CHECK_EQ(mmb_map_base(map)[at], value_of(at));
    }
}

static void content_stays_and_stores_stay_out_of_the_file(void)
{
    int fd;
    const uint64_t size = 5 * MIB + 1000;
    mmb_map *map = filled(&fd, GIB + 5, size);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, size), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    mmb_map_base(map)[1] ^= 1;
    CHECK_EQ(mmb_map_detach(map), 0); /* once more is no harm, to what was stored neither */
    mmb_map_base(map)[1] ^= 1;
    check_filled(map, size);
    for (uint64_t at = size; at < GIB; at += 3 * MIB) {
        CHECK_EQ(mmb_map_base(map)[at], 0);
    }
    memset(mmb_map_base(map), 0xee, 7 * MIB);
    mmb_map_base(map)[GIB + 4] = 0xee;
    CHECK_EQ(file_size(fd), size);
    unsigned char byte = 0;
    for (uint64_t at = 0; at < size; at += PAGE / 4) {
        CHECK_EQ(pread(fd, &byte, 1, (off_t)at), 1);
        CHECK_EQ(byte, value_of(at));
    }
    CHECK_EQ(mmb_map_base(map)[6 * MIB], 0xee);
    mmb_map_free(map);
    close(fd);
}

/* It is taken before the file is cut, and then shows what the file will be. */
static void a_snapshot_survives_the_cut_that_follows(void)
{
    int fd;
    mmb_map *map = filled(&fd, GIB, 5 * MIB);
    mmb_map_seal(map);
    const uint64_t size = 3 * MIB + PAGE / 2;
    CHECK_EQ(mmb_map_snapshot(map, size, false), 0);
    CHECK_EQ(mmb_map_base(map)[4 * MIB], 0);
    mmb_map_base(map)[1] = 7;
    mmb_map_base(map)[4 * MIB] = 8;
    CHECK_EQ(mmb_map_cut(map, size), 0);
    CHECK_EQ(mmb_map_detach(map), 0); /* there is nothing left to do */
    CHECK_EQ(mmb_map_base(map)[1], 7);
    CHECK_EQ(mmb_map_base(map)[4 * MIB], 8);
    CHECK_EQ(mmb_map_base(map)[MIB], value_of(MIB));
    CHECK_EQ(mmb_map_base(map)[size], 0);
    unsigned char byte = 9;
    CHECK_EQ(pread(fd, &byte, 1, 1), 1);
    CHECK_EQ(byte, 0);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), size);
    close(fd);
}

/* Memory beyond the content comes at the first access, and nothing that was stored goes for it. */
static void a_lazy_snapshot_becomes_zeros_beyond_the_content(void)
{
    int fd;
    mmb_map *map = filled(&fd, GIB + 5, 5 * MIB);
    mmb_map_seal(map);
    const uint64_t size = 3 * MIB + PAGE / 2;
    CHECK_EQ(mmb_map_snapshot(map, size, true), 0);
    mmb_map_base(map)[1] = 7;
    CHECK_EQ(mmb_map_cut(map, size), 0);
    CHECK_EQ(mmb_map_detach(map), 0); /* there is nothing left to do */
    CHECK_EQ(mmb_map_base(map)[1], 7);
    CHECK_EQ(mmb_map_base(map)[2 * MIB], value_of(2 * MIB));
    CHECK_EQ(mmb_map_base(map)[size], 0);
    const uint64_t places[] = {900 * MIB, 700 * MIB, 800 * MIB, 4 * MIB, GIB + 4};
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(mmb_map_base(map)[places[i]], 0);
        mmb_map_base(map)[places[i]] = (unsigned char)(i + 1);
    }
    CHECK(ftruncate(fd, 0) == 0); /* even then it kills nobody, and costs no memory of ours */
    CHECK_EQ(mmb_map_base(map)[MIB], 0);
    mmb_map_base(map)[MIB] = 9;
    CHECK_EQ(mmb_map_base(map)[3 * MIB + 2 * PAGE], 0);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(mmb_map_base(map)[places[i]], i + 1);
    }
    CHECK_EQ(mmb_map_base(map)[MIB], 9);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), 0);
    close(fd);
}

static void a_late_store_goes_to_memory_of_its_own(void)
{
    int fd;
    mmb_map *map = filled(&fd, GIB, 3 * MIB);
    mmb_map_seal(map);
    mmb_map_base(map)[500 * MIB] = 9;
    CHECK_EQ(mmb_map_base(map)[500 * MIB], 9);
    CHECK_EQ(mmb_map_poison(map), 0); /* the owner is closing: that is its affair */
    check_filled(map, 3 * MIB);
    uint64_t used = 0;
    CHECK_EQ(mmb_map_find_used(map, 0, &used), 0);
    CHECK(used < 3 * MIB && used > 3 * MIB - PAGE);
    CHECK_EQ(mmb_map_cut(map, used), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    check_filled(map, 3 * MIB);
    mmb_map_free(map);
    CHECK_EQ(file_size(fd), used);
    close(fd);
}

static void what_a_poisoned_map_has_in_memory_survives(void)
{
    int fd;
    mmb_map *map = filled(&fd, GIB, 3 * MIB);
    mmb_map_set_poison(map, EIO);
    mmb_map_base(map)[2 * MIB] = 77; /* below EOF: still the file */
    mmb_map_base(map)[99 * MIB] = 78;
    mmb_map_base(map)[100] = 79;
    CHECK_EQ(mmb_map_detach(map), 0);
    CHECK_EQ(mmb_map_base(map)[2 * MIB], 77);
    CHECK_EQ(mmb_map_base(map)[99 * MIB], 78);
    CHECK_EQ(mmb_map_base(map)[100], 79);
    CHECK_EQ(mmb_map_base(map)[MIB], value_of(MIB));
    mmb_map_free(map);
    close(fd);
}

/* The kernel takes the pages away with the file, changed ones included; nobody dies
 * of it, and what is stored afterwards stays. */
static void a_cut_afterwards_kills_nobody(void)
{
    int fd;
    mmb_map *map = filled(&fd, GIB, 5 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, 5 * MIB), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    mmb_map_base(map)[MIB] = 42;
    CHECK(ftruncate(fd, 0) == 0);
    CHECK_EQ(mmb_map_base(map)[MIB], 0);
    unsigned sum = 0;
    for (uint64_t at = 2 * MIB; at < 6 * MIB; at += PAGE) {
        sum += mmb_map_base(map)[at];
        mmb_map_base(map)[at] = 1;
    }
    CHECK_EQ(sum, 0);
    CHECK_EQ(mmb_map_base(map)[3 * MIB], 1);
    CHECK_EQ(file_size(fd), 0);
    mmb_map_free(map);
    close(fd);
}

/* Where private memory is counted strictly there is none for a whole map. The process
 * lives all the same, a page at a time. */
static int poisoned_without_memory(void *unused)
{
    int fd;
    (void)unused;
    mmb_map *map = filled(&fd, 64 * GIB, 3 * MIB);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_DATA, &limit) == 0);
    limit.rlim_cur = 256 * MIB;
    CHECK(setrlimit(RLIMIT_DATA, &limit) == 0);
    mmb_map_set_poison(map, ENOSPC);
    for (uint64_t at = 100 * MIB; at < 64 * GIB; at += GIB) {
        mmb_map_base(map)[at] = 7;
        CHECK_EQ(mmb_map_base(map)[at], 7);
    }
    check_filled(map, 3 * MIB);
    CHECK_EQ(mmb_map_poison(map), ENOSPC);
    (void)mmb_map_detach(map);
    check_filled(map, 3 * MIB);
    CHECK_EQ(mmb_map_base(map)[100 * MIB], 7);
    mmb_map_base(map)[50 * GIB] = 8;
    CHECK_EQ(mmb_map_base(map)[50 * GIB], 8);
    mmb_map_free(map);
    close(fd);

    /* A closed one: what the file holds is private, what follows as it is wanted. */
    map = filled(&fd, 64 * GIB, 3 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, 3 * MIB), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    mmb_map_base(map)[MIB] = 99;
    mmb_map_base(map)[40 * GIB] = 99;
    unsigned char byte;
    CHECK_EQ(pread(fd, &byte, 1, MIB), 1);
    CHECK_EQ(byte, value_of(MIB));
    CHECK_EQ(file_size(fd), 3 * MIB);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static void without_memory_for_a_copy_it_lives_too(void)
{
    CHECK_EXITED(run_child(poisoned_without_memory, NULL, 100));
}

/* Bytes that /proc/self/status tells under `name`. */
static uint64_t status_of(const char *name)
{
    FILE *status = fopen("/proc/self/status", "r");
    CHECK(status != NULL);
    char line[200];
    unsigned long long kib = 0;
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0) {
            CHECK_EQ(sscanf(line + strlen(name), ": %llu kB", &kib), 1);
        }
    }
    fclose(status);
    return kib * KIB;
}

/* Whoever locks all memory to come in RAM does not mean the addresses that a map reserves. */
static int locked_memory(void *unused)
{
    (void)unused;
    if (mlockall(MCL_FUTURE) != 0) {
        skip("locking memory needs root");
        return 0;
    }
    uint64_t before = status_of("VmLck"), resident = status_of("VmRSS");
    int fd;
    mmb_map *map = filled(&fd, GIB, 3 * MIB);
    CHECK(status_of("VmLck") < before + 16 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, 3 * MIB), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    CHECK(status_of("VmLck") < before + 16 * MIB);
    mmb_map *other = open_map(temp_file(), GIB);
    mmb_map_set_poison(other, ENOSPC);
    mmb_map_base(other)[5 * MIB] = 1;
    CHECK(status_of("VmLck") < before + 16 * MIB);
    CHECK(status_of("VmRSS") < resident + 32 * MIB);
    check_filled(map, 3 * MIB);
    mmb_map_free(other);
    mmb_map_free(map);
    close(fd);
    return 0;
}

/* Nor does it take of what may be locked, of which others than root have 8 MiB. */
static int little_locked_memory(void *unused)
{
    (void)unused;
    const struct rlimit little = {4 * MIB, 4 * MIB};
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &little), 0);
    mmb_map_free(open_map(temp_file(), GIB)); /* what is only allocated once */
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        skip("there is no other user");
        return 0;
    }
    CHECK_EQ(mlockall(MCL_FUTURE), 0);
    int fd;
    mmb_map *map = filled(&fd, GIB, 3 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_cut(map, 3 * MIB), 0);
    CHECK_EQ(mmb_map_detach(map), 0);
    check_filled(map, 3 * MIB);
    mmb_map *other = open_map(temp_file(), GIB);
    mmb_map_set_poison(other, ENOSPC);
    mmb_map_base(other)[5 * MIB] = 1;
    CHECK_EQ(mmb_map_base(other)[5 * MIB], 1);
    mmb_map_free(other);
    mmb_map_free(map);
    close(fd);
    return 0;
}

static void reservations_are_not_locked_in_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (!is_emulated()) {
        CHECK_EXITED(run_child(locked_memory, NULL, 100));
        CHECK_EXITED(run_child(little_locked_memory, NULL, 100));
    }
#else
    (void)little_locked_memory;
    (void)locked_memory; /* their own memory is far too much to be locked */
#endif
}

/* ---- threads ----------------------------------------------------------------------- */

typedef struct {
    mmb_map *map;
    uint64_t number;
    uint64_t stored; /* pages whose store has returned */
    _Atomic bool *stop;
} storer;

static void *store_on(void *argument)
{
    storer *self = argument;
    while (!atomic_load(self->stop)) {
        uint64_t at = (self->number + self->stored * 4) * PAGE;
        if (at >= mmb_map_capacity(self->map)) {
            break;
        }
        mmb_map_base(self->map)[at] = value_of(at);
        self->stored++;
    }
    return NULL;
}

static void detach_while_threads_store(bool below_eof)
{
    for (int round = 0; round < LESS_UNDER_TSAN(40); round++) {
        int fd = temp_file();
        mmb_map *map = open_map(fd, 512 * MIB);
        if (below_eof) {
            CHECK_EQ(mmb_map_ensure(map, 512 * MIB), 0);
        }
        _Atomic bool stop = false;
        pthread_t threads[4];
        storer storers[4];
        for (uint64_t i = 0; i < 4; i++) {
            storers[i] = (storer){map, i, 0, &stop};
            CHECK_EQ(pthread_create(&threads[i], NULL, store_on, &storers[i]), 0);
        }
        sleep_ms(round % 5);
        CHECK_EQ(mmb_map_detach(map), 0);
        sleep_ms(1);
        atomic_store(&stop, true);
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        /* Those below EOF are all there, in the file or in the copy of it. */
        for (uint64_t i = 0; below_eof && i < 4; i++) {
            for (uint64_t k = 0; k < storers[i].stored; k++) {
                uint64_t at = (i + k * 4) * PAGE;
                CHECK_EQ(mmb_map_base(map)[at], value_of(at));
            }
        }
        mmb_map_free(map);
        close(fd);
    }
}

static void stores_during_detach_are_kept(void)
{
    detach_while_threads_store(true);
}

static void stores_beyond_eof_during_detach_kill_nobody(void)
{
    detach_while_threads_store(false);
}

/* Two threads cover the same page: neither wipes what the other has stored. */
typedef struct {
    unsigned char *page;
    unsigned place;
    pthread_barrier_t *start;
} racer;

static void *store_one(void *argument)
{
    const racer *self = argument;
    pthread_barrier_wait(self->start);
    self->page[self->place] = 1;
    return NULL;
}

static void cover_at_once(bool lazily)
{
    int fd;
    mmb_map *map = filled(&fd, GIB, 5 * MIB);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_snapshot(map, lazily ? 0 : 5 * MIB, lazily), 0);
    CHECK(ftruncate(fd, 0) == 0); /* each page of the snapshot must now be covered */
    for (uint64_t round = LESS_UNDER_TSAN(1000); round-- > 0;) {
        enum { COUNT = 3 };
        unsigned char *page = mmb_map_base(map) + round * PAGE;
        pthread_barrier_t start;
        pthread_t threads[COUNT];
        racer racers[COUNT];
        CHECK_EQ(pthread_barrier_init(&start, NULL, COUNT), 0);
        for (unsigned i = 0; i < COUNT; i++) {
            racers[i] = (racer){page, i * 100 + 5, &start};
            CHECK_EQ(pthread_create(&threads[i], NULL, store_one, &racers[i]), 0);
        }
        for (int i = 0; i < COUNT; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK_EQ(page[i * 100 + 5], 1);
        }
        pthread_barrier_destroy(&start);
    }
    mmb_map_free(map);
    close(fd);
}

static void covering_wipes_nothing(void)
{
    cover_at_once(false);
    cover_at_once(true);
}

int main(void)
{
    RUN(content_stays_and_stores_stay_out_of_the_file);
    RUN(a_snapshot_survives_the_cut_that_follows);
    RUN(a_lazy_snapshot_becomes_zeros_beyond_the_content);
    RUN(a_late_store_goes_to_memory_of_its_own);
    RUN(what_a_poisoned_map_has_in_memory_survives);
    RUN(a_cut_afterwards_kills_nobody);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    RUN(without_memory_for_a_copy_it_lives_too); /* of which the sanitizers need much */
#else
    (void)without_memory_for_a_copy_it_lives_too;
#endif
    RUN(reservations_are_not_locked_in_memory);
    RUN(stores_during_detach_are_kept);
    RUN(stores_beyond_eof_during_detach_kill_nobody);
    if (!is_emulated()) { /* where nobody can say that a page is there already */
        RUN(covering_wipes_nothing);
    }
    return 0;
}
