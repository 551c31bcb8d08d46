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
    Py_XDECREF(known->as_dict);
    Py_XDECREF((PyObject *)known->type);
    *known = (mmbpy_row_class){0};
}

static void add_attribute(mmbpy_row_class *known, uint32_t field, PyObject *name)
{
    known->attributes[known->count++] =
        (mmbpy_row_attribute){.field = field, .name = Py_NewRef(name)};
}

/* Take one name that a class has given: that of an attribute and a field, or (attribute, field) if
 * they differ. The field of the second name need not be there. */
static bool take_name(mmbpy_stager *w, uint32_t number, PyObject *name, mmbpy_row_class *known)
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
static bool take_names(mmbpy_stager *w, uint32_t number, PyObject *names, mmbpy_row_class *known)
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

static bool take_all(mmbpy_stager *w, uint32_t number, mmbpy_row_class *known)
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

/* ---- how attributes are read ----------------------------------------------------------------- */

/* Return `__mro__` or `__dict__` of a class as `type` itself gives it: no metaclass is asked, so no
 * code of Python runs. A new reference. */
static PyObject *of_class(PyObject *class, const char *name)
{
    PyObject *all = PyObject_GetAttrString((PyObject *)&PyType_Type, "__dict__");
    PyObject *found = all == NULL ? NULL : PyMapping_GetItemString(all, name);
    PyObject *result = NULL;
    if (found != NULL) {
        descrgetfunc get = (descrgetfunc)PyType_GetSlot(Py_TYPE(found), Py_tp_descr_get);
        result = get(found, class, (PyObject *)Py_TYPE(class));
    }
    Py_XDECREF(all);
    Py_XDECREF(found);
    return result;
}

/* Find the value of a name in a class, or in the first of its bases that has the name: a new
 * reference, or NULL if none has it. Return false with an exception on an error. */
static bool find_in_class(PyTypeObject *class, PyObject *name, PyObject **found)
{
    PyObject *bases = of_class((PyObject *)class, "__mro__");
    bool good = bases != NULL;
    *found = NULL;
    for (Py_ssize_t i = 0; good && *found == NULL && i < PyTuple_Size(bases); i++) {
        PyObject *dict = of_class(PyTuple_GetItem(bases, i), "__dict__");
        *found = dict == NULL ? NULL : PyObject_GetItem(dict, name);
        Py_XDECREF(dict);
        good = *found != NULL || (dict != NULL && mmbpy_forget(PyExc_KeyError));
    }
    Py_XDECREF(bases);
    return good;
}

/* Find what a module has under a name, if the program has loaded that module: a new reference, or
 * NULL. Return false with an exception on an error. */
static bool find_in_module(const char *module_name, const char *name, PyObject **found)
{
    PyObject *key = PyUnicode_FromString(module_name);
    PyObject *module = key == NULL ? NULL : PyImport_GetModule(key);
    *found = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    Py_XDECREF(key);
    Py_XDECREF(module);
    return *found != NULL || mmbpy_forget(PyExc_AttributeError);
}

/* Find the index of the item that such a descriptor reads. */
static bool get_index(PyObject *descriptor, Py_ssize_t *index)
{
    PyObject *doc, *parts = PyObject_CallMethod(descriptor, "__reduce__", NULL);
    PyObject *type;
    bool good = parts != NULL && PyArg_ParseTuple(parts, "O(nO)", &type, index, &doc);
    Py_XDECREF(parts);
    return good;
}

/* Find out how an attribute is read, from what the class has under its name. This takes the
 * reference over, which may be NULL. */
static bool choose_access(mmbpy_row_class *known, mmbpy_row_attribute *attribute, PyObject *found,
                          PyObject *items)
{
    bool good = true;
    Py_CLEAR(attribute->slot);
    attribute->access = MMBPY_FROM_OBJECT;
    if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        attribute->access = MMBPY_FROM_SLOT;
        attribute->slot = Py_NewRef(found);
    } else if (found != NULL && Py_IS_TYPE(found, (PyTypeObject *)items)) {
        attribute->access = MMBPY_FROM_ITEM;
        good = get_index(found, &attribute->index);
    } else if (found != NULL && PyType_GetSlot(Py_TYPE(found), Py_tp_descr_get) != NULL) {
        known->runs_code = true;
    }
    Py_XDECREF(found);
    return good;
}

/* Return whether the attributes of an object are those in it and in its class, and nothing else. */
static bool is_plain(const mmbpy_row_class *known)
{
    getattrofunc get = (getattrofunc)PyType_GetSlot(known->type, Py_tp_getattro);
    return get == PyObject_GenericGetAttr;
}

/* Find out how the attributes of a class can be read. Return false with an exception on an
 * error. */
static bool look_attributes_up(const mmbpy_stager *w, mmbpy_row_class *known)
{
    PyObject *items; /* the type of the descriptors that read the items of named tuples */
    bool good = find_in_module("_collections", "_tuplegetter", &items);
    known->runs_code = !is_plain(known) || known->as_dict != NULL;
    for (uint32_t i = 0; good && i < known->count && !known->runs_code; i++) {
        PyObject *found;
        good = find_in_class(known->type, known->attributes[i].name, &found) &&
               choose_access(known, &known->attributes[i], found, items);
    }
    Py_XDECREF(items);
    known->looked_up_at = w->code_runs;
    return good;
}

const mmbpy_row_class *mmbpy_know_class(const mmbpy_stager *w, uint32_t number, PyObject *value)
{
    mmbpy_row_class *known = w->classes == NULL ? NULL : &w->classes[number];
    if (known == NULL || known->type != Py_TYPE(value) || known->runs_code) {
        return NULL;
    }
    /* A class that has changed is searched for each attribute, so nothing else of it matters. */
    return known->looked_up_at == w->code_runs || is_plain(known) ? known : NULL;
}

/* ---- learning a class ------------------------------------------------------------------------ */

/* Find which attributes of a class are fields of the struct. The result is kept until another
 * class comes. */
static bool learn_class(mmbpy_stager *w, uint32_t number, PyTypeObject *class)
{
    mmbpy_row_class found = {.type = (PyTypeObject *)Py_NewRef((PyObject *)class)};
    PyObject *names = PyObject_CallFunctionObjArgs(w->describe, (PyObject *)class, NULL);
    bool good = names != NULL;
    if (good && PyCallable_Check(names)) {
        found.as_dict = Py_NewRef(names);
    } else if (good) {
        good =
            names == Py_None ? take_all(w, number, &found) : take_names(w, number, names, &found);
    }
    Py_XDECREF(names);
    w->code_runs++; /* that of w->describe, too */
    if (!good || !find_in_module("msgspec", "UNSET", &found.unset) ||
        !look_attributes_up(w, &found)) {
        mmbpy_forget_class(&found);
        return false;
    }
    mmbpy_row_class old = w->classes[number];
    w->classes[number] = found;
    mmbpy_forget_class(&old);
    return true;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static bool no_row(const mmbpy_stager *w, PyObject *value)
{
    PyObject *name = mmbpy_type_name(value);
    if (name != NULL) {
        mmbpy_stager_fail(w, PyExc_TypeError,
                          "a struct is made of a dict, a tuple or an object with its fields as "
                          "attributes, not of %U",
                          name);
        Py_DECREF(name);
    }
    return false;
}

/* Read an attribute, and note if that may have run code. */
static PyObject *read_attribute(mmbpy_stager *w, const mmbpy_row_class *known, uint32_t index,
                                PyObject *value)
{
    bool may_run_code = known->runs_code || known->looked_up_at != w->code_runs;
    PyObject *attribute = PyObject_GetAttr(value, known->attributes[index].name);
    w->code_runs += may_run_code ? 1 : 0;
    return attribute;
}

static bool put_attribute(mmbpy_stager *w, mmbpy_target target, uint32_t number, uint32_t field,
                          PyObject *attribute, mmbpy_union *state)
{
    if (mmbpy_put_simple_field(w, target, number, field, attribute, state)) {
        return true;
    }
    return !PyErr_Occurred() &&
           mmbpy_row_put(w, target, &w->plan->structs[number], field, attribute, state);
}

/* Check that each field that must be there is one of the attributes of a class. */
static bool has_all(const mmbpy_stager *w, const mmbpy_row_class *known,
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

/* Write a struct of pycapnp, of which its attributes would not tell what is set. */
static bool write_as_dict(mmbpy_stager *w, mmbpy_target target, uint32_t number,
                          const mmbpy_row_class *known, PyObject *value)
{
    PyObject *as_dict = Py_NewRef(known->as_dict);
    PyObject *dict = PyObject_CallFunctionObjArgs(as_dict, value, NULL);
    w->code_runs++;
    bool good = dict != NULL && mmbpy_write_dict(w, target, number, dict);
    Py_DECREF(as_dict);
    Py_XDECREF(dict);
    return good;
}

bool mmbpy_write_object(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *value)
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
    if (known->as_dict != NULL) {
        return write_as_dict(w, target, number, known, value);
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t field = known->attributes[i].field;
        PyObject *attribute = read_attribute(w, known, i, value);
        if (attribute == NULL && !mmbpy_forget(PyExc_AttributeError)) {
            return false;
        }
        if (attribute == NULL || attribute == known->unset) {
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
    if (found == 0 && !known->says && type->count != 0) {
        return no_row(w, value);
    }
    return (!w->wants_all || !known->says || has_all(w, known, type)) &&
           mmbpy_row_finish_union(w, target, type, &state);
}
