/* stage_make.c - makes a stage of values of Python: `_core.Plan.stage`. */

#include "plan_type.h"
#include "rows_in.h"
#include "stage_file.h"
#include "stage_type.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the file ------------------------------------------------------------------------- */

static bool fail_file(mmbpy_state *state, int error)
{
    if (error == ENOMEM) {
        PyErr_NoMemory();
        return false;
    }
    PyObject *kind = error == MMB_ECAPACITY ? state->capacity_error : PyExc_OSError;
    PyObject *what =
        error == MMB_ECAPACITY
            ? PyObject_CallFunction(kind, "is", EFBIG, "more than the segments of a message hold")
            : PyObject_CallFunction(kind, "is", error,
                                    "the file without a name, in which rows are staged, could not "
                                    "be written");
    if (what != NULL) {
        PyErr_SetObject(kind, what);
        Py_DECREF(what);
    }
    return false;
}

static bool have_file(mmbpy_state *state, mmb_stage *stage, PyObject *make_file)
{
    if (stage->file != NULL) {
        return true;
    }
    PyObject *made = PyObject_CallNoArgs(make_file);
    int fd = made == NULL ? -1 : (int)PyLong_AsLong(made);
    Py_XDECREF(made);
    if (fd < 0) {
        return false;
    }
    int error = mmb_stage_set_file(stage, fd);
    return error == 0 || fail_file(state, error);
}

bool mmbpy_stage_make_way(mmbpy_state *state, mmb_stage *stage, PyObject *make_file)
{
    int error;
    if (!mmb_stage_is_full(stage)) {
        return true;
    }
    if (!have_file(state, stage, make_file)) {
        return false;
    }
    Py_BEGIN_ALLOW_THREADS
    error = mmb_stage_move(stage);
    Py_END_ALLOW_THREADS
    return error == 0 || fail_file(state, error);
}

/* ---- rows ----------------------------------------------------------------------------- */

static bool write_row(mmbpy_stager *w, uint32_t type, uint64_t place, PyObject *row)
{
    mmbpy_target target = {place, w->stage->data_words};
    return mmbpy_write_record(w, target, type, row);
}

static bool write_element(mmbpy_stager *w, uint32_t type, uint64_t place, PyObject *value)
{
    return value == Py_None || mmbpy_write_pointer(w, place, &w->plan->types[type], value);
}

static bool add_row(mmbpy_stager *w, uint32_t type, PyObject *row)
{
    uint64_t place;
    mmbpy_step step = {.up = NULL, .index = (Py_ssize_t)w->stage->count};
    if (mmb_stage_is_full(w->stage)) {
        w->code_runs++; /* that of make_file, and of other threads during the write */
        if (!mmbpy_stage_make_way(w->state, w->stage, w->make_file)) {
            return false;
        }
    }
    w->step = &step;
    int error = mmb_stage_add_row(w->stage, &place);
    bool good = error != 0                  ? mmbpy_stager_fail_stage(w, error)
                : w->stage->is_pointer_list ? write_element(w, type, place, row)
                                            : write_row(w, type, place, row);
    w->step = NULL;
    return good;
}

/* Check that the code of a row has not changed how many rows there are. */
static bool is_whole(const mmbpy_stager *w, PyObject *rows, Py_ssize_t count)
{
    return !PyList_Check(rows) || PyList_Size(rows) == count ||
           mmbpy_stager_fail(w, PyExc_RuntimeError, "the list changed while it was read");
}

/* Return a new reference. */
static PyObject *row_at(PyObject *rows, Py_ssize_t index)
{
    return Py_XNewRef(PyList_Check(rows) ? PyList_GetItem(rows, index)
                                         : PyTuple_GetItem(rows, index));
}

/* Set how many rows are written one by one before the next block: the more, the oftener blocks have
 * failed, since each try takes time. */
static void wait_for_block(mmbpy_stager *w, bool has_failed)
{
    enum { MOST_ALONE = 1 << 16 };
    w->pause = !has_failed ? MMBPY_BLOCK_ROWS : w->pause < MOST_ALONE ? 2 * w->pause : w->pause;
    w->rows_alone = has_failed ? w->pause : 0;
}

/* Add a block of rows from `start` on. Return how many it has. That is 0 if they must be added one
 * by one, and -1 with an exception. */
static Py_ssize_t add_block(mmbpy_stager *w, uint32_t type, PyObject *rows, Py_ssize_t start,
                            Py_ssize_t count)
{
    PyObject *some[MMBPY_BLOCK_ROWS];
    Py_ssize_t left = count - start, number = left < MMBPY_BLOCK_ROWS ? left : MMBPY_BLOCK_ROWS;
    if (w->rows_alone != 0) {
        w->rows_alone--;
        return 0;
    }
    for (Py_ssize_t i = 0; i < number; i++) {
        some[i] = row_at(rows, start + i);
    }
    Py_ssize_t done = mmbpy_put_simple_rows(w, type, some, (uint32_t)number);
    wait_for_block(w, done < number / 2 + 1);
    for (Py_ssize_t i = 0; i < number; i++) {
        Py_DECREF(some[i]);
    }
    return PyErr_Occurred() || !is_whole(w, rows, count) ? -1 : done;
}

static bool add_from_list(mmbpy_stager *w, uint32_t type, PyObject *list)
{
    PyObject *rows = MMBPY_SNAPSHOT(list);
    if (rows == NULL) {
        return false;
    }
    Py_ssize_t done, count = PyList_Check(rows) ? PyList_Size(rows) : PyTuple_Size(rows);
    bool good = true;
    for (Py_ssize_t i = 0; good && i < count; i += done) {
        done = w->stage->is_pointer_list ? 0 : add_block(w, type, rows, i, count);
        good = done >= 0;
        if (done == 0) {
            PyObject *row = row_at(rows, i);
            good = row != NULL && add_row(w, type, row);
            Py_XDECREF(row);
            good = good && is_whole(w, rows, count);
            done = 1;
        }
    }
    Py_DECREF(rows);
    return good;
}

static bool add_from_iterator(mmbpy_stager *w, uint32_t type, PyObject *rows)
{
    PyObject *iterator = PyObject_GetIter(rows);
    bool good = iterator != NULL;
    while (good) {
        PyObject *row = PyIter_Next(iterator);
        w->code_runs++;
        if (row == NULL) {
            good = !PyErr_Occurred();
            break;
        }
        good = add_row(w, type, row);
        Py_DECREF(row);
    }
    Py_XDECREF(iterator);
    return good;
}

static bool add_rows(mmbpy_stager *w, uint32_t type, PyObject *rows, Py_ssize_t length)
{
    bool sized = PyList_Check(rows) || PyTuple_Check(rows);
    Py_ssize_t expected = PyList_Check(rows)    ? PyList_Size(rows)
                          : PyTuple_Check(rows) ? PyTuple_Size(rows)
                                                : length;
    if (expected > 0) {
        int error = mmb_stage_expect(w->stage, (uint64_t)expected);
        if (error != 0) {
            return mmbpy_stager_fail_stage(w, error);
        }
    }
    bool good = sized ? add_from_list(w, type, rows) : add_from_iterator(w, type, rows);
    if (good && length >= 0 && w->stage->count != (uint64_t)length) {
        PyErr_Format(PyExc_ValueError, "there are %llu rows, but length is %zd",
                     (unsigned long long)w->stage->count, length);
        return false;
    }
    return good && mmbpy_stage_make_way(w->state, w->stage, w->make_file);
}

bool mmbpy_stager_set_order(mmbpy_stager *w, uint32_t type, PyObject *fields)
{
    if (fields == Py_None) {
        return true;
    }
    Py_ssize_t count = PyTuple_Size(fields);
    if (count < 0) {
        return false;
    }
    w->order = PyMem_Calloc((size_t)count + 1, sizeof *w->order);
    if (w->order == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GetItem(fields, i);
        PyObject *found = PyDict_GetItemWithError(w->self->fields_by_name[type], name);
        if (found == NULL) {
            return !PyErr_Occurred() &&
                   mmbpy_stager_fail(w, PyExc_ValueError, "fields: the schema has no %R", name);
        }
        uint32_t number = (uint32_t)PyLong_AsUnsignedLong(found);
        for (uint32_t k = 0; k < w->order_count; k++) {
            if (w->order[k] == number) {
                return mmbpy_stager_fail(w, PyExc_ValueError, "fields: %R is named twice", name);
            }
        }
        w->order[w->order_count++] = number;
    }
    return true;
}

void mmbpy_stager_end(mmbpy_stager *w)
{
    for (uint32_t i = 0; w->classes != NULL && i < w->plan->struct_count; i++) {
        mmbpy_forget_class(&w->classes[i]);
    }
    PyMem_Free(w->classes);
    PyMem_Free(w->order);
    w->classes = NULL;
    w->order = NULL;
}

/* ---- the stage ------------------------------------------------------------------------ */

static void use_file(const mmbpy_stager *w)
{
    if (w->make_file != NULL && w->make_file != Py_None) {
        mmb_stage_use_file(w->stage);
    }
}

static bool is_list_of_pointers(const mmb_plan *plan, const mmb_plan_type *type)
{
    mmb_type_kind kind = type->kind == MMB_LIST ? plan->types[type->refers_to].kind : MMB_VOID;
    return kind == MMB_TEXT || kind == MMB_DATA || kind == MMB_LIST;
}

static bool convert(mmbpy_stager *w, int what, const mmb_plan_type *type, PyObject *value,
                    PyObject *fields, Py_ssize_t length)
{
    if (what == MMBPY_POINTER && is_list_of_pointers(w->plan, type) &&
        (PyList_Check(value) || PyTuple_Check(value))) {
        mmb_stage_start(w->stage, 0, 1);
        use_file(w);
        w->stage->is_pointer_list = true;
        w->depth++; /* the elements lie deeper than rows do */
        bool good = add_rows(w, type->refers_to, value, length);
        w->depth--;
        return good;
    }
    if (what == MMBPY_POINTER) {
        uint64_t place;
        mmb_stage_start(w->stage, 0, 1);
        int error = mmb_stage_add_row(w->stage, &place);
        return error == 0 ? mmbpy_write_pointer(w, place, type, value)
                          : mmbpy_stager_fail_stage(w, error);
    }
    const mmb_plan_type *record = what == MMBPY_ROWS ? &w->plan->types[type->refers_to] : type;
    const mmb_plan_struct *layout = &w->plan->structs[record->refers_to];
    mmb_stage_start(w->stage, layout->data_words, layout->pointer_words);
    if (w->writes_parts) {
        w->stage->mask = calloc((size_t)layout->data_words + layout->pointer_words + 1, 8);
        if (w->stage->mask == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    if (what == MMBPY_ROWS) {
        use_file(w);
        return mmbpy_stager_set_order(w, record->refers_to, fields) &&
               add_rows(w, record->refers_to, value, length);
    }
    uint64_t place;
    int error = mmb_stage_add_row(w->stage, &place);
    mmbpy_target target = {place, layout->data_words};
    return error == 0 ? mmbpy_write_record(w, target, record->refers_to, value)
                      : mmbpy_stager_fail_stage(w, error);
}

static bool fits(const mmb_plan *plan, int what, unsigned int type)
{
    if (type >= plan->type_count || what < MMBPY_ROWS || what > MMBPY_RECORD) {
        return false;
    }
    const mmb_plan_type *given = &plan->types[type];
    switch (what) {
    case MMBPY_ROWS:
        return given->kind == MMB_LIST && plan->types[given->refers_to].kind == MMB_STRUCT;
    case MMBPY_RECORD:
        return given->kind == MMB_STRUCT;
    default:
        return mmb_kind_is_pointer(given->kind);
    }
}

const char mmbpy_plan_stage_doc[] =
    "stage($self, what, type, value, fields, length, ignore_extra, how, describe,\n      "
    "make_file=None, /)\n--\n\n"
    "Convert Python's values into the format of a message.\n\n"
    "what is 0 for the rows of a list of structs, 1 for the value of one pointer, 2\n"
    "for one struct. fields are the names of the values that tuples have, or None.\n"
    "length is how many rows there must be, or -1. how is 1 if a missing field, or\n"
    "None for a number, is an error. It is 2 or 3 if only what is written replaces\n"
    "old values: with 2 None for a number is an error, with 3 it is not, nor in lists.\n"
    "Otherwise it is 0. describe(class) returns the names of the fields of a class, or None.\n"
    "make_file() returns the descriptor of a file without a name, which takes the rows of\n"
    "a list that are too many to be kept in memory.";

PyObject *mmbpy_plan_stage(PyObject *object, PyObject *args)
{
    PyObject *value, *fields;
    unsigned int type;
    Py_ssize_t length;
    int what, ignore_extra, how;
    mmbpy_stager w = {.self = (mmbpy_plan *)object};
    w.plan = w.self->plan;
    w.state = mmbpy_state_of_type(Py_TYPE(object));
    if (w.state == NULL ||
        !PyArg_ParseTuple(args, "iIOOnpiO|O:stage", &what, &type, &value, &fields, &length,
                          &ignore_extra, &how, &w.describe, &w.make_file)) {
        return NULL;
    }
    if (!fits(w.plan, what, type)) {
        PyErr_SetString(PyExc_ValueError, "there is no such type");
        return NULL;
    }
    w.ignores_extra = ignore_extra != 0;
    w.can_ignore_extra = how < 2;
    w.wants_all = how == 1;
    w.refuses_none = how == 1 || how == 2;
    w.elements_take_none = how == 3;
    w.writes_parts = how == 2 || how == 3;
    w.is_simple = !w.writes_parts; /* otherwise each write must be noted */
    w.rows_alone = 1;              /* so that the class of the rows becomes known */
    w.pause = MMBPY_BLOCK_ROWS;
    mmbpy_stage *self = mmbpy_stage_new(w.state, what);
    if (self != NULL) {
        w.stage = &self->stage;
        if (!convert(&w, what, &w.plan->types[type], value, fields, length)) {
            Py_CLEAR(self);
        }
    }
    mmbpy_stager_end(&w);
    return (PyObject *)self;
}
