/* log_writer.c - appends messages to a log. See mmb_log.h.
 *
 * Readers see only whole messages because of the order of the stores:
 *
 * (1) The word at the committed end is a fence, which reaches beyond the end of the file.
 * (2) The message is stored behind that word.
 * (3) The word behind the message becomes the next fence.
 * (4) The first word of the message replaces the first fence, in one aligned store.
 * (5) The index gets the message.
 *
 * Before (2) the disk must have room, and the file may have to grow. If the fence would then no
 * longer reach beyond the end of the file, it is raised first. If a store is lost all the same,
 * because the disk fails or someone has cut the file, the map says so before (4). */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_enter.h"
#include "log_note.h"
#include "log_tail.h"

#include "layout.h"

#include <errno.h>
#include <sys/stat.h>

/* Give up after an error, and trust nothing that was stored behind the fence: it is dropped when
 * the file is mapped again. */
static int give_up(mmb_log_writer *w, int error)
{
    mmb__log_give_up_tail(w);
    return error;
}

/* ---- committing --------------------------------------------------------------------------- */

/* Return the reach of the fence that belongs behind a message that ends at `end`. */
static uint64_t next_reach(const mmb_log_writer *w, uint64_t end)
{
    uint64_t eof = w->end + w->tail->reach; /* the file ends before this */
    uint64_t least = eof > end ? eof - end : 1;
    return least <= MMB_FENCE_BYTES
               ? MMB_FENCE_BYTES
               : (least + MMB_FENCE_UNIT - 1) / MMB_FENCE_UNIT * MMB_FENCE_UNIT;
}

/* Do steps (3) and (4). `bytes` bytes are stored, and `first` is going to be their first word. */
static int commit(mmb_log_writer *w, uint64_t first, uint64_t bytes)
{
    uint64_t reach = next_reach(w, w->end + bytes);
    mmb__log_store_word(mmb__log_at(w, w->end + bytes), mmb_fence_of(reach));
    int poison = mmb_map_poison(w->map);
    if (poison != 0) {
        return poison;
    }
    mmb__log_store_word(mmb__log_at(w, w->end), first);
    poison = mmb_map_poison(w->map); /* if even that store is lost, the message is not committed */
    if (poison != 0) {
        return poison;
    }
    w->end += bytes;
    if (w->tail->reach != reach) { /* a store takes the line from other writers */
        w->tail->reach = reach;
    }
    return 0;
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

enum { SOME_PAGES = 16 << 10 };

/* Do step (2). From some pages on, a call takes less time than the page faults of a copy, and the
 * kernel need not zero pages that are written as a whole. If someone has cut the file, a store
 * tells, but such a call would make the file longer again. So we look at the size before the call,
 * and after it, since the file may be cut in between. */
static int store_frames(mmb_log_writer *w, const unsigned char *frames, uint64_t bytes)
{
    uint64_t place = w->end + MMB_WORD, length = bytes - MMB_WORD;
    if (bytes < SOME_PAGES) {
        memcpy(mmb__log_at(w, place), frames + MMB_WORD, (size_t)length);
        return 0;
    }
    int error = mmb__log_check_size(w, w->tail->ready);
    error = error != 0 ? error : mmb_map_put(w->map, place, frames + MMB_WORD, length);
    return error != 0 ? error : mmb__log_check_size(w, w->tail->ready);
}

/* Do steps (2) to (4). */
static int write_frames(mmb_log_writer *w, const unsigned char *frames, uint64_t bytes)
{
    uint64_t after = w->end + bytes + MMB_WORD;
    if (after > w->tail->ready) {
        int error = mmb__log_make_room(w, after);
        if (error != 0) {
            return error;
        }
    }
    int error = store_frames(w, frames, bytes);
    return error != 0 ? error : commit(w, mmb__load64(frames), bytes);
}

/* Append `count` frames. The caller is inside. */
static int append(mmb_log_writer *w, const void *frames, uint64_t bytes, uint64_t count)
{
    if (w->end > w->options.capacity - bytes) {
        return MMB_ECAPACITY;
    }
    int error = mmb__log_make_index_room(w, w->count + count);
    error = error != 0 ? error : mmb__log_map(w);
    if (error != 0 || count == 0) {
        return error;
    }
    error = write_frames(w, frames, bytes);
    if (error != 0) {
        return give_up(w, error);
    }
    mmb__log_publish(w, count, w->end, frames, bytes);
    return 0;
}

int mmb_log_append(mmb_log_writer *w, const void *frames, uint64_t bytes, uint64_t *number)
{
    uint64_t count;
    if (bytes > w->options.capacity) {
        return MMB_ECAPACITY;
    }
    int error = count_frames(frames, bytes, &count);
    error = error != 0 ? error : mmb__log_enter(w);
    if (error != 0) {
        return error;
    }
    if (number != NULL) {
        *number = w->count;
    }
    error = append(w, frames, bytes, count);
    bool goes_on = error == 0 && bytes < SOME_PAGES && mmb__log_wants_pages(w);
    mmb__log_leave(w);
    if (goes_on) {
        mmb__log_bring_pages_in(w);
    }
    return error;
}

/* ---- a message that is built in place -------------------------------------------------------- */

/* Begin a message that is built in place. The caller stays inside until it calls mmb_log_commit
 * or mmb_log_abandon. */
int mmb_log_begin(mmb_log_writer *w, uint64_t reach, uint64_t *start)
{
    int error = w->building ? 0 : mmb__log_enter(w);
    if (error != 0) {
        return error;
    }
    error = mmb__log_make_index_room(w, w->count + 1);
    error = error != 0 ? error : mmb__log_map(w);
    if (error == 0) {
        mmb__log_raise_fence(w, reach);
        w->building = true;
    } else if (!w->building) {
        mmb__log_leave(w);
    }
    *start = w->end;
    return error;
}

/* Write the table and return its first word, which the caller stores. If only one segment was ever
 * used (`alone`), room for the other entries becomes the beginning of this segment: its root
 * pointer, and words that no pointer leads to. This is not possible if there were other segments,
 * even if none of their words is used: a far pointer counts from the start of its segment, so that
 * start must not move. */
static uint64_t lay_table(mmb_log_writer *w, const uint32_t *words, uint32_t count, bool alone)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t room = mmb_table_bytes(count);
    uint64_t root = words[0] != 0 ? mmb__load64(mmb__log_at(w, w->end + room)) : 0;
    uint32_t more = (uint32_t)(room / MMB_WORD) - 1;
    mmb__table_encode(table, count, words, count);
    if (alone && mmb__kind(root) == MMB__STRUCT) {
        memset(table, 0, (size_t)room);
        mmb__store32(table + 4, words[0] + more);
        mmb__store64(table + MMB_WORD, mmb__root_moved(root, more));
    }
    memcpy(mmb__log_at(w, w->end + MMB_WORD), table + MMB_WORD, (size_t)room - MMB_WORD);
    return mmb__load64(table);
}

/* Note where the file ends. While the message was built, the fence claimed far more than that. */
static int note_file_end(mmb_log_writer *w)
{
    struct stat now;
    if (fstat(w->fd, &now) != 0) {
        return errno;
    }
    w->tail->reach = (uint64_t)now.st_size - w->end;
    return 0;
}

static int commit_building(mmb_log_writer *w, const uint32_t *words, uint32_t count, bool alone)
{
    uint64_t bytes = mmb_table_bytes(count);
    for (uint32_t i = 0; i < count; i++) {
        bytes += (uint64_t)words[i] * MMB_WORD;
    }
    int error = mmb__log_make_room(w, w->end + bytes + MMB_WORD);
    error = error != 0 ? error : note_file_end(w);
    if (error == 0) {
        error = commit(w, lay_table(w, words, count, alone), bytes);
    }
    if (error != 0) {
        return give_up(w, error);
    }
    mmb__log_publish(w, 1, w->end, mmb__log_at(w, w->end - bytes), bytes);
    return 0;
}

int mmb_log_commit(mmb_log_writer *w, const uint32_t *words, uint32_t count, bool alone,
                   uint64_t *number)
{
    *number = w->count;
    w->building = false; /* from now on a close waits for this writer */
    int error = commit_building(w, words, count, alone);
    mmb__log_leave(w);
    return error;
}

void mmb_log_abandon(mmb_log_writer *w)
{
    if (w->building) {
        (void)mmb__log_cut(w); /* if this fails, the next append does it */
        w->building = false;
        mmb__log_leave(w);
    }
}

/* ---- without a message ------------------------------------------------------------------------
 */

int mmb_log_cut(mmb_log_writer *w)
{
    int error = mmb__log_enter(w);
    if (error == 0) {
        error = mmb__log_cut(w);
        mmb__log_leave(w);
    }
    return error;
}

int mmb_log_look(mmb_log_writer *w, uint64_t *count, uint64_t *end)
{
    int error = w->building ? 0 : mmb__log_enter(w);
    *count = w->count;
    *end = w->end;
    if (error == 0 && !w->building) {
        mmb__log_leave(w);
    }
    return error;
}

static void note_synced(mmb__index_header *header, uint64_t count, uint64_t end)
{
    const mmb__index_slot *best = mmb__index_best_slot(header);
    if (best == NULL || best->count < count) {
        mmb__index_put_slot(header, count, end);
    }
}

int mmb_log_note_synced(mmb_log_writer *w, uint64_t count, uint64_t end)
{
    int error = w->building ? 0 : mmb__log_enter(w);
    if (error != 0) {
        return error;
    }
    if (w->index != NULL) {
        note_synced(mmb__index_header_of(mmb_map_base(w->index)), count, end);
    }
    if (!w->building) {
        mmb__log_leave(w);
    }
    return 0;
}
void mmb_log_tell_synced(mmb_log_writer *w, uint64_t end)
{
    if (w->index == NULL) {
        w->synced = w->synced < end ? end : w->synced;
        return;
    }
    mmb__index_header *header = mmb__index_header_of(mmb_map_base(w->index));
    uint64_t known = atomic_load_explicit(&header->synced, memory_order_relaxed);
    while (known < end &&
           !atomic_compare_exchange_weak_explicit(&header->synced, &known, end,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}
