/* served.h - addresses of faults that were answered.
 *
 * They tell a SIGBUS that the program raised from one that a handler above ours, like
 * faulthandler's, raises again for a fault which we have not seen: of a raised signal the
 * system says only which fault the thread had last. A new thread and a forked child inherit
 * that from their creator, so it is kept by address; that may be overwritten by others, so
 * each thread's last is kept as well. Hints, without any order. */
#ifndef MMB_MAP_SERVED_H
#define MMB_MAP_SERVED_H

#include <stdbool.h>
#include <stdint.h>

void mmb__note_served(uintptr_t address); /* Handler: yes. */
bool mmb__was_served(uintptr_t address);  /* Handler: yes. */

#endif
