/* stage_frame.h - makes messages of the rows of a stage.
 *
 * *Frames* are messages as they lie in a file, each with its table, back to back in memory that
 * grows. They belong to one thread. No function here may be called from a signal handler. */
#ifndef MMB_STAGE_FRAME_H
#define MMB_STAGE_FRAME_H

#include "stage.h"

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t words;       /* words in use */
    uint64_t room;        /* words that fit */
} mmb_frames;

void mmb_frames_free(mmb_frames *frames);

/* Append a message whose root is the only row of a stage. The heap holds nothing else, so it is
 * copied as it is. Errors: ENOMEM; MMB_ECAPACITY if it needs more than a segment. */
int mmb_frames_add(mmb_frames *frames, mmb_stage *stage);

/* Append a table for up to MMB_MAX_SEGMENTS segments of these sizes in words. Errors: ENOMEM. */
int mmb_frames_add_table(mmb_frames *frames, const uint32_t *words, uint32_t count);

/* Append existing frames or segments: `length` bytes, which are whole words. Errors: ENOMEM. */
int mmb_frames_add_bytes(mmb_frames *frames, const void *bytes, uint64_t length);

/* Append a message whose root is one row of many. The row is copied with all that it leads to. */
int mmb_frames_add_row(mmb_frames *frames, const mmb_stage *stage, uint64_t row);

#endif
