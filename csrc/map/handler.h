/* handler.h - the SIGBUS handler: what is ours is answered, all else is given back. */
#ifndef MMB_MAP_HANDLER_H
#define MMB_MAP_HANDLER_H

#include "mmb_map.h"

/* In a forked child. Handler: no. */
void mmb__handler_after_fork(void);

#endif
