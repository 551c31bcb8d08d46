/* log_hop.c - goes from the header of each frame to the next. It reads the file through a buffer
 * that shows a part of it. */
#include "log_index.h"

#include "wire.h"
#include "words.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 64 << 10,
    GLANCE_BYTES = 4096, /* bytes to read at a time where frames are larger than the window */
};

/* The part of the file that was read last. */
typedef struct {
    unsigned char *bytes; /* owned, WINDOW_BYTES */
    uint64_t start;       /* offset in the file */
    uint64_t length;
    int fd;
} window;

/* Let the window show the file from `place` on: `wanted` bytes, or fewer if the file ends
 * before. Return 0, or the error of a read. */
static int show(window *w, uint64_t place, uint64_t wanted)
{
    uint64_t beyond = place - w->start;
    if (place >= w->start && beyond <= w->length && wanted <= w->length - beyond) {
        return 0;
    }
    bool leapt = place < w->start || beyond > w->length + WINDOW_BYTES;
    size_t got = 0;
    int error = mmb__os_read_all(w->fd, w->bytes, leapt ? GLANCE_BYTES : WINDOW_BYTES, place, &got);
    w->start = place;
    w->length = got;
    return error;
}

static const unsigned char *shown(const window *w, uint64_t place, uint64_t *have)
{
    *have = w->start + w->length - place;
    return w->bytes + (place - w->start);
}

/* Set `*zeros` if the file holds only zeros from `place` on. Holes are not read where the file
 * system tells of them: a file can have more of them than a disk has room. Return 0, or the error
 * of a read. */
static int only_zeros(window *w, uint64_t place, bool *zeros)
{
    mmb__traits traits = {.seek_data_is_reliable = false};
    (void)mmb__os_look_at(w->fd, &traits); /* a file that cannot be mapped can be read */
    for (;;) {
        uint64_t have;
        place = traits.seek_data_is_reliable ? mmb__hole_end(w->fd, place) : place;
        if (place == UINT64_MAX) {
            *zeros = true;
            return 0;
        }
        int error = show(w, place, WINDOW_BYTES);
        if (error != 0) {
            return error;
        }
        const unsigned char *bytes = shown(w, place, &have);
        *zeros = have == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)have - 1) == 0);
        if (have == 0 || !*zeros) {
            return 0;
        }
        place += have;
    }
}

/* Say why no whole frame begins at `place`: set `*tail`, or return MMB_EMESSAGE if `reason` says
 * what is wrong there. */
static int look_at_tail(window *w, uint64_t place, mmb_tail *tail, const char *reason)
{
    uint64_t have;
    const unsigned char *bytes = shown(w, place, &have);
    if (have == 0) {
        *tail = MMB_TAIL_NONE;
        return 0;
    }
    if (reason == NULL) {
        uint64_t header = have >= MMB_WORD ? mmb__load64(bytes) : 0;
        *tail = mmb__is_fence(header) ? MMB_TAIL_FENCE : MMB_TAIL_TORN;
        return 0;
    }
    bool zeros = false;
    int error = only_zeros(w, place, &zeros);
    *tail = MMB_TAIL_ZEROS;
    return error != 0 || zeros ? error : MMB_EMESSAGE;
}

/* Set `*bytes` to the size of the next frame; 0 if no whole frame is there. Return 0, or the
 * error of a read. */
static int next_frame(window *w, uint64_t place, uint64_t file_bytes, uint64_t *bytes,
                      const char **reason)
{
    uint64_t have, wanted = MMB_WORD;
    int found = MMB_EHEAD;
    *reason = NULL;
    while (found == MMB_EHEAD) {
        int error = show(w, place, wanted);
        const unsigned char *head = shown(w, place, &have);
        if (error != 0 || have < wanted) {
            *bytes = 0;
            return error;
        }
        found = mmb_frame_measure(head, have, &wanted, reason);
    }
    *bytes = found == 0 && wanted <= file_bytes - place ? wanted : 0;
    return 0;
}

/* Find all whole frames in a file of `file_bytes`, and what follows the last one. */
static int hop(window *w, mmb_places *places, mmb_tail *tail, uint64_t file_bytes,
               const char **reason)
{
    uint64_t bytes = 1;
    int error = 0;
    while (error == 0 && bytes != 0) {
        error = next_frame(w, places->end, file_bytes, &bytes, reason);
        if (error == 0 && bytes != 0) {
            error = mmb_places_add(places, bytes);
        }
    }
    return error != 0 ? error : look_at_tail(w, places->end, tail, *reason);
}

static int size_of(int fd, uint64_t *bytes)
{
    struct stat now;
    if (fstat(fd, &now) != 0) {
        return errno;
    }
    *bytes = (uint64_t)now.st_size;
    return 0;
}

/* Return whether the result may be due to a writer that was at work: the size of the file has
 * changed, or had changed for a moment, because a writer made the file larger, or cut it at the end
 * of its messages. Or the window was copied while a writer stored: it shows the header of a
 * message, but not yet the fence behind the message. */
static bool is_fleeting(mmb_tail tail, uint64_t end, uint64_t before, uint64_t now)
{
    return (tail == MMB_TAIL_NONE && end != now) || (tail == MMB_TAIL_TORN && before != now);
}

/* Set `*seen` if the file still has zeros at `place`. When a writer cuts the file there, the kernel
 * overwrites the fence with zeros, and a read that began before that may show them. */
static int still_zeros(int fd, uint64_t place, bool *seen)
{
    unsigned char word[MMB_WORD] = {0};
    size_t got = 0;
    int error = mmb__os_read_all(fd, word, sizeof word, place, &got);
    *seen = got != 0 && mmb__load64(word) == 0;
    return error;
}

/* Set `*again` if what was found must be looked for again. */
static int judge(int fd, mmb_tail tail, uint64_t end, uint64_t *file_bytes, bool *again)
{
    uint64_t before = *file_bytes;
    bool zeros = true;
    int error = size_of(fd, file_bytes);
    if (error == 0 && tail == MMB_TAIL_ZEROS) {
        error = still_zeros(fd, end, &zeros);
    }
    *again = error == 0 && (!zeros || is_fleeting(tail, end, before, *file_bytes));
    return error;
}

int mmb_log_hop(int fd, mmb_places *places, mmb_tail *tail, uint64_t *file_bytes,
                const char **reason)
{
    enum { ENOUGH = 1000, MOST_FLAWS = 4 }; /* no writer needs more, unless it means harm */
    *tail = MMB_TAIL_NONE;
    *reason = NULL;
    int error = size_of(fd, file_bytes);
    if (error != 0 || places->end >= *file_bytes) {
        return error;
    }
    window w = {.bytes = malloc(WINDOW_BYTES), .fd = fd};
    error = w.bytes != NULL ? 0 : ENOMEM;
    uint64_t flaws = 0;
    bool again = true;
    for (int i = 0; error == 0 && again && i < ENOUGH; i++) {
        w.length = 0;
        error = hop(&w, places, tail, *file_bytes, reason);
        if (error == MMB_EMESSAGE && ++flaws < MOST_FLAWS) {
            error = 0; /* a writer may have been at work: look again */
        } else if (error == 0) {
            error = judge(fd, *tail, places->end, file_bytes, &again);
        }
    }
    free(w.bytes);
    return error;
}
