/* rows_in.c - writes dicts and tuples into structs of a stage. See rows_in.h. */

#include "rows_in.h"

#include <string.h>

/* ---- one field ------------------------------------------------------------------------ */

/* Note which bits of the rows were written, if only these are to be replaced. */
static void note_bits(mmbpy_stager *w, mmbpy_target target, uint32_t offset, uint32_t bits)
{
    if (w->stage->mask != NULL && (target.place & MMB_IN_HEAP) == 0 && bits != 0) {
        uint64_t ones = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
        w->stage->mask[offset / 64] |= ones << (offset % 64);
    }
}

static void note_field(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field)
{
    mmb_type_kind kind = w->plan->types[field->type].kind;
    bool pointer = mmb_kind_is_pointer(kind);
    note_bits(w, target, pointer ? 64 * (target.data_words + field->offset) : field->offset,
              pointer ? 64 : mmb_kind_bits(kind));
}

static void store_tag(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                      uint32_t tag)
{
    mmb_stage_store(w->stage, target.place, type->tag_offset, 16, tag);
    note_bits(w, target, type->tag_offset, 16);
}

/* Return whether a field is a group that stands for a nullable value; `*value` is its value
 * field. */
static bool is_nullable(const mmbpy_stager *w, const mmb_plan_field *field, uint32_t *value)
{
    const mmb_plan_type *type = &w->plan->types[field->type];
    *value = type->kind == MMB_GROUP ? mmb_plan_nullable(w->plan, type->refers_to) : MMB_NONE;
    return *value != MMB_NONE;
}

/* Return whether an object can be subtracted from: then it is a number, a time or a date, whatever
 * attributes it has. Those of pandas have one that is called `value`. */
static bool is_quantity(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_nb_subtract) != NULL;
}

/* Find whether an object is the value of a nullable group. It could also be the group itself: a
 * dict with its fields, a tuple of them, or an object that has them. Return 1, 0, or -1 with an
 * exception. */
static int is_bare_value(const mmbpy_stager *w, uint32_t value_field, PyObject *object)
{
    const mmb_plan_field *field = &w->plan->fields[value_field];
    mmb_type_kind kind = w->plan->types[field->type].kind;
    PyObject *name = w->self->names[value_field];
    if (PyTuple_Check(object)) {
        return false;
    }
    if (PyList_Check(object)) {
        return kind == MMB_LIST;
    }
    if (PyLong_Check(object) || PyFloat_Check(object) || PyUnicode_Check(object) ||
        PyBytes_Check(object)) {
        return true;
    }
    PyObject *dict = PyDict_Check(object) ? Py_NewRef(object) : mmbpy_as_dict(object);
    if (dict != NULL) {
        int has = kind == MMB_STRUCT && PyDict_Size(dict) != 0 ? PyDict_Contains(dict, name) : 1;
        Py_DECREF(dict);
        return has < 0 ? -1 : has == 0;
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    if (kind == MMB_STRUCT || is_quantity(object)) {
        return true;
    }
    int has = mmbpy_has(w->state, object, PyUnicode_AsUTF8AndSize(name, NULL));
    return has < 0 ? -1 : has == 0;
}

/* Store a value that is not None. */
static bool write_value(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field,
                        PyObject *value)
{
    const mmb_plan_type *type = &w->plan->types[field->type];
    if (type->kind == MMB_GROUP) {
        uint32_t inner;
        int is_bare = is_nullable(w, field, &inner) ? is_bare_value(w, inner, value) : 0;
        w->code_runs++; /* that of the look at the value */
        if (is_bare < 0) {
            return false;
        }
        if (is_bare == 1) {
            const mmb_plan_field *bare = &w->plan->fields[inner];
            note_field(w, target, bare);
            store_tag(w, target, &w->plan->structs[type->refers_to], bare->tag);
            return write_value(w, target, bare, value);
        }
        return mmbpy_write_record(w, target, type->refers_to, value);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        return mmbpy_write_pointer(w, target.place + target.data_words + field->offset, type,
                                   value);
    }
    uint64_t bits;
    if (!mmbpy_number_bits(w, type, value, &bits)) {
        return false;
    }
    mmb_stage_store(w->stage, target.place, field->offset, mmb_kind_bits(type->kind),
                    bits ^ field->default_bits);
    return true;
}

/* Store None: it is a null pointer, the null of a nullable group, or a missing number. */
static bool write_none(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field)
{
    const mmb_plan_type *type = &w->plan->types[field->type];
    uint32_t value;
    if (w->refuses_none && mmb_kind_bits(type->kind) != 0) {
        return mmbpy_stager_fail(w, PyExc_TypeError, "None is no value of a number");
    }
    if (is_nullable(w, field, &value)) { /* activate the other one of two members */
        store_tag(w, target, &w->plan->structs[type->refers_to], 1 - w->plan->fields[value].tag);
    }
    return true;
}

static bool choose(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                   uint32_t number, mmbpy_union *state)
{
    if (state->chosen != MMB_NONE && state->chosen != number) {
        return mmbpy_stager_fail(w, PyExc_ValueError,
                                 "a union has one member, but %R and %R are given",
                                 w->self->names[state->chosen], w->self->names[number]);
    }
    state->chosen = number;
    store_tag(w, target, type, w->plan->fields[number].tag);
    return true;
}

/* Write the value that was given for a field. */
bool mmbpy_row_put(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                   uint32_t number, PyObject *value, mmbpy_union *state)
{
    const mmb_plan_field *field = &w->plan->fields[number];
    if (field->tag == MMB_NONE && value != Py_None) {
        bool is_done = mmbpy_put_simple(w, target, field, value);
        if (is_done || PyErr_Occurred()) {
            return is_done;
        }
    }
    mmbpy_step step = {.up = w->step, .name = w->self->names[number]};
    bool good;
    w->step = &step;
    note_field(w, target, field);
    if (field->tag == MMB_NONE) {
        good =
            value == Py_None ? write_none(w, target, field) : write_value(w, target, field, value);
    } else if (value == Py_None) {
        mmbpy_note_null(w, state, number);
        good = true;
    } else {
        w->step = step.up;
        good = choose(w, target, type, number, state);
        w->step = &step;
        good = good && write_value(w, target, field, value);
    }
    w->step = step.up;
    w->code_runs++; /* that of the value */
    return good;
}

/* Return the only Void member of a union; MMB_NONE if there is none, or more than one. */
static uint32_t only_void(const mmbpy_stager *w, const mmb_plan_struct *type)
{
    uint32_t found = MMB_NONE;
    for (uint32_t i = 0; i < type->members; i++) {
        uint32_t field = w->plan->members[type->first_member + i];
        if (field != MMB_NONE && w->plan->types[w->plan->fields[field].type].kind == MMB_VOID) {
            if (found != MMB_NONE) {
                return MMB_NONE;
            }
            found = field;
        }
    }
    return found;
}

/* Choose the active member of a union if only None was given for its members. It is a Void
 * member that was named; or the only member that was named, if it is a pointer, which is null
 * then; or else the only Void member of the union. */
bool mmbpy_row_finish_union(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                            mmbpy_union *state)
{
    if (type->members == 0 || state->chosen != MMB_NONE) {
        return true;
    }
    if (state->nulls == 0) {
        return !w->wants_all ||
               mmbpy_stager_fail(w, PyExc_ValueError, "no member of the union is given");
    }
    uint32_t chosen = state->void_member;
    if (chosen == MMB_NONE && state->nulls == 1) {
        mmb_type_kind kind = w->plan->types[w->plan->fields[state->null_member].type].kind;
        chosen = mmb_kind_bits(kind) == 0 ? state->null_member : only_void(w, type);
    } else if (chosen == MMB_NONE) {
        chosen = only_void(w, type);
    }
    if (chosen == MMB_NONE && w->refuses_none) {
        return mmbpy_stager_fail(w, PyExc_TypeError,
                                 "all members of the union are None, and none stands for that");
    }
    return chosen == MMB_NONE || choose(w, target, type, chosen, state);
}

/* ---- dicts ---------------------------------------------------------------------------- */

/* Find the number of the field with a name; MMB_NONE if there is none. Return -1 with an
 * exception. */
int mmbpy_row_field(const mmbpy_stager *w, uint32_t type, PyObject *name, uint32_t *number)
{
    PyObject *found = PyDict_GetItemWithError(w->self->fields_by_name[type], name);
    *number = MMB_NONE;
    if (found != NULL) {
        *number = (uint32_t)PyLong_AsUnsignedLong(found);
    }
    return found == NULL && PyErr_Occurred() ? -1 : 0;
}

static bool is_tag_name(PyObject *key)
{
    return PyUnicode_Check(key) && PyUnicode_CompareWithASCIIString(key, "@which") == 0;
}

/* Store the tag from the name of the active member. */
static bool put_tag(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *value,
                    mmbpy_union *state)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    uint32_t field = MMB_NONE;
    if (PyUnicode_Check(value) && mmbpy_row_field(w, number, value, &field) < 0) {
        return false;
    }
    if (field == MMB_NONE || w->plan->fields[field].tag == MMB_NONE) {
        return mmbpy_stager_fail(w, PyExc_ValueError, "@which: the union has no member %R", value);
    }
    return choose(w, target, type, field, state);
}

bool mmbpy_row_unknown(const mmbpy_stager *w, PyObject *name)
{
    return w->ignores_extra ||
           mmbpy_stager_fail(w, PyExc_ValueError, "the schema has no field %R%s", name,
                             w->can_ignore_extra ? " (extra=\"ignore\" leaves it out)" : "");
}

bool mmbpy_row_missing(const mmbpy_stager *w, uint32_t number)
{
    return !w->wants_all || w->plan->fields[number].tag != MMB_NONE ||
           w->plan->types[w->plan->fields[number].type].kind == MMB_VOID ||
           mmbpy_stager_fail(w, PyExc_ValueError, "the field %R is missing",
                             w->self->names[number]);
}

/* Write a dict by its keys. This is for dicts with keys that are no fields, or with few of very
 * many fields. */
static bool put_keys(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *dict,
                     bool values, mmbpy_union *state)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    PyObject *keys = PyDict_Keys(dict);
    bool good = keys != NULL;
    Py_ssize_t count = good ? PyList_Size(keys) : 0;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *key = PyList_GetItem(keys, i);
        uint32_t field;
        good = key != NULL && mmbpy_row_field(w, number, key, &field) == 0;
        bool is_tag = good && field == MMB_NONE && type->members != 0 && is_tag_name(key);
        if (good && field == MMB_NONE && !is_tag) {
            good = mmbpy_row_unknown(w, key);
        } else if (good && (values || is_tag)) {
            PyObject *value;
            int there = MMBPY_DICT_GET(dict, key, &value);
            if (there <= 0) { /* code of another value has taken the key out */
                good = there == 0;
                continue;
            }
            good = is_tag ? put_tag(w, target, number, value, state)
                          : mmbpy_row_put(w, target, type, field, value, state);
            Py_DECREF(value);
        }
    }
    Py_XDECREF(keys);
    return good;
}

bool mmbpy_write_dict(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *dict)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    mmbpy_union state = MMBPY_NO_UNION;
    Py_ssize_t size = PyDict_Size(dict);
    if (!w->wants_all && (size_t)type->count > 4u * (size_t)size + 8) {
        return put_keys(w, target, number, dict, true, &state) &&
               mmbpy_row_finish_union(w, target, type, &state);
    }
    Py_ssize_t found = 0;
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        PyObject *value;
        int there = MMBPY_DICT_GET(dict, w->self->names[i], &value);
        if (there <= 0) {
            if (there < 0 || !mmbpy_row_missing(w, i)) {
                return false;
            }
            continue;
        }
        found++;
        bool good = mmbpy_row_put(w, target, type, i, value, &state);
        Py_DECREF(value);
        if (!good) {
            return false;
        }
    }
    if (found != size && !put_keys(w, target, number, dict, false, &state)) {
        return false;
    }
    return mmbpy_row_finish_union(w, target, type, &state);
}

/* ---- tuples --------------------------------------------------------------------------- */

static bool write_tuple(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *tuple)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    mmbpy_union state = MMBPY_NO_UNION;
    bool is_row = w->order != NULL && w->depth == 1;
    uint32_t count = is_row ? w->order_count : type->count;
    Py_ssize_t size = PySequence_Size(tuple);
    if (size != (Py_ssize_t)count) {
        return size >= 0 &&
               mmbpy_stager_fail(w, PyExc_ValueError, "%zd values are given for %u fields", size,
                                 (unsigned)count);
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *value = PySequence_GetItem(tuple, (Py_ssize_t)i);
        w->code_runs++; /* that of a class made from tuple or list */
        bool good =
            value != NULL &&
            mmbpy_row_put(w, target, type, is_row ? w->order[i] : type->first + i, value, &state);
        Py_XDECREF(value);
        if (!good) {
            return false;
        }
    }
    return mmbpy_row_finish_union(w, target, type, &state);
}

/* ---- structs and lists ------------------------------------------------------------------ */

/* Return 1, 0, or -1 with an exception. */
static int is_named_tuple(const mmbpy_stager *w, PyObject *value)
{
    return PyTuple_Check(value) && !PyTuple_CheckExact(value)
               ? mmbpy_has(w->state, value, "_fields")
               : 0;
}

/* Write the values that the fast way has left. */
static bool put_later(mmbpy_stager *w, mmbpy_target target, uint32_t number, mmbpy_put_off *later,
                      mmbpy_union *state)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    bool good = true;
    for (uint32_t i = 0; i < later->count; i++) {
        good = good && mmbpy_row_put(w, target, type, later->fields[i], later->values[i], state);
        Py_DECREF(later->values[i]);
    }
    return good && mmbpy_row_finish_union(w, target, type, state);
}

static bool write_sections(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    mmbpy_union state = MMBPY_NO_UNION;
    mmbpy_put_off later;
    if (mmbpy_put_simple_row(w, target, type, value, &state, &later)) {
        return later.count == 0 || put_later(w, target, type, &later, &state);
    }
    if (PyErr_Occurred()) {
        return false;
    }
    w->code_runs++;
    if (PyDict_Check(value)) {
        return mmbpy_write_dict(w, target, type, value);
    }
    int is_named = is_named_tuple(w, value);
    if (is_named < 0) {
        return false;
    }
    if (PyList_Check(value) || (PyTuple_Check(value) && is_named == 0)) {
        return write_tuple(w, target, type, value);
    }
    PyObject *dict = mmbpy_as_dict(value);
    if (dict != NULL) {
        bool good = mmbpy_write_dict(w, target, type, dict);
        Py_DECREF(dict);
        return good;
    }
    return !PyErr_Occurred() && mmbpy_write_object(w, target, type, value);
}

bool mmbpy_write_record(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    if (w->depth == MMB_MOST_DEPTH) {
        return mmbpy_stager_fail(w, PyExc_ValueError, "structs and lists are nested too deeply");
    }
    w->depth++;
    bool good = write_sections(w, target, type, value);
    w->depth--;
    return good;
}
