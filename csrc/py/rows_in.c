/* rows_in.c - dicts, tuples and objects into structs of a stage. See rows_in.h. */

#include "rows_in.h"

#include <stdarg.h>
#include <string.h>

/* ---- errors ------------------------------------------------------------------------- */

/* "row 7, field phones[2].number: ", or less. Steps are listed from the inside. */
static PyObject *where(const mmbpy_writer *w)
{
    PyObject *path = PyUnicode_FromString("");
    const mmbpy_step *row = NULL;
    for (const mmbpy_step *step = w->step; path != NULL && step != NULL; step = step->up) {
        if (step->up == NULL && step->name == NULL) {
            row = step;
            break;
        }
        Py_ssize_t length = PyUnicode_GetLength(path);
        bool dot = length > 0 && PyUnicode_ReadChar(path, 0) != '[';
        PyObject *longer =
            step->name != NULL
                ? PyUnicode_FromFormat("%U%s%U", step->name, dot ? "." : "", path)
                : PyUnicode_FromFormat("[%zd]%s%U", step->index, dot ? "." : "", path);
        Py_DECREF(path);
        path = longer;
    }
    if (path == NULL) {
        return NULL;
    }
    const char *field = PyUnicode_GetLength(path) > 0 ? "field " : "";
    PyObject *text;
    if (row != NULL) {
        text = PyUnicode_FromFormat("row %zd%s%s%U: ", row->index, *field ? ", " : "", field, path);
    } else {
        text = PyUnicode_FromFormat("%s%U%s", field, path, *field ? ": " : "");
    }
    Py_DECREF(path);
    return text;
}

bool mmbpy_writer_fail(const mmbpy_writer *w, PyObject *kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *what = PyUnicode_FromFormatV(format, args);
    va_end(args);
    PyObject *place = what == NULL ? NULL : where(w);
    if (place != NULL) {
        PyErr_Format(kind, "%U%U", place, what);
    }
    Py_XDECREF(place);
    Py_XDECREF(what);
    return false;
}

bool mmbpy_writer_fail_stage(const mmbpy_writer *w, int error)
{
    if (error == MMB_ECAPACITY) {
        PyObject *kind = w->state->capacity_error;
        return mmbpy_writer_fail(w, kind,
                                 "more than a list, or the 4 GiB of one segment, can hold; "
                                 "write the rows in several calls");
    }
    PyErr_NoMemory();
    return false;
}

/* ---- one field ------------------------------------------------------------------------ */

/* What is known of the union of a struct that is being written. */
typedef struct {
    uint32_t chosen;      /* the field that is active; MMB_NONE: not known yet */
    uint32_t nulls;       /* members that were given as None */
    uint32_t null_member; /* the last of them */
    uint32_t void_member; /* the first of them that is Void; or MMB_NONE */
} union_state;

static const union_state no_union = {MMB_NONE, 0, MMB_NONE, MMB_NONE};

static bool write_group(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *value);

/* Note that bits of the rows were written, where only those are to be replaced. */
static void note_bits(mmbpy_writer *w, mmbpy_target target, uint32_t offset, uint32_t bits)
{
    if (w->stage->mask != NULL && (target.place & MMB_IN_HEAP) == 0 && bits != 0) {
        uint64_t ones = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
        w->stage->mask[offset / 64] |= ones << (offset % 64);
    }
}

static void note_field(mmbpy_writer *w, mmbpy_target target, const mmb_plan_field *field)
{
    mmb_type_kind kind = w->plan->types[field->type].kind;
    bool pointer = mmb_kind_is_pointer(kind);
    note_bits(w, target, pointer ? 64 * (target.data_words + field->offset) : field->offset,
              pointer ? 64 : mmb_kind_bits(kind));
}

static void store_tag(mmbpy_writer *w, mmbpy_target target, const mmb_plan_struct *type,
                      uint32_t tag)
{
    mmb_stage_store(w->stage, target.place, type->tag_offset, 16, tag);
    note_bits(w, target, type->tag_offset, 16);
}

/* Store a value that is not None. */
static bool write_value(mmbpy_writer *w, mmbpy_target target, const mmb_plan_field *field,
                        PyObject *value)
{
    const mmb_plan_type *type = &w->plan->types[field->type];
    if (type->kind == MMB_GROUP) {
        return write_group(w, target, type->target, value);
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

/* None: a null pointer, or a number that is not given. */
static bool write_none(mmbpy_writer *w, const mmb_plan_field *field)
{
    mmb_type_kind kind = w->plan->types[field->type].kind;
    if (w->refuses_none && mmb_kind_bits(kind) != 0) {
        return mmbpy_writer_fail(w, PyExc_TypeError, "None is no value of a number");
    }
    return true;
}

static bool choose(mmbpy_writer *w, mmbpy_target target, const mmb_plan_struct *type,
                   uint32_t number, union_state *state)
{
    if (state->chosen != MMB_NONE && state->chosen != number) {
        return mmbpy_writer_fail(w, PyExc_ValueError,
                                 "a union has one member, but %R and %R are given",
                                 w->self->names[state->chosen], w->self->names[number]);
    }
    state->chosen = number;
    store_tag(w, target, type, w->plan->fields[number].tag);
    return true;
}

/* Deal with what was given for a field. */
static bool put(mmbpy_writer *w, mmbpy_target target, const mmb_plan_struct *type, uint32_t number,
                PyObject *value, union_state *state)
{
    const mmb_plan_field *field = &w->plan->fields[number];
    mmbpy_step step = {.up = w->step, .name = w->self->names[number]};
    bool good;
    w->step = &step;
    note_field(w, target, field);
    if (field->tag == MMB_NONE) {
        good = value == Py_None ? write_none(w, field) : write_value(w, target, field, value);
    } else if (value == Py_None) {
        state->nulls++;
        state->null_member = number;
        if (state->void_member == MMB_NONE && w->plan->types[field->type].kind == MMB_VOID) {
            state->void_member = number;
        }
        good = true;
    } else {
        w->step = step.up;
        good = choose(w, target, type, number, state);
        w->step = &step;
        good = good && write_value(w, target, field, value);
    }
    w->step = step.up;
    return good;
}

/* The only Void member of a union, or MMB_NONE. */
static uint32_t only_void(const mmbpy_writer *w, const mmb_plan_struct *type)
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

/* Choose the member of a union of which no value was given that is not None: a Void one
 * that was named; the one pointer that was, and is null; the one that stands for null. */
static bool finish_union(mmbpy_writer *w, mmbpy_target target, const mmb_plan_struct *type,
                         union_state *state)
{
    if (type->members == 0 || state->chosen != MMB_NONE) {
        return true;
    }
    if (state->nulls == 0) {
        return !w->wants_all ||
               mmbpy_writer_fail(w, PyExc_ValueError, "no member of the union is given");
    }
    uint32_t chosen = state->void_member;
    if (chosen == MMB_NONE && state->nulls == 1) {
        mmb_type_kind kind = w->plan->types[w->plan->fields[state->null_member].type].kind;
        chosen = mmb_kind_bits(kind) == 0 ? state->null_member : only_void(w, type);
    } else if (chosen == MMB_NONE) {
        chosen = only_void(w, type);
    }
    if (chosen == MMB_NONE && w->refuses_none) {
        return mmbpy_writer_fail(w, PyExc_TypeError,
                                 "all members of the union are None, and none stands for that");
    }
    return chosen == MMB_NONE || choose(w, target, type, chosen, state);
}

/* ---- dicts ---------------------------------------------------------------------------- */

/* The number of the field of a name, or MMB_NONE; -1 with an exception. */
static int field_of(const mmbpy_writer *w, uint32_t type, PyObject *name, uint32_t *number)
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

/* The name of the active member. */
static bool put_tag(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *value,
                    union_state *state)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    uint32_t field = MMB_NONE;
    if (PyUnicode_Check(value) && field_of(w, number, value, &field) < 0) {
        return false;
    }
    if (field == MMB_NONE || w->plan->fields[field].tag == MMB_NONE) {
        return mmbpy_writer_fail(w, PyExc_ValueError, "@which: the union has no member %R", value);
    }
    return choose(w, target, type, field, state);
}

static bool unknown(const mmbpy_writer *w, PyObject *name)
{
    return w->ignores_extra ||
           mmbpy_writer_fail(w, PyExc_ValueError,
                             "the schema has no field %R (extra=\"ignore\" leaves it out)", name);
}

static bool missing(const mmbpy_writer *w, uint32_t number)
{
    return !w->wants_all || w->plan->fields[number].tag != MMB_NONE ||
           w->plan->types[w->plan->fields[number].type].kind == MMB_VOID ||
           mmbpy_writer_fail(w, PyExc_ValueError, "the field %R is missing",
                             w->self->names[number]);
}

/* By the keys: where a dict has keys that are no fields, or few of very many fields. */
static bool put_keys(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *dict,
                     bool values, union_state *state)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    PyObject *keys = PyDict_Keys(dict);
    bool good = keys != NULL;
    Py_ssize_t count = good ? PyList_Size(keys) : 0;
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *key = PyList_GetItem(keys, i);
        uint32_t field;
        good = key != NULL && field_of(w, number, key, &field) == 0;
        bool is_tag = good && field == MMB_NONE && type->members != 0 && is_tag_name(key);
        if (good && field == MMB_NONE && !is_tag) {
            good = unknown(w, key);
        } else if (good && (values || is_tag)) {
            PyObject *value;
            int there = MMBPY_DICT_GET(dict, key, &value);
            if (there <= 0) { /* code of another value has taken it out */
                good = there == 0;
                continue;
            }
            good = is_tag ? put_tag(w, target, number, value, state)
                          : put(w, target, type, field, value, state);
            Py_DECREF(value);
        }
    }
    Py_XDECREF(keys);
    return good;
}

static bool write_dict(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *dict)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    union_state state = no_union;
    Py_ssize_t size = PyDict_Size(dict);
    if (!w->wants_all && (size_t)type->count > 4u * (size_t)size + 8) {
        return put_keys(w, target, number, dict, true, &state) &&
               finish_union(w, target, type, &state);
    }
    Py_ssize_t found = 0;
    for (uint32_t i = type->first; i < type->first + type->count; i++) {
        PyObject *value;
        int there = MMBPY_DICT_GET(dict, w->self->names[i], &value);
        if (there <= 0) {
            if (there < 0 || !missing(w, i)) {
                return false;
            }
            continue;
        }
        found++;
        bool good = put(w, target, type, i, value, &state);
        Py_DECREF(value);
        if (!good) {
            return false;
        }
    }
    if (found != size && !put_keys(w, target, number, dict, false, &state)) {
        return false;
    }
    return finish_union(w, target, type, &state);
}

/* ---- tuples --------------------------------------------------------------------------- */

static bool write_tuple(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *tuple)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    union_state state = no_union;
    bool is_row = w->order != NULL && w->depth == 1;
    uint32_t count = is_row ? w->order_count : type->count;
    if (PySequence_Size(tuple) != (Py_ssize_t)count) {
        return mmbpy_writer_fail(w, PyExc_ValueError, "%zd values are given for %u fields",
                                 PySequence_Size(tuple), (unsigned)count);
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *value = PySequence_GetItem(tuple, (Py_ssize_t)i);
        bool good = value != NULL &&
                    put(w, target, type, is_row ? w->order[i] : type->first + i, value, &state);
        Py_XDECREF(value);
        if (!good) {
            return false;
        }
    }
    return finish_union(w, target, type, &state);
}

/* ---- objects -------------------------------------------------------------------------- */

/* The fields of a class that names them: all of them must be fields of the struct. */
static bool take_names(mmbpy_writer *w, uint32_t number, PyObject *names, mmbpy_row_class *known)
{
    Py_ssize_t count = PyTuple_Size(names);
    if (count < 0) {
        return false;
    }
    known->fields = PyMem_Calloc((size_t)count + 1, sizeof *known->fields);
    if (known->fields == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        uint32_t field;
        if (field_of(w, number, name, &field) < 0) {
            return false;
        }
        if (field != MMB_NONE) {
            known->fields[known->count++] = field;
        } else if (!unknown(w, name)) {
            return false;
        }
    }
    known->says = true;
    return true;
}

static bool take_all(mmbpy_writer *w, uint32_t number, mmbpy_row_class *known)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    known->fields = PyMem_Calloc((size_t)type->count + 1, sizeof *known->fields);
    if (known->fields == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (uint32_t i = 0; i < type->count; i++) {
        known->fields[known->count++] = type->first + i;
    }
    return true;
}

/* Find out which attributes objects of a class have for the struct; kept until another
 * class comes. */
static bool learn_class(mmbpy_writer *w, uint32_t number, PyTypeObject *class)
{
    mmbpy_row_class *known = &w->classes[number];
    mmbpy_row_class found = {0};
    PyObject *names = PyObject_CallFunctionObjArgs(w->describe, (PyObject *)class, NULL);
    bool good = names != NULL && (names == Py_None ? take_all(w, number, &found)
                                                   : take_names(w, number, names, &found));
    Py_XDECREF(names);
    if (!good) {
        PyMem_Free(found.fields);
        return false;
    }
    PyTypeObject *old = known->type;
    PyMem_Free(known->fields);
    *known = found;
    known->type = (PyTypeObject *)Py_NewRef((PyObject *)class);
    Py_XDECREF((PyObject *)old);
    return true;
}

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

static bool write_object(mmbpy_writer *w, mmbpy_target target, uint32_t number, PyObject *value)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    mmbpy_row_class *known = &w->classes[number];
    union_state state = no_union;
    if (PyUnicode_Check(value) || PyBytes_Check(value) || PyLong_Check(value) ||
        PyFloat_Check(value) || value == Py_None) {
        return no_row(w, value);
    }
    if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
        return false;
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        uint32_t field = known->fields[i];
        PyObject *attribute = PyObject_GetAttr(value, w->self->names[field]);
        if (attribute == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return false;
            }
            PyErr_Clear();
            if (!missing(w, field)) {
                return false;
            }
            continue;
        }
        found++;
        bool good = put(w, target, type, field, attribute, &state);
        Py_DECREF(attribute);
        if (!good) {
            return false;
        }
        /* Code of an attribute may have written rows of another class. */
        if (known->type != Py_TYPE(value) && !learn_class(w, number, Py_TYPE(value))) {
            return false;
        }
    }
    if (found == 0 && !known->says && type->count != 0) {
        return no_row(w, value);
    }
    for (uint32_t i = type->first; w->wants_all && known->says && i < type->first + type->count;
         i++) {
        bool has = false;
        for (uint32_t k = 0; k < known->count; k++) {
            has = has || known->fields[k] == i;
        }
        if (!has && !missing(w, i)) {
            return false;
        }
    }
    return finish_union(w, target, type, &state);
}

/* ---- structs and lists ------------------------------------------------------------------ */

/* Mappings that are no dicts, as one. A new reference; NULL without an exception: it is no
 * mapping. */
static PyObject *as_dict(PyObject *value)
{
    if (PyUnicode_Check(value) || PyTuple_Check(value) || PyList_Check(value) ||
        !PyMapping_Check(value)) {
        return NULL;
    }
    PyObject *keys = PyObject_GetAttrString(value, "keys");
    if (keys == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
        }
        return NULL;
    }
    Py_DECREF(keys);
    PyObject *dict = PyDict_New();
    if (dict != NULL && PyDict_Update(dict, value) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

static bool is_named_tuple(PyObject *value)
{
    return !PyTuple_CheckExact(value) && PyObject_HasAttrString(value, "_fields");
}

static bool write_sections(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    if (PyDict_Check(value)) {
        return write_dict(w, target, type, value);
    }
    if (PyList_Check(value) || (PyTuple_Check(value) && !is_named_tuple(value))) {
        return write_tuple(w, target, type, value);
    }
    PyObject *dict = as_dict(value);
    if (dict != NULL) {
        bool good = write_dict(w, target, type, dict);
        Py_DECREF(dict);
        return good;
    }
    return !PyErr_Occurred() && write_object(w, target, type, value);
}

bool mmbpy_write_record(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    if (w->depth == MMB_MOST_DEPTH) {
        return mmbpy_writer_fail(w, PyExc_ValueError, "structs and lists are nested too deeply");
    }
    w->depth++;
    bool good = write_sections(w, target, type, value);
    w->depth--;
    return good;
}

static bool write_group(mmbpy_writer *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    return mmbpy_write_record(w, target, type, value);
}

/* Element `index` of the list at `place`. */
static bool write_element(mmbpy_writer *w, const mmb_plan_type *type, uint64_t place,
                          Py_ssize_t index, PyObject *value)
{
    uint64_t i = (uint64_t)index;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->target];
        uint64_t words = (uint64_t)record->data_words + record->pointer_words;
        mmbpy_target target = {place + i * words, record->data_words};
        return mmbpy_write_record(w, target, type->target, value);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        return value == Py_None || mmbpy_write_pointer(w, place + i, type, value);
    }
    uint64_t bits;
    if (!mmbpy_number_bits(w, type, value, &bits)) {
        return false;
    }
    uint32_t width = mmb_kind_bits(type->kind);
    mmb_stage_store(w->stage, place, i * width, width, bits);
    return true;
}

static bool write_elements(mmbpy_writer *w, uint64_t pointer, const mmb_plan_type *type,
                           PyObject *sequence)
{
    bool is_list = PyList_Check(sequence);
    Py_ssize_t count = is_list ? PyList_Size(sequence) : PyTuple_Size(sequence);
    uint64_t place;
    int error;
    if (type->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[type->target];
        error = mmb_stage_structs(w->stage, pointer, (uint64_t)count, record->data_words,
                                  record->pointer_words, &place);
    } else {
        error = mmb_stage_list(w->stage, pointer, type->kind, (uint64_t)count, &place);
    }
    if (error != 0) {
        return mmbpy_writer_fail_stage(w, error);
    }
    mmbpy_step step = {.up = w->step};
    bool good = true;
    w->step = &step;
    for (; good && step.index < count; step.index++) {
        PyObject *item =
            is_list ? PyList_GetItem(sequence, step.index) : PyTuple_GetItem(sequence, step.index);
        if (item == NULL) { /* code of a value has made the list shorter */
            PyErr_Clear();
            good = mmbpy_writer_fail(w, PyExc_RuntimeError, "the list changed while it was read");
            break;
        }
        Py_INCREF(item);
        good = write_element(w, type, place, step.index, item);
        Py_DECREF(item);
    }
    w->step = step.up;
    return good;
}

static bool write_list(mmbpy_writer *w, uint64_t pointer, const mmb_plan_type *element,
                       PyObject *value)
{
    int done = mmbpy_write_buffer(w, pointer, element->kind, value);
    if (done != 0) {
        return done > 0;
    }
    if (PyUnicode_Check(value) || PyDict_Check(value) || PyBytes_Check(value)) {
        PyObject *name = mmbpy_type_name(value);
        if (name != NULL) {
            mmbpy_writer_fail(w, PyExc_TypeError, "a list cannot be made of %U", name);
            Py_DECREF(name);
        }
        return false;
    }
    PyObject *sequence;
    if (PyTuple_Check(value) || PyList_Check(value)) {
        sequence = MMBPY_SNAPSHOT(value);
    } else {
        sequence = PySequence_Tuple(value);
        /* The slot, not the attribute: nothing may be asked of Python while an error is set. */
        if (sequence == NULL && PyErr_ExceptionMatches(PyExc_TypeError) &&
            PyType_GetSlot(Py_TYPE(value), Py_tp_iter) == NULL) {
            PyErr_Clear();
            PyObject *name = mmbpy_type_name(value);
            if (name != NULL) {
                mmbpy_writer_fail(w, PyExc_TypeError, "a list cannot be made of %U", name);
                Py_DECREF(name);
            }
        }
    }
    if (sequence == NULL) {
        return false;
    }
    bool good = write_elements(w, pointer, element, sequence);
    Py_DECREF(sequence);
    return good;
}

bool mmbpy_write_pointer(mmbpy_writer *w, uint64_t pointer, const mmb_plan_type *type,
                         PyObject *value)
{
    if (type->kind == MMB_TEXT || type->kind == MMB_DATA) {
        return mmbpy_write_bytes(w, pointer, type->kind == MMB_TEXT, value);
    }
    if (type->kind != MMB_LIST && type->kind != MMB_STRUCT) {
        return mmbpy_writer_fail(w, PyExc_TypeError,
                                 "a pointer of any type, or a capability, can only be set with "
                                 "pycapnp");
    }
    if (w->depth == MMB_MOST_DEPTH) {
        return mmbpy_writer_fail(w, PyExc_ValueError, "structs and lists are nested too deeply");
    }
    w->depth++;
    bool good;
    if (type->kind == MMB_LIST) {
        good = write_list(w, pointer, &w->plan->types[type->target], value);
    } else {
        const mmb_plan_struct *record = &w->plan->structs[type->target];
        mmbpy_target target = {.data_words = record->data_words};
        int error = mmb_stage_struct(w->stage, pointer, record->data_words, record->pointer_words,
                                     &target.place);
        good = error == 0 ? mmbpy_write_record(w, target, type->target, value)
                          : mmbpy_writer_fail_stage(w, error);
    }
    w->depth--;
    return good;
}
