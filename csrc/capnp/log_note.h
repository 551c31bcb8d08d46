/* log_note.h - the messages of a writer, noted in its index. Private to csrc/capnp. */
#ifndef MMB_LOG_NOTE_H
#define MMB_LOG_NOTE_H

#include "log_state.h"

/* Map the file `fd` as the index of the log. Return 0, or an error as mmb_map_open does. */
int mmb__log_map_index(mmb_log_writer *w, int fd);

/* Make room in the index for `count` messages. */
int mmb__log_make_index_room(mmb_log_writer *w, uint64_t count);

/* Count `number` more messages, and publish them in the index, if the log has one. They end at
 * `end`, and are the `bytes` bytes at `frames`, in the file or in a copy. If the index loses a
 * store, they are not published, and the writer is adrift (log_adrift.h). */
void mmb__log_publish(mmb_log_writer *w, uint64_t number, uint64_t end, const void *frames,
                      uint64_t bytes);

/* Publish messages up to w->count in the index. The index has the first `known` messages, which
 * end at `start`. The file has the others, and is mapped. */
int mmb__log_catch_up(mmb_log_writer *w, uint64_t known, uint64_t start);

#endif
