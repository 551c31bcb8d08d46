/* test_closed_fds.c - a process that closes every descriptor: the file that gets the number of a
 * map's file is not touched. */
#include "tempfile.h"

enum { SECONDS = 100 };

/* An unrelated file under the number that the map's fd had. */
static int reuse_number(const mmb_map *map)
{
    int number = mmb_map_fd(map);
    CHECK(close(number) == 0);
    int other = temp_file();
    if (other != number) {
        CHECK_EQ(dup2(other, number), number);
        close(other);
    }
    CHECK_EQ(write(number, "unrelated", 9), 9);
    return number;
}

static void a_store_there_dies_as_without_us(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int number = reuse_number(map);
        struct stat now;
        pid_t inner = fork();
        if (inner == 0) {
            mmb_map_base(map)[GIB / 2] = 1;
            _exit(9);
        }
        CHECK_KILLED(wait_for(inner, SECONDS), SIGBUS);
        CHECK(fstat(number, &now) == 0);
        CHECK_EQ(now.st_size, 9);
        _exit(0);
    }
    CHECK_EXITED(wait_for(pid, SECONDS));
    mmb_map_free(map);
    close(fd);
}

static int every_call_with_another_file_there(void *argument)
{
    mmb_map *map = argument;
    uint64_t used = 0;
    int number = reuse_number(map);
    CHECK_EQ(mmb_map_ensure(map, 100 * MIB), EBADF);
    CHECK_EQ(mmb_map_reserve(map, 0, 100 * MIB), EBADF);
    CHECK_EQ(mmb_map_write(map, 0, "x", 1), EBADF);
    CHECK_EQ(mmb_map_truncate(map, 0), EBADF);
    CHECK_EQ(mmb_map_flush(map, true), EBADF);
    CHECK_EQ(mmb_map_find_used(map, 0, &used), EBADF);
    mmb_map_seal(map);
    int expected = mmb_map_is_owner(map) ? EBADF : EPERM;
    CHECK_EQ(mmb_map_cut(map, 0), expected);
    CHECK_EQ(mmb_map_detach(map), EBADF);
    CHECK_EQ(mmb_map_take_fd(map), -1);
    mmb_map_free(map);
    char text[16] = "";
    CHECK_EQ(pread(number, text, sizeof text, 0), 9); /* open, and whole */
    CHECK(memcmp(text, "unrelated", 9) == 0);
    return 0;
}

static int owner_that_closed_every_fd(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    return every_call_with_another_file_there(map);
}

static int poisoned_with_another_file_there(void *unused)
{
    (void)unused;
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    memset(mmb_map_base(map), 7, 100);
    mmb_map_set_poison(map, ENOSPC);
    int number = reuse_number(map);
    CHECK_EQ(mmb_map_detach(map), EBADF);
    CHECK_EQ(mmb_map_base(map)[0], 7); /* not the other's content */
    CHECK_EQ(fcntl(number, F_GETFD) >= 0, 1);
    mmb_map_free(map);
    CHECK_EQ(fcntl(number, F_GETFD) >= 0, 1);
    return 0;
}

static void no_call_there_touches_the_other_file(void)
{
    int fd = temp_file();
    mmb_map *map = open_map(fd, GIB);
    mmb_map_base(map)[0] = 1;
    CHECK_EXITED(run_child(every_call_with_another_file_there, map, SECONDS));
    mmb_map_free(map);
    close(fd);
    CHECK_EXITED(run_child(owner_that_closed_every_fd, NULL, SECONDS));
    CHECK_EXITED(run_child(poisoned_with_another_file_there, NULL, SECONDS));
}

static int number_of_a_standard_stream(void *unused)
{
    (void)unused;
    int fd = temp_file();
    close(STDOUT_FILENO);
    mmb_map *map = open_map(fd, MIB);
    CHECK(mmb_map_fd(map) > STDERR_FILENO);
    CHECK((fcntl(mmb_map_fd(map), F_GETFD) & FD_CLOEXEC) != 0);
    mmb_map_free(map);
    return 0;
}

static void a_closed_standard_stream_is_not_taken(void)
{
    CHECK_EXITED(run_child(number_of_a_standard_stream, NULL, SECONDS));
}

int main(void)
{
    RUN(a_store_there_dies_as_without_us);
    RUN(no_call_there_touches_the_other_file);
    RUN(a_closed_standard_stream_is_not_taken);
    return 0;
}
