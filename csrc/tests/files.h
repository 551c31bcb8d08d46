/* files.h - files of tests. They have no name any more once they are open, so nothing is left
 * behind, however a test ends. */
#ifndef MMB_TESTS_FILES_H
#define MMB_TESTS_FILES_H

#include "check.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new file in `directory`; its name is put into `path` if that is not NULL, and
 * it is unlinked if it is. */
static inline int make_file_in(const char *directory, char *path)
{
    char own[PATH_MAX];
    char *name = path != NULL ? path : own;
    snprintf(name, PATH_MAX, "%s/mmb-test-XXXXXX", directory);
    int fd = mkstemp(name);
    if (fd < 0) {
        perror(name);
        exit(1);
    }
    if (path == NULL) {
        CHECK(unlink(name) == 0);
    }
    return fd;
}

static inline uint64_t file_size(int fd)
{
    struct stat now;
    CHECK(fstat(fd, &now) == 0);
    return (uint64_t)now.st_size;
}

#endif
