/* process.h - the identity of this process, which differs from that of its forked children, and
 * whether another process lives.
 *
 * A pid is not enough. In a pid namespace of its own a child may have the pid of its parent or of
 * a sister, and what the system says of a pid there is about another process. So the identity
 * holds the pid, a number for its namespace, and a number that each fork draws anew. */
#ifndef MMB_OS_PROCESS_H
#define MMB_OS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Return the identity of this process, which is never 0. A forked child has another one than its
 * parent, even if pid namespaces give both the same pid; the upper half alone differs, too.
 * Handler: no. */
uint64_t mmb_this_process(void);

/* The same; mmb_this_process must have been called before. Handler: yes. */
uint64_t mmb__this_process(void);

/* Return true in the process for which mmb_this_process returned `process`. Handler: yes. */
bool mmb__is_this_process(uint64_t process);

/* A pid and the namespace that it is in: what is needed to ask whether a process lives. */
enum { MMB__PID_BITS = 22, MMB__NAMESPACE_BITS = 16 };
typedef struct {
    uint32_t pid;
    uint32_t namespace; /* 0: not known */
} mmb__identity;

mmb__identity mmb__identity_of(uint64_t process); /* Handler: yes. */

/* MMB__UNKNOWN of a process in another pid namespace, and of one with our own pid where no
 * namespace is known: a thread that waits for it must not wait forever. Handler: yes. */
typedef enum { MMB__DEAD, MMB__ALIVE, MMB__UNKNOWN } mmb__life;
mmb__life mmb__life_of(mmb__identity other);

/* Wait for a moment. In the first hundred rounds other threads get a chance to run; in later ones
 * the thread sleeps for a millisecond. Handler: yes. */
void mmb__wait_a_moment(uint32_t round);

/* Rounds after which a thread gives up waiting for a process of which nothing is known. They take a
 * minute. */
enum { MMB__PATIENCE = 60000 };

#endif
