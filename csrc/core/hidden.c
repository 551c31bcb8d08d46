/* hidden.c - small files that are only written to by calls.
 *
 * EOF must stand at a granule because of stores: one beyond it, in a page that is mapped,
 * is neither a fault nor in the file. While nobody has the address of the memory there are
 * no stores and no pages, so EOF may stand where the content ends, as after write(2). That
 * spares a file which is made by one call two moves of EOF, which take longer than all the
 * rest: each is a transaction of the file system. (Nor is there any memory before, as a rule:
 * map.c makes it when it is first needed.)
 *
 * Whoever gives the address away calls mmb_map_show first. Showing and writing are done by
 * one thread at a time, so that no write leaves EOF in mid-page behind the back of somebody
 * who stores. A map that a forked child has as well is written in the usual way, which takes
 * no lock among processes but for its first move. Beyond MMB__SMALL nothing is gained any
 * more, and writes are to run side by side: there growth goes its usual way, too. */
#include "internal.h"

#include <errno.h>
#include <unistd.h>

static bool is_hidden(const mmb_map *map)
{
    return atomic_load_explicit(&map->hidden, memory_order_acquire);
}

/* Whether EOF is moved by writes of this process, and by nothing else. */
static bool is_left_to_writes(const mmb_map *map)
{
    return map->traits.moves_at_once && is_hidden(map) &&
           atomic_load_explicit(&map->alone, memory_order_acquire);
}

/* pwrite all of it, or as much as there is room for; how much in *done. */
static int write_all(const mmb_map *map, uint64_t offset, const unsigned char *data,
                     uint64_t length, uint64_t *done)
{
    *done = 0;
    while (*done < length) {
        ssize_t n =
            pwrite(map->fd, data + *done, (size_t)(length - *done), (off_t)(offset + *done));
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            return n < 0 ? errno : EIO;
        }
        *done += n > 0 ? (uint64_t)n : 0;
    }
    return 0;
}

bool mmb__write_hidden(mmb_map *map, uint64_t offset, const void *data, uint64_t length, int *error)
{
    uint64_t end = offset + length;
    if (end > map->small || !is_left_to_writes(map)) {
        return false;
    }
    sigset_t before;
    uint32_t entry = mmb__growers_enter(map->shared);
    mmb__begin_growing(map, &before);
    uint64_t eof = 0, done = 0;
    *error = mmb__check(map, &eof);
    bool answered = *error != 0 || (is_left_to_writes(map) && eof <= map->small);
    if (answered && *error == 0) {
        *error = write_all(map, offset, data, length, &done);
        /* The source lies beyond EOF of another map: the load that makes that grow is for
         * those who do not hold up signals. */
        answered = *error != EFAULT;
    }
    if (done > 0) {
        mmb__note_backed(map, mmb__max(eof, offset + done));
        if (eof == 0) {
            atomic_fetch_add_explicit(&map->shared->growths, 1, memory_order_relaxed);
        }
    }
    mmb__end_growing(map, &before);
    mmb__growers_leave(map->shared, entry);
    return answered;
}

void mmb__share(mmb_map *map)
{
    if (is_hidden(map)) {
        sigset_t before;
        mmb__begin_growing(map, &before);
        atomic_store_explicit(&map->alone, false, memory_order_release);
        mmb__end_growing(map, &before);
    }
}

/* The work of mmb_map_show, under the lock that all first moves are made under: EOF cannot
 * be shrunk here. */
static int move_to_granule(mmb_map *map)
{
    uint64_t eof = 0;
    int error = mmb__check(map, &eof);
    if (error != 0) {
        /* Without our fd EOF cannot be moved. Whatever else is wrong with the file, a store
         * will find as well, and report as stores do. */
        return error == EBADF ? EBADF : 0;
    }
    uint64_t end = mmb__min(mmb__round_up(eof, MMB_GRANULE), map->length);
    if (eof < MMB_GRANULE && eof < end) {
        if (ftruncate(map->fd, (off_t)end) != 0) {
            return errno;
        }
        mmb__note_backed(map, end);
        atomic_fetch_add_explicit(&map->shared->growths, 1, memory_order_relaxed);
    }
    return 0;
}

int mmb_map_show(mmb_map *map)
{
    if (!is_hidden(map)) {
        return 0;
    }
    int error = mmb__have_memory(map);
    if (error != 0) {
        return error;
    }
    sigset_t before;
    uint32_t entry = mmb__growers_enter(map->shared);
    mmb__begin_blocks(map, &before);
    error = move_to_granule(map);
    if (error == 0) {
        atomic_store_explicit(&map->hidden, false, memory_order_release);
    }
    mmb__end_blocks(map, &before);
    mmb__growers_leave(map->shared, entry);
    return error;
}
