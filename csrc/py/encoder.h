/* encoder.h - `_core.Encoder`: Python's values as whole messages.
 *
 * An *encoder* makes messages of dicts, tuples and objects whose fields are those of one struct.
 * It keeps the memory that this takes for the next time; who finds it in use, since a value has
 * run code, or in another thread, uses memory of its own. */
#ifndef MMBPY_ENCODER_H
#define MMBPY_ENCODER_H

#include "rows_in.h"
#include "stage_frame.h"

typedef struct {
    PyObject_HEAD mmbpy_plan *plan; /* these two are set by __new__, and constant */
    PyObject *describe;             /* class -> names of its fields, or None */
    _Atomic bool in_use;            /* by the one encoding that uses the two below */
    mmb_stage stage;
    mmb_frames frames;
} mmbpy_encoder;

/* One use of an encoder, from start to end: whole messages are added to `frames`. */
typedef struct {
    mmbpy_encoder *encoder; /* borrowed */
    bool is_second;         /* somebody else uses the encoder's memory */
    mmbpy_writer writer;
    mmb_stage own_stage;
    mmb_frames own_frames;
    mmb_frames *frames; /* may be made to point to frames of the caller's */
} mmbpy_encoding;

void mmbpy_encoding_start(mmbpy_encoding *e, mmbpy_encoder *encoder);
void mmbpy_encoding_end(mmbpy_encoding *e);

/* Add a message. The second one is given the values of a call by keywords. False with an
 * exception; nothing was added then. */
bool mmbpy_encode(mmbpy_encoding *e, PyObject *value);
bool mmbpy_encode_keywords(mmbpy_encoding *e, PyObject *names, PyObject *const *values);

extern PyType_Spec mmbpy_encoder_spec;

#endif
