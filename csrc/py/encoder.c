/* encoder.c - makes whole messages of Python's values. See encoder.h. */

#include "encoder.h"

/* An encoder keeps no more memory than this for the next message. */
enum { MOST_KEPT_WORDS = 1 << 17 };

void mmbpy_encoding_start(mmbpy_encoding *e, mmbpy_encoder *encoder)
{
    bool own = atomic_exchange(&encoder->in_use, true);
    const mmb_plan *plan = encoder->plan->plan;
    const mmb_plan_struct *root = &plan->structs[plan->types[0].refers_to];
    e->encoder = encoder;
    e->is_second = own;
    e->own_stage = (mmb_stage){0};
    e->own_frames = (mmb_frames){0};
    e->frames = own ? &e->own_frames : &encoder->frames;
    e->frames->words = 0;
    e->stager = (mmbpy_stager){
        .self = encoder->plan,
        .plan = plan,
        .state = mmbpy_state_of_type(Py_TYPE((PyObject *)encoder)),
        .stage = own ? &e->own_stage : &encoder->stage,
        .describe = encoder->describe,
        .refuses_none = encoder->refuses_none,
        .is_simple = true,
    };
    mmb_stage_clear(e->stager.stage);
    e->stager.stage->data_words = root->data_words;
    e->stager.stage->pointer_words = root->pointer_words;
}

void mmbpy_encoding_end(mmbpy_encoding *e)
{
    mmbpy_encoder *encoder = e->encoder;
    mmbpy_stager_end(&e->stager);
    if (e->is_second) {
        mmb_stage_free(&e->own_stage);
        mmb_frames_free(&e->own_frames);
        return;
    }
    if (encoder->stage.rows.room + encoder->stage.heap.room > MOST_KEPT_WORDS) {
        mmb_stage_free(&encoder->stage);
    }
    if (encoder->frames.room > MOST_KEPT_WORDS) {
        mmb_frames_free(&encoder->frames);
    }
    atomic_store(&encoder->in_use, false);
}

/* ---- one message ---------------------------------------------------------------------------- */

static bool start_root(mmbpy_encoding *e, mmbpy_target *target)
{
    mmb_stage *stage = e->stager.stage;
    mmb_stage_clear(stage);
    int error = mmb_stage_add_row(stage, &target->place);
    target->data_words = stage->data_words;
    return error == 0 || mmbpy_stager_fail_stage(&e->stager, error);
}

static bool end_root(mmbpy_encoding *e)
{
    int error = mmb_frames_add(e->frames, e->stager.stage);
    return error == 0 || mmbpy_stager_fail_stage(&e->stager, error);
}

bool mmbpy_encode(mmbpy_encoding *e, PyObject *value)
{
    mmbpy_target target;
    return start_root(e, &target) &&
           mmbpy_write_record(&e->stager, target, e->stager.plan->types[0].refers_to, value) &&
           end_root(e);
}

static PyObject *as_dict(PyObject *names, PyObject *const *values)
{
    PyObject *dict = PyDict_New();
    for (Py_ssize_t i = 0; dict != NULL && i < PyTuple_Size(names); i++) {
        if (PyDict_SetItem(dict, PyTuple_GetItem(names, i), values[i]) < 0) {
            Py_CLEAR(dict);
        }
    }
    return dict;
}

bool mmbpy_encode_keywords(mmbpy_encoding *e, PyObject *names, PyObject *const *values)
{
    mmbpy_target target;
    if (!start_root(e, &target)) {
        return false;
    }
    if (mmbpy_put_simple_keywords(&e->stager, target, e->stager.plan->types[0].refers_to, names,
                                  values)) {
        return end_root(e);
    }
    PyObject *dict = PyErr_Occurred() ? NULL : as_dict(names, values);
    bool good = dict != NULL && mmbpy_encode(e, dict);
    Py_XDECREF(dict);
    return good;
}

/* ---- the type ------------------------------------------------------------------------------- */

PyDoc_STRVAR(encode_doc, "encode($self, value, /)\n--\n\n"
                         "Return a message, as it lies in files, whose root has that value.");

static PyObject *encoder_encode(PyObject *object, PyObject *value)
{
    mmbpy_encoding e;
    PyObject *frame = NULL;
    mmbpy_encoding_start(&e, (mmbpy_encoder *)object);
    if (mmbpy_encode(&e, value)) {
        frame = PyBytes_FromStringAndSize((const char *)e.frames->bytes,
                                          (Py_ssize_t)(e.frames->words * MMB_WORD));
    }
    mmbpy_encoding_end(&e);
    return frame;
}

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *plan, *describe;
    int refuses_none = 0;
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL || !PyArg_ParseTuple(args, "O!O|p:Encoder", state->plan_type, &plan,
                                           &describe, &refuses_none)) {
        return NULL;
    }
    if (kwargs != NULL && PyDict_Size(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Encoder() takes no keyword arguments");
        return NULL;
    }
    if (((mmbpy_plan *)plan)->plan->types[0].kind != MMB_STRUCT) {
        PyErr_SetString(PyExc_ValueError, "the root of a message is a struct");
        return NULL;
    }
    mmbpy_encoder *self = (mmbpy_encoder *)mmbpy_new_object(type);
    if (self != NULL) {
        self->plan = (mmbpy_plan *)Py_NewRef(plan);
        self->describe = Py_NewRef(describe);
        self->refuses_none = refuses_none != 0;
    }
    return (PyObject *)self;
}

static void encoder_dealloc(PyObject *object)
{
    mmbpy_encoder *self = (mmbpy_encoder *)object;
    mmb_stage_free(&self->stage);
    mmb_frames_free(&self->frames);
    Py_XDECREF((PyObject *)self->plan);
    Py_XDECREF(self->describe);
    mmbpy_free_object(object);
}

static PyMethodDef encoder_methods[] = {
    {"encode", encoder_encode, METH_O, encode_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(encoder_doc,
             "Encoder(plan, describe, refuses_none=False, /)\n--\n\n"
             "Makes messages of values for the root struct of a plan. With refuses_none\n"
             "None for a number is an error.");

static PyType_Slot encoder_slots[] = {
    {Py_tp_doc, (void *)encoder_doc},
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_methods, encoder_methods},
    {0, NULL},
};

MMBPY_SPEC(encoder, "Encoder", Py_TPFLAGS_IMMUTABLETYPE)
