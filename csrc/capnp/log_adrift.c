/* log_adrift.c - lets a writer find its place among the others again. See log_adrift.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include "log_adrift.h"

#include "log_lock.h"
#include "log_note.h"
#include "log_tail.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Map the index again. Stores that were lost are in a private copy, which goes away. */
static int map_again(mmb_log_writer *w)
{
    w->adrift = true;
    w->tail = &w->own;
    if (w->index != NULL) {
        mmb_map_unmap(w->index);
        w->index_fd = mmb_map_take_fd(w->index);
        mmb_map_free(w->index);
        w->index = NULL;
    }
    if (w->index_fd < 0) {
        return EBADF;
    }
    int error = mmb__log_map_index(w, w->index_fd);
    w->indexed = 0; /* the file may lack blocks that it seems to have */
    if (error == 0) {
        close(w->index_fd);
        w->index_fd = -1;
    }
    return error;
}

/* Return an error if writers may use another index: someone has removed the file of this one. */
static int check_name(const mmb_log_writer *w)
{
    struct stat now;
    if (fstat(mmb_map_fd(w->index), &now) != 0) {
        return errno;
    }
    return now.st_nlink == 0 ? EBUSY : 0;
}

/* Go on as the only writer: another one may have settled the index meanwhile. Find the number of
 * messages that the index has, and where they end. */
static int unsettle(mmb_log_writer *w, uint64_t *known, uint64_t *end)
{
    mmb_log_identity identity;
    struct stat now;
    unsigned char *memory = mmb_map_base(w->index);
    if (mmb_log_identify(w->fd, &identity) != 0 || fstat(mmb_map_fd(w->index), &now) != 0) {
        return errno;
    }
    if (!mmb_index_check(memory, (uint64_t)now.st_size, &identity, known, end)) {
        return MMB_ETRUNCATED; /* another program has emptied it */
    }
    mmb_index_unsettle(memory, &identity);
    return mmb_map_poison(w->index);
}

/* Become one of the writers that share the log. What they have done meanwhile, and whether the log
 * needs a repair, is found by entering. */
static int join_again(mmb_log_writer *w)
{
    unsigned char *memory = mmb_map_base(w->index);
    uint64_t known, end;
    int error = check_name(w);
    error = error != 0 ? error : mmb__log_register(w);
    if (error != 0) {
        return error;
    }
    if (!mmb_log_has_writers(w->fd)) {
        error = unsettle(w, &known, &end);
    } else if (mmb_index_is_settled(memory)) {
        error = EBUSY; /* they use another one */
    }
    w->tail = &mmb__index_header_of(memory)->tail;
    return error;
}

/* Go on as the writer that has the log for itself: only the index lacks messages. */
static int go_on_alone(mmb_log_writer *w)
{
    uint64_t known, start;
    int error = unsettle(w, &known, &start);
    if (error == 0 && (known > w->count || start > w->end)) {
        error = EINVAL;
    }
    error = error != 0 ? error : mmb__log_map(w);
    return error != 0 ? error : mmb__log_catch_up(w, known, start);
}

static int wait_for_gate(mmb_log_writer *w)
{
    enum { NAP = 1000000 };
    int error;
    while ((error = mmb_log_enter_gate(w->fd, false)) == EAGAIN) {
        mmb__log_pause(w, NULL, 0, NAP);
        if (mmb__log_gives_up(w)) {
            return EINTR;
        }
    }
    return error;
}

int mmb__log_return(mmb_log_writer *w)
{
    bool takes_gate = w->options.shared && !w->gated;
    int error = takes_gate ? wait_for_gate(w) : 0;
    if (error != 0) {
        return error;
    }
    mmb__log_unregister(w);
    error = map_again(w);
    if (error == 0) {
        error = w->options.shared ? join_again(w) : go_on_alone(w);
    }
    w->adrift = error != 0;
    if (takes_gate) {
        mmb_log_leave_gate(w->fd);
    }
    return error;
}
