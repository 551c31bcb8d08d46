/* mend.h - making in a file what mmb__resolve made of a pointer that lost something. Private to
 * csrc/capnp. */
#ifndef MMB_MEND_H
#define MMB_MEND_H

#include "resolve.h"

/* Write what `object`, to which the pointer at a place leads, has in its field `mend`: a null
 * pointer there, or the sizes of a shorter list. Doing it again changes nothing. Returns 0 or an
 * error of reading or writing. */
int mmb__mend(mmb__source *source, uint32_t segment, uint32_t word, const mmb__object *object);

#endif
