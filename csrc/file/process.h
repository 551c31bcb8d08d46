/* process.h - the identity of this process, which differs from that of its forked children.
 *
 * A pid is not enough: in a pid namespace of its own a child may have the pid of its parent. So
 * the identity also counts the forks that led to this process. Parent and child never have the
 * same count. */
#ifndef MMB_FILE_PROCESS_H
#define MMB_FILE_PROCESS_H

#include "mmb_file.h"

#include <stdbool.h>

/* The same as mmb_this_process, which must have been called before. Handler: yes. */
uint64_t mmb__this_process(void);

/* True in the process for which mmb_this_process returned `process`. Handler: yes. */
bool mmb__is_this_process(uint64_t process);

#endif
