/* stage_frame.h - rows of a stage as messages of their own.
 *
 * *Frames* are messages as they lie in a file, each with its table, back to back in memory
 * that grows. They belong to one thread. No function here may be called from a signal handler.
 */
#ifndef MMB_STAGE_FRAME_H
#define MMB_STAGE_FRAME_H

#include "stage.h"

typedef struct {
    unsigned char *bytes; /* owned */
    uint64_t words;       /* in use */
    uint64_t room;        /* words */
} mmb_frames;

void mmb_frames_free(mmb_frames *frames);

/* Append a message of which the root is the one row of a stage, whose heap holds nothing else:
 * it is copied as it lies. Errors: ENOMEM; MMB_ECAPACITY for more than a segment has. */
int mmb_frames_add(mmb_frames *frames, mmb_stage *stage);

/* Append a table of up to MMB_MAX_SEGMENTS segments of so many words. Errors: ENOMEM. */
int mmb_frames_add_table(mmb_frames *frames, const uint32_t *words, uint32_t count);

/* Append frames that are there already, or segments; `length` bytes, whole words. */
int mmb_frames_add_bytes(mmb_frames *frames, const void *bytes, uint64_t length);

/* The same for one row of many: it is copied with what it leads to. */
int mmb_frames_add_row(mmb_frames *frames, const mmb_stage *stage, uint64_t row);

#endif
