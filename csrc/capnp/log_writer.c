/* log_writer.c - appending messages to a log. See mmb_log.h.
 *
 * The order of stores is what keeps every reader out of trouble:
 *
 *     (1) the word at the committed end is a fence, which reaches beyond the end of the file;
 *     (2) the message is laid behind that word;
 *     (3) the word behind the message becomes the next fence;
 *     (4) the first word of the message replaces the first fence, in one aligned store;
 *     (5) the index is told.
 *
 * Before (2) there must be room on the disk, and the file may have to grow: the fence is
 * raised first if it would not reach beyond the file's end any more. Should a store be lost
 * nevertheless (the disk fails, someone has cut the file), the map says so before (4). */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "mmb_log.h"

#include "layout.h"

#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct mmb_log_writer {
    mmb_log_options options;
    int fd;         /* borrowed */
    mmb_map *map;   /* NULL while the file is cut at its end, or after an error */
    mmb_map *index; /* NULL without one */
    uint64_t count;
    uint64_t end;      /* the committed end */
    uint64_t ready;    /* [end, ready) has blocks and lies in the file */
    uint64_t reach;    /* bytes that the present fence claims */
    uint64_t indexed;  /* bytes of the index that lie in its file */
    mmb_stats earlier; /* of maps that are gone */
};

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static unsigned char *at(const mmb_log_writer *w, uint64_t place)
{
    return mmb_map_base(w->map) + place;
}

/* One aligned store, after all that came before it. */
static void store_word(unsigned char *to, uint64_t word)
{
    unsigned char bytes[MMB_WORD];
    mmb__store64(bytes, word);
    memcpy(&word, bytes, sizeof word);
    atomic_store_explicit((_Atomic uint64_t *)(void *)to, word, memory_order_release);
}

/* ---- the map -------------------------------------------------------------------------- */

static int write_fence(int fd, uint64_t end)
{
    unsigned char fence[MMB_WORD];
    mmb__store64(fence, mmb_fence_of(MMB_FENCE_BYTES));
    return mmb__os_write_all(fd, true, fence, sizeof fence, end, NULL);
}

/* Let the file end with a fence; what was behind it is dropped. */
static int end_with_fence(int fd, uint64_t end)
{
    struct stat now;
    if (fstat(fd, &now) != 0) {
        return errno;
    }
    if ((uint64_t)now.st_size < end) {
        return MMB_ETRUNCATED;
    }
    int error = write_fence(fd, end);
    if (error == 0 && ftruncate(fd, (off_t)(end + MMB_WORD)) != 0) {
        error = errno;
    }
    return error;
}

/* A map whose memory can be stored to, or none. */
static int open_map(int fd, const mmb_options *options, mmb_map **out, mmb_limit *limit)
{
    unsigned char *base = NULL;
    int error = mmb_map_open(fd, options, out, limit);
    if (error == 0) {
        error = mmb_map_memory(*out, &base);
        if (error != 0) {
            mmb_map_free(*out);
            *out = NULL;
        }
    }
    return error;
}

/* The fence is there before the file grows: by opening the map, and later. */
static int map_file(mmb_log_writer *w, mmb_limit *limit)
{
    const mmb_options options = {
        .capacity = w->options.capacity,
        .max_growth = MMB_GRANULE, /* so that the fence need not claim more */
        .writeback = w->options.writeback,
    };
    if (w->map != NULL) {
        return 0;
    }
    int error = end_with_fence(w->fd, w->end);
    if (error == 0) {
        error = open_map(w->fd, &options, &w->map, limit);
        if (error != 0) {
            (void)ftruncate(w->fd, (off_t)w->end); /* nobody is going to append behind the fence */
        }
    }
    w->ready = w->end;
    w->reach = MMB_FENCE_BYTES;
    return error;
}

static void unmap_file(mmb_log_writer *w)
{
    mmb_stats now;
    if (w->map != NULL) {
        mmb_map_get_stats(w->map, &now);
        w->earlier.growths += now.growths;
        w->earlier.faults += now.faults;
        w->earlier.prefaulted += now.prefaulted;
        mmb_map_free(w->map);
        w->map = NULL;
    }
}

/* After an error: take nothing for granted. What may have been laid behind the fence is
 * dropped when the file is mapped again. */
static int give_up(mmb_log_writer *w, int error)
{
    unmap_file(w);
    return error;
}

/* Claim at least `reach` bytes, in the same multiples as always. */
static void raise_fence(mmb_log_writer *w, uint64_t reach)
{
    if (w->reach < reach) {
        w->reach = round_up(reach, MMB_FENCE_BYTES);
        store_word(at(w, w->end), mmb_fence_of(w->reach));
    }
}

/* ---- room ------------------------------------------------------------------------------- */

static bool no_space(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

/* Have blocks for all up to `end`, and ahead as far as the disk has room. */
static int make_room(mmb_log_writer *w, uint64_t end)
{
    static const uint64_t steps[] = {MMB_GRANULE, 1 << 16, 1};
    int error = ENOSPC;
    if (end > w->options.capacity) {
        return MMB_ECAPACITY;
    }
    raise_fence(w, round_up(end, MMB_GRANULE) - w->end);
    for (size_t i = 0; no_space(error) && i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t target = round_up(end, steps[i]);
        target = target > w->options.capacity ? end : target;
        error = mmb_map_reserve(w->map, w->ready, target);
        if (error == 0) {
            w->ready = target;
        }
    }
    return error;
}

static int make_index_room(mmb_log_writer *w, uint64_t count)
{
    uint64_t bytes = mmb_index_bytes(count);
    if (w->index == NULL || bytes <= w->indexed) {
        return 0;
    }
    int error = mmb_map_reserve(w->index, w->indexed, bytes);
    w->indexed = error == 0 ? bytes : w->indexed;
    return error;
}

/* ---- committing --------------------------------------------------------------------------- */

/* The fence that belongs behind a message which ends at `end`. */
static uint64_t next_reach(const mmb_log_writer *w, uint64_t end)
{
    uint64_t eof = w->end + w->reach; /* the file does not reach as far */
    return round_up(eof > end ? eof - end : 1, MMB_FENCE_BYTES);
}

/* Steps (3) and (4): `bytes` bytes behind the fence are laid, `first` is their first word. */
static int commit(mmb_log_writer *w, uint64_t first, uint64_t bytes)
{
    uint64_t reach = next_reach(w, w->end + bytes);
    store_word(at(w, w->end + bytes), mmb_fence_of(reach));
    int poison = mmb_map_poison(w->map);
    if (poison != 0) {
        return poison;
    }
    store_word(at(w, w->end), first);
    poison = mmb_map_poison(w->map); /* should even that store be lost, it was not committed */
    if (poison != 0) {
        return poison;
    }
    w->end += bytes;
    w->reach = reach;
    return 0;
}

/* Step (5), for one message. There is room in the index. */
static void publish(mmb_log_writer *w, uint64_t end)
{
    w->count++;
    if (w->index != NULL) {
        mmb_index_publish(mmb_map_base(w->index), w->count, end);
    }
}

static int count_frames(const unsigned char *frames, uint64_t bytes, uint64_t *count)
{
    uint64_t size;
    const char *reason;
    *count = 0;
    for (uint64_t done = 0; done < bytes; done += size) {
        if (mmb_frame_measure(frames + done, bytes - done, &size, &reason) != 0) {
            return EINVAL;
        }
        ++*count;
    }
    return 0;
}

static void publish_frames(mmb_log_writer *w, const unsigned char *frames, uint64_t bytes)
{
    uint64_t size, start = w->end - bytes;
    const char *reason;
    for (uint64_t done = 0; done < bytes; done += size) {
        (void)mmb_frame_measure(frames + done, bytes - done, &size, &reason);
        publish(w, start + done + size);
    }
}

/* Steps (2) to (4). */
static int lay(mmb_log_writer *w, const unsigned char *frames, uint64_t bytes)
{
    uint64_t after = w->end + bytes + MMB_WORD;
    if (after > w->ready) {
        int error = make_room(w, after);
        if (error != 0) {
            return error;
        }
    }
    memcpy(at(w, w->end + MMB_WORD), frames + MMB_WORD, (size_t)(bytes - MMB_WORD));
    return commit(w, mmb__load64(frames), bytes);
}

int mmb_log_append(mmb_log_writer *w, const void *frames, uint64_t bytes)
{
    uint64_t count;
    if (bytes > w->options.capacity || w->end > w->options.capacity - bytes) {
        return MMB_ECAPACITY;
    }
    int error = count_frames(frames, bytes, &count);
    error = error != 0 ? error : make_index_room(w, w->count + count);
    error = error != 0 ? error : map_file(w, NULL);
    if (error != 0 || count == 0) {
        return error;
    }
    error = lay(w, frames, bytes);
    if (error != 0) {
        return give_up(w, error);
    }
    publish_frames(w, frames, bytes);
    return 0;
}

/* ---- a message that is built in place -------------------------------------------------------- */

int mmb_log_begin(mmb_log_writer *w, uint64_t reach)
{
    int error = make_index_room(w, w->count + 1);
    error = error != 0 ? error : map_file(w, NULL);
    if (error == 0) {
        raise_fence(w, reach);
    }
    return error;
}

/* The first word of the table; the others are stored. What was room for entries that are not
 * needed becomes the beginning of the only segment: its root pointer, and words that nothing
 * leads to. */
static uint64_t lay_table(mmb_log_writer *w, const uint32_t *words, uint32_t count)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t room = mmb_table_bytes(count);
    uint64_t root = words[0] != 0 ? mmb__load64(at(w, w->end + room)) : 0;
    uint32_t more = (uint32_t)(room / MMB_WORD) - 1;
    uint32_t used = count;
    while (used > 1 && words[used - 1] == 0) {
        used--;
    }
    mmb__table_encode(table, count, words, count);
    if (used == 1 && mmb__kind(root) == MMB__STRUCT) {
        memset(table, 0, (size_t)room);
        mmb__store32(table + 4, words[0] + more);
        mmb__store64(table + MMB_WORD, mmb__root_moved(root, more));
    }
    memcpy(at(w, w->end + MMB_WORD), table + MMB_WORD, (size_t)room - MMB_WORD);
    return mmb__load64(table);
}

/* While the message was built the fence claimed far more than the file has got. */
static int note_file_end(mmb_log_writer *w)
{
    struct stat now;
    if (fstat(w->fd, &now) != 0) {
        return errno;
    }
    w->reach = (uint64_t)now.st_size - w->end;
    return 0;
}

int mmb_log_commit(mmb_log_writer *w, const uint32_t *words, uint32_t count)
{
    uint64_t bytes = mmb_table_bytes(count);
    for (uint32_t i = 0; i < count; i++) {
        bytes += (uint64_t)words[i] * MMB_WORD;
    }
    int error = make_room(w, w->end + bytes + MMB_WORD);
    error = error != 0 ? error : note_file_end(w);
    if (error == 0) {
        error = commit(w, lay_table(w, words, count), bytes);
    }
    if (error != 0) {
        return give_up(w, error);
    }
    publish(w, w->end);
    return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* Tell the index of the messages that its last writer committed, but was killed before it could
 * tell. */
static int catch_up(mmb_log_writer *w)
{
    mmb_log_identity identity;
    uint64_t known, start, size;
    const char *reason;
    unsigned char *memory = mmb_map_base(w->index);
    int error = mmb_log_identify(w->fd, &identity);
    if (error != 0) {
        return error;
    }
    if (!mmb_index_check(memory, w->indexed, &identity, &known, &start) || known > w->count) {
        return EINVAL;
    }
    error = make_index_room(w, w->count);
    mmb_index_unsettle(memory, &identity);
    while (error == 0 && known < w->count) {
        unsigned char head[MMB_HEAD_BYTES + MMB_WORD];
        ssize_t n = pread(w->fd, head, sizeof head, (off_t)start);
        if (n <= 0 || mmb_frame_measure(head, (uint64_t)n, &size, &reason) != 0) {
            return n < 0 ? errno : EINVAL;
        }
        start += size;
        mmb_index_publish(memory, ++known, start);
    }
    return error;
}

static int map_index(mmb_log_writer *w, int index_fd)
{
    struct stat now;
    const mmb_options options = {
        .capacity = w->options.capacity / 4 + MMB_GRANULE, /* no message is shorter than a place */
        .max_growth = MMB_GRANULE,
    };
    if (index_fd < 0) {
        return 0;
    }
    if (fstat(index_fd, &now) != 0) {
        return errno;
    }
    w->indexed = (uint64_t)now.st_size;
    int error = open_map(index_fd, &options, &w->index, NULL);
    error = error != 0 ? error : catch_up(w);
    if (error == 0 && w->options.key != NULL) {
        mmb_index_set_key(mmb_map_base(w->index), w->options.key);
    }
    w->options.key = NULL; /* it is the caller's */
    return error;
}

int mmb_log_open(int fd, int index_fd, const mmb_log_options *options, uint64_t count, uint64_t end,
                 mmb_log_writer **out, mmb_limit *limit)
{
    mmb_log_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return ENOMEM;
    }
    *w = (mmb_log_writer){.options = *options, .fd = fd, .count = count, .end = end};
    /* The index first: it is still known as the index of this file. */
    int error = map_index(w, index_fd);
    error = error != 0 ? error : map_file(w, limit);
    if (error != 0) {
        mmb_log_free(w);
        return error;
    }
    *out = w;
    return 0;
}

int mmb_log_cut(mmb_log_writer *w)
{
    int poison = w->map != NULL ? mmb_map_poison(w->map) : 0;
    unmap_file(w);
    if (poison != 0) {
        return poison;
    }
    return ftruncate(w->fd, (off_t)w->end) == 0 ? 0 : errno;
}

static int settle_index(mmb_log_writer *w)
{
    mmb_log_identity identity;
    int error = mmb_log_identify(w->fd, &identity);
    if (error == 0 && w->index != NULL) {
        mmb_index_settle(mmb_map_base(w->index), &identity);
        mmb_map_unmap(w->index);
        error = mmb_map_cut(w->index, mmb_index_bytes(w->count));
    }
    return error;
}

int mmb_log_close(mmb_log_writer *w)
{
    int error = mmb_log_cut(w);
    error = error != 0 ? error : settle_index(w);
    mmb_log_free(w);
    return error;
}

void mmb_log_free(mmb_log_writer *w)
{
    if (w != NULL) {
        unmap_file(w);
        mmb_map_free(w->index);
        free(w);
    }
}

uint64_t mmb_log_count(const mmb_log_writer *w)
{
    return w->count;
}

uint64_t mmb_log_end(const mmb_log_writer *w)
{
    return w->end;
}

void mmb_log_get_stats(const mmb_log_writer *w, mmb_stats *out)
{
    *out = (mmb_stats){0};
    if (w->map != NULL) {
        mmb_map_get_stats(w->map, out);
    }
    out->growths += w->earlier.growths;
    out->faults += w->earlier.faults;
    out->prefaulted += w->earlier.prefaulted;
    out->backed = w->map != NULL ? out->backed : w->end;
}
