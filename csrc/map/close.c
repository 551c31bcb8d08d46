/* close.c - the end of a map: sealing, truncating, making a snapshot, unmapping, freeing. */
#include "file/label.h"
#include "file/loss.h"
#include "helper.h"
#include "map.h"
#include "memory.h"
#include "private.h"
#include "registry.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Poison the map if another program has done harm to the file. */
static void look_last(const mmb__file *file)
{
    uint64_t size = 0;
    int error = mmb__look_last(file, &size);
    if (error == MMB_ETRUNCATED && size < atomic_load(&file->shared->backed)) {
        mmb__note_loss(file, size);
    } else if (error == 0 && mmb__appends(file)) {
        error = MMB_EAPPENDS;
    }
    if (error != 0 && error != EBADF) {
        mmb__poison(file, error);
    }
}

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
    if (owner) {
        look_last(&map->file);
        mmb__settle_loss(&map->file);
    }
}

int mmb_map_cut(mmb_map *map, uint64_t size)
{
    if (!mmb__is_owner(&map->file)) {
        return EPERM;
    }
    /* The label goes first: if the process is killed in between, it leaves an ordinary file, whose
     * zeros count. */
    mmb__remove_label(&map->file);
    return mmb__truncate(&map->file, size);
}

int mmb_map_snapshot(mmb_map *map, uint64_t content, bool lazily)
{
    if (map->slot == MMB__NO_SLOT || atomic_load(&map->memory) == MMB__PRIVATE ||
        mmb_map_poison(map) != 0) {
        return 0;
    }
    /* The file is going to be truncated. Memory beyond its content must not depend on the file, or
     * what is stored there would go when the file is cut. */
    return mmb__make_all_private(map, content, lazily);
}

int mmb_map_detach(mmb_map *map)
{
    mmb_map_seal(map);
    if (map->slot == MMB__NO_SLOT || atomic_load(&map->memory) == MMB__PRIVATE) {
        return 0;
    }
    int error = mmb__make_all_private(map, map->file.limit, false);
    mmb__registry_drain(map);
    return error;
}

int mmb_map_clear(mmb_map *map)
{
    int error = mmb_map_detach(map);
    if (error == 0 && mmb__base(map) != NULL) {
        error = mmb__os_map_zeros(mmb__base(map), map->file.limit);
    }
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
    bool ours = map->file.fd >= 0 && mmb__our_file(&map->file, &size) != EBADF;
    int fd = ours ? map->file.fd : -1;
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
    free(map);
}
