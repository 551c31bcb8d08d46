/* stage_file.h - moves rows of a stage from memory to a file, so that a stage can be larger than
 * memory, and its heap larger than a segment.
 *
 * Between two rows the caller asks whether the stage is full, and if it is, has it moved. So memory
 * holds a bounded number of words and the row that is being made. */
#ifndef MMB_STAGE_FILE_H
#define MMB_STAGE_FILE_H

#include "stage.h"

/* Let a stage that has no rows yet become full. Its rows must be added one by one, or be taken back
 * as a whole if they do not fit. */
void mmb_stage_use_file(mmb_stage *stage);

static inline bool mmb_stage_is_full(const mmb_stage *stage)
{
    return stage->rows.words + stage->heap.words > stage->kept;
}

/* Give the stage its file, which has no content and no name. The stage owns the descriptor, also
 * after an error. Errors: ENOMEM. */
int mmb_stage_set_file(mmb_stage *stage, int fd);

/* Move all rows and the heap to the file of a stage. Errors: ENOMEM, those of writing;
 * MMB_ECAPACITY if the heap needs more segments than a message has. */
int mmb_stage_move(mmb_stage *stage);

/* Take back the `count` rows that were added last, by one call, and what they lead to. */
static inline void mmb_stage_take_back_rows(mmb_stage *stage, uint64_t count)
{
    stage->rows.words = stage->last_rows;
    stage->heap.words = stage->last_heap;
    stage->count -= count;
}

/* For tests: let the stages to come be full with more than `kept` words, and have at most `section`
 * words in a section, or in memory if they have no file. 0 is the limit that holds otherwise. */
void mmb_stage_set_limits(uint64_t kept, uint64_t section);

#endif
