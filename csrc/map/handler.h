/* handler.h - the SIGBUS handler: it answers the faults of our maps, and passes on all others. */
#ifndef MMB_MAP_HANDLER_H
#define MMB_MAP_HANDLER_H

#include "mmb_map.h"

/* A forked child calls this. Handler: no. */
void mmb__handler_after_fork(void);

#endif
