/* served.h - the addresses of faults that were answered lately.
 *
 * A handler above ours, like faulthandler's, may raise SIGBUS again for a fault that we have not
 * seen. The program may also raise SIGBUS by itself. These addresses tell the two apart: of a
 * raised signal the system says only which fault the thread had last, and if we have answered
 * that one, the program raised the signal. A new thread and a forked child inherit the last fault
 * of their creator, so the addresses are kept in a table by address. Other faults may overwrite an
 * entry there, so the last address of each thread is kept as well. All of this is hints, without
 * any order. */
#ifndef MMB_MAP_SERVED_H
#define MMB_MAP_SERVED_H

#include <stdbool.h>
#include <stdint.h>

void mmb__note_served(uintptr_t address); /* Handler: yes. */
bool mmb__was_served(uintptr_t address);  /* Handler: yes. */

#endif
