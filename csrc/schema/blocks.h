/* blocks.h - memory that grows. Private to csrc/schema.
 *
 * A *block* is some memory of one owner, who knows its address and its *room*, the bytes that fit.
 * Before anything fits, both are zero. Of the blocks that are given back some are kept for those
 * who need one next, 8 MiB in all. The C library would give such memory back to the system, and
 * each of its pages would be a fault again: that can take longer than what is done with it.
 *
 * Any thread may call these, each for blocks of its own. No function here may be called from a
 * signal handler. */
#ifndef MMB_BLOCKS_H
#define MMB_BLOCKS_H

#include <stdint.h>

/* Make a block of less than `size` bytes larger. What is in it stays. Errors: ENOMEM, and then the
 * block is as it was. */
int mmb__block_grow(unsigned char **block, uint64_t *room, uint64_t size);

/* Give a block back. */
void mmb__block_give_back(unsigned char *block, uint64_t room);

#endif
