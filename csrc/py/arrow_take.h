/* arrow_take.h - schemas and arrays of Arrow out of the capsules of its PyCapsule interface. */
#ifndef MMBPY_ARROW_TAKE_H
#define MMBPY_ARROW_TAKE_H

#include "arrow.h"
#include "state.h"

/* What was taken over. Zeroed before use; to be released in any case. */
typedef struct {
    mmb_arrow_schema schema;
    mmb_arrow_array *arrays; /* owned, and so is what they hold */
    uint32_t count;
} mmbpy_arrow;

/* From a capsule arrow_array_stream, or a tuple of capsules arrow_schema and arrow_array. False
 * with an exception. Code of the producer runs, which may be Python's. */
bool mmbpy_arrow_take(PyObject *given, mmbpy_arrow *out);
void mmbpy_arrow_release(mmbpy_arrow *arrow);

extern PyMethodDef mmbpy_arrow_functions[]; /* arrow_describe.c */

#endif
