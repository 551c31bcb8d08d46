/* content.c - the calls that append to the content of a map, and those that read it. */
#include "file/content.h"
#include "file/label.h"
#include "map.h"
#include "memory.h"

#include <errno.h>
#include <string.h>

/* Bytes; one call of the system reads no more. */
#define READ_PIECE ((uint64_t)1 << 30)

/* ---- the cursor and the size ------------------------------------------------- */

uint64_t mmb_map_cursor(const mmb_map *map)
{
    return atomic_load(&map->file.shared->cursor);
}

void mmb_map_set_cursor(mmb_map *map, uint64_t position)
{
    atomic_store(&map->file.shared->cursor, position);
}

bool mmb_map_move_cursor(mmb_map *map, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&map->file.shared->cursor, &from, to);
}

uint64_t mmb_map_declared_size(const mmb_map *map)
{
    return atomic_load(&map->file.shared->declared_size);
}

void mmb_map_declare(mmb_map *map, uint64_t end)
{
    mmb__declare(&map->file, end);
}

int mmb_map_size(mmb_map *map, uint64_t *size)
{
    int error = mmb__publish_stores(map);
    return error != 0 ? error : mmb__find_size(&map->file, size);
}

int mmb_map_truncate(mmb_map *map, uint64_t size)
{
    if (size > map->file.capacity) {
        return MMB_ECAPACITY;
    }
    int error = mmb__zero_from(&map->file, size);
    if (error == 0) {
        atomic_store(&map->file.shared->declared_size, size);
        mmb__renew_label(&map->file); /* it may tell of more, as declared before the last flush */
    }
    return error;
}

/* ---- putting bytes in --------------------------------------------------------- */

int mmb_map_append(mmb_map *map, const void *data, uint64_t length)
{
    mmb__range taken;
    int error = mmb__take_range(&map->file, 1, length, &taken);
    if (error == 0) {
        error = mmb_map_write(map, taken.start, data, length);
        if (error != 0) {
            mmb__give_back(&map->file, &taken);
        }
    }
    return error;
}

int mmb_map_byte_at(mmb_map *map, uint64_t offset, unsigned char *byte)
{
    if (offset >= map->file.capacity) {
        return MMB_ECAPACITY;
    }
    unsigned char *base = NULL;
    int error = mmb_map_memory(map, &base);
    if (error == 0) {
        *byte = base[offset];
        error = mmb_map_poison(map);
    }
    return error;
}

int mmb_map_assign_byte(mmb_map *map, uint64_t offset, unsigned char byte)
{
    if (offset >= map->file.capacity) {
        return MMB_ECAPACITY;
    }
    unsigned char *base = NULL;
    int error = mmb_map_memory(map, &base);
    if (error != 0) {
        return error;
    }
    uint32_t entry = mmb__in_flight_enter(map->file.shared);
    base[offset] = byte;
    mmb__declare(&map->file, offset + 1);
    mmb__in_flight_leave(map->file.shared, entry);
    return mmb_map_poison(map);
}

/* Make [start, end) zeros. Only bytes below `size` need that; the others are zeros already. */
static int zero_content(mmb_map *map, uint64_t start, uint64_t end, uint64_t size)
{
    unsigned char *base = NULL;
    if (start >= size) {
        return 0;
    }
    int error = mmb_map_memory(map, &base);
    if (error == 0) {
        memset(base + start, 0, (size_t)(mmb__min(end, size) - start));
        error = mmb_map_poison(map);
    }
    return error;
}

/* Take the next `length` bytes at the cursor. `size` is that of the content so far if the bytes are
 * to become zeros, and 0 if not. */
static int allocate(mmb_map *map, uint64_t length, uint64_t align, uint64_t size, uint64_t *start)
{
    mmb__range taken;
    int error = mmb__take_range(&map->file, align, length, &taken);
    if (error != 0) {
        return error;
    }
    /* The thread is in flight until the range is declared, so the owner's close waits for it. */
    uint32_t entry = mmb__in_flight_enter(map->file.shared);
    error = mmb_map_reserve(map, taken.start, taken.end);
    if (error == 0) {
        error = zero_content(map, taken.start, taken.end, size);
    }
    if (error == 0) {
        mmb__declare(&map->file, taken.end);
        *start = taken.start;
    } else {
        mmb__give_back(&map->file, &taken);
    }
    mmb__in_flight_leave(map->file.shared, entry);
    return error;
}

int mmb_map_allocate(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start)
{
    return allocate(map, length, align, 0, start);
}

int mmb_map_allocate_zeros(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start)
{
    uint64_t size = 0;
    int error = mmb_map_size(map, &size);
    return error != 0 ? error : allocate(map, length, align, size, start);
}

/* ---- getting bytes out -------------------------------------------------------- */

/* Read a page by way of a buffer. The target lies beyond the EOF of a map, so the kernel cannot
 * copy to it; but a store of ours makes that map grow. */
static int read_by_way_of_buffer(const mmb_map *map, uint64_t offset, unsigned char *to,
                                 size_t length, size_t *got)
{
    unsigned char buffer[4096];
    length = (size_t)mmb__min(length, sizeof buffer);
    int error = mmb__os_read_all(map->file.fd, buffer, length, offset, got);
    if (error == 0) {
        memcpy(to, buffer, *got);
    }
    return error;
}

int mmb_map_ahead(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length)
{
    *start = mmb_map_cursor(map);
    uint64_t size = mmb_map_declared_size(map);
    /* The declared size may not be all: stores may have made the content larger. We look for them
     * only if the range needs it, since looking takes time. */
    if (*start >= size || most > size - *start) {
        int error = mmb_map_size(map, &size);
        if (error != 0) {
            return error;
        }
    }
    *length = *start < size ? mmb__min(most, size - *start) : 0;
    return 0;
}

int mmb_map_pass(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length)
{
    int error;
    do {
        error = mmb_map_ahead(map, most, start, length);
    } while (error == 0 && *length > 0 && !mmb_map_move_cursor(map, *start, *start + *length));
    return error;
}

int mmb_map_read(mmb_map *map, uint64_t offset, void *out, uint64_t length)
{
    unsigned char *to = out;
    uint64_t eof = 0;
    int error = mmb__our_file(&map->file, &eof);
    if (error == 0) {
        error = mmb__publish_stores(map);
    }
    while (error == 0 && length > 0) {
        size_t got = 0, piece = (size_t)mmb__min(length, READ_PIECE);
        error = mmb__os_read_all(map->file.fd, to, piece, offset, &got);
        if (error == EFAULT) {
            error = read_by_way_of_buffer(map, offset, to, piece, &got);
        }
        if (error == 0 && got == 0) {
            memset(to, 0, (size_t)length); /* the file ends before */
            got = (size_t)length;
        }
        to += got;
        offset += got;
        length -= got;
    }
    return error;
}
