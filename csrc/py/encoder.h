/* encoder.h - `_core.Encoder`: makes whole messages of Python's values.
 *
 * An *encoder* makes messages of dicts, tuples and objects whose fields are those of one struct. It
 * keeps its memory for the next message. A call that finds this memory in use, because a value has
 * run code or another thread encodes, uses memory of its own. */
#ifndef MMBPY_ENCODER_H
#define MMBPY_ENCODER_H

#include "rows_in.h"
#include "stage_frame.h"

typedef struct {
    PyObject_HEAD mmbpy_plan *plan; /* __new__ sets these three; they are constant */
    PyObject *describe;             /* class -> names of its fields, or None */
    bool refuses_none;              /* None, or a null, for a number is an error */
    _Atomic bool in_use;            /* one encoding uses the two below */
    mmb_stage stage;
    mmb_frames frames;
} mmbpy_encoder;

/* One use of an encoder, from start to end. It adds whole messages to `frames`. */
typedef struct {
    mmbpy_encoder *encoder; /* borrowed */
    bool is_second;         /* another encoding uses the encoder's memory */
    mmbpy_stager stager;
    mmb_stage own_stage;
    mmb_frames own_frames;
    mmb_frames *frames; /* the caller may let it point to frames of its own */
} mmbpy_encoding;

void mmbpy_encoding_start(mmbpy_encoding *e, mmbpy_encoder *encoder);
void mmbpy_encoding_end(mmbpy_encoding *e);

/* Add a message. The other function takes the values of a call by keywords. Return false with an
 * exception on an error; then nothing was added. */
bool mmbpy_encode(mmbpy_encoding *e, PyObject *value);
bool mmbpy_encode_keywords(mmbpy_encoding *e, PyObject *names, PyObject *const *values);

#endif
