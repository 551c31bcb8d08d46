/* test_map.c - what can be opened and what cannot, what is kept, what leaks. */
#include "tempfile.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { SECONDS = 100 };

static int open_error(int fd, uint64_t capacity, mmb_limit *limit)
{
    mmb_options options = {.capacity = capacity, .max_growth = MIB};
    mmb_map *map = NULL;
    int error = mmb_map_open(fd, &options, &map, limit);
    if (error == 0) {
        mmb_map_free(map);
    }
    return error;
}

static void what_cannot_grow_is_refused(void)
{
    char path[PATH_MAX];
    int fd = make_file_in(temp_directory(), path);
    int directory = open(temp_directory(), O_RDONLY | O_DIRECTORY);
    int reading = open(path, O_RDONLY), writing = open(path, O_WRONLY);
    int appending = open(path, O_RDWR | O_APPEND);
    int pipes[2];
    CHECK(directory >= 0 && reading >= 0 && writing >= 0 && appending >= 0 && pipe(pipes) == 0);
    int zero = open("/dev/zero", O_RDWR);
    mmb_limit limit;
    CHECK_EQ(open_error(directory, MIB, &limit), EISDIR);
    CHECK_EQ(open_error(reading, MIB, &limit), EBADF);
    CHECK_EQ(open_error(writing, MIB, &limit), EBADF);
    CHECK_EQ(open_error(appending, MIB, &limit), EINVAL);
    CHECK_EQ(open_error(pipes[1], MIB, &limit), ESPIPE);
    CHECK_EQ(open_error(zero, MIB, &limit), ESPIPE);
    CHECK_EQ(open_error(-1, MIB, &limit), EBADF);
    CHECK_EQ(open_error(fd, 0, &limit), EINVAL);
    CHECK_EQ(limit, MMB_LIMIT_NONE);
    CHECK_EQ(open_error(fd, UINT64_MAX, &limit), ENOMEM);
    CHECK_EQ(limit, MMB_LIMIT_SPACE);
    CHECK_EQ(open_error(fd, (uint64_t)1 << 58, &limit), ENOMEM);
    CHECK_EQ(limit, MMB_LIMIT_SPACE);
    CHECK_EQ(open_error(fd, MIB, NULL), 0);
    CHECK_EQ(file_size(fd), 0);
    int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(sealed >= 0);
    CHECK_EQ(open_error(sealed, MIB, NULL), 0);
    CHECK_EQ(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_EQ(open_error(sealed, MIB, NULL), EPERM);
    const int all[] = {fd,       directory, reading, writing, appending,
                       pipes[0], pipes[1],  zero,    sealed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        close(all[i]);
    }
    unlink(path);
}

static int with_limits(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_limit limit;
    struct rlimit bytes = {MIB, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_FSIZE, &bytes) == 0);
    CHECK_EQ(open_error(fd, GIB, &limit), EFBIG);
    CHECK_EQ(limit, MMB_LIMIT_FSIZE);
    CHECK_EQ(open_error(fd, MIB, &limit), 0);
    bytes.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &bytes) == 0);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    bytes.rlim_cur = GIB;
    CHECK(setrlimit(RLIMIT_AS, &bytes) == 0);
    if (!is_emulated()) {
        CHECK_EQ(open_error(fd, 64 * GIB, &limit), ENOMEM);
        CHECK_EQ(limit, MMB_LIMIT_AS);
        CHECK_EQ(open_error(fd, GIB - MIB, &limit), ENOMEM); /* with what is in use already */
        CHECK_EQ(limit, MMB_LIMIT_AS);
    }
    CHECK_EQ(open_error(fd, 100 * MIB, &limit), 0);
    bytes.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &bytes) == 0);
#endif
    CHECK(getrlimit(RLIMIT_NOFILE, &bytes) == 0);
    bytes.rlim_cur = (rlim_t)fd + 1;
    CHECK(setrlimit(RLIMIT_NOFILE, &bytes) == 0);
    CHECK_EQ(open_error(fd, MIB, &limit), EMFILE);
    CHECK_EQ(limit, MMB_LIMIT_NONE);
    close(fd);
    return 0;
}

static void limits_are_named(void)
{
    CHECK_EXITED(run_child(with_limits, NULL, SECONDS));
}

static void what_is_there_is_kept_or_replaced(void)
{
    int fd = temp_file();
    CHECK_EQ(write(fd, "content", 7), 7);
    mmb_map *map = open_map(fd, GIB);
    CHECK(memcmp(mmb_map_base(map), "content", 8) == 0);
    CHECK_EQ(file_size(fd), MMB_GRANULE); /* no page with an EOF inside it */
    mmb_map_base(map)[4095] = 1;
    mmb_map_base(map)[10 * MIB] = 2;
    CHECK_EQ(mmb_map_base(map)[4095], 1);
    close_map(map, 10 * MIB + 1);
    char text[8] = "";
    CHECK_EQ(pread(fd, text, 7, 0), 7);
    CHECK(memcmp(text, "content", 7) == 0);

    CHECK_EQ(open_error(fd, 10 * MIB, NULL), MMB_ECAPACITY);
    CHECK_EQ(file_size(fd), 10 * MIB + 1);

    mmb_options options = {.capacity = MIB, .max_growth = 1, .replace = true};
    map = open_map_by(fd, &options); /* of the old there was more */
    CHECK_EQ(file_size(fd), 0);
    CHECK_EQ(mmb_map_base(map)[0], 0);
    close_map(map, 3);
    CHECK_EQ(file_size(fd), 3);
    close(fd);
}

static void a_write_may_have_any_source(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    unsigned char *base = mmb_map_base(map);
    CHECK_EQ(mmb_map_write(map, 0, NULL, 0), 0);
    CHECK_EQ(file_size(fd), 0);
    CHECK_EQ(mmb_map_write(map, 5, "abc", 3), 0);
    CHECK(memcmp(base, "\0\0\0\0\0abc", 9) == 0);
    CHECK_EQ(mmb_map_write(map, 100 * MIB, base + 3, 6), 0);
    CHECK(memcmp(base + 100 * MIB, "\0\0abc", 6) == 0);
    CHECK_EQ(mmb_map_write(map, MIB, base + 100 * MIB + 4096, 30 * MIB), 0); /* zeros */
    CHECK_EQ(mmb_map_write(map, GIB - 2, "abc", 3), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_write(map, UINT64_MAX, "abc", 3), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_write(map, 1, "abc", UINT64_MAX), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_ensure(map, UINT64_MAX), MMB_ECAPACITY);
    CHECK_EQ(mmb_map_reserve(map, 5, 5), 0);
    CHECK_EQ(mmb_map_reserve(map, UINT64_MAX - 1, UINT64_MAX), MMB_ECAPACITY);
    close_map(map, 10);
    close(fd);
}

static void after_the_seal_nothing_grows(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    mmb_map_seal(map);
    mmb_map_seal(map);
    CHECK_EQ(mmb_map_ensure(map, 100 * MIB), ESTALE);
    CHECK_EQ(mmb_map_write(map, 0, "x", 1), ESTALE);
    CHECK_EQ(mmb_map_reserve(map, 0, 1), ESTALE);
    CHECK_EQ(mmb_map_cut(map, 77), 0);
    CHECK_EQ(file_size(fd), 77);
    mmb_map_free(map);
    mmb_map_free(NULL);
    close(fd);
}

static void unmapped_it_can_still_be_cut(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    unsigned char *base = mmb_map_base(map);
    base[0] = 'x';
    mmb_map_unmap(map);
    CHECK(msync(base, 4096, MS_ASYNC) != 0 && errno == ENOMEM); /* nothing is mapped there */
    mmb_map_unmap(map);
    CHECK_EQ(mmb_map_poison(map), 0);
    CHECK_EQ(mmb_map_cut(map, 1), 0);
    CHECK_EQ(file_size(fd), 1);
    int taken = mmb_map_take_fd(map);
    CHECK_EQ(mmb_map_fd(map), -1);
    CHECK_EQ(mmb_map_take_fd(map), -1);
    mmb_map_free(map);
    CHECK_EQ(file_size(taken), 1); /* still open */
    close(taken);
    char found = 0;
    CHECK_EQ(pread(fd, &found, 1, 0), 1);
    CHECK_EQ(found, 'x');
    close(fd);
}

static void errors_have_words(void)
{
    static const int errors[] = {MMB_ETRUNCATED, MMB_ECAPACITY, ESTALE, ENOSPC, EBUSY};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        CHECK(strlen(mmb_strerror(errors[i])) > 5);
        CHECK(mmb_errno(errors[i]) > 0);
    }
    CHECK_EQ(mmb_errno(ENOSPC), ENOSPC);
}

/* ---- leaks ------------------------------------------------------------------------- */

static int entries_of(const char *directory)
{
    int count = 0;
    DIR *listing = opendir(directory);
    CHECK(listing != NULL);
    while (readdir(listing) != NULL) {
        count++;
    }
    closedir(listing);
    return count;
}

static int mappings(void)
{
    int count = 0, c;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps != NULL);
    while ((c = getc(maps)) != EOF) {
        count += c == '\n';
    }
    fclose(maps);
    return count;
}

static void ten_thousand_maps_leave_nothing(void)
{
    int fds = 0, ranges = 0;
    int rounds = is_emulated() ? 300 : 10000; /* a range of 1 GiB is slow there */
    for (int round = 0; round < rounds; round++) {
        if (round == 100) { /* what is made once is there by now */
            fds = entries_of("/proc/self/fd");
            ranges = mappings();
        }
        int fd = round % 10 == 0 ? temp_file() : memfd_create("x", MFD_CLOEXEC);
        mmb_map *map = open_map(fd, GIB);
        mmb_map_base(map)[round] = 1;
        switch (round % 4) {
        case 0:
            close_map(map, 5);
            break;
        case 1:
            CHECK_EQ(mmb_map_detach(map), 0);
            mmb_map_free(map);
            break;
        case 2:
            mmb_map_set_poison(map, EIO);
            mmb_map_base(map)[5 * MIB] = 1;
            mmb_map_free(map);
            break;
        default:
            mmb_map_free(map);
        }
        close(fd);
    }
    CHECK_EQ(entries_of("/proc/self/fd"), fds);
    CHECK(mappings() <= ranges + 8); /* the sanitizers' own come and go */
}

/* Whether the kernel aligns the file by itself, and whether the place of the last map is
 * free or taken. */
static void every_map_is_aligned(void)
{
    enum { MAPS = 12 };
    mmb_map *maps[MAPS] = {NULL};
    for (int round = 0; round < 40; round++) {
        int at = round * 5 % MAPS;
        mmb_map_free(maps[at]);
        int fd = round % 3 == 0 ? temp_file() : memfd_create("x", MFD_CLOEXEC);
        maps[at] = open_map(fd, (uint64_t)(round + 1) * 3 * 4096);
        close(fd);
        CHECK_EQ((uintptr_t)mmb_map_base(maps[at]) % MMB_GRANULE, 0);
        for (uint64_t byte = 0; byte < mmb_map_capacity(maps[at]); byte += 4096) {
            mmb_map_base(maps[at])[byte] = (unsigned char)(at + 1);
        }
    }
    for (int at = 0; at < MAPS; at++) {
        for (uint64_t byte = 0; byte < mmb_map_capacity(maps[at]); byte += 4096) {
            CHECK_EQ(mmb_map_base(maps[at])[byte], at + 1);
        }
        mmb_map_free(maps[at]);
    }
}

int main(void)
{
    RUN(what_cannot_grow_is_refused);
    RUN(limits_are_named);
    RUN(every_map_is_aligned);
    RUN(what_is_there_is_kept_or_replaced);
    RUN(a_write_may_have_any_source);
    RUN(after_the_seal_nothing_grows);
    RUN(unmapped_it_can_still_be_cut);
    RUN(errors_have_words);
    RUN(ten_thousand_maps_leave_nothing);
    return 0;
}
