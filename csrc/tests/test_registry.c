/* test_registry.c - the table of maps: full, reused, looked up while it changes. */
#include "tempfile.h"

#include "map/registry.h"

#include <pthread.h>
#include <sys/resource.h>

static void the_edges_of_a_range_are_exact(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, 3 * MIB + 5000);
    uintptr_t base = (uintptr_t)mmb_map_base(map);
    uintptr_t end = base + 3 * MIB + 8192; /* rounded up to a page */
    static const intptr_t inside[] = {0, 1, 4096};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        mmb_map *found = mmb__registry_enter(base + (uintptr_t)inside[i]);
        CHECK(found == map);
        mmb__registry_leave(found);
    }
    mmb_map *last = mmb__registry_enter(end - 1);
    CHECK(last == map);
    mmb__registry_leave(last);
    CHECK(mmb__registry_enter(base - 1) == NULL);
    CHECK(mmb__registry_enter(end) == NULL);
    CHECK(mmb__registry_enter(0) == NULL);
    CHECK(mmb__registry_enter(UINTPTR_MAX) == NULL);
    mmb_map_free(map);
    CHECK(mmb__registry_enter(base) == NULL);
    close(fd);
}

/* As many maps as the limits of the process allow, up to the table's own. */
static void a_full_table_says_so_and_is_used_again(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    static mmb_map *maps[MMB_MAX_MAPS];
    int fd = temp_file();
    mmb_options options = {.capacity = 4096, .max_growth = 1};
#if defined(__SANITIZE_THREAD__)
    const int most = 1000; /* its own memory is short of mappings with more */
#else
    const int most = MMB_MAX_MAPS;
#endif
    for (int round = 0; round < 2; round++) {
        int count = 0, error = 0;
        mmb_limit cause = MMB_LIMIT_NONE;
        while (count < most && (error = mmb_map_open(fd, &options, &maps[count], &cause)) == 0) {
            CHECK_EQ(ask_for_memory(maps[count]), 0);
            count++;
        }
        if (error == 0 && most == MMB_MAX_MAPS) {
            mmb_map *one_more = NULL;
            CHECK_EQ(mmb_map_open(fd, &options, &one_more, &cause), EMFILE);
            CHECK_EQ(cause, MMB_LIMIT_MAPS);
        } else if (error != 0) {
            CHECK_EQ(error, EMFILE); /* of file descriptors */
            CHECK_EQ(cause, MMB_LIMIT_NONE);
            fprintf(stderr, "  (%d maps: more need a higher limit on open files)\n", count);
        }
        /* The last can grow as the first can; all see one file. */
        mmb_map_base(maps[count - 1])[10] = (unsigned char)(round + 1);
        CHECK_EQ(mmb_map_base(maps[0])[10], round + 1);
        CHECK_EQ(stats_of(maps[count - 1]).faults, round == 0 ? 1 : 0);
        /* A place in the middle is found again. */
        mmb_map_free(maps[count / 2]);
        maps[count / 2] = open_map_by(fd, &options);
        for (int i = 0; i < count; i++) {
            mmb_map_free(maps[(i + round * 77) % count]);
        }
    }
    close(fd);
}

/* ---- lookups that race with changes ---------------------------------------- */

enum { SPOTS = 16 };

typedef struct {
    mmb_map map;
    _Atomic bool registered; /* true: certainly in; false: coming, going, or out */
    _Atomic uint64_t visits;
} spot;

static spot spots[SPOTS];
static unsigned char ranges[SPOTS][4096];
static _Atomic bool done;

static void *change(void *argument)
{
    unsigned number = *(unsigned *)argument;
    uint64_t seed = number + 1;
    for (int round = 0; round < LESS_UNDER_TSAN(200000); round++) {
        /* Each thread has spots of its own, but all share the table's slots. */
        spot *mine = &spots[number * 4 + next_random(&seed) % 4];
        if (atomic_load(&mine->registered)) {
            atomic_store(&mine->registered, false);
            mmb__registry_remove(&mine->map);
            atomic_store(&mine->map.base, NULL);
            mine->map.file.capacity = 0; /* nobody may look at it now: TSan would see */
        } else {
            mine->map.file.limit = sizeof ranges[0];
            mine->map.file.capacity = (uint64_t)(mine - spots) + 1;
            CHECK_EQ(mmb__registry_add(&mine->map), 0);
            CHECK(mmb__registry_publish(&mine->map, ranges[mine - spots]));
            atomic_store(&mine->registered, true);
        }
    }
    return NULL;
}

static void *look(void *argument)
{
    uint64_t seed = *(unsigned *)argument + 100;
    uint64_t *hits = calloc(1, sizeof *hits);
    CHECK(hits != NULL);
    while (!atomic_load(&done)) {
        unsigned index = (unsigned)(next_random(&seed) % SPOTS);
        mmb_map *found = mmb__registry_enter((uintptr_t)ranges[index] + next_random(&seed) % 4096);
        if (found != NULL) {
            CHECK(found == &spots[index].map);
            CHECK_EQ(found->file.capacity, index + 1); /* pinned: still what it was */
            mmb__registry_leave(found);
            ++*hits;
        }
    }
    return hits;
}

static void lookups_race_with_changes(void)
{
    pthread_t changers[4], lookers[4];
    unsigned numbers[4] = {0, 1, 2, 3};
    uint64_t hits = 0;
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&lookers[i], NULL, look, &numbers[i]), 0);
        CHECK_EQ(pthread_create(&changers[i], NULL, change, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(changers[i], NULL), 0);
    }
    atomic_store(&done, true);
    for (int i = 0; i < 4; i++) {
        void *mine;
        CHECK_EQ(pthread_join(lookers[i], &mine), 0);
        hits += *(uint64_t *)mine;
        free(mine);
    }
    CHECK(hits > 0);
    for (int i = 0; i < SPOTS; i++) {
        if (atomic_load(&spots[i].registered)) {
            mmb__registry_remove(&spots[i].map);
        }
    }
}

int main(void)
{
    RUN(the_edges_of_a_range_are_exact);
    RUN(lookups_race_with_changes);
    RUN(a_full_table_says_so_and_is_used_again);
    return 0;
}
