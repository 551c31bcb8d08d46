/* log_enter.h - entering a log. A writer is *inside* while it alone may change the log, and
 * knows all of it. Private to csrc/capnp. */
#ifndef MMB_LOG_ENTER_H
#define MMB_LOG_ENTER_H

#include "log_state.h"

/* Enter the log. Afterwards count, end and tail are those of the log, even if other writers have
 * appended, and no other writer changes them. If a writer was killed inside, repair the log first.
 * Return 0; EBADF if the writer is closed; EINTR if a wait was given up; or the error of the
 * repair. */
int mmb__log_enter(mmb_log_writer *w);
void mmb__log_leave(mmb_log_writer *w);

#endif
