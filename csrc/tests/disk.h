/* disk.h - small file systems of their own, for the tests that fill or break one.
 *
 * Needs root, mount and loop devices; without them the test is skipped, in CI it
 * fails. What is mounted is unmounted however the test ends: it runs in a child. */
#ifndef MMB_TESTS_DISK_H
#define MMB_TESTS_DISK_H

#include "tempfile.h"

typedef struct {
    const char *name;
    const char *make;  /* "" for tmpfs; else the command that formats the image */
    uint64_t least;    /* bytes; a smaller image cannot be formatted */
    const char *mount; /* options */
} disk_kind;

static const disk_kind disk_tmpfs = {"tmpfs", "", 0, ""};
static const disk_kind disk_ext4 = {"ext4", "mkfs.ext4 -q -F", 1 << 20, "loop"};
/* Blocks smaller than a page: EOF can stand inside one. */
static const disk_kind disk_ext4_1k = {"ext4", "mkfs.ext4 -q -F -b 1024", 1 << 20, "loop"};
/* Without extents ext4 has no fallocate. (And loses data when the disk is full, as it
 * says in its log, unless it allocates at once.) */
static const disk_kind disk_ext4_old = {"ext4", "mkfs.ext4 -q -F -O ^extent,^64bit", 1 << 20,
                                        "loop,nodelalloc"};
static const disk_kind disk_xfs = {"xfs", "mkfs.xfs -q -f", (uint64_t)300 << 20, "loop"};
static const disk_kind disk_btrfs = {"btrfs", "mkfs.btrfs -q -f", (uint64_t)110 << 20, "loop"};

static inline bool run_command(const char *format, const char *a, const char *b, const char *c)
{
    char command[3 * PATH_MAX];
    snprintf(command, sizeof command, format, a, b, c);
    return system(command) == 0;
}

/* Make and mount a file system of `size` bytes and run `work(directory)` in a child
 * of its own. False if there is none to be had. */
static inline bool on_disk(const disk_kind *kind, uint64_t size, int (*work)(void *), int seconds)
{
    char place[PATH_MAX - 16], directory[PATH_MAX], image[PATH_MAX], options[128];
    if (is_emulated()) {
        fprintf(stderr, "  (not here: an emulator does not tell why a page cannot be had)\n");
        return false;
    }
    snprintf(place, sizeof place, "%s/mmb-disk-XXXXXX", temp_directory());
    if (geteuid() != 0) {
        skip("mounting needs root");
        return false;
    }
    size = size < kind->least ? kind->least : size;
    CHECK(mkdtemp(place) != NULL);
    snprintf(directory, sizeof directory, "%s/on", place);
    snprintf(image, sizeof image, "%s/image", place);
    CHECK(mkdir(directory, 0700) == 0);
    bool ready;
    if (kind->make[0] == '\0') {
        snprintf(options, sizeof options, "size=%llu", (unsigned long long)size);
        ready = run_command("mount -t tmpfs -o %s tmpfs %s %s", options, directory, "");
    } else {
        int fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
        close(fd);
        snprintf(options, sizeof options, "-t %s -o %s", kind->name, kind->mount);
        ready = run_command("%s %s >/dev/null 2>&1 %s", kind->make, image, "") &&
                run_command("mount %s %s %s", options, image, directory);
    }
    int status = 0;
    if (ready) {
        fflush(NULL);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            _exit(work(directory));
        }
        double end = now_seconds() + seconds;
        while (waitpid(pid, &status, WNOHANG) == 0) {
            if (now_seconds() > end) {
                fprintf(stderr, "on %s: still running after %d s\n", kind->name, seconds);
                kill(pid, SIGKILL);
            }
            sleep_ms(2);
        }
        run_command("umount %s || umount -l %s %s", directory, directory, "");
    }
    unlink(image);
    rmdir(directory);
    rmdir(place);
    if (!ready) {
        skip(kind->name);
        return false;
    }
    if (status != 0) {
        fprintf(stderr, "failed on %s of %llu bytes (%s), status %d\n", kind->name,
                (unsigned long long)size, kind->make, status);
        exit(1);
    }
    return true;
}

#endif
