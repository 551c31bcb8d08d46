/* process.h - which process this is, for those who must tell it from those forked from it.
 *
 * A pid does not: in a pid namespace of its own a child may have the pid of its parent. So the
 * forks that lead to a process are counted as well: parent and child never have the same count. */
#ifndef MMB_FILE_PROCESS_H
#define MMB_FILE_PROCESS_H

#include "mmb_file.h"

#include <stdbool.h>

/* mmb_this_process, for those who know that it was called before. Handler: yes. */
uint64_t mmb__this_process(void);

/* True in the process for which mmb_this_process returned `process`. Handler: yes. */
bool mmb__is_this_process(uint64_t process);

#endif
