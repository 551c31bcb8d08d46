/* finish.h - making a planned message a finished file. Private to csrc/capnp. */
#ifndef MMB_FINISH_H
#define MMB_FINISH_H

#include "journal.h"

/* The file to finish: that of a sealed map, or a plain one. Borrows both. */
typedef struct {
    mmb_map *map; /* or NULL */
    int fd;
    bool durable;   /* each step waits for the device */
    bool null_root; /* nothing was ever handed out: make the root null */
} mmb__target;

/* Finish a file in the building form, or with `is_planned` one at the end of which
 * the journal of `plan` lies already; `plan->after` is then what was reached. */
int mmb__finish(const mmb__target *target, mmb__plan *plan, bool is_planned);

/* The rest of it, for a file that is staged and without its journal. */
int mmb__finish_staged(const mmb__target *target, const mmb__plan *plan);

#endif
