/* log_enter.h - entering a log. A writer is *inside* while it alone may change the log, and
 * knows all of it. Private to csrc/capnp. */
#ifndef MMB_LOG_ENTER_H
#define MMB_LOG_ENTER_H

#include "log_state.h"

/* Enter the log. Afterwards count, end and tail are those of the log, even if other writers have
 * appended, and no other writer changes them. If a writer was killed inside, repair the log first.
 * Return 0; EBADF if the writer is closed; EINTR if a wait was given up; or the error of the
 * repair. */
int mmb__log_enter(mmb_log_writer *w);
void mmb__log_leave(mmb_log_writer *w);

/* Make room in the index for `count` messages. */
int mmb__log_make_index_room(mmb_log_writer *w, uint64_t count);

/* Publish `number` more messages in the index, if the log has one. They end at `end`, and are the
 * `bytes` bytes at `frames`, in the file or in a copy. */
void mmb__log_publish(mmb_log_writer *w, uint64_t number, uint64_t end, const void *frames,
                      uint64_t bytes);

/* Publish messages up to w->count in the index. The index has the first `known` messages, which
 * end at `start`. The file has the others, and is mapped. */
int mmb__log_catch_up(mmb_log_writer *w, uint64_t known, uint64_t start);

#endif
