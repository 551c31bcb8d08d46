/* darwin.c - what macOS does in its own way. The rest is in posix.c and not_linux.c. */
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE

#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <mach/mach.h>
#include <stdlib.h>
#include <unistd.h>

int mmb__os_datasync(int fd)
{
    /* fsync alone leaves the data in the drive's cache; not every file system has more. */
    while (fcntl(fd, F_FULLFSYNC) != 0 && fsync(fd) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int mmb__os_publish_stores(const unsigned char *base, uint64_t length)
{
    (void)base, (void)length; /* mappings and read() share one cache */
    return 0;
}

/* ---- waking a thread ------------------------------------------------------ */

/* There are no unnamed POSIX semaphores; posting to a Mach one is a bare trap. */
struct mmb__os_event {
    semaphore_t semaphore;
};

int mmb__os_event_new(mmb__os_event **event)
{
    mmb__os_event *made = malloc(sizeof *made);
    if (made == NULL) {
        return ENOMEM;
    }
    if (semaphore_create(mach_task_self(), &made->semaphore, SYNC_POLICY_FIFO, 0) != KERN_SUCCESS) {
        free(made);
        return ENOMEM;
    }
    *event = made;
    return 0;
}

void mmb__os_event_wait(mmb__os_event *event)
{
    while (semaphore_wait(event->semaphore) == KERN_ABORTED) {
    }
}

void mmb__os_event_post(mmb__os_event *event)
{
    semaphore_signal(event->semaphore);
}

void mmb__os_event_free(mmb__os_event *event)
{
    semaphore_destroy(mach_task_self(), event->semaphore);
    free(event);
}

#else
typedef int mmb__os_darwin_is_empty; /* C wants a declaration in every file */
#endif
