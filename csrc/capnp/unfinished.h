/* unfinished.h - reads the head of an unfinished message. Private to csrc/capnp. */
#ifndef MMB_UNFINISHED_H
#define MMB_UNFINISHED_H

#include "framing.h"

/* What the head of an unfinished message says. Plain data, about 6 KiB. */
typedef struct {
    uint32_t entries; /* entries of the table that was set aside */
    bool root_is_lost;
    bool untouched; /* there is no root pointer, so there is nothing to walk */
    /* The segments as they lie in the region. They are cut where the region or the file ends.
     * But if the file ends where a builder's file can, or the builder lost something, segments go
     * on beyond its end as zeros: the builder handed them out, but died before it stored to them.
     * `zeros_from` is where these zeros begin, in bytes; MMB__NO_ZEROS if there are none. */
    mmb_framing framing;
    uint64_t zeros_from;
    /* Lost bytes begin here, counted from the start of the message; MMB__NO_ZEROS if the builder
     * lost nothing. */
    uint64_t lost_from;
    uint32_t full[MMB_MAX_SEGMENTS]; /* words of each segment, wherever the file ends */
} mmb__unfinished;

/* Read the head of an unfinished message at `offset` of a file of `file_bytes` bytes. The
 * message has at most `capacity` bytes. `head` holds its first MMB_HEAD_BYTES, with zeros where
 * the file has fewer. Return 0 or MMB_EMESSAGE. Pure; any bytes are safe. */
int mmb__unfinished_parse(const unsigned char *head, uint64_t offset, uint64_t file_bytes,
                          uint64_t capacity, mmb__unfinished *out, mmb_flaw *flaw);

#endif
