/* test_shared.c - the shared state of a map: no other map gets it while a process has it, and
 * closed maps leave nothing. */
#include "tempfile.h"

enum { SECONDS = 100 };

/* More than have their shared part in one page of memory. */
enum { MANY = 40 };

static void poison_all(mmb_map **maps)
{
    for (int i = 0; i < MANY; i++) {
        mmb_map_set_poison(maps[i], EIO);
    }
}

static void free_all(mmb_map **maps)
{
    for (int i = 0; i < MANY; i++) {
        mmb_map_free(maps[i]);
    }
}

/* Maps that either process opens afterwards must not be given the state of one that the
 * other still has, whichever of them was closed meanwhile. */
static void the_state_of_a_closed_map_is_not_given_out_again(void)
{
    int fd = temp_file(), closed[2], tried[2];
    CHECK(pipe(closed) == 0 && pipe(tried) == 0);
    mmb_map *old[MANY], *parents[MANY], *childs[MANY];
    char word = 0;
    for (int i = 0; i < MANY; i++) {
        old[i] = open_map(fd, MIB);
    }
    mmb_map_free(open_map(fd, MIB)); /* so that the place of the next was in use once */
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    close(pid == 0 ? closed[1] : closed[0]); /* so that nobody waits for who has failed */
    close(pid == 0 ? tried[0] : tried[1]);
    for (int i = 0; pid == 0 && i < MANY; i++) {
        childs[i] = open_map(fd, MIB);
    }
    if (pid == 0) {
        CHECK_EQ(read(closed[0], &word, 1), 1);
        poison_all(old);
        poison_all(childs);
        free_all(old);
        CHECK_EQ(write(tried[1], "", 1), 1);
        CHECK_EQ(read(closed[0], &word, 1), 1);
        free_all(childs);
        _exit(0);
    }
    free_all(old);
    for (int i = 0; i < MANY; i++) {
        parents[i] = open_map(fd, MIB);
    }
    CHECK_EQ(write(closed[1], "", 1), 1);
    CHECK_EQ(read(tried[0], &word, 1), 1);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(mmb_map_poison(parents[i]), 0);
    }
    CHECK_EQ(write(closed[1], "", 1), 1);
    CHECK_EXITED(wait_for(pid, SECONDS));
    free_all(parents);
    close(closed[1]);
    close(tried[0]);
    close(fd);
}

static int lines_of_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int lines = 0;
    for (int c = 0; maps != NULL && (c = getc(maps)) != EOF;) {
        lines += c == '\n';
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return lines;
}

static void closed_maps_leave_no_memory(void)
{
    int fd = temp_file();
    mmb_map *maps[MANY];
    int before = 0;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < MANY; i++) {
            maps[i] = open_map(fd, MIB);
        }
        for (int i = 0; i < MANY; i++) {
            mmb_map_free(maps[(i * 7 + round) % MANY]);
        }
        before = round == 4 ? lines_of_memory() : before;
    }
    CHECK(lines_of_memory() <= before + 2);
    close(fd);
}

int main(void)
{
    RUN(the_state_of_a_closed_map_is_not_given_out_again);
    RUN(closed_maps_leave_no_memory);
    return 0;
}
