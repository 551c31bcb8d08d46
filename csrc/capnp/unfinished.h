/* unfinished.h - how far the builder of an unfinished file came. Private to csrc/capnp. */
#ifndef MMB_UNFINISHED_H
#define MMB_UNFINISHED_H

#include "journal.h"

/* See layout.h. */
typedef enum {
    MMB__IS_BUILDING,
    MMB__IS_PLANNED,
    MMB__IS_STAGED,
} mmb__state;

/* Plain data, about 10 KiB. */
typedef struct {
    mmb__state state;
    bool untouched; /* no segment was handed out: there is nothing to walk */
    /* The segments as they lie in the file, cut off where the file ends, unless there is a
     * place in bytes (else MMB__NO_ZEROS) from which on they are zeros: what was made but
     * not filled when the builder died lies beyond the end that the file had grown to. */
    mmb_framing framing;
    uint64_t zeros_from;
    /* Building: the full sizes, in `before`. Else the sizes to finish with, in `after`. */
    mmb__plan plan;
} mmb__unfinished;

/* Read the table of the unfinished file `fd` of `file_bytes` bytes, of which `head`
 * holds the first min(file_bytes, MMB_HEAD_BYTES) and zeros up to MMB_HEAD_BYTES.
 * Returns 0, MMB_EMESSAGE, or an error of reading. Only looks. */
int mmb__unfinished_parse(int fd, const unsigned char *head, uint64_t file_bytes,
                          mmb__unfinished *out, mmb_flaw *flaw);

#endif
