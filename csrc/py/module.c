/* module.c - defines the extension module `mmapbuilder._core`. */

#include "arrow_take.h"
#include "column_args.h"
#include "encoder.h"
#include "plan_type.h"
#include "state.h"

#include "mmb_log.h"

PyDoc_STRVAR(module_doc, "Files mapped over a huge address range, growing as they are written.\n\n"
                         "Private: use the names that mmapbuilder itself offers.");

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int module_exec(PyObject *module)
{
    mmbpy_state *state = PyModule_GetState(module);
    if ((state->claims = PyDict_New()) == NULL) {
        return -1;
    }
    PyObject *builtins = PyImport_ImportModule("builtins");
    state->hasattr = builtins != NULL ? PyObject_GetAttrString(builtins, "hasattr") : NULL;
    Py_XDECREF(builtins);
    if (state->hasattr == NULL) {
        return -1;
    }
    if ((state->file_type = add_type(module, &mmbpy_file_spec)) == NULL) {
        return -1;
    }
    if ((state->map_type = add_type(module, &mmbpy_map_spec)) == NULL) {
        return -1;
    }
    if ((state->read_map_type = add_type(module, &mmbpy_read_map_spec)) == NULL) {
        return -1;
    }
    if ((state->segment_view_type = add_type(module, &mmbpy_segment_view_spec)) == NULL) {
        return -1;
    }
    if ((state->segments_type = add_type(module, &mmbpy_segments_spec)) == NULL) {
        return -1;
    }
    if ((state->log_writer_type = add_type(module, &mmbpy_log_writer_spec)) == NULL) {
        return -1;
    }
    if ((state->log_build_type = add_type(module, &mmbpy_log_build_spec)) == NULL) {
        return -1;
    }
    if ((state->log_reader_type = add_type(module, &mmbpy_log_reader_spec)) == NULL) {
        return -1;
    }
    if ((state->plan_type = add_type(module, &mmbpy_plan_spec)) == NULL) {
        return -1;
    }
    if ((state->stage_type = add_type(module, &mmbpy_stage_spec)) == NULL) {
        return -1;
    }
    if ((state->encoder_type = add_type(module, &mmbpy_encoder_spec)) == NULL) {
        return -1;
    }
    if ((state->gate_type = add_type(module, &mmbpy_gate_spec)) == NULL) {
        return -1;
    }
    if ((state->usage_type = add_type(module, &mmbpy_usage_spec)) == NULL) {
        return -1;
    }
    if ((state->columns_type = add_type(module, &mmbpy_columns_spec)) == NULL) {
        return -1;
    }
    if (mmbpy_add_errors(module, state) < 0) {
        return -1;
    }
    if (PyModule_AddFunctions(module, mmbpy_file_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_segments_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_column_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_list_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_arrow_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_log_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_roots_functions) < 0 ||
        PyModule_AddFunctions(module, mmbpy_join_functions) < 0) {
        return -1;
    }
    if (PyModule_AddIntConstant(module, "MAX_SEGMENTS", (long)MMB_MAX_SEGMENTS) < 0) {
        return -1;
    }
    if (PyModule_AddIntConstant(module, "MAX_SEGMENT_WORDS", (long)MMB_MAX_SEGMENT_WORDS) < 0) {
        return -1;
    }
    if (PyModule_AddIntConstant(module, "INDEX_BLOCK", (long)MMB_INDEX_BLOCK) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "HEAD_BYTES", (long)MMB_HEAD_BYTES);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    mmbpy_state *state = PyModule_GetState(module);
    if (state == NULL) {
        return 0;
    }
    Py_VISIT(state->claims);
    Py_VISIT(state->file_type);
    Py_VISIT(state->map_type);
    Py_VISIT(state->segment_view_type);
    Py_VISIT(state->read_map_type);
    Py_VISIT(state->segments_type);
    Py_VISIT(state->log_reader_type);
    Py_VISIT(state->log_writer_type);
    Py_VISIT(state->log_build_type);
    Py_VISIT(state->plan_type);
    Py_VISIT(state->stage_type);
    Py_VISIT(state->encoder_type);
    Py_VISIT(state->gate_type);
    Py_VISIT(state->columns_type);
    Py_VISIT(state->usage_type);
    Py_VISIT(state->capacity_error);
    Py_VISIT(state->invalid_message);
    return 0;
}

static int module_clear(PyObject *module)
{
    mmbpy_state *state = PyModule_GetState(module);
    if (state == NULL) {
        return 0;
    }
    Py_CLEAR(state->claims);
    Py_CLEAR(state->file_type);
    Py_CLEAR(state->map_type);
    Py_CLEAR(state->segment_view_type);
    Py_CLEAR(state->read_map_type);
    Py_CLEAR(state->segments_type);
    Py_CLEAR(state->log_reader_type);
    Py_CLEAR(state->log_writer_type);
    Py_CLEAR(state->log_build_type);
    Py_CLEAR(state->plan_type);
    Py_CLEAR(state->stage_type);
    Py_CLEAR(state->encoder_type);
    Py_CLEAR(state->gate_type);
    Py_CLEAR(state->columns_type);
    Py_CLEAR(state->usage_type);
    Py_CLEAR(state->capacity_error);
    Py_CLEAR(state->invalid_message);
    Py_CLEAR(state->hasattr);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

mmbpy_state *mmbpy_state_of_type(PyTypeObject *type)
{
    /* A class made in Python does not belong to our module, but one of its bases does. */
    while (type != NULL) {
        PyObject *module = PyType_GetModule(type);
        if (module != NULL) {
            return PyModule_GetState(module);
        }
        if (!mmbpy_forget(PyExc_TypeError)) {
            return NULL;
        }
        type = PyType_GetSlot(type, Py_tp_base);
    }
    PyErr_SetString(PyExc_TypeError, "not a type of mmapbuilder._core");
    return NULL;
}

/* There are two definitions, which differ in one slot. A slot that the running version does not
 * know is an error. To change one table in place would be a race between interpreters. */
static PyModuleDef_Slot plain_slots[] = {
    {Py_mod_exec, module_exec},
    MMBPY_SLOT_GIL{0, NULL},
};

static PyModuleDef_Slot interpreter_slots[] = {
    {Py_mod_exec, module_exec},
    {MMBPY_SLOT_MULTIPLE_INTERPRETERS, MMBPY_PER_INTERPRETER_GIL_SUPPORTED},
    MMBPY_SLOT_GIL{0, NULL},
};

#define MODULE_WITH(slots)                                                                         \
    {PyModuleDef_HEAD_INIT,                                                                        \
     "_core",                                                                                      \
     module_doc,                                                                                   \
     sizeof(mmbpy_state),                                                                          \
     mmbpy_message_functions,                                                                      \
     slots,                                                                                        \
     module_traverse,                                                                              \
     module_clear,                                                                                 \
     module_free}

static PyModuleDef plain_module = MODULE_WITH(plain_slots);
static PyModuleDef interpreter_module = MODULE_WITH(interpreter_slots);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(MMBPY_HAS_INTERPRETER_SLOT ? &interpreter_module : &plain_module);
}
