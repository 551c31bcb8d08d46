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

int mmb__make_memory(mmb_map *map)
{
    if (mmb__base(map) != NULL) {
        return 0;
    }
    if (atomic_load(&map->memory) == MMB__PRIVATE || map->slot == MMB__NO_SLOT) {
        return ESTALE;
    }
    const mmb__file *file = &map->file;
    uint64_t size = 0;
    unsigned char *base = NULL;
    int error = mmb__our_file(file, &size);
    if (error == 0) {
        error = mmb__os_map_file(file->fd, file->limit, MMB_GRANULE, first_granule(map), &base);
    }
    if (error != 0) {
        return error;
    }
    /* We ask again: the program may have closed our fd, so that the number was another file's when
     * it was mapped. */
    error = mmb__our_file(file, &size);
    if (error != 0 || !mmb__registry_publish(map, base)) {
        munmap(base, (size_t)file->limit);
    }
    return error;
}

int mmb__publish_stores(const mmb_map *map)
{
    const unsigned char *base = mmb__base(map);
    if (!MMB__OS_HAS_SEPARATE_CACHES || base == NULL) {
        return 0;
    }
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    return error != 0 ? error : mmb__os_publish_stores(base, mmb__min(eof, map->file.limit));
}

int mmb_map_memory(mmb_map *map, unsigned char **base)
{
    int memory = atomic_load_explicit(&map->memory, memory_order_acquire);
    int error = memory == MMB__NO_MEMORY ? mmb__make_memory(map) : 0;
    if (error == 0 && memory == MMB__NO_MEMORY) {
        error = mmb__prepare_for_stores(&map->file);
    }
    if (error != 0) {
        return error;
    }
    if (memory == MMB__NO_MEMORY) {
        atomic_compare_exchange_strong(&map->memory, &memory, MMB__SHARED);
    }
    *base = mmb__base(map);
    return *base != NULL ? 0 : ESTALE;
}

void mmb__unmap(mmb_map *map)
{
    unsigned char *base = atomic_exchange(&map->base, NULL);
    if (base != NULL) {
        munmap(base, (size_t)map->file.limit);
    }
}
