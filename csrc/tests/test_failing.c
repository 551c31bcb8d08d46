/* test_failing.c - finishing and recovering when writes and syncs fail: the file never
 * passes for complete, and is completed once they work again. And files that change
 * under the check. */
#define _GNU_SOURCE

#include "build.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifdef __linux__
#include <sys/syscall.h>

/* ---- syncs ------------------------------------------------------------------------ */

static int syncs, failing_sync;

/* In place of the C library's: the one whose number is failing_sync fails. */
static int sync_or_fail(long call, int fd)
{
    if (++syncs == failing_sync) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, fd);
}

int fsync(int fd)
{
    return sync_or_fail(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_or_fail(SYS_fdatasync, fd);
}

/* Each sync of finishing fails in turn; 0 syncs fail at the end. */
static void failing_syncs_of(uint32_t entries, uint32_t count)
{
    int error = EIO, failures = 0;
    for (int n = 1; error != 0; n++) {
        built b;
        failing_sync = 0;
        build(&b, "/tmp", entries, count, 5, 3, true);
        syncs = 0;
        failing_sync = n;
        error = finish(&b, true, NULL);
        CHECK(error == (n <= syncs ? EIO : 0));
        failures += error != 0;
        CHECK(is_finished(b.fd) == (error == 0));
        mmb_map_free(b.map);

        while (error != 0 && !is_finished(b.fd)) { /* and so does recovering it, at first */
            mmb_report report;
            syncs = 0;
            failing_sync = failing_sync > 5 ? 0 : failing_sync + 1;
            int again = mmb_recover(b.fd, 0, MMB_TO_END, true, NULL, &report);
            CHECK(is_finished(b.fd) == (again == 0));
        }
        failing_sync = 0;
        check_message(b.fd, &b);
        close(b.fd);
    }
    CHECK(failures >= 2); /* one before the head and one after it, by the functions above */
}

static void failing_syncs(void)
{
    failing_syncs_of(1, 1);
    failing_syncs_of(2, 2);
    failing_syncs_of(16, 2);
    failing_syncs_of(16, 5);
    failing_syncs_of(511, 4);
}
#endif

/* ---- writes ------------------------------------------------------------------------ */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* No write reaches beyond `limit`. */
static void limited_writes(void)
{
    bool worked = false;
    int failures = 0;
    for (rlim_t limit = 0; !worked; limit += 5) {
        built b;
        build(&b, "/tmp", 5, 5, 5, 3, false);
        limit_files(limit);
        int error = finish(&b, false, NULL);
        limit_files(RLIM_INFINITY);
        CHECK(error == 0 || error == EFBIG);
        CHECK(is_finished(b.fd) == (error == 0));
        mmb_map_free(b.map);

        mmb_report report;
        limit_files(limit);
        int again = mmb_recover(b.fd, 0, MMB_TO_END, false, NULL, &report);
        limit_files(RLIM_INFINITY);
        CHECK(again == 0 || (again == EFBIG && error != 0));
        check_recovers(b.fd, &b, false);
        close(b.fd);
        worked = error == 0;
        failures += error != 0;
    }
    CHECK(failures > 0);
}

/* ---- readers -------------------------------------------------------------------------- */

/* Somebody cuts and rewrites the file while it is checked. Any answer will do. */
static void changing_files(void)
{
    built b;
    build(&b, "/tmp", 4, 3, 400, 0, false);
    CHECK_EQ(finish(&b, false, NULL), 0);
    uint64_t size = file_size(b.fd);
    unsigned char *bytes = malloc(size);
    CHECK(bytes != NULL && pread(b.fd, bytes, size, 0) == (ssize_t)size);

    pid_t child = fork();
    CHECK(child >= 0);
    alarm(child == 0 ? 60 : 0); /* it ends even if we do not come to end it */
    while (child == 0) {
        uint64_t at = (uint64_t)rand() % (size - 16);
        (void)!ftruncate(b.fd, (off_t)at);
        (void)!pwrite(b.fd, bytes, size, 0);
        (void)!pwrite(b.fd, &at, 8, (off_t)(at / 8 * 8));
        (void)!pwrite(b.fd, bytes, size, 0);
    }
    int whole = 0, flawed = 0;
    for (int i = 0; i < 5000 || ((whole < 100 || flawed < 100) && i < 100000); i++) {
        mmb_report report;
        int result = mmb_verify(b.fd, 0, NULL, &report);
        CHECK(result == 0 || (result == MMB_EMESSAGE && report.flaw.reason != NULL));
        whole += result == 0;
        flawed += result != 0;
    }
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
    fprintf(stderr, "    %d times whole, %d times flawed\n", whole, flawed);
    free(bytes);
    put_away(&b);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
#ifdef __linux__
    RUN(failing_syncs);
#endif
    RUN(limited_writes);
    RUN(changing_files);
    return 0;
}
