/* mend.h - mends a pointer in a file as mmb__resolve has decided. Private to csrc/capnp. */
#ifndef MMB_MEND_H
#define MMB_MEND_H

#include "resolve.h"

/* Write to the file what the field `mend` of `object` says. The pointer at the place, which
 * leads to the object, becomes null; or the sizes of a list become smaller. To do it again
 * changes nothing. Return 0, or an error of reading or writing. */
int mmb__mend(mmb__words *message, uint32_t segment, uint32_t word, const mmb__object *object);

#endif
