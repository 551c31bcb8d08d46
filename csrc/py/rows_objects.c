/* rows_objects.c - writes one struct from an object with its fields as attributes. */

#include "rows_in.h"

/* ---- what is known of a class ------------------------------------------------------------- */

void mmbpy_forget_class(mmbpy_row_class *known)
{
    for (uint32_t i = 0; i < known->count; i++) {
        Py_XDECREF(known->attributes[i].name);
        Py_XDECREF(known->attributes[i].slot);
    }
    PyMem_Free(known->attributes);
    Py_XDECREF(known->unset);
    Py_XDECREF((PyObject *)known->type);
    *known = (mmbpy_row_class){0};
}

bool mmbpy_knows_object(const mmbpy_writer *w, uint32_t number, PyObject *value)
{
    const mmbpy_row_class *known = w->classes == NULL ? NULL : &w->classes[number];
    return known != NULL && known->type == Py_TYPE(value) && w->reads_list &&
           known->looked_up_at == w->code_runs;
}

static void add_attribute(mmbpy_row_class *known, uint32_t field, PyObject *name)
{
    known->attributes[known->count++] = (mmbpy_row_attribute){field, Py_NewRef(name), NULL};
}

/* Take one name that a class has given: that of an attribute and a field, or (attribute, field) if
 * they differ. The field of the second name need not be there. */
static bool take_name(mmbpy_writer *w, uint32_t number, PyObject *name, mmbpy_row_class *known)
{
    PyObject *attribute = name;
    uint32_t field = MMB_NONE;
    if (PyTuple_Check(name)) {
        PyObject *other;
        if (!PyArg_ParseTuple(name, "OO:name", &attribute, &other) ||
            mmbpy_row_field(w, number, other, &field) < 0) {
            return false;
        }
    }
    if (field == MMB_NONE && mmbpy_row_field(w, number, attribute, &field) < 0) {
        return false;
    }
    if (field == MMB_NONE) {
        return mmbpy_row_unknown(w, attribute);
    }
    add_attribute(known, field, attribute);
    return true;
}

/* Take the fields of a class that names them. All of them must be fields of the struct. */
static bool take_names(mmbpy_writer *w, uint32_t number, PyObject *names, mmbpy_row_class *known)
{
    Py_ssize_t count = PyTuple_Size(names);
    if (count < 0) {
        return false;
    }
    known->attributes = PyMem_Calloc((size_t)count + 1, sizeof *known->attributes);
    if (known->attributes == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!take_name(w, number, PyTuple_GetItem(names, i), known)) {
            return false;
        }
    }
    known->says = true;
    return true;
}

static bool take_all(mmbpy_writer *w, uint32_t number, mmbpy_row_class *known)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    known->attributes = PyMem_Calloc((size_t)type->count + 1, sizeof *known->attributes);
    if (known->attributes == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        add_attribute(known, type->first + i, w->self->names[type->first + i]);
    }
    return true;
}

/* Forget an exception that only says that a class cannot be looked into. Return false if it is one
 * that must reach the caller, such as KeyboardInterrupt. */
static bool forget_error(void)
{
    bool harmless = PyErr_Occurred() == NULL || PyErr_ExceptionMatches(PyExc_Exception);
    if (harmless) {
        PyErr_Clear();
    }
    return harmless;
}

/* Find the value of a name in a class, or in the first of its bases that has the name: a new
 * reference, or NULL if none has it. Return false with an exception on an error. */
static bool find_in_class(PyTypeObject *class, PyObject *name, PyObject **found)
{
    PyObject *bases = PyObject_GetAttrString((PyObject *)class, "__mro__");
    bool good = forget_error();
    *found = NULL;
    for (Py_ssize_t i = 0; good && bases != NULL && *found == NULL && i < PyTuple_Size(bases);
         i++) {
        PyObject *dict = PyObject_GetAttrString(PyTuple_GetItem(bases, i), "__dict__");
        *found = dict == NULL ? NULL : PyObject_GetItem(dict, name);
        Py_XDECREF(dict);
        good = forget_error();
    }
    Py_XDECREF(bases);
    return good && forget_error();
}

/* Find out how the attributes of a class can be read. Return false with an exception on an error.
 */
static bool look_slots_up(mmbpy_row_class *known, PyTypeObject *class)
{
    getattrofunc get = (getattrofunc)PyType_GetSlot(class, Py_tp_getattro);
    known->runs_code = get != PyObject_GenericGetAttr;
    known->read_slot = (descrgetfunc)PyType_GetSlot(&PyMemberDescr_Type, Py_tp_descr_get);
    for (uint32_t i = 0; i < known->count && !known->runs_code; i++) {
        PyObject *found;
        if (!find_in_class(class, known->attributes[i].name, &found)) {
            return false;
        }
        if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)) {
            known->attributes[i].slot = found;
            continue;
        }
        known->runs_code = found != NULL && PyType_GetSlot(Py_TYPE(found), Py_tp_descr_get) != NULL;
        Py_XDECREF(found);
    }
    return true;
}

/* Find msgspec's UNSET, if the program has loaded that package. Return false with an exception on
 * an error. */
static bool find_unset(PyObject **unset)
{
    PyObject *name = PyUnicode_FromString("msgspec");
    PyObject *module = name == NULL ? NULL : PyImport_GetModule(name);
    *unset = module == NULL ? NULL : PyObject_GetAttrString(module, "UNSET");
    Py_XDECREF(name);
    Py_XDECREF(module);
    return forget_error();
}

/* Find which attributes of a class are fields of the struct. The result is kept until another
 * class comes. */
static bool learn_class(mmbpy_writer *w, uint32_t number, PyTypeObject *class)
{
    mmbpy_row_class found = {0};
    PyObject *names = PyObject_CallFunctionObjArgs(w->describe, (PyObject *)class, NULL);
    bool good = names != NULL && (names == Py_None ? take_all(w, number, &found)
                                                   : take_names(w, number, names, &found));
    Py_XDECREF(names);
    if (!good || !find_unset(&found.unset) || !look_slots_up(&found, class)) {
        mmbpy_forget_class(&found);
        return false;
    }
    found.looked_up_at = ++w->code_runs; /* what was called here runs code, too */
    found.type = (PyTypeObject *)Py_NewRef((PyObject *)class);
    mmbpy_row_class old = w->classes[number];
    w->classes[number] = found;
    mmbpy_forget_class(&old);
    return true;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool no_row(const mmbpy_writer *w, PyObject *value)
{
    PyObject *name = mmbpy_type_name(value);
    if (name != NULL) {
        mmbpy_writer_fail(w, PyExc_TypeError,
                          "a struct is made of a dict, a tuple or an object with its fields as "
                          "attributes, not of %U",
                          name);
        Py_DECREF(name);
    }
    return false;
}

/* Read an attribute. A slot is asked directly: that leaves out the search for it in the class. */
static inline PyObject *read_attribute(const mmbpy_writer *w, const mmbpy_row_class *known,
                                       uint32_t index, PyObject *value)
{
    const mmbpy_row_attribute *attribute = &known->attributes[index];
    if (w->reads_list && !known->runs_code && known->looked_up_at == w->code_runs) {
        return attribute->slot != NULL
                   ? known->read_slot(attribute->slot, value, (PyObject *)known->type)
                   : PyObject_GenericGetAttr(value, attribute->name);
    }
    return PyObject_GetAttr(value, attribute->name);
}

static bool put_attribute(mmbpy_writer *w, mmbpy_target target, uint32_t number, uint32_t field,
                          PyObject *attribute, mmbpy_union *state)
{
    if (mmbpy_put_simple_field(w, target, number, field, attribute, state)) {
        return true;
    }
    w->code_runs++;
    return mmbpy_row_put(w, target, &w->plan->structs[number], field, attribute, state);
}

/* Check that each field that must be there is one of the attributes of a class. */
static bool has_all(const mmbpy_writer *w, const mmbpy_row_class *known,
                    const mmb_plan_struct *type)
{
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        bool has = false;
        for (uint32_t k = 0; k < known->count; k++) {
            has = has || known->attributes[k].field == i;
        }
        if (!has && !mmbpy_row_missing(w, i)) {
            return false;
        }
    }
    return true;
}

bool mmbpy_write_object(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *value)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    mmbpy_union state = MMBPY_NO_UNION;
    if (PyUnicode_Check(value) || PyBytes_Check(value) || PyLong_Check(value) ||
        PyFloat_Check(value) || value == Py_None) {
        return no_row(w, value);
    }
    if (w->classes == NULL) {
        w->classes = PyMem_Calloc((size_t)w->plan->struct_count + 1, sizeof *w->classes);
        if (w->classes == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    mmbpy_row_class *known = &w->classes[number];
    if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
        return false;
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t field = known->attributes[i].field;
        PyObject *attribute = read_attribute(w, known, i, value);
        if (attribute == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return false;
        }
        if (attribute == NULL || attribute == known->unset) {
            PyErr_Clear();
            Py_XDECREF(attribute);
            if (!mmbpy_row_missing(w, field)) {
                return false;
            }
            continue;
        }
        found++;
        bool good = put_attribute(w, target, number, field, attribute, &state);
        Py_DECREF(attribute);
        if (!good) {
            return false;
        }
        /* The code of an attribute may have written rows of another class. */
        if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
            return false;
        }
    }
    w->code_runs += known->runs_code ? 1 : 0;
    if (found == 0 && !known->says && type->count != 0) {
        return no_row(w, value);
    }
    return (!w->wants_all || !known->says || has_all(w, known, type)) &&
           mmbpy_row_finish_union(w, target, type, &state);
}
