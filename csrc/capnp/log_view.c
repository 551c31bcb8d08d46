/* log_view.c - maps a file that grows, for reading. See mmb_log.h. */
#include "mmb_log.h"

#include <errno.h>
#include <sys/mman.h>

/* Bytes of addresses that one mapping takes. Addresses are plenty; a file that grows beyond these
 * is mapped again. */
#define ROOM ((uint64_t)64 << 30)

int mmb_view_map(int fd, uint64_t bytes, mmb_view *out)
{
    uint64_t least = bytes != 0 ? bytes : MMB_WORD;
    uint64_t length = least < ROOM / 4 ? ROOM : 4 * least;
    for (;;) {
        void *base = mmap(NULL, (size_t)length, PROT_READ, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            *out = (mmb_view){.base = base, .length = length};
            return 0;
        }
        if (errno != ENOMEM || length == least) {
            return errno;
        }
        length = length / 4 > least ? length / 4 : least;
    }
}

void mmb_view_unmap(mmb_view *view)
{
    if (view->base != NULL) {
        munmap((void *)(uintptr_t)view->base, (size_t)view->length);
    }
    *view = (mmb_view){0};
}

unsigned char *mmb_index_map_header(int fd)
{
    void *memory = mmap(NULL, (size_t)MMB_INDEX_HEADER, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

void mmb_index_unmap_header(unsigned char *memory)
{
    if (memory != NULL) {
        munmap(memory, (size_t)MMB_INDEX_HEADER);
    }
}
