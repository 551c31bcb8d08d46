/* log_tail.h - the tail of a log's file: its fence, its growth, and its end. Private to csrc/capnp.
 *
 * The caller of these functions must be inside (log_enter.h). */
#ifndef MMB_LOG_TAIL_H
#define MMB_LOG_TAIL_H

#include "log_state.h"

/* Map the file, with a fence at the committed end. Return 0, or an error as mmb_map_open does. */
int mmb__log_map(mmb_log_writer *w);
void mmb__log_unmap(mmb_log_writer *w);

/* Open a map of a file, such as that of the index, and get its memory. */
int mmb__log_open_map(int fd, const mmb_options *options, mmb_map **out);

/* Let the fence claim at least `reach` bytes. */
void mmb__log_raise_fence(mmb_log_writer *w, uint64_t reach);

/* Provide blocks for all bytes up to `end`, and for some ahead if the disk has room. If the
 * fence would then not reach beyond the end of the file, raise it first. */
int mmb__log_make_room(mmb_log_writer *w, uint64_t end);

/* Return whether the next messages of this writer would meet page faults that
 * mmb__log_bring_pages_in can spare them. */
bool mmb__log_wants_pages(mmb_log_writer *w);

/* Bring in pages for the next messages. The caller need not be inside. */
void mmb__log_bring_pages_in(mmb_log_writer *w);

/* Trust nothing behind the committed end, as after an error: the next mmb__log_map drops it. */
void mmb__log_give_up_tail(mmb_log_writer *w);

/* Return MMB_ETRUNCATED if another program has cut the file to less than `least` bytes. */
int mmb__log_check_size(const mmb_log_writer *w, uint64_t least);

/* Cut the file at the committed end. MMB_ETRUNCATED if another program has cut off more. */
int mmb__log_cut(mmb_log_writer *w);

/* Store `word` in one aligned store, after all stores that came before. */
void mmb__log_store_word(unsigned char *to, uint64_t word);

#endif
