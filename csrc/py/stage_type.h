/* stage_type.h - the Python object that holds a stage. */
#ifndef MMBPY_STAGE_TYPE_H
#define MMBPY_STAGE_TYPE_H

#include "stage.h"
#include "state.h"

/* What a stage holds, and so where it goes: the rows of a list of structs, what one pointer
 * leads to, one struct. */
enum { MMBPY_ROWS, MMBPY_POINTER, MMBPY_RECORD };

typedef struct {
    PyObject_HEAD mmb_stage stage; /* owned; constant once the object is handed out */
    int what;
} mmbpy_stage;

/* An empty one; NULL with an exception set. */
mmbpy_stage *mmbpy_stage_new(mmbpy_state *state, int what);

#endif
