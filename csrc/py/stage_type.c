/* stage_type.c - `_core.Stage`: holds converted rows until they are put into a message. */

#include "stage_type.h"
#include "column_args.h"
#include "rows_in.h"
#include "segment_view.h"

#include <stdlib.h>

mmbpy_stage *mmbpy_stage_new(mmbpy_state *state, int what)
{
    PyTypeObject *type = state->stage_type;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    mmbpy_stage *self = (mmbpy_stage *)alloc(type, 0);
    if (self != NULL) {
        self->what = what;
    }
    return self;
}

static void stage_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    mmb_stage_free(&((mmbpy_stage *)object)->stage);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

/* ---- making one ----------------------------------------------------------------------- */

static bool add_row(mmbpy_writer *w, uint32_t type, PyObject *row)
{
    uint64_t place;
    mmbpy_step step = {.up = NULL, .index = (Py_ssize_t)w->stage->count};
    w->step = &step;
    int error = mmb_stage_add_row(w->stage, &place);
    mmbpy_target target = {place, w->stage->data_words};
    bool good =
        error == 0 ? mmbpy_write_record(w, target, type, row) : mmbpy_writer_fail_stage(w, error);
    w->step = NULL;
    return good;
}

static bool add_from_list(mmbpy_writer *w, uint32_t type, PyObject *list)
{
    PyObject *rows = MMBPY_SNAPSHOT(list);
    if (rows == NULL) {
        return false;
    }
    bool is_list = PyList_Check(rows), good = true;
    for (Py_ssize_t i = 0; good && i < (is_list ? PyList_Size(rows) : PyTuple_Size(rows)); i++) {
        PyObject *row = is_list ? PyList_GetItem(rows, i) : PyTuple_GetItem(rows, i);
        Py_XINCREF(row);
        good = row != NULL && add_row(w, type, row);
        Py_XDECREF(row);
    }
    Py_DECREF(rows);
    return good;
}

static bool add_from_iterator(mmbpy_writer *w, uint32_t type, PyObject *rows)
{
    PyObject *iterator = PyObject_GetIter(rows);
    bool good = iterator != NULL;
    while (good) {
        PyObject *row = PyIter_Next(iterator);
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

static bool add_rows(mmbpy_writer *w, uint32_t type, PyObject *rows, Py_ssize_t length)
{
    bool sized = PyList_Check(rows) || PyTuple_Check(rows);
    Py_ssize_t expected = sized ? PyObject_Size(rows) : length;
    if (expected > 0) {
        int error = mmb_stage_expect(w->stage, (uint64_t)expected);
        if (error != 0) {
            return mmbpy_writer_fail_stage(w, error);
        }
    }
    bool good = sized ? add_from_list(w, type, rows) : add_from_iterator(w, type, rows);
    if (good && length >= 0 && w->stage->count != (uint64_t)length) {
        PyErr_Format(PyExc_ValueError, "there are %llu rows, but length is %zd",
                     (unsigned long long)w->stage->count, length);
        return false;
    }
    return good;
}

bool mmbpy_writer_set_order(mmbpy_writer *w, uint32_t type, PyObject *fields)
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
                   mmbpy_writer_fail(w, PyExc_ValueError, "fields: the schema has no %R", name);
        }
        uint32_t number = (uint32_t)PyLong_AsUnsignedLong(found);
        for (uint32_t k = 0; k < w->order_count; k++) {
            if (w->order[k] == number) {
                return mmbpy_writer_fail(w, PyExc_ValueError, "fields: %R is named twice", name);
            }
        }
        w->order[w->order_count++] = number;
    }
    return true;
}

void mmbpy_writer_end(mmbpy_writer *w)
{
    for (uint32_t i = 0; w->classes != NULL && i < w->plan->struct_count; i++) {
        Py_XDECREF((PyObject *)w->classes[i].type);
        PyMem_Free(w->classes[i].fields);
    }
    PyMem_Free(w->classes);
    PyMem_Free(w->order);
    w->classes = NULL;
    w->order = NULL;
}

static bool convert(mmbpy_writer *w, int what, const mmb_plan_type *type, PyObject *value,
                    PyObject *fields, Py_ssize_t length)
{
    if (what == MMBPY_POINTER) {
        uint64_t place;
        mmb_stage_start(w->stage, 0, 1);
        int error = mmb_stage_add_row(w->stage, &place);
        return error == 0 ? mmbpy_write_pointer(w, place, type, value)
                          : mmbpy_writer_fail_stage(w, error);
    }
    const mmb_plan_type *record = what == MMBPY_ROWS ? &w->plan->types[type->target] : type;
    const mmb_plan_struct *layout = &w->plan->structs[record->target];
    mmb_stage_start(w->stage, layout->data_words, layout->pointer_words);
    if (w->writes_parts) {
        w->stage->mask = calloc((size_t)layout->data_words + layout->pointer_words + 1, 8);
        if (w->stage->mask == NULL) {
            PyErr_NoMemory();
            return false;
        }
    }
    if (what == MMBPY_ROWS) {
        return mmbpy_writer_set_order(w, record->target, fields) &&
               add_rows(w, record->target, value, length);
    }
    uint64_t place;
    int error = mmb_stage_add_row(w->stage, &place);
    mmbpy_target target = {place, layout->data_words};
    return error == 0 ? mmbpy_write_record(w, target, record->target, value)
                      : mmbpy_writer_fail_stage(w, error);
}

static bool fits(const mmb_plan *plan, int what, unsigned int type)
{
    if (type >= plan->type_count || what < MMBPY_ROWS || what > MMBPY_RECORD) {
        return false;
    }
    const mmb_plan_type *given = &plan->types[type];
    switch (what) {
    case MMBPY_ROWS:
        return given->kind == MMB_LIST && plan->types[given->target].kind == MMB_STRUCT;
    case MMBPY_RECORD:
        return given->kind == MMB_STRUCT;
    default:
        return mmb_kind_is_pointer(given->kind);
    }
}

const char mmbpy_plan_stage_doc[] =
    "stage($self, what, type, value, fields, length, ignore_extra, how, describe, /)\n--\n\n"
    "Convert Python's values into the format of a message.\n\n"
    "what is 0 for the rows of a list of structs, 1 for the value of one pointer, 2\n"
    "for one struct. fields are the names of the values that tuples have, or None.\n"
    "length is how many rows there must be, or -1. how is 1 if a missing field, or\n"
    "None for a number, is an error. It is 2 or 3 if only what is written replaces\n"
    "old values: with 2 None for a number is an error, with 3 it is not. Otherwise it\n"
    "is 0. describe(class) returns the names of the fields of a class, or None.";

PyObject *mmbpy_plan_stage(PyObject *object, PyObject *args)
{
    PyObject *value, *fields;
    unsigned int type;
    Py_ssize_t length;
    int what, ignore_extra, how;
    mmbpy_writer w = {.self = (mmbpy_plan *)object};
    w.plan = w.self->plan;
    w.state = mmbpy_state_of_type(Py_TYPE(object));
    if (w.state == NULL || !PyArg_ParseTuple(args, "iIOOnpiO:stage", &what, &type, &value, &fields,
                                             &length, &ignore_extra, &how, &w.describe)) {
        return NULL;
    }
    if (!fits(w.plan, what, type)) {
        PyErr_SetString(PyExc_ValueError, "there is no such type");
        return NULL;
    }
    w.ignores_extra = ignore_extra != 0;
    w.wants_all = how == 1;
    w.refuses_none = how == 1 || how == 2;
    w.writes_parts = how == 2 || how == 3;
    w.is_simple = !w.writes_parts; /* otherwise each write must be noted */
    mmbpy_stage *self = mmbpy_stage_new(w.state, what);
    if (self != NULL) {
        w.stage = &self->stage;
        if (!convert(&w, what, &w.plan->types[type], value, fields, length)) {
            Py_CLEAR(self);
        }
    }
    mmbpy_writer_end(&w);
    return (PyObject *)self;
}

/* ---- using it -------------------------------------------------------------------------- */

/* From this number of bytes on, a call of write is faster than stores, which take a page fault
 * for each new page. */
enum { WORTH_WRITING = 1 << 16 };

/* A map that was entered to write to it. */
typedef struct {
    mmb_map *core;
    unsigned char *base;
} target_map;

static int write_or_copy(void *context, unsigned char *to, const unsigned char *from,
                         uint64_t bytes)
{
    const target_map *map = context;
    uintptr_t offset = (uintptr_t)to - (uintptr_t)map->base;
    if (bytes >= WORTH_WRITING && offset <= mmb_map_capacity(map->core)) {
        return mmb_map_write(map->core, offset, from, bytes);
    }
    memcpy(to, from, (size_t)bytes);
    return mmb_map_poison(map->core);
}

/* A part of the elements of a list: all of them, or `count` from `first` on. */
typedef struct {
    bool is_all;
    unsigned long long first, count;
} list_part;

/* Let a list object stand for only a part of its elements. */
static int narrow(mmb_object *list, const list_part *part, mmb_flaw *flaw)
{
    uint64_t words = (uint64_t)list->data_words + list->pointer_words;
    if (list->kind != MMB_TO_LIST || part->first > list->elements ||
        part->count > list->elements - part->first) {
        *flaw = (mmb_flaw){.segment = list->segment,
                           .word = list->word,
                           .reason = "the list has not as many elements as it had"};
        return MMB_EMESSAGE;
    }
    list->word += (uint32_t)(part->first * words);
    list->elements = (uint32_t)part->count;
    return 0;
}

/* Put the stage into the segments. Its heap or its rows go into a room, which may be in `map`. */
static int put_stage(mmbpy_stage *self, const mmbpy_memory *memory, uint32_t segment, uint64_t word,
                     const mmb_block *room, const list_part *part, mmb_map *map, mmb_flaw *flaw)
{
    mmb_object target;
    mmb_stage *stage = &self->stage;
    target_map to = {.core = map, .base = map == NULL ? NULL : mmb_map_base(map)};
    stage->copy = to.base == NULL ? NULL : write_or_copy;
    stage->context = &to;
    int error = mmb_resolve(memory->segments, memory->count, segment, word, &target, flaw);
    if (error == 0 && !part->is_all) {
        error = narrow(&target, part, flaw);
    }
    if (error != 0) {
        return error;
    }
    if (self->what == MMBPY_POINTER) {
        return mmb_stage_put_pointer(stage, memory->segments, memory->count, segment, word, room,
                                     flaw);
    }
    if (self->what == MMBPY_ROWS && target.kind == MMB_TO_NOTHING) {
        return mmb_stage_put_list(stage, memory->segments, memory->count, segment, word, room,
                                  flaw);
    }
    return mmb_stage_put_rows(stage, memory->segments, memory->count, &target, room, flaw);
}

PyDoc_STRVAR(put_doc,
             "put($self, segments, segment, word, room, part=None, /)\n--\n\n"
             "Put the stage into a message: into the object that the pointer at word of\n"
             "segment leads to, or into a new list if the pointer is null.\n\n"
             "room is (segment, word, words), zeroed. With part, which is (first, count), only\n"
             "these elements of a list of structs are replaced.");

static PyObject *stage_put(PyObject *object, PyObject *args)
{
    mmbpy_stage *self = (mmbpy_stage *)object;
    PyObject *tuple, *room_tuple, *part_tuple = Py_None, *result = NULL;
    unsigned int segment;
    unsigned long long word;
    mmbpy_memory memory = {0};
    mmb_block room;
    list_part part = {0};
    mmb_flaw flaw = {0};
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    if (state == NULL || !PyArg_ParseTuple(args, "O!IKO!|O:put", &PyTuple_Type, &tuple, &segment,
                                           &word, &PyTuple_Type, &room_tuple, &part_tuple)) {
        return NULL;
    }
    part.is_all = part_tuple == Py_None;
    if (!part.is_all && !PyArg_ParseTuple(part_tuple, "KK:put", &part.first, &part.count)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, true, &memory) && mmbpy_block_get(room_tuple, &room)) {
        mmbpy_map *map = room.segment < memory.count
                             ? mmbpy_map_of_view(state, PyTuple_GetItem(tuple, room.segment))
                             : NULL;
        mmb_map *core = map == NULL ? NULL : mmbpy_map_enter(map);
        int error = 0;
        if (map == NULL || core != NULL) {
            Py_BEGIN_ALLOW_THREADS
            error = put_stage(self, &memory, segment, word, &room, &part, core, &flaw);
            if (core != NULL) {
                mmbpy_map_leave(map);
            }
            Py_END_ALLOW_THREADS
            result = error == 0              ? Py_NewRef(Py_None)
                     : error == MMB_EMESSAGE ? mmbpy_raise_invalid(state, &flaw)
                                             : mmbpy_map_raise(map, error);
        }
        Py_XDECREF((PyObject *)map);
    }
    mmbpy_memory_release(&memory);
    return result;
}

PyDoc_STRVAR(put_record_doc,
             "put_record($self, segments, record, /)\n--\n\n"
             "Put one struct that leads to nothing over a struct of a message. record is\n"
             "(segment, word, data words, pointer words).");

static PyObject *stage_put_record(PyObject *object, PyObject *args)
{
    mmbpy_stage *self = (mmbpy_stage *)object;
    PyObject *tuple, *result = NULL;
    unsigned int segment, word, data_words, pointer_words;
    mmbpy_memory memory = {0};
    mmb_block room = {0};
    mmb_flaw flaw = {0};
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    if (state == NULL || !PyArg_ParseTuple(args, "O!(IIII):put_record", &PyTuple_Type, &tuple,
                                           &segment, &word, &data_words, &pointer_words)) {
        return NULL;
    }
    mmb_object target = {.kind = MMB_TO_STRUCT,
                         .segment = segment,
                         .word = word,
                         .data_words = (uint16_t)data_words,
                         .pointer_words = (uint16_t)pointer_words};
    if (mmbpy_memory_get(tuple, true, &memory)) {
        if (mmb_stage_put_rows(&self->stage, memory.segments, memory.count, &target, &room,
                               &flaw) != 0) {
            mmbpy_raise_invalid(state, &flaw);
        } else {
            result = Py_NewRef(Py_None);
        }
    }
    mmbpy_memory_release(&memory);
    return result;
}

static PyObject *get_count(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(((mmbpy_stage *)self)->stage.count);
}

static PyObject *get_what(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromLong(((mmbpy_stage *)self)->what);
}

static PyObject *get_list_words(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(mmb_stage_list_words(&((mmbpy_stage *)self)->stage));
}

static PyObject *get_heap_words(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(((mmbpy_stage *)self)->stage.heap.words);
}

static PyObject *get_row_pointers(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(mmb_stage_row_pointers(&((mmbpy_stage *)self)->stage));
}

static PyGetSetDef stage_getset[] = {
    {"what", get_what, NULL, "What the stage holds: see Plan.stage.", NULL},
    {"count", get_count, NULL, "The number of rows.", NULL},
    {"list_words", get_list_words, NULL, "The words of room that a new list takes.", NULL},
    {"heap_words", get_heap_words, NULL, "The words that rows in place take.", NULL},
    {"row_pointers", get_row_pointers, NULL, "The additional words in another segment.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef stage_methods[] = {
    {"put", stage_put, METH_VARARGS, put_doc},
    {"put_record", stage_put_record, METH_VARARGS, put_record_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(stage_doc, "Rows in the format of a message, until they are put into one.");

static PyType_Slot stage_slots[] = {
    {Py_tp_doc, (void *)stage_doc},
    {Py_tp_dealloc, stage_dealloc},
    {Py_tp_methods, stage_methods},
    {Py_tp_getset, stage_getset},
    {0, NULL},
};

PyType_Spec mmbpy_stage_spec = {
    .name = "mmapbuilder._core.Stage",
    .basicsize = sizeof(mmbpy_stage),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stage_slots,
};
