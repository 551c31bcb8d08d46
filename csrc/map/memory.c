/* memory.c - making and taking away the memory of a map. */
#include "memory.h"

#include "file/growth.h"
#include "registry.h"

#include <errno.h>
#include <sys/mman.h>

static uint64_t first_granule(const mmb_map *map)
{
    return mmb__min(MMB_GRANULE, map->file.limit);
}

int mmb__have_memory(mmb_map *map)
{
    if (mmb__is_mapped(map)) {
        return 0;
    }
    if (map->detached || map->slot == MMB__NO_SLOT) {
        return ESTALE;
    }
    uint64_t size = 0;
    unsigned char *base = NULL;
    int error = mmb__our_file(&map->file, &size);
    if (error == 0) {
        error =
            mmb__os_map_file(map->file.fd, map->file.limit, MMB_GRANULE, first_granule(map), &base);
    }
    if (error != 0) {
        return error;
    }
    /* Asked again, since the program may have closed our fd, and the number been another
     * file's when it was mapped. */
    error = mmb__our_file(&map->file, &size);
    if (error != 0 || !mmb__registry_publish(map, base)) {
        munmap(base, (size_t)map->file.limit);
    }
    return error;
}

int mmb__publish_stores(const mmb_map *map)
{
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    if (error == 0 && mmb__is_mapped(map)) {
        error = mmb__os_publish_stores(map->base, mmb__min(eof, map->file.limit));
    }
    return error;
}

void mmb__unmap(mmb_map *map)
{
    if (mmb__is_mapped(map)) {
        munmap(map->base, (size_t)map->file.limit);
        map->base = NULL;
        atomic_store(&map->mapped, false);
    }
}

void mmb__welcome_huge_page(mmb_map *map, uint64_t offset)
{
    const mmb__file *file = &map->file;
    /* Pages after the first granule are huge as it is. */
    if (file->small == 0 && file->traits.has_huge_pages && offset < MMB_GRANULE &&
        atomic_load_explicit(&file->shared->allocated_end, memory_order_relaxed) >= MMB_GRANULE) {
        mmb__os_use_huge_pages(map->base, first_granule(map), true);
    }
}

int mmb_map_show(mmb_map *map)
{
    if (!atomic_load_explicit(&map->hidden, memory_order_acquire)) {
        return 0;
    }
    int error = mmb__have_memory(map);
    if (error == 0) {
        error = mmb__prepare_for_stores(&map->file);
    }
    if (error == 0) {
        atomic_store_explicit(&map->hidden, false, memory_order_release);
    }
    return error;
}
