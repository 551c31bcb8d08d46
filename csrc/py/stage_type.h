/* stage_type.h - a stage as a Python object. */
#ifndef MMBPY_STAGE_TYPE_H
#define MMBPY_STAGE_TYPE_H

#include "stage.h"
#include "state.h"

/* What a stage holds, which says where it can go: the rows of a list of structs, the value of
 * one pointer, or one struct. */
enum { MMBPY_ROWS, MMBPY_POINTER, MMBPY_RECORD };

typedef struct {
    PyObject_HEAD mmb_stage stage; /* owned; constant once the object is handed out */
    int what;
} mmbpy_stage;

/* Make an empty stage object. Return NULL with an exception on an error. */
mmbpy_stage *mmbpy_stage_new(mmbpy_state *state, int what);

#endif
