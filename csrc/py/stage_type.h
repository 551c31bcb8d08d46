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

/* If the stage is full, move it to its file. `make_file` returns the descriptor of an empty file
 * without a name, which the stage then owns. Return false with an exception on an error.
 * (stage_make.c) */
bool mmbpy_stage_make_way(mmbpy_state *state, mmb_stage *stage, PyObject *make_file);

#endif
