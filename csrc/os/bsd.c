/* bsd.c - what FreeBSD, NetBSD and OpenBSD do in their own way. The rest is in posix.c and
 * not_linux.c. */
#if !defined(__linux__) && !defined(__APPLE__)
#if defined(__NetBSD__)
#define _NETBSD_SOURCE
#endif

#include "os.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int mmb__os_datasync(int fd)
{
    while (fsync(fd) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int mmb__os_publish_stores(const unsigned char *base, uint64_t length)
{
#if defined(__OpenBSD__)
    /* Mappings and read() have caches of their own there. */
    return msync((void *)(uintptr_t)base, (size_t)length, MS_SYNC) == 0 ? 0 : errno;
#else
    (void)base, (void)length;
    return 0;
#endif
}

#else
typedef int mmb__os_bsd_is_empty; /* C wants a declaration in every file */
#endif
