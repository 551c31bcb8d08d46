/* log_tail.c - keeps the fence at the tail of a log's file. See log_tail.h.
 *
 * A fence must reach beyond the end of the file. This holds for the fence that stands there now,
 * and also for each fence that a slow reader read a moment ago and takes for the header of the
 * bytes that it reads next. So the file does not grow beyond what a fence claims until that fence
 * has been gone for a while. Nearly all writers append less in that time than a fence claims, and
 * never wait. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_tail.h"

#include "log_lock.h"
#include "wire.h"

#include "os/os.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nanoseconds that a reader may take from the header of a message to the end of its body. */
#define GRACE ((uint64_t)50 * 1000000)

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

void mmb__log_store_word(unsigned char *to, uint64_t word)
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

/* Let the file end with a fence, and drop what was behind it. */
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

int mmb__log_open_map(int fd, const mmb_options *options, mmb_map **out)
{
    unsigned char *base = NULL;
    int error = mmb_map_open(fd, options, out, NULL);
    if (error == 0) {
        error = mmb_map_memory(*out, &base);
        if (error != 0) {
            mmb_map_free(*out);
            *out = NULL;
        }
    }
    return error;
}

/* Note where the log ends at present. */
static void take_mark(mmb_log_writer *w)
{
    mmb__log_tail *tail = w->tail;
    uint64_t last = tail->marks != 0 ? tail->mark[(tail->marks - 1) % MMB__MARKS].end : 0;
    if (tail->marks != 0 && w->end >= last && w->end - last < MMB_GRANULE / 2) {
        return; /* marks lie apart, so that the noted ones cover all that a fence claims */
    }
    uint64_t number = tail->marks++ % MMB__MARKS;
    tail->mark[number].time = mmb__log_now();
    tail->mark[number].end = w->end;
}

/* Begin a new tail. Every writer that has mapped the file maps it again. */
static int begin_tail(mmb_log_writer *w)
{
    mmb__log_unmap(w);
    w->tail->cuts++;
    w->tail->reach = 0;
    int error = end_with_fence(w->fd, w->end);
    if (error == 0) {
        w->tail->reach = MMB_FENCE_BYTES;
        w->tail->ready = w->end;
        take_mark(w);
    }
    return error;
}

/* Map the file. The fence is there before the map makes the file grow. */
int mmb__log_map(mmb_log_writer *w)
{
    const mmb_options options = {
        .capacity = w->options.capacity,
        .max_growth = MMB_GRANULE, /* a fence then need not claim more */
        .writeback = w->options.writeback,
    };
    if (w->map != NULL && w->cuts == w->tail->cuts) {
        return 0;
    }
    int error = w->tail->reach != 0 ? 0 : begin_tail(w);
    mmb__log_unmap(w);
    if (error == 0) {
        error = mmb__log_open_map(w->fd, &options, &w->map);
        if (error != 0 && w->token == 0) { /* no other writer appends behind the fence */
            (void)mmb__log_cut(w);
        }
    }
    w->cuts = w->tail->cuts;
    return error;
}

void mmb__log_unmap(mmb_log_writer *w)
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

void mmb__log_give_up_tail(mmb_log_writer *w)
{
    mmb__log_unmap(w);
    w->tail->cuts++;
    w->tail->reach = 0;
    w->cuts = w->tail->cuts;
}

int mmb__log_check_size(const mmb_log_writer *w, uint64_t least)
{
    struct stat now;
    if (fstat(w->fd, &now) != 0) {
        return errno;
    }
    return (uint64_t)now.st_size < least ? MMB_ETRUNCATED : 0;
}

int mmb__log_cut(mmb_log_writer *w)
{
    int error = w->map != NULL ? mmb_map_poison(w->map) : 0;
    mmb__log_give_up_tail(w);
    if (error == 0) {
        /* If the file is shorter, the call below would replace what is gone by zeros. */
        error = mmb__log_check_size(w, w->end);
    }
    if (error != 0) {
        return error;
    }
    return ftruncate(w->fd, (off_t)w->end) == 0 ? 0 : errno;
}

/* ---- the fence ------------------------------------------------------------------------- */

void mmb__log_raise_fence(mmb_log_writer *w, uint64_t reach)
{
    mmb__log_tail *tail = w->tail;
    if (tail->reach >= reach) {
        return;
    }
    bool larger = reach > MMB_FENCE_BYTES;
    tail->reach = round_up(reach, MMB_FENCE_UNIT);
    mmb__log_store_word(mmb__log_at(w, w->end), mmb_fence_of(tail->reach));
    if (larger) { /* readers of the old fence get the time to find the end */
        mmb__log_pause(w, NULL, 0, GRACE);
    }
}

/* Return the time since which no fence has stood in front of `place`; `now` if it is not known. */
static uint64_t passed_at(const mmb__log_tail *tail, uint64_t place, uint64_t now)
{
    uint64_t first = tail->marks > MMB__MARKS ? tail->marks - MMB__MARKS : 0;
    for (uint64_t i = first; i < tail->marks; i++) {
        if (tail->mark[i % MMB__MARKS].end >= place) {
            return tail->mark[i % MMB__MARKS].time;
        }
    }
    return now;
}

/* Wait until the file may have `size` bytes: the fences that claim less must be gone long
 * enough. */
static void wait_for_slow_readers(mmb_log_writer *w, uint64_t size)
{
    take_mark(w);
    if (size <= MMB_FENCE_BYTES || w->end < size - MMB_FENCE_BYTES) {
        return; /* no such fence was there, or only the present one, which the caller raises */
    }
    uint64_t now = mmb__log_now();
    uint64_t since = passed_at(w->tail, size - MMB_FENCE_BYTES, now);
    if (since <= now && now - since < GRACE) {
        mmb__log_pause(w, NULL, 0, GRACE - (now - since));
    }
}

/* ---- room ------------------------------------------------------------------------------- */

static bool no_space(int error)
{
    return error == ENOSPC || error == EDQUOT;
}

int mmb__log_make_room(mmb_log_writer *w, uint64_t end)
{
    static const uint64_t steps[] = {MMB_GRANULE, 1 << 16, 1};
    int error = ENOSPC;
    if (end > w->options.capacity) {
        return MMB_ECAPACITY;
    }
    wait_for_slow_readers(w, round_up(end, MMB_GRANULE));
    mmb__log_raise_fence(w, round_up(end, MMB_GRANULE) - w->end);
    for (size_t i = 0; no_space(error) && i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t target = round_up(end, steps[i]);
        target = target > w->options.capacity ? end : target;
        error = mmb_map_reserve(w->map, w->tail->ready, target);
        if (error == 0) {
            w->tail->ready = target;
        }
    }
    return error;
}

/* ---- pages ------------------------------------------------------------------------------ */

/* A page fault takes twenty times as long as an append, and others would wait for it. So pages are
 * brought in outside the lock, a *chunk* at once. Chunks lie side by side in the file. */
enum { CHUNK = 64 << 10 };

/* A log that is smaller than a chunk does not get pages that it may never need. */
bool mmb__log_wants_pages(mmb_log_writer *w)
{
    if (w->end < w->brought) {
        return false;
    }
    bool appends_much = w->brought != 0;
    w->brought = round_up(w->end + 1, CHUNK);
    return appends_much && w->map != NULL && w->brought <= w->tail->ready;
}

/* If this fails, there are page faults as before. */
void mmb__log_bring_pages_in(mmb_log_writer *w)
{
    uint64_t from = round_up(w->end, mmb__os_page());
    if (from < w->brought) {
        (void)mmb__os_populate(mmb__log_at(w, from), w->brought - from, true);
    }
}
