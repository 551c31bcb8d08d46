/* log_state.h - the state of a writer of a log. Private to csrc/capnp. */
#ifndef MMB_LOG_STATE_H
#define MMB_LOG_STATE_H

#include "log_index.h"
#include "log_turns.h"
#include "os/process.h"

/* If there is a token, other writers share what `tail` points to: look at it only between
 * mmb__log_enter and mmb__log_leave. All other fields belong to the one thread that uses the
 * writer. A thread that waits inside has set `busy`. */
struct mmb_log_writer {
    mmb_log_options options;
    mmb_log_wait wait;
    int fd;         /* borrowed */
    mmb_map *map;   /* NULL while the file is cut at its end, or after an error */
    mmb_map *index; /* NULL if the log has no index, or it cannot be mapped at present */
    int index_fd;   /* owned: the index that is not mapped; else -1 */
    uint64_t count;
    uint64_t end;     /* the committed end */
    uint64_t indexed; /* all from the block of the last message up to here has room; 0: not known */
    uint64_t brought; /* mmb__log_wants_pages has decided for all pages before this; 0: for none */
    mmb__log_tail *tail;
    mmb__log_tail own; /* the tail of a log that has no other writer */
    uint64_t cuts;     /* `cuts` of the tail when `map` was made */
    uint32_t token;    /* its token in the lock; 0: there is no lock */
    mmb__log_turns turns;
    uint64_t process; /* mmb_this_process() of the process that opened it */
    uint32_t waiting; /* threads that wait to enter */
    uint64_t synced;  /* bytes on the device, if no index says it */
    bool busy;        /* a thread is inside, and may wait there */
    bool building;    /* a message is built in place: between begin and commit */
    bool adrift;      /* see log_adrift.h */
    bool gated;       /* the gate is held */
    bool closed;
    mmb_stats earlier; /* numbers of maps that are gone */
};

static inline unsigned char *mmb__log_at(const mmb_log_writer *w, uint64_t place)
{
    return mmb_map_base(w->map) + place;
}

#endif
