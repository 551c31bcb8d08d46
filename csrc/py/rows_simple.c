/* rows_simple.c - writes rows whose values are simple. See rows_in.h.
 *
 * A value is *simple* if looking at it runs no code of Python. An int, a float, a bool, a str,
 * bytes and None are simple if they are of just that class; a dict, a list, a tuple, or an object
 * of a class that is known is simple if its values are. Nearly all rows have only simple values.
 * While no code runs, nothing changes: so a dict can be read in its own order, and the place of the
 * stager need not be noted. A value that is not simple, or wrong, is left as it was found, and the
 * general way then writes it, or says what is wrong.
 *
 * Three things run code all the same, and cannot be told without a loss: a key in the dict of an
 * object that is no str, by its __eq__; a property that was added to a class since it was looked
 * up; and up to Python 3.11 the cycle collector, when an exception is made. So whatever may lead to
 * them is held by a reference, and the length of a list is not relied on. What such code raises
 * stays set, as does an error of memory, and the general way is not tried. */

#include "numbers_simple.h"

#include <string.h>

/* Without a GIL other threads can change a value while we look at it. */
static bool may_be_simple(const mmbpy_stager *w)
{
    return MMBPY_HAS_GIL && w->is_simple;
}

/* ---- what pointers lead to ---------------------------------------------------------------- */

static bool put_pointer(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                        PyObject *value);
static bool put_record(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *value);

static bool put_bytes(mmbpy_stager *w, uint64_t pointer, bool text, PyObject *value)
{
    Py_ssize_t length;
    const char *bytes;
    if (PyUnicode_CheckExact(value)) {
        bytes = PyUnicode_AsUTF8AndSize(value, &length);
        if (bytes == NULL) {
            mmbpy_forget(PyExc_UnicodeError);
            return false;
        }
    } else if (!text && PyBytes_CheckExact(value)) {
        bytes = PyBytes_AsString(value);
        length = PyBytes_Size(value);
    } else {
        return false;
    }
    return mmb_stage_bytes(w->stage, pointer, bytes, (uint64_t)length, text) == 0;
}

/* The elements of a list or a tuple. */
typedef struct {
    PyObject *from;
    Py_ssize_t count;
    bool is_list;
} sequence;

static inline PyObject *item_of(const sequence *s, Py_ssize_t index)
{
    return s->is_list ? PyList_GetItem(s->from, index) : PyTuple_GetItem(s->from, index);
}

/* Return a new reference, or NULL if the list has become shorter. */
static PyObject *hold_item(const sequence *s, Py_ssize_t index)
{
    PyObject *item = Py_XNewRef(item_of(s, index));
    if (item == NULL) {
        mmbpy_forget(PyExc_IndexError);
    }
    return item;
}

/* Store the numbers of a list; callers give constants. */
static inline bool put_run(const mmbpy_stager *w, uint64_t place, mmb_type_kind kind,
                           uint32_t refers_to, uint32_t width, const sequence *from)
{
    unsigned char *at = mmb_stage_at(w->stage, place);
    bool good = true;
    for (Py_ssize_t i = 0; good && i < from->count; i++) {
        good = mmbpy_put_simple_number(w, at, (uint64_t)i * width, kind, refers_to, 0,
                                       item_of(from, i));
    }
    return good;
}

static bool put_numbers(const mmbpy_stager *w, uint64_t place, const mmb_plan_type *type,
                        const sequence *from)
{
    if (type->meaning.what == MMB_DECIMAL) { /* the stored value of a decimal is not an int */
        return false;
    }
    switch (type->kind) {
    case MMB_INT32:
        return put_run(w, place, MMB_INT32, 0, 32, from);
    case MMB_INT64:
        return put_run(w, place, MMB_INT64, 0, 64, from);
    case MMB_FLOAT32:
        return put_run(w, place, MMB_FLOAT32, 0, 32, from);
    case MMB_FLOAT64:
        return put_run(w, place, MMB_FLOAT64, 0, 64, from);
    default:
        return put_run(w, place, type->kind, type->refers_to, mmb_kind_bits(type->kind), from);
    }
}

static bool put_list(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *element,
                     const sequence *from)
{
    uint64_t place;
    uint64_t count = (uint64_t)from->count;
    if (element->kind == MMB_STRUCT) {
        const mmb_plan_struct *record = &w->plan->structs[element->refers_to];
        mmbpy_target target = {.data_words = record->data_words};
        if (mmb_stage_structs(w->stage, pointer, count, record->data_words, record->pointer_words,
                              &target.place) != 0) {
            return false;
        }
        for (Py_ssize_t i = 0; i < from->count; i++) {
            PyObject *item = hold_item(from, i);
            bool good = item != NULL && put_record(w, target, element->refers_to, item);
            Py_XDECREF(item);
            if (!good) {
                return false;
            }
            target.place += (uint64_t)record->data_words + record->pointer_words;
        }
        return true;
    }
    if (mmb_stage_list(w->stage, pointer, element->kind, count, &place) != 0) {
        return false;
    }
    if (!mmb_kind_is_pointer(element->kind)) {
        return put_numbers(w, place, element, from);
    }
    for (Py_ssize_t i = 0; i < from->count; i++) {
        PyObject *item = hold_item(from, i);
        bool good =
            item == Py_None || (item != NULL && put_pointer(w, place + (uint64_t)i, element, item));
        Py_XDECREF(item);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool put_struct(mmbpy_stager *w, uint64_t pointer, uint32_t type, PyObject *value)
{
    const mmb_plan_struct *record = &w->plan->structs[type];
    mmbpy_target target = {.data_words = record->data_words};
    return mmb_stage_struct(w->stage, pointer, record->data_words, record->pointer_words,
                            &target.place) == 0 &&
           put_record(w, target, type, value);
}

static bool put_nested(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                       PyObject *value)
{
    if (type->kind == MMB_STRUCT) {
        return put_struct(w, pointer, type->refers_to, value);
    }
    sequence from = {.from = value, .is_list = PyList_CheckExact(value)};
    if (type->kind != MMB_LIST || (!from.is_list && !PyTuple_CheckExact(value))) {
        return false;
    }
    from.count = from.is_list ? PyList_Size(value) : PyTuple_Size(value);
    return put_list(w, pointer, &w->plan->types[type->refers_to], &from);
}

/* Write a value that is not None. If it is not simple, the pointer becomes null again. */
static bool put_pointer(mmbpy_stager *w, uint64_t pointer, const mmb_plan_type *type,
                        PyObject *value)
{
    if (type->kind == MMB_TEXT || type->kind == MMB_DATA) {
        return type->meaning.what == MMB_MEANS_NUMBER &&
               put_bytes(w, pointer, type->kind == MMB_TEXT, value);
    }
    if (w->depth == MMB_MOST_DEPTH) {
        return false;
    }
    uint64_t before = w->stage->heap.words;
    w->depth++;
    bool good = put_nested(w, pointer, type, value);
    w->depth--;
    if (!good) {
        w->wasted += w->stage->heap.words - before;
        mmb_stage_take_back(w->stage, before);
        mmb__store64(mmb_stage_at(w->stage, pointer), 0);
    }
    return good;
}

/* ---- structs ------------------------------------------------------------------------- */

/* Write a value that is not None to a field that is no group. */
static inline bool put_value(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field,
                             PyObject *value)
{
    const mmb_plan_type *type = &w->plan->types[field->type];
    if (mmb_kind_is_pointer(type->kind)) {
        return put_pointer(w, target.place + target.data_words + field->offset, type, value);
    }
    return type->meaning.what != MMB_DECIMAL &&
           mmbpy_put_simple_number(w, mmb_stage_at(w->stage, target.place), field->offset,
                                   type->kind, type->refers_to, field->default_bits, value);
}

bool mmbpy_put_simple(mmbpy_stager *w, mmbpy_target target, const mmb_plan_field *field,
                      PyObject *value)
{
    return may_be_simple(w) && w->plan->types[field->type].kind != MMB_GROUP &&
           put_value(w, target, field, value);
}

/* Return whether None is stored in such a field as zeros, which are there already. */
static bool takes_none(const mmbpy_stager *w, mmb_type_kind kind)
{
    return !w->refuses_none || mmb_kind_bits(kind) == 0;
}

static void store_tag(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                      uint32_t tag)
{
    mmb_stage_store(w->stage, target.place, type->tag_offset, 16, tag);
}

/* Write a group: the values of its fields, or for a nullable group its value. */
static bool put_group(mmbpy_stager *w, mmbpy_target target, uint32_t group, PyObject *value)
{
    uint32_t inner = mmb_plan_nullable(w->plan, group);
    const mmb_plan_struct *type = &w->plan->structs[group];
    if (inner == MMB_NONE) {
        return value == Py_None || put_record(w, target, group, value);
    }
    const mmb_plan_field *bare = &w->plan->fields[inner];
    if (value == Py_None) {
        store_tag(w, target, type, 1 - bare->tag);
        return true;
    }
    mmb_type_kind kind = w->plan->types[bare->type].kind;
    if (kind == MMB_STRUCT || kind == MMB_LIST) { /* both are possible */
        return false;
    }
    if (PyDict_CheckExact(value) || PyTuple_CheckExact(value)) {
        return put_record(w, target, group, value);
    }
    store_tag(w, target, type, bare->tag);
    return put_value(w, target, bare, value);
}

/* Write a field of a struct. It may be a member of its union. */
static inline bool put_field(mmbpy_stager *w, mmbpy_target target, const mmb_plan_struct *type,
                             uint32_t number, PyObject *value, mmbpy_union *state)
{
    const mmb_plan_field *field = &w->plan->fields[number];
    const mmb_plan_type *kind = &w->plan->types[field->type];
    if (field->tag != MMB_NONE) {
        if (value == Py_None) {
            mmbpy_note_null(w, state, number);
            return true;
        }
        if (state->chosen != MMB_NONE && state->chosen != number) {
            return false;
        }
        state->chosen = number;
        store_tag(w, target, type, field->tag);
    }
    if (kind->kind == MMB_GROUP) {
        return put_group(w, target, kind->refers_to, value);
    }
    return value == Py_None ? takes_none(w, kind->kind) : put_value(w, target, field, value);
}

bool mmbpy_put_simple_field(mmbpy_stager *w, mmbpy_target target, uint32_t type, uint32_t number,
                            PyObject *value, mmbpy_union *state)
{
    return may_be_simple(w) && w->plan->types[w->plan->fields[number].type].kind != MMB_GROUP &&
           put_field(w, target, &w->plan->structs[type], number, value, state);
}

/* Return whether nothing is left to be decided about the union. */
static bool is_settled(const mmbpy_stager *w, const mmb_plan_struct *type, const mmbpy_union *state)
{
    return type->members == 0 || state->chosen != MMB_NONE || (state->nulls == 0 && !w->wants_all);
}

uint32_t mmbpy_field_of_simple_key(const mmbpy_stager *w, uint32_t type, PyObject *key)
{
    if (!PyUnicode_CheckExact(key)) {
        return MMB_NONE;
    }
    PyObject *found = PyDict_GetItemWithError(w->self->fields_by_name[type], key);
    return found == NULL ? MMB_NONE : (uint32_t)PyLong_AsUnsignedLong(found);
}

/* Leave a value that is not simple for later. Return false if there is no room for it, or if it
 * has raised an exception. */
static bool put_off(const mmbpy_stager *w, uint32_t field, PyObject *value, mmbpy_put_off *later)
{
    bool is_group = w->plan->types[w->plan->fields[field].type].kind == MMB_GROUP;
    if (later == NULL || later->count == MMBPY_MOST_PUT_OFF || is_group || PyErr_Occurred()) {
        return false;
    }
    later->fields[later->count] = field;
    later->values[later->count++] = Py_NewRef(value);
    return true;
}

/* Write a dict in its own order. Usually that is the order of the fields, and then not even a
 * hash is looked up. */
static bool put_dict(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *dict,
                     mmbpy_union *state, mmbpy_put_off *later)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    uint32_t next = type->first, end = type->first + type->count, found = 0;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &position, &key, &value)) {
        uint32_t field = next < end && key == w->self->names[next]
                             ? next
                             : mmbpy_field_of_simple_key(w, number, key);
        if (field == MMB_NONE) {
            return false;
        }
        Py_INCREF(value);
        bool good =
            put_field(w, target, type, field, value, state) || put_off(w, field, value, later);
        Py_DECREF(value);
        if (!good) {
            return false;
        }
        next = field + 1;
        found++;
    }
    return !w->wants_all || found == type->count;
}

/* Write a tuple. `order` says which fields its values are for; NULL: all. */
static bool put_tuple(mmbpy_stager *w, mmbpy_target target, uint32_t number, PyObject *tuple,
                      const uint32_t *order, uint32_t count, mmbpy_union *state,
                      mmbpy_put_off *later)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    if (PyTuple_Size(tuple) != (Py_ssize_t)count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        PyObject *value = PyTuple_GetItem(tuple, (Py_ssize_t)i);
        uint32_t field = order != NULL ? order[i] : type->first + i;
        if (!put_field(w, target, type, field, value, state) && !put_off(w, field, value, later)) {
            return false;
        }
    }
    return true;
}

/* Write an object whose class is known. */
static bool put_object(mmbpy_stager *w, mmbpy_target target, uint32_t number,
                       const mmbpy_row_class *known, PyObject *object, mmbpy_union *state,
                       mmbpy_put_off *later)
{
    const mmb_plan_struct *type = &w->plan->structs[number];
    descrgetfunc read_slot = (descrgetfunc)PyType_GetSlot(&PyMemberDescr_Type, Py_tp_descr_get);
    bool may_have_changed = known->looked_up_at != w->code_runs;
    uint32_t found = 0;
    w->code_runs += may_have_changed ? 1 : 0; /* that of a property which the class has now */
    for (uint32_t i = 0; i < known->count; i++) {
        const mmbpy_row_attribute *attribute = &known->attributes[i];
        PyObject *value =
            mmbpy_read_known(known, read_slot, attribute,
                             may_have_changed ? MMBPY_FROM_OBJECT : attribute->access, object);
        if (value == NULL || value == known->unset) {
            Py_XDECREF(value);
            if (value == NULL && !mmbpy_forget(PyExc_AttributeError)) {
                return false;
            }
            continue;
        }
        bool good = put_field(w, target, type, attribute->field, value, state) ||
                    put_off(w, attribute->field, value, later);
        Py_DECREF(value); /* its object has it, too */
        if (!good) {
            return false;
        }
        found++;
    }
    return w->wants_all ? found == type->count : found != 0 || known->says || type->count == 0;
}

/* Write a struct or group inside another one. */
static bool put_record(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *value)
{
    mmbpy_union state = MMBPY_NO_UNION;
    bool good = false;
    if (w->depth == MMB_MOST_DEPTH) {
        return false;
    }
    w->depth++;
    if (PyDict_CheckExact(value)) {
        good = put_dict(w, target, type, value, &state, NULL);
    } else if (PyTuple_CheckExact(value)) {
        good = put_tuple(w, target, type, value, NULL, w->plan->structs[type].count, &state, NULL);
    } else {
        const mmbpy_row_class *known = mmbpy_know_class(w, type, value);
        good = known != NULL && put_object(w, target, type, known, value, &state, NULL);
    }
    w->depth--;
    return good && is_settled(w, &w->plan->structs[type], &state);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Stop trying the fast way if it often fails, since each try then costs time. */
static void stop_trying(mmbpy_stager *w)
{
    enum { FREE_WORDS = 1 << 12 };
    uint64_t moved = w->stage->file == NULL ? 0 : w->stage->file->end / MMB_WORD;
    uint64_t laid = w->stage->rows.words + w->stage->heap.words + moved;
    w->is_simple = w->is_simple && w->wasted <= FREE_WORDS + laid / 4;
}

/* `known` is what is known of the class of a row that is an object; NULL: it is none. */
static bool put_row(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *row,
                    const mmbpy_row_class *known, mmbpy_union *state, mmbpy_put_off *later)
{
    if (PyDict_CheckExact(row)) {
        return put_dict(w, target, type, row, state, later);
    }
    if (known != NULL) {
        return put_object(w, target, type, known, row, state, later);
    }
    bool has_order = w->order != NULL && w->depth == 1;
    return put_tuple(w, target, type, row, has_order ? w->order : NULL,
                     has_order ? w->order_count : w->plan->structs[type].count, state, later);
}

bool mmbpy_put_simple_row(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *row,
                          mmbpy_union *state, mmbpy_put_off *later)
{
    uint64_t before = w->stage->heap.words;
    const mmb_plan_struct *layout = &w->plan->structs[type];
    later->count = 0;
    if (!may_be_simple(w) || layout->is_group) {
        return false;
    }
    const mmbpy_row_class *known = NULL;
    if (!PyDict_CheckExact(row) && !PyTuple_CheckExact(row)) {
        known = mmbpy_know_class(w, type, row);
        if (known == NULL) {
            return false;
        }
    }
    bool good = put_row(w, target, type, row, known, state, later) &&
                (later->count != 0 || is_settled(w, layout, state));
    if (!good) {
        uint64_t words = (uint64_t)layout->data_words + layout->pointer_words;
        w->wasted += w->stage->heap.words - before + words;
        while (later->count != 0) {
            Py_DECREF(later->values[--later->count]);
        }
        mmb_stage_take_back(w->stage, before);
        memset(mmb_stage_at(w->stage, target.place), 0, (size_t)(words * MMB_WORD));
        *state = MMBPY_NO_UNION;
    }
    stop_trying(w);
    return good;
}

bool mmbpy_put_simple_keywords(mmbpy_stager *w, mmbpy_target target, uint32_t type, PyObject *names,
                               PyObject *const *values)
{
    const mmb_plan_struct *layout = &w->plan->structs[type];
    mmbpy_union state = MMBPY_NO_UNION;
    uint32_t next = layout->first, end = layout->first + layout->count;
    Py_ssize_t count = PyTuple_Size(names);
    bool good = may_be_simple(w);
    for (Py_ssize_t i = 0; good && i < count; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        uint32_t field = next < end && name == w->self->names[next]
                             ? next
                             : mmbpy_field_of_simple_key(w, type, name);
        good = field != MMB_NONE && put_field(w, target, layout, field, values[i], &state);
        next = field + 1;
    }
    return good && is_settled(w, layout, &state);
}
