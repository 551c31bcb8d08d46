/* walk.h - the walk over the words of a message. A *walk* follows each pointer of a message once,
 * from the root on. Private to csrc/capnp. */
#ifndef MMB_WALK_H
#define MMB_WALK_H

#include "mmb_capnp.h"
#include "words.h"

/* How to walk. With all zero, the message must be valid as it is. */
typedef struct {
    const mmb_interrupt *interrupt; /* may be NULL */
    bool mends;                     /* see mmb__reader */
    bool writes;                    /* and what is mended is written to the file */
    uint64_t lost_from;
} mmb__way;

/* Do what mmb_walk does, in memory or in a file. Return also the errors of reading and writing, and
 * EINTR. `used` has room for message->count numbers. */
int mmb__walk(mmb__words *message, const mmb__way *way, uint32_t *used, mmb_totals *totals,
              mmb_flaw *flaw);

#endif
