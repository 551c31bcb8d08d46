/* log_note.c - notes the messages of a writer in its index. See log_note.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_note.h"

#include "log_tail.h"

#include "os/os.h"

#include <errno.h>
#include <sys/stat.h>

int mmb__log_map_index(mmb_log_writer *w, int fd)
{
    const mmb_options options = {
        .capacity = w->options.capacity / 4 + MMB_GRANULE, /* entries are no larger than messages */
        .max_growth = MMB_GRANULE,
    };
    struct stat now;
    if (fstat(fd, &now) != 0) {
        return errno;
    }
    /* The file may end inside a page. If blocks of the disk are smaller than pages, what lies
     * behind the end in that page has no room yet. */
    w->indexed = (uint64_t)now.st_blksize >= mmb__os_page() ? (uint64_t)now.st_size : 0;
    return mmb__log_open_map(fd, &options, &w->index);
}

int mmb__log_make_index_room(mmb_log_writer *w, uint64_t count)
{
    uint64_t bytes = mmb_index_bytes(count);
    if (w->index == NULL || bytes <= w->indexed) {
        return 0;
    }
    uint64_t from = mmb_index_bytes(w->count) - sizeof(mmb__index_block);
    int error = mmb_map_reserve(w->index, w->indexed != 0 ? w->indexed : from, bytes);
    w->indexed = error == 0 ? bytes : w->indexed;
    return error;
}

void mmb__log_publish(mmb_log_writer *w, uint64_t number, uint64_t end, const void *frames,
                      uint64_t bytes)
{
    w->count += number;
    if (w->index != NULL) {
        mmb_index_note(mmb_map_base(w->index), w->count, number, end, frames, bytes);
        if (mmb_map_poison(w->index) != 0) {
            w->adrift = true;
            return;
        }
        mmb_index_publish(mmb_map_base(w->index), w->count, end);
    }
}

int mmb__log_catch_up(mmb_log_writer *w, uint64_t known, uint64_t start)
{
    const char *reason;
    uint64_t bytes, count = w->count;
    w->count = known;
    int error = mmb__log_make_index_room(w, count);
    while (error == 0 && w->count < count) {
        const unsigned char *frame = mmb__log_at(w, start);
        if (mmb_frame_measure(frame, w->end - start, &bytes, &reason) != 0 ||
            bytes > w->end - start) {
            error = EINVAL;
            break;
        }
        start += bytes;
        mmb__log_publish(w, 1, start, frame, bytes);
        error = mmb_map_poison(w->index);
    }
    w->count = count;
    return error;
}
