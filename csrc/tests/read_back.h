/* read_back.h - reads a column of Text or Data back, to compare it with what was written. */
#ifndef READ_BACK_H
#define READ_BACK_H

#include "read.h"

/* Follow all pointers. `offsets` has room for one number more than there are pointers; `there` gets
 * a bit for each string, and `bytes` the strings one after the other. Returns 0 or MMB_EMESSAGE. */
static inline int read_back(const mmb_segment *segments, uint32_t count,
                            const mmb_pointers *pointers, bool text, uint64_t *offsets,
                            unsigned char *there, unsigned char *bytes, mmb_flaw *flaw)
{
    mmb_reading reading;
    mmb_reading_start(&reading, segments, count, false);
    int error = mmb_pointers_check(segments, count, pointers, flaw);
    if (error == 0) {
        memset(there, 0, (size_t)(pointers->count + 7) / 8);
    }
    offsets[0] = 0;
    for (uint64_t i = 0; error == 0 && i < pointers->count; i++) {
        const unsigned char *start;
        uint64_t length, word = pointers->word + i * pointers->stride;
        error = mmb_read_bytes(&reading, pointers->segment, word, text, &start, &length);
        *flaw = reading.flaw;
        offsets[i + 1] = offsets[i] + length;
        if (error == 0 && start != NULL) {
            there[i / 8] = (unsigned char)(there[i / 8] | 1u << (i % 8));
            memcpy(bytes + offsets[i], start, (size_t)length);
        }
    }
    return error;
}

#endif
