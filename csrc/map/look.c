/* look.c - what a map tells of itself. */
#include "file/loss.h"
#include "map.h"

#include <errno.h>

unsigned char *mmb_map_base(const mmb_map *map)
{
    return mmb__base(map);
}

uint64_t mmb_map_capacity(const mmb_map *map)
{
    return map->file.capacity;
}

int mmb_map_fd(const mmb_map *map)
{
    return map->file.fd;
}

bool mmb_map_is_owner(const mmb_map *map)
{
    return mmb__is_owner(&map->file);
}

bool mmb_map_was_forked(const mmb_map *map)
{
    return atomic_load_explicit(&map->file.was_forked, memory_order_acquire);
}

int mmb_map_poison(const mmb_map *map)
{
    int poison = atomic_load_explicit(&map->file.shared->poison, memory_order_acquire);
    bool late = atomic_load_explicit(&map->stored_late, memory_order_relaxed);
    return poison == 0 && late ? ESTALE : poison;
}

void mmb_map_set_poison(mmb_map *map, int cause)
{
    mmb__poison(&map->file, cause);
}

uint64_t mmb_map_lost_from(const mmb_map *map)
{
    return mmb__lost_from(&map->file);
}

void mmb_map_note_loss_at(mmb_map *map, uint64_t file_offset, uint64_t kept)
{
    mmb__note_loss_at(&map->file, file_offset, kept);
}

void mmb_map_get_stats(const mmb_map *map, mmb_stats *out)
{
    const mmb__shared *shared = map->file.shared;
    *out = (mmb_stats){
        .growths = atomic_load_explicit(&shared->growths, memory_order_relaxed),
        .faults = atomic_load_explicit(&shared->faults, memory_order_relaxed),
        .backed = atomic_load_explicit(&shared->backed, memory_order_acquire),
        .prefaulted = atomic_load_explicit(&shared->prefaulted, memory_order_relaxed),
        .poison = mmb_map_poison(map),
    };
}
