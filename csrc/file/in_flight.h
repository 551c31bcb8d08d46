/* in_flight.h - who is moving the EOF of a file at this moment, over all its processes.
 *
 * A thread that may move EOF, or that writes below it, is *in flight*. The owner's close must
 * not truncate the file while somebody is in flight, and must not wait for somebody who was
 * killed so. A mere count cannot tell the two apart, so each process counts in an entry that
 * has its pid. No locks: all of it is compare-and-swap on the shared state. */
#ifndef MMB_FILE_IN_FLIGHT_H
#define MMB_FILE_IN_FLIGHT_H

#include "shared.h"

/* Count the calling thread in; what is returned is for counting it out. Handler: yes. */
uint32_t mmb__in_flight_enter(mmb__shared *shared);
void mmb__in_flight_leave(mmb__shared *shared, uint32_t entry);

/* Wait until all that were in flight have arrived, or died. Handler: no. */
void mmb__in_flight_wait(mmb__shared *shared);

#endif
