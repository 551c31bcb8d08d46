/* close.c - the end of a map: sealed, truncated, turned into a snapshot, unmapped, freed. */
#include "file/in_flight.h"
#include "helper.h"
#include "map.h"
#include "memory.h"
#include "private.h"
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void mmb_map_seal(mmb_map *map)
{
    if (atomic_exchange(&map->file.sealed, true)) {
        return;
    }
    bool owner = mmb__is_owner(&map->file);
    if (owner) {
        atomic_store(&map->file.shared->sealed, true);
        mmb__in_flight_wait(map->file.shared);
    }
    mmb__registry_drain(map);
    mmb__helper_stop(map);
    /* The last look, and the only one at blocks: what is truncated afterwards is so by us. */
    uint64_t size = 0;
    if (owner && mmb__our_file(&map->file, &size) == 0 &&
        (size < atomic_load(&map->file.shared->backed) || mmb__lacks_blocks(&map->file))) {
        mmb__poison(&map->file, MMB_ETRUNCATED);
    }
}

int mmb_map_cut(mmb_map *map, uint64_t size)
{
    return mmb__truncate(&map->file, size);
}

int mmb_map_collapse(mmb_map *map, uint64_t offset, uint64_t length)
{
    if (!mmb__is_owner(&map->file)) {
        return EPERM;
    }
    mmb__cut *cuts = realloc(map->cuts, (map->cut_count + 1) * sizeof *cuts);
    if (cuts == NULL) {
        return ENOMEM;
    }
    map->cuts = cuts;
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    if (error == 0) {
        error = mmb__os_collapse(map->file.fd, offset, length);
    }
    if (error == 0) {
        cuts[map->cut_count++] = (mmb__cut){.offset = offset, .length = length};
    }
    return error;
}

uint64_t mmb_map_collapse_unit(const mmb_map *map)
{
    return mmb__can_allocate(&map->file) ? mmb__os_collapse_unit(map->file.fd) : 0;
}

int mmb_map_detach(mmb_map *map)
{
    mmb_map_seal(map);
    if (map->detached || map->slot == MMB__NO_SLOT) {
        return 0;
    }
    map->detached = true;
    int error = mmb__make_all_private(map);
    mmb__registry_drain(map);
    return error;
}

void mmb_map_unmap(mmb_map *map)
{
    if (map->slot != MMB__NO_SLOT) {
        mmb_map_seal(map);
        mmb__registry_remove(map);
        mmb__unmap(map);
    }
}

int mmb_map_take_fd(mmb_map *map)
{
    uint64_t size = 0;
    int fd = map->file.fd >= 0 && mmb__our_file(&map->file, &size) == 0 ? map->file.fd : -1;
    map->file.fd = -1;
    return fd;
}

void mmb_map_free(mmb_map *map)
{
    if (map == NULL) {
        return;
    }
    mmb_map_unmap(map);
    int fd = mmb_map_take_fd(map);
    if (fd >= 0) {
        close(fd);
    }
    if (map->file.shared != NULL) {
        mmb__shared_free(map->file.shared);
    }
    free(map->cuts);
    free(map);
}
