/* log_enter.h - being inside a log: alone with it, and knowing all of it. Private to csrc/capnp. */
#ifndef MMB_LOG_ENTER_H
#define MMB_LOG_ENTER_H

#include "log_state.h"

/* Come in: afterwards count, end and tail are those of the log, whoever has appended, and nobody
 * else changes them. Returns 0; EBADF if the writer is closed; EINTR if a wait was given up; or
 * what putting right met that a killed writer has left. */
int mmb__log_enter(mmb_log_writer *w);
void mmb__log_leave(mmb_log_writer *w);

/* Have room in the index for `count` messages. */
int mmb__log_make_index_room(mmb_log_writer *w, uint64_t count);

/* Tell the index of one message more, which ends at `end` and was `bytes` long; it is mapped. */
void mmb__log_publish(mmb_log_writer *w, uint64_t end, uint64_t bytes);

/* Tell the index, which knows `known` messages that end at `start`, of the others, which the file
 * has up to w->count; the file is mapped. */
int mmb__log_catch_up(mmb_log_writer *w, uint64_t known, uint64_t start);

#endif
