/* module.c - defines the extension module `mmapbuilder._core`. */

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
#define ADD(what)                                                                                  \
    if ((state->what##_type = add_type(module, &mmbpy_##what##_spec)) == NULL) {                   \
        return -1;                                                                                 \
    }
    MMBPY_TYPES(ADD)
#undef ADD
    if (mmbpy_add_errors(module, state) < 0) {
        return -1;
    }
#define ADD(what)                                                                                  \
    if (PyModule_AddFunctions(module, mmbpy_##what##_functions) < 0) {                             \
        return -1;                                                                                 \
    }
    MMBPY_FUNCTIONS(ADD)
#undef ADD
    return PyModule_AddIntConstant(module, "MAX_SEGMENTS", (long)MMB_MAX_SEGMENTS) < 0 ||
                   PyModule_AddIntConstant(module, "MAX_SEGMENT_WORDS",
                                           (long)MMB_MAX_SEGMENT_WORDS) < 0 ||
                   PyModule_AddIntConstant(module, "INDEX_BLOCK", (long)MMB_INDEX_BLOCK) < 0 ||
                   PyModule_AddIntConstant(module, "HEAD_BYTES", (long)MMB_HEAD_BYTES) < 0
               ? -1
               : 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    mmbpy_state *state = PyModule_GetState(module);
    if (state == NULL) {
        return 0;
    }
    Py_VISIT(state->claims);
#define VISIT(what) Py_VISIT(state->what##_type);
    MMBPY_TYPES(VISIT)
#undef VISIT
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
#define CLEAR(what) Py_CLEAR(state->what##_type);
    MMBPY_TYPES(CLEAR)
#undef CLEAR
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
     NULL, /* module_exec adds the functions */                                                    \
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
