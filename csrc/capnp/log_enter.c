/* log_enter.c - takes the lock of a log, and brings a writer up to date. See log_enter.h. */
#include "log_enter.h"

#include "log_adrift.h"
#include "log_lock.h"
#include "log_note.h"
#include "log_tail.h"

#include <errno.h>
#include <sys/stat.h>

/* ---- after a killed writer -------------------------------------------------------------- */

/* Repair the log after a writer was killed. The last message of that writer may be committed or
 * not, and the index may have it or not. Drop what the writer stored behind the committed end. */
static int repair(mmb_log_writer *w)
{
    mmb_log_identity identity;
    mmb_places places = {0};
    mmb_tail kind;
    const char *reason;
    uint64_t known, start, file_bytes;
    int error = mmb_log_identify(w->fd, &identity);
    if (error != 0) {
        return error;
    }
    uint64_t index_bytes = mmb_index_bytes(atomic_load_explicit(
        &mmb__index_header_of(mmb_map_base(w->index))->count, memory_order_relaxed));
    if (!mmb_index_check(mmb_map_base(w->index), index_bytes, &identity, &known, &start)) {
        return EINVAL;
    }
    places.count = places.indexed = known;
    places.end = start;
    error = mmb_log_hop(w->fd, &places, &kind, &file_bytes, &reason);
    w->count = places.count;
    w->end = places.end;
    mmb_places_clear(&places);
    if (error == MMB_EMESSAGE) {
        error = EINVAL;
    }
    if (error == 0) {
        mmb__log_give_up_tail(w);
        error = mmb__log_map(w);
    }
    return error != 0 ? error : mmb__log_catch_up(w, known, start);
}

/* ---- entering --------------------------------------------------------------------------- */

/* Adopt what other writers have appended since this one was inside. A log only gets longer. If it
 * seems to be shorter, another program has emptied the index, and to go on from there would
 * overwrite the log. */
static int adopt(mmb_log_writer *w)
{
    mmb__index_header *header = mmb__index_header_of(mmb_map_base(w->index));
    uint64_t count = atomic_load_explicit(&header->count, memory_order_relaxed);
    uint64_t end = atomic_load_explicit(&header->committed, memory_order_relaxed);
    if (count < w->count || end < w->end) {
        return MMB_ETRUNCATED;
    }
    w->count = count;
    w->end = end;
    return 0;
}

static int wait_for_others_inside(mmb_log_writer *w)
{
    enum { NAP = 200000 };
    int error = 0;
    w->waiting++;
    while (error == 0 && w->busy) { /* another thread is inside, and waits for something */
        mmb__log_pause(w, NULL, 0, NAP);
        error = mmb__log_gives_up(w) ? EINTR : 0;
    }
    w->waiting--;
    return error;
}

int mmb__log_enter(mmb_log_writer *w)
{
    bool inherited = false;
    int error = w->busy ? wait_for_others_inside(w) : 0;
    if (error != 0 || w->closed) {
        return error != 0 ? error : EBADF;
    }
    w->busy = true;
    error = w->adrift ? mmb__log_return(w) : 0;
    error = error != 0 ? error : mmb__log_lock(w, &inherited);
    if (error != 0) {
        w->busy = false;
        return error;
    }
    if (w->index != NULL) { /* even the lock may be only in a private copy of the index */
        error = mmb_map_poison(w->index);
        w->adrift = error != 0;
    }
    if (error == 0 && inherited) {
        error = repair(w);
        w->adrift = error != 0; /* whoever is inside next must repair it */
    } else if (error == 0 && w->token != 0) {
        error = adopt(w);
    }
    if (error != 0) {
        mmb__log_leave(w);
    }
    return error;
}

/* All of the index that writers share lies in one page. So if any store into it was lost, the one
 * that unlocks is lost, too, and nobody takes what the others see for complete. */
void mmb__log_leave(mmb_log_writer *w)
{
    if (!w->adrift) {
        mmb__log_unlock(w);
        w->adrift = w->index != NULL && mmb_map_poison(w->index) != 0;
    }
    if (w->adrift && w->token != 0) {
        w->tail = &w->own;
        mmb__log_unregister(w);
    }
    w->busy = false;
}
