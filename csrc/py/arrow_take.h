/* arrow_take.h - takes schemas and arrays out of the capsules of Arrow's PyCapsule interface. */
#ifndef MMBPY_ARROW_TAKE_H
#define MMBPY_ARROW_TAKE_H

#include "arrow.h"
#include "state.h"

/* The schema and arrays that were taken over. The caller zeroes it first and always releases it. */
typedef struct {
    mmb_arrow_schema schema;
    mmb_arrow_array *arrays; /* owned, with all that they hold */
    uint32_t count;
} mmbpy_arrow;

/* Take over a capsule arrow_array_stream, or a tuple of capsules arrow_schema and arrow_array.
 * Return false with an exception on an error. Code of the producer runs, which may be code of
 * Python. */
bool mmbpy_arrow_take(PyObject *given, mmbpy_arrow *out);
void mmbpy_arrow_release(mmbpy_arrow *arrow);

#endif
