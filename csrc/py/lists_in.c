/* lists_in.c - writes Python's sequences as lists of a stage, and other values of pointers. See
 * rows_in.h. */

#include "column_args.h"
#include "rows_in.h"

/* Write element `index` of the list at `place`. */
static bool write_element(mmbpy_stager *w, const mmb_plan_type *type, uint64_t place,
                          Py_ssize_t index, PyObject *value)
{
    uint64_t i = (uint64_t)index;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->refers_to];
        uint64_t words = (uint64_t)record->data_words + record->pointer_words;
        mmbpy_target target = {place + i * words, record->data_words};
        return mmbpy_write_record(w, target, type->refers_to, value);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        return value == Py_None || mmbpy_write_pointer(w, place + i, type, value);
    }
    uint64_t bits;
    if (value == Py_None && w->elements_take_none) {
        return true; /* zero, the default of all elements, is there already */
    }
    if (!mmbpy_number_bits(w, type, value, &bits)) {
        return false;
    }
    uint32_t width = mmb_kind_bits(type->kind);
    mmb_stage_store(w->stage, place, i * width, width, bits);
    return true;
}

static bool write_elements(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                           PyObject *sequence)
{
    bool is_list = PyList_Check(sequence);
    Py_ssize_t count = is_list ? PyList_Size(sequence) : PyTuple_Size(sequence);
    uint64_t place;
    int error;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->refers_to];
        error = mmb_stage_structs(w->stage, pointer, (uint64_t)count, record->data_words,
                                  record->pointer_words, &place);
    } else {
        error = mmb_stage_list(w->stage, pointer, type->kind, (uint64_t)count, &place);
    }
    if (error != 0) {
        return mmbpy_stager_fail_stage(w, error);
    }
    mmbpy_step step = {.up = w->step};
    bool good = true;
    w->step = &step;
    for (; good && step.index < count; step.index++) {
        PyObject *item =
            is_list ? PyList_GetItem(sequence, step.index) : PyTuple_GetItem(sequence, step.index);
        Py_XINCREF(item);
        good = item != NULL && write_element(w, type, place, step.index, item);
        Py_XDECREF(item);
        if (good && is_list && PyList_Size(sequence) != count) { /* by the code of a value */
            good = mmbpy_stager_fail(w, PyExc_RuntimeError, "the list changed while it was read");
        }
    }
    w->step = step.up;
    return good;
}

static bool write_list(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *element,
                       PyObject *value)
{
    bool counts = element->meaning.what != MMB_DECIMAL;
    int done = counts ? mmbpy_write_buffer(w, pointer, element->kind, value) : 0;
    if (done != 0) {
        return done > 0;
    }
    if (PyUnicode_Check(value) || PyDict_Check(value) || PyBytes_Check(value)) {
        PyObject *name = mmbpy_type_name(value);
        if (name != NULL) {
            mmbpy_stager_fail(w, PyExc_TypeError, "a list cannot be made of %U", name);
            Py_DECREF(name);
        }
        return false;
    }
    PyObject *sequence;
    bool is_plain = PyTuple_Check(value) || PyList_Check(value);
    int is_masked = !is_plain && PyObject_CheckBuffer(value) ? mmbpy_is_masked(w->state, value) : 0;
    if (is_masked < 0) {
        return false;
    }
    if (is_plain) {
        sequence = MMBPY_SNAPSHOT(value);
    } else if (is_masked == 1) {
        sequence = PyObject_CallMethod(value, "tolist", NULL); /* with None for what is masked */
    } else {
        sequence = PySequence_Tuple(value);
        /* We look at the slot and not at the attribute: no Python code may run while an exception
         * is set. */
        if (sequence == NULL && PyType_GetSlot(Py_TYPE(value), Py_tp_iter) == NULL &&
            mmbpy_forget(PyExc_TypeError)) {
            PyObject *name = mmbpy_type_name(value);
            if (name != NULL) {
                mmbpy_stager_fail(w, PyExc_TypeError, "a list cannot be made of %U", name);
                Py_DECREF(name);
            }
        }
    }
    if (sequence == NULL) {
        return false;
    }
    w->code_runs += sequence == value ? 0 : 1; /* that of the value, which made the sequence */
    bool good =
        PyList_Check(sequence) || PyTuple_Check(sequence)
            ? write_elements(w, pointer, element, sequence)
            : mmbpy_stager_fail(w, PyExc_TypeError, "an array without a dimension is no list");
    Py_DECREF(sequence);
    return good;
}

bool mmbpy_write_pointer(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                         PyObject *value)
{
    if (type->meaning.what != MMB_MEANS_NUMBER) {
        PyObject *stored = mmbpy_stored_of(w, type, value);
        bool good = stored != NULL && mmbpy_write_bytes(w, pointer, false, stored);
        Py_XDECREF(stored);
        return good;
    }
    if (type->kind == MMB_TEXT || type->kind == MMB_DATA) {
        return mmbpy_write_bytes(w, pointer, type->kind == MMB_TEXT, value);
    }
    if (type->kind != MMB_LIST && type->kind != MMB_STRUCT) {
        return mmbpy_stager_fail(w, PyExc_TypeError,
                                 "a pointer of any type, or a capability, can only be set with "
                                 "pycapnp");
    }
    if (w->depth == MMB_MOST_DEPTH) {
        return mmbpy_stager_fail(w, PyExc_ValueError, "structs and lists are nested too deeply");
    }
    w->depth++;
    bool good;
    if (type->kind == MMB_LIST) {
        good = write_list(w, pointer, &w->plan->types[type->refers_to], value);
    } else {
        const mmb_plan_struct *record = &w->plan->structs[type->refers_to];
        mmbpy_target target = {.data_words = record->data_words};
        int error = mmb_stage_struct(w->stage, pointer, record->data_words, record->pointer_words,
                                     &target.place);
        good = error == 0 ? mmbpy_write_record(w, target, type->refers_to, value)
                          : mmbpy_stager_fail_stage(w, error);
    }
    w->depth--;
    return good;
}
