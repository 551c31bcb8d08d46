/* private.c - replacing the memory of a map, in the handler and when the map is closed. */
#include "private.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

/* A fault comes back if our answer did not help. Some systems cannot say whether a page can be had,
 * so there we answer this often before we give up. */
bool mmb__tried_too_often(mmb_map *map, uint64_t offset)
{
    enum { ENOUGH = 10000 };
    if (atomic_exchange_explicit(&map->retry_offset, offset, memory_order_relaxed) != offset) {
        atomic_store_explicit(&map->retries, 0, memory_order_relaxed);
        return false;
    }
    return atomic_fetch_add_explicit(&map->retries, 1, memory_order_relaxed) > ENOUGH;
}

/* Replace [from, to) by a private mapping of the file or by zeros. The new memory needs addresses
 * of its own before it is moved; if these are short, we replace the range in smaller pieces. */
static int replace(const mmb_map *map, uint64_t from, uint64_t to, bool by_zeros)
{
    uint64_t piece = to - from;
    int error = 0;
    while (error == 0 && from < to) {
        uint64_t length = mmb__min(piece, to - from);
        unsigned char *at = mmb__base(map) + from;
        error = by_zeros ? mmb__os_map_zeros(at, length)
                         : mmb__os_map_private(at, length, map->file.fd, from);
        if (error == 0) {
            from += length;
        } else if (error == ENOMEM && piece > MMB_GRANULE) {
            piece = mmb__round_up(piece / 2, MMB_GRANULE);
            error = 0;
        }
    }
    return error;
}

/* Replace [from, to) by what the file holds there, with zeros beyond its EOF and beyond `end`. */
static int show_file(const mmb_map *map, uint64_t from, uint64_t to, uint64_t end)
{
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    if (error != 0) {
        return error;
    }
    end = mmb__round_up(mmb__min(eof, end), mmb__os_page());
    uint64_t there = mmb__max(from, mmb__min(end, to));
    error = replace(map, from, there, false);
    if (error == 0) {
        /* A kernel that counts private memory strictly may refuse so large a range. Then the
         * shared mapping stays: each access to it faults, and gets a page of its own. */
        (void)replace(map, there, to, true);
    }
    return error;
}

/* Replace all memory by one private mapping of the file. Beyond `end` it has no pages once the file
 * is cut there; zero_lazily answers the first access. */
static int show_file_lazily(mmb_map *map, uint64_t end)
{
    uint64_t eof = 0, limit = map->file.limit;
    int error = mmb__our_file(&map->file, &eof);
    if (error == 0) {
        error = mmb__os_map_private(mmb__base(map), limit, map->file.fd, 0);
    }
    if (error == 0) {
        map->lazy_from = mmb__round_up(end, mmb__os_page());
        map->lazy_end = limit;
    }
    return error;
}

/* Turn all from `start` on that is still lazy into zeros. False if `start` is not lazy, or if the
 * kernel grants no memory; then pages get their memory one by one. */
static bool zero_lazily(mmb_map *map, uint64_t start)
{
    uint64_t end = map->lazy_end;
    if (start < map->lazy_from || start >= end) {
        return false;
    }
    map->lazy_end = start;
    return replace(map, start, end, true) == 0;
}

/* Give memory of its own to a page that counts as private but cannot be had. That happens where the
 * shared mapping stayed, beyond the EOF of a file that was truncated by another program, on a full
 * disk, and where a block cannot be read. */
static bool cover_page(mmb_map *map, uint64_t start)
{
    uint64_t page = mmb__os_page();
    unsigned char *at = mmb__base(map) + start;
    int error = mmb__os_populate(at, page, true);
    if (error != EFAULT && mmb__tried_too_often(map, start)) {
        return false;
    }
    if (error != EFAULT && error != ENOSYS) {
        return true; /* another thread was faster, and may have stored there by now */
    }
    return zero_lazily(map, start) || mmb__os_map_copy(at, page) == 0 ||
           replace(map, start, map->file.limit, true) == 0;
}

bool mmb__make_private(mmb_map *map, uint64_t offset)
{
    if (atomic_exchange(&map->remapping, true)) {
        sched_yield();
        return true; /* the access faults again, until the other thread is done */
    }
    bool done = true;
    uint64_t start = mmb__round_down(offset, mmb__os_page());
    uint64_t private_from = atomic_load_explicit(&map->private_from, memory_order_relaxed);
    if (start >= private_from) {
        done = cover_page(map, start);
    } else {
        (void)show_file(map, start, private_from, private_from); /* see invariant 2 */
        atomic_store_explicit(&map->private_from, start, memory_order_release);
    }
    atomic_store(&map->remapping, false);
    return done;
}

int mmb__make_all_private(mmb_map *map, uint64_t end, bool lazily)
{
    /* A handler that ran here and stored in the map would wait for its own thread. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (atomic_exchange(&map->remapping, true)) {
        sched_yield();
    }
    int error = 0;
    if (mmb__base(map) != NULL) {
        /* A store after the seal, but before this, may have made some of the memory private. */
        bool poisoned = atomic_load(&map->file.shared->poison) != 0;
        uint64_t to = poisoned ? atomic_load(&map->private_from) : map->file.limit;
        if (!lazily || poisoned || show_file_lazily(map, end) != 0) {
            error = show_file(map, 0, to, end);
        }
        atomic_store_explicit(&map->private_from, 0, memory_order_release);
    }
    atomic_store_explicit(&map->memory, MMB__PRIVATE, memory_order_release);
    atomic_store(&map->remapping, false);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

void mmb__private_after_fork(mmb_map *map)
{
    atomic_store(&map->remapping, false);
}
