/* log_open.c - opens and closes a writer of a log. See mmb_log.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_enter.h"
#include "log_lock.h"
#include "log_note.h"
#include "log_tail.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ------------------------------------------------------------------------------ */

/* Begin to write as the only writer. The index is right as far as it goes, but messages may be
 * missing at its end. */
static int begin(mmb_log_writer *w, uint64_t index_bytes)
{
    mmb_log_identity identity;
    uint64_t known = w->count, start = w->end, cuts = w->tail->cuts;
    unsigned char *memory = w->index != NULL ? mmb_map_base(w->index) : NULL;
    int error = mmb_log_identify(w->fd, &identity);
    if (error != 0) {
        return error;
    }
    if (memory != NULL && (!mmb_index_check(memory, index_bytes, &identity, &known, &start) ||
                           known > w->count || start > w->end)) {
        return EINVAL;
    }
    *w->tail = (mmb__log_tail){.cuts = cuts + 1};
    if (memory != NULL) {
        atomic_store_explicit(&mmb__index_header_of(memory)->lock, 0, memory_order_relaxed);
        atomic_store_explicit(&mmb__index_header_of(memory)->committed, start,
                              memory_order_relaxed);
        mmb_index_unsettle(memory, &identity); /* this comes before the first change of the file */
    }
    error = mmb__log_map(w);
    return error != 0 || memory == NULL ? error : mmb__log_catch_up(w, known, start);
}

/* Join other writers. */
static int join(mmb_log_writer *w)
{
    if (mmb_index_is_settled(mmb_map_base(w->index))) {
        return EBUSY; /* the others use another index: someone has removed the file of theirs */
    }
    w->count = w->end = 0; /* all is adopted from the index */
    int error = mmb__log_enter(w);
    if (error != 0) {
        return error;
    }
    error = mmb__log_map(w);
    mmb__log_leave(w);
    return error;
}

static int begin_or_join(mmb_log_writer *w, uint64_t index_bytes)
{
    bool others = false;
    if (w->index != NULL && w->options.shared) {
        int error = mmb__log_register(w);
        if (error != 0) {
            return error;
        }
        w->tail = &mmb__index_header_of(mmb_map_base(w->index))->tail;
        others = mmb_log_has_writers(w->fd);
    }
    return others ? join(w) : begin(w, index_bytes);
}

static int open_writer(mmb_log_writer *w, int index_fd)
{
    struct stat now = {.st_size = 0};
    if (index_fd >= 0 && fstat(index_fd, &now) != 0) {
        return errno;
    }
    int error = index_fd >= 0 ? mmb__log_map_index(w, index_fd) : 0;
    error = error != 0 ? error : begin_or_join(w, (uint64_t)now.st_size);
    if (error == 0 && w->options.key != NULL && w->index != NULL) {
        mmb_index_set_key(mmb_map_base(w->index), w->options.key);
    }
    return error == 0 && w->index != NULL ? mmb_map_poison(w->index) : error;
}

int mmb_log_open(int fd, int index_fd, const mmb_log_options *options, uint64_t count, uint64_t end,
                 mmb_log_writer **out)
{
    mmb_log_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return ENOMEM;
    }
    *w =
        (mmb_log_writer){.options = *options, .fd = fd, .index_fd = -1, .count = count, .end = end};
    w->tail = &w->own;
    w->process = mmb_this_process();
    int error = open_writer(w, index_fd);
    w->options.key = NULL; /* the key belongs to the caller */
    if (error != 0) {
        mmb_log_free(w);
        return error;
    }
    *out = w;
    return 0;
}

void mmb_log_set_wait(mmb_log_writer *w, const mmb_log_wait *wait)
{
    w->wait = *wait;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

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

/* Close as the last writer, and leave only the messages in the file. The caller is inside and
 * holds the gate, so that no new writer finds the files half settled. */
static int settle(mmb_log_writer *w)
{
    int error = mmb__log_cut(w);
    w->tail = &w->own;
    mmb__log_unlock(w);
    return error != 0 ? error : settle_index(w);
}

static int close_inside(mmb_log_writer *w)
{
    if (w->building) { /* drop the message, since it is not committed */
        mmb__log_give_up_tail(w);
        w->building = false;
    }
    if (w->token == 0 || !mmb_log_has_writers(w->fd)) {
        return settle(w);
    }
    mmb__log_unlock(w);
    return 0;
}

/* Let go of the files as they are, as if the process had ended, when no other thread is inside. In
 * a forked child nothing of the parent's is touched. */
static void let_go(mmb_log_writer *w)
{
    enum { NAP = 200000 };
    w->closed = true;
    /* A forked child must not wait for the threads of its parent: it does not have them. */
    while (w->process == mmb_this_process() && (w->waiting > 0 || (w->busy && !w->building))) {
        mmb__log_pause(w, NULL, 0, NAP);
    }
    w->building = false;
    mmb__log_unmap(w);
    mmb__log_unregister(w);
    w->tail = &w->own;
    mmb_map_free(w->index);
    w->index = NULL;
    if (w->index_fd >= 0) {
        close(w->index_fd);
        w->index_fd = -1;
    }
}

int mmb_log_close(mmb_log_writer *w)
{
    enum { NAP = 1000000 };
    bool shares = w->token != 0 || (w->options.shared && w->adrift);
    while (shares && mmb_log_enter_gate(w->fd, false) == EAGAIN) {
        mmb__log_pause(w, NULL, 0, NAP); /* another writer opens or closes the log */
    }
    w->gated = shares;
    int error = w->building ? 0 : mmb__log_enter(w);
    if (error == 0) {
        error = close_inside(w);
        w->busy = false;
    }
    let_go(w);
    if (shares) {
        mmb_log_leave_gate(w->fd);
    }
    return error;
}

void mmb_log_free(mmb_log_writer *w)
{
    if (w != NULL) {
        let_go(w);
        free(w);
    }
}

/* Return where the writers of the log tell each other what is there. NULL if this writer must say
 * it by itself: it has the log alone, or it is adrift and the index may lack its last messages. */
static const mmb__index_header *shared_header(const mmb_log_writer *w)
{
    return w->token != 0 && !w->adrift ? mmb__index_header_of(mmb_map_base(w->index)) : NULL;
}

uint64_t mmb_log_count(const mmb_log_writer *w)
{
    const mmb__index_header *header = shared_header(w);
    return header != NULL ? atomic_load_explicit(&header->count, memory_order_acquire) : w->count;
}

uint64_t mmb_log_end(const mmb_log_writer *w)
{
    const mmb__index_header *header = shared_header(w);
    return header != NULL ? atomic_load_explicit(&header->committed, memory_order_relaxed) : w->end;
}

uint64_t mmb_log_synced(const mmb_log_writer *w)
{
    return w->index != NULL ? mmb_index_get_synced(mmb_map_base(w->index)) : w->synced;
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
