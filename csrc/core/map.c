/* map.c - the life of a map: opened, sealed, cut, freed, and what it tells of itself. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* More than any address space has; keeps sums of offsets far from overflow. */
#define MOST_CAPACITY ((uint64_t)1 << 60)

/* Of this there is enough. */
#define MODEST_CAPACITY ((uint64_t)64 << 30)

/* The first step with prefault: the thread is a quarter of a step ahead of the writer. */
#define PREFAULT_STEP ((uint64_t)32 << 20)

/* ---- opening -------------------------------------------------------------- */

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

/* What is no capacity at all, and limits that would only be met later, as a signal or in the
 * middle of a fault. */
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

int mmb__have_memory(mmb_map *map)
{
    if (mmb__is_mapped(map)) {
        return 0;
    }
    if (map->detached || map->slot == MMB__NO_SLOT) {
        return ESTALE;
    }
    uint64_t size = 0, small = map->small != 0 ? MMB_GRANULE : 0;
    unsigned char *base = NULL;
    int error = mmb__our_file(map, &size);
    if (error == 0) {
        error = mmb__os_map_file(map->fd, map->length, MMB_GRANULE, small, &base);
    }
    if (error != 0) {
        return error;
    }
    /* Asked again, since the program may have closed our fd, and the number been another
     * file's when it was mapped. */
    error = mmb__our_file(map, &size);
    if (error != 0 || !mmb__registry_publish(map, base)) {
        munmap(base, (size_t)map->length);
    }
    return error;
}

static void unmap(mmb_map *map)
{
    if (mmb__is_mapped(map)) {
        munmap(map->base, (size_t)map->length);
        map->base = NULL;
        atomic_store(&map->mapped, false);
    }
}

/* Bytes stored between EOF and the end of its page raise no signal and are wiped
 * when the file grows: leave no such gap. Nobody else grows the file yet, so a full
 * disk, where there is no block for the last byte, is no obstacle. */
static int raise_to_granule(mmb_map *map, uint64_t size)
{
    uint64_t end = mmb__min(mmb__round_up(size, MMB_GRANULE), map->length);
    if (end == size) {
        return 0;
    }
    int error = mmb__os_raise(map->fd, end - 1, end);
    if (error == EOPNOTSUPP) {
        atomic_store(&map->shared->cannot_allocate, true);
    }
    if (error == EOPNOTSUPP || error == ENOSPC || error == EDQUOT) {
        error = ftruncate(map->fd, (off_t)end) == 0 ? 0 : errno;
    }
    if (error == 0) {
        atomic_store(&map->shared->backed, end);
        atomic_store(&map->shared->growths, 1);
    }
    return error;
}

/* Everything of mmb_map_open that `mmb_map_free` undoes. `size`: of what is kept. */
static int build(mmb_map *map, int fd, uint64_t size, bool needs_memory_now, mmb_limit *limit)
{
    map->shared = mmb__shared_new();
    if (map->shared == NULL) {
        return ENOMEM;
    }
    int error = mmb__os_duplicate(fd, &map->fd);
    if (error != 0) {
        return error;
    }
    atomic_store(&map->shared->backed, size);
    error = mmb_fault_arm();
    if (error != 0) {
        return error;
    }
    error = mmb__registry_add(map);
    if (error != 0) {
        *limit = MMB_LIMIT_MAPS;
        return error;
    }
    if (needs_memory_now) {
        error = mmb__have_memory(map);
        if (error == ENOMEM) {
            *limit = blame_for_no_memory();
        }
    }
    return error;
}

/* A map of nothing yet; NULL without memory. */
static mmb_map *new_map(const mmb_options *options, uint64_t length, const struct stat *file,
                        const mmb__traits *traits)
{
    mmb_map *map = calloc(1, sizeof *map);
    if (map == NULL) {
        return NULL;
    }
    map->fd = -1;
    map->slot = MMB__NO_SLOT;
    map->length = length;
    map->capacity = options->capacity;
    map->max_growth =
        mmb__round_up(mmb__min(mmb__max(options->max_growth, 1), MOST_CAPACITY), MMB_GRANULE);
    /* Who wants pages ahead is going to write much: no care is taken of a small file, and
     * in large steps the thread that brings them in gets further ahead. */
    map->first_step = options->prefault ? PREFAULT_STEP : MMB_GRANULE;
    map->small = options->prefault ? 0 : MMB__SMALL;
    map->traits = *traits;
    map->dev = file->st_dev;
    map->ino = file->st_ino;
    map->owner = getpid();
    atomic_store(&map->step_limit, map->max_growth);
    atomic_store(&map->hidden, options->hidden);
    atomic_store(&map->alone, true);
    return map;
}

/* While nobody has the address of the memory it can be spared, which for a small file is a
 * sixth of all. But want of address space is an error of opening: where there may be any, or
 * content would be given up for nothing, the memory is made at once. */
static bool needs_memory_now(const mmb_map *map, const mmb_options *options, bool gives_up)
{
    return !options->hidden || options->prefault || options->writeback || gives_up ||
           map->length > MODEST_CAPACITY || mmb__os_address_limit() != UINT64_MAX;
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
    uint64_t kept = options->replace ? 0 : (uint64_t)file.st_size;
    if (kept > options->capacity) {
        return MMB_ECAPACITY;
    }
    mmb_map *map =
        new_map(options, mmb__round_up(options->capacity, mmb__os_page()), &file, &traits);
    if (map == NULL) {
        return ENOMEM;
    }
    bool now = needs_memory_now(map, options, (uint64_t)file.st_size > kept);
    error = build(map, fd, kept, now, limit);
    if (error != 0) {
        mmb_map_free(map);
        return error;
    }
    /* The file is touched last, by one call that leaves it as it was if it fails. */
    error = kept < (uint64_t)file.st_size ? mmb_map_cut(map, 0) : raise_to_granule(map, kept);
    if (error != 0) {
        mmb_map_free(map);
        return error;
    }
    if (options->prefault || options->writeback) {
        /* Advice: without the thread all is as right, if slower. */
        (void)mmb__assist_start(map, options->prefault, options->writeback);
    }
    *out = map;
    return 0;
}

/* ---- closing -------------------------------------------------------------- */

void mmb_map_seal(mmb_map *map)
{
    if (atomic_exchange(&map->sealed, true)) {
        return;
    }
    bool owner = mmb_map_is_owner(map);
    if (owner) {
        atomic_store(&map->shared->sealed, true);
        mmb__growers_wait(map->shared);
    }
    mmb__registry_drain(map);
    mmb__assist_stop(map);
    /* The last look: what is cut afterwards is cut by us. */
    uint64_t size = 0;
    if (owner && mmb__our_file(map, &size) == 0 &&
        (size < atomic_load(&map->shared->backed) || mmb__was_cut(map))) {
        mmb_map_set_poison(map, MMB_ETRUNCATED);
    }
}

static int truncate_to(const mmb_map *map, uint64_t size)
{
    while (ftruncate(map->fd, (off_t)size) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int mmb_map_cut(mmb_map *map, uint64_t size)
{
    if (!mmb_map_is_owner(map)) {
        return EPERM;
    }
    uint64_t eof = 0;
    int error = mmb__our_file(map, &eof);
    /* Making a file longer gives back no blocks that a growth has left beyond its end. */
    if (error == 0 && eof <= size && atomic_load(&map->shared->allocated)) {
        error = truncate_to(map, eof);
    }
    if (error == 0 && eof != size) {
        error = truncate_to(map, size);
    }
    if (error == 0) {
        mmb__learn_size(size);
    }
    return error;
}

void mmb_map_unmap(mmb_map *map)
{
    if (map->slot != MMB__NO_SLOT) {
        mmb_map_seal(map);
        mmb__registry_remove(map);
        unmap(map);
    }
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
    if (map->shared != NULL) {
        mmb__shared_free(map->shared);
    }
    free(map->cuts);
    free(map);
}

/* ---- looking -------------------------------------------------------------- */

unsigned char *mmb_map_base(const mmb_map *map)
{
    return map->base;
}

uint64_t mmb_map_capacity(const mmb_map *map)
{
    return map->capacity;
}

int mmb_map_fd(const mmb_map *map)
{
    return map->fd;
}

int mmb_map_take_fd(mmb_map *map)
{
    uint64_t size = 0;
    int fd = map->fd >= 0 && mmb__our_file(map, &size) == 0 ? map->fd : -1;
    map->fd = -1;
    return fd;
}

bool mmb_map_is_owner(const mmb_map *map)
{
    return getpid() == map->owner;
}

int mmb_map_poison(const mmb_map *map)
{
    int poison = atomic_load_explicit(&map->shared->poison, memory_order_acquire);
    bool late = atomic_load_explicit(&map->stored_late, memory_order_relaxed);
    return poison == 0 && late ? ESTALE : poison;
}

void mmb_map_set_poison(mmb_map *map, int cause)
{
    int none = 0;
    atomic_compare_exchange_strong(&map->shared->poison, &none, cause);
}

void mmb_map_get_stats(const mmb_map *map, mmb_stats *out)
{
    const mmb__shared *shared = map->shared;
    *out = (mmb_stats){
        .growths = atomic_load_explicit(&shared->growths, memory_order_relaxed),
        .faults = atomic_load_explicit(&shared->faults, memory_order_relaxed),
        .backed = atomic_load_explicit(&shared->backed, memory_order_acquire),
        .prefaulted = atomic_load_explicit(&shared->prefaulted, memory_order_relaxed),
        .poison = mmb_map_poison(map),
    };
}

/* ---- words for errors ----------------------------------------------------- */

const char *mmb_strerror(int error)
{
    switch (error) {
    case MMB_ETRUNCATED:
        return "file was truncated by someone else while it was being built";
    case MMB_ECAPACITY:
        return "capacity exceeded";
    case ESTALE:
        return "stored after the process that opened the file had closed it";
    default:
        return strerror(error);
    }
}

int mmb_errno(int error)
{
    switch (error) {
    case MMB_ETRUNCATED:
        return EIO;
    case MMB_ECAPACITY:
        return EFBIG;
    default:
        return error;
    }
}
