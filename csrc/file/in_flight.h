/* in_flight.h - the threads, of all processes, that are working on a file at this moment.
 *
 * A thread is *in flight* while it may move EOF or writes below EOF. The owner's close must not
 * truncate the file while a thread is in flight, but it must not wait for a thread whose process
 * was killed. One count cannot tell these two cases apart. So each process counts its threads in
 * an entry of its own, which has its pid and its pid namespace. There are no locks, only
 * compare-and-swap on the shared state. */
#ifndef MMB_FILE_IN_FLIGHT_H
#define MMB_FILE_IN_FLIGHT_H

#include "shared.h"

/* Count the calling thread in. Give the returned entry to mmb__in_flight_leave, which counts it
 * out. Handler: yes. */
uint32_t mmb__in_flight_enter(mmb__shared *shared);
void mmb__in_flight_leave(mmb__shared *shared, uint32_t entry);

/* Wait until each thread that was in flight has left or has died. Handler: no. */
void mmb__in_flight_wait(mmb__shared *shared);

#endif
