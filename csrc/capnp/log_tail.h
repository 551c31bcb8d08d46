/* log_tail.h - the tail of a log's file: its fence, its growth, its end. Private to csrc/capnp.
 *
 * All functions are for whoever is inside (log_state.h). */
#ifndef MMB_LOG_TAIL_H
#define MMB_LOG_TAIL_H

#include "log_state.h"

/* Have the file mapped, with a fence at the committed end. Returns 0, or an error as
 * mmb_map_open. */
int mmb__log_map(mmb_log_writer *w, mmb_limit *limit);
void mmb__log_unmap(mmb_log_writer *w);

/* The same for the index. */
int mmb__log_open_map(int fd, const mmb_options *options, mmb_map **out, mmb_limit *limit);

/* Claim at least `reach` bytes. */
void mmb__log_raise_fence(mmb_log_writer *w, uint64_t reach);

/* Have blocks for all up to `end`, and ahead as far as the disk has room; raises the fence first
 * if it would not reach beyond the end of the file. */
int mmb__log_make_room(mmb_log_writer *w, uint64_t end);

/* Take nothing for granted, for instance after an error: the next mmb__log_map drops what lies
 * behind the committed end. */
void mmb__log_give_up_tail(mmb_log_writer *w);

/* Cut the file at the committed end. */
int mmb__log_cut(mmb_log_writer *w);

/* One aligned store of `word`, after all that came before it. */
void mmb__log_store_word(unsigned char *to, uint64_t word);

#endif
