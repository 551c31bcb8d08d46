/* unfinished.h - how far the builder of an unfinished message came. Private to csrc/capnp. */
#ifndef MMB_UNFINISHED_H
#define MMB_UNFINISHED_H

#include "framing.h"

/* Plain data, about 6 KiB. */
typedef struct {
    uint32_t entries; /* of the table that was set aside */
    bool root_is_lost;
    bool untouched; /* there is no root pointer, hence nothing to walk */
    /* The segments as they lie in the region, cut off where it ends or the file does, unless
     * there is a place in bytes (else MMB__NO_ZEROS) from which on they are zeros: what was
     * made but not filled when the builder died lies beyond the end that the file had grown
     * to. */
    mmb_framing framing;
    uint64_t zeros_from;
    uint64_t lost_from;              /* bytes from the start of the message on that are lost, or
                                      * MMB__NO_ZEROS if the builder lost nothing */
    uint32_t full[MMB_MAX_SEGMENTS]; /* words of each segment, wherever the file ends */
} mmb__unfinished;

/* Read the head of an unfinished message at `offset` of a file of `file_bytes` bytes, which
 * has at most `capacity` bytes. `head` holds its first MMB_HEAD_BYTES, zeros where the file
 * has fewer. Returns 0 or MMB_EMESSAGE. Pure; trusts nothing. */
int mmb__unfinished_parse(const unsigned char *head, uint64_t offset, uint64_t file_bytes,
                          uint64_t capacity, mmb__unfinished *out, mmb_flaw *flaw);

#endif
