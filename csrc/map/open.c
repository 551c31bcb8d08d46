/* open.c - opening a map: the file is checked, the map is built, and the file is touched last. */
#include "fork.h"
#include "helper.h"
#include "map.h"
#include "memory.h"
#include "registry.h"

#include "file/growth.h"
#include "file/label.h"
#include "file/loss.h"
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Bytes; more than any address space has. Sums of offsets below it cannot overflow. */
#define MOST_CAPACITY ((uint64_t)1 << 60)

/* Bytes; every process has so many addresses to spare. */
#define MODEST_CAPACITY ((uint64_t)64 << 30)

/* Bytes; the first step of growth with prefault. The helper thread works a quarter of a step ahead
 * of the stores, so larger steps let it get further ahead. */
#define PREFAULT_STEP ((uint64_t)32 << 20)

static int check_file(int fd, struct stat *file, mmb__traits *traits)
{
    if (fstat(fd, file) != 0) {
        return errno;
    }
    if (S_ISDIR(file->st_mode)) {
        return EISDIR;
    }
    if (!S_ISREG(file->st_mode)) {
        return ESPIPE;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return errno;
    }
    if ((flags & O_ACCMODE) != O_RDWR) {
        return EBADF;
    }
    if ((flags & O_APPEND) != 0) {
        return EINVAL;
    }
    return mmb__os_look_at(fd, traits);
}

/* Refuse what is no capacity, and one that exceeds the limits of this process. Otherwise the
 * program would meet these limits later, as a signal or in the middle of a fault. */
static int check_capacity(uint64_t capacity, mmb_limit *limit)
{
    if (capacity == 0) {
        return EINVAL;
    }
    if (capacity > MOST_CAPACITY) {
        *limit = MMB_LIMIT_SPACE;
        return ENOMEM;
    }
    uint64_t length = mmb__round_up(capacity, mmb__os_page());
    struct rlimit now;
    if (getrlimit(RLIMIT_FSIZE, &now) == 0 && now.rlim_cur != RLIM_INFINITY &&
        (uint64_t)now.rlim_cur < length) {
        *limit = MMB_LIMIT_FSIZE;
        return EFBIG;
    }
    if (mmb__os_address_limit() < length + MMB_GRANULE) {
        *limit = MMB_LIMIT_AS;
        return ENOMEM;
    }
    return 0;
}

static mmb_limit blame_for_no_memory(void)
{
    return mmb__os_address_limit() != UINT64_MAX ? MMB_LIMIT_AS : MMB_LIMIT_SPACE;
}

/* Do everything of mmb_map_open that mmb_map_free undoes. `size` is how many bytes of the file are
 * kept. */
static int build(mmb_map *map, int fd, uint64_t size, bool needs_memory_now, mmb_limit *limit)
{
    mmb__watch_forks();
    map->file.shared = mmb__shared_new();
    if (map->file.shared == NULL) {
        return ENOMEM;
    }
    atomic_store(&map->file.shared->lost_from, MMB__NOTHING_LOST);
    atomic_store(&map->file.shared->loss_place, MMB__NOTHING_LOST);
    int error = mmb__os_duplicate(fd, &map->file.fd);
    if (error != 0) {
        return error;
    }
    atomic_store(&map->file.shared->backed, size);
    error = mmb_install_handler();
    if (error != 0) {
        return error;
    }
    error = mmb__registry_add(map);
    if (error != 0) {
        *limit = MMB_LIMIT_MAPS;
        return error;
    }
    if (needs_memory_now) {
        error = mmb__make_memory(map);
        if (error == ENOMEM) {
            *limit = blame_for_no_memory();
        }
    }
    return error;
}

/* Bytes; from this size hint on the first granule gets a huge page. The kernel zeroes such a page
 * as a whole, which takes as long as thirty to eighty small pages that come in one by one. */
#define LARGE ((uint64_t)512 << 10)

/* Return the first step of a file that grows from nothing: bytes, a multiple of a granule. */
static uint64_t first_step(const mmb_options *options, uint64_t max_growth)
{
    uint64_t hint = mmb__round_up(mmb__min(options->size_hint, max_growth), MMB_GRANULE);
    return mmb__max(hint, options->prefault ? PREFAULT_STEP : MMB_GRANULE);
}

/* Make a map that has no file and no memory yet; NULL if there is no memory for it. */
static mmb_map *new_map(const mmb_options *options, uint64_t length, const struct stat *now,
                        const mmb__traits *traits)
{
    mmb_map *map = calloc(1, sizeof *map);
    if (map == NULL) {
        return NULL;
    }
    map->slot = MMB__NO_SLOT;
    mmb__file *file = &map->file;
    file->fd = -1;
    file->limit = length;
    file->capacity = options->capacity;
    file->max_growth =
        mmb__round_up(mmb__min(mmb__max(options->max_growth, 1), MOST_CAPACITY), MMB_GRANULE);
    file->first_step = first_step(options, file->max_growth);
    /* A program that asks for pages ahead, or tells a large size, is going to write much: then the
     * file gets its blocks at once, as if it were large. */
    file->small = options->prefault || options->size_hint >= LARGE ? 0 : MMB__SMALL;
    file->traits = *traits;
    file->takes_label = options->is_content;
    file->is_shared = options->is_shared;
    file->dev = now->st_dev;
    file->ino = now->st_ino;
    file->owner = mmb_this_process();
    atomic_store(&file->step_limit, file->max_growth);
    atomic_store(&file->eof_is_exact, true);
    atomic_store(&map->private_from, length);
    return map;
}

/* As long as the address of the memory is not asked for, there is no need to make it; that saves a
 * sixth of the time of a small file. But a lack of address space should be an error of opening.
 * So the memory is made at once if addresses may be short, or if opening gives up content. */
static bool needs_memory_now(const mmb_map *map, const mmb_options *options, bool gives_up)
{
    return options->prefault || options->writeback || gives_up ||
           map->file.limit > MODEST_CAPACITY || mmb__os_address_limit() != UINT64_MAX;
}

int mmb_map_open(int fd, const mmb_options *options, mmb_map **out, mmb_limit *limit)
{
    mmb_limit ignored;
    limit = limit != NULL ? limit : &ignored;
    *limit = MMB_LIMIT_NONE;
    mmb__os_init();
    struct stat file;
    mmb__traits traits;
    int error = check_file(fd, &file, &traits);
    if (error == 0) {
        error = check_capacity(options->capacity, limit);
    }
    if (error != 0) {
        return error;
    }
    uint64_t limit_of_eof = mmb__round_up(options->capacity, mmb__os_page());
    uint64_t kept = options->replace ? 0 : (uint64_t)file.st_size, declared = kept;
    /* If growth has left EOF where it is, EOF may stand beyond the capacity, as it did then. */
    bool is_left = options->is_content && kept > 0 && mmb__was_left_growing(fd, kept, &declared);
    if (kept > (is_left ? limit_of_eof : options->capacity)) {
        return MMB_ECAPACITY;
    }
    mmb_map *map = new_map(options, limit_of_eof, &file, &traits);
    if (map == NULL) {
        return ENOMEM;
    }
    bool now = needs_memory_now(map, options, (uint64_t)file.st_size > kept);
    error = build(map, fd, kept, now, limit);
    if (error != 0) {
        mmb_map_free(map);
        return error;
    }
    if (options->is_content) {
        atomic_store(&map->file.shared->declared_size, declared);
        atomic_store(&map->file.shared->labelled, is_left);
    }
    /* We touch the file last, by one call. If the call fails, the file is as it was. */
    if (options->replace) { /* a killed program may have left them; its content goes */
        mmb__os_remove_attribute(fd, MMB__LABEL);
        mmb__os_remove_attribute(fd, MMB__LOSS);
    }
    if (kept < (uint64_t)file.st_size) {
        error = mmb__truncate(&map->file, 0);
    } else if (kept > 0) {
        error = mmb__prepare_for_stores(&map->file);
    }
    if (error != 0) {
        mmb_map_free(map);
        return error;
    }
    if (options->prefault || options->writeback) {
        /* The thread is no need: without it everything works, only slower. */
        (void)mmb__helper_start(map, options->prefault, options->writeback);
    }
    *out = map;
    return 0;
}
