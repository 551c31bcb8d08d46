/* stage_type.c - `_core.Stage`: holds converted rows until they are put into a message. */

#include "stage_type.h"
#include "column_args.h"
#include "segment_view.h"

mmbpy_stage *mmbpy_stage_new(mmbpy_state *state, int what)
{
    PyTypeObject *type = state->stage_type;
    mmbpy_stage *self = (mmbpy_stage *)mmbpy_new_object(type);
    if (self != NULL) {
        self->what = what;
    }
    return self;
}

static void stage_dealloc(PyObject *object)
{
    mmb_stage_free(&((mmbpy_stage *)object)->stage);
    mmbpy_free_object(object);
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

/* The rooms that a stage is put into. `first` is for the rows of a new list, if there is one. */
typedef struct {
    mmb_room list[MMB_MAX_SEGMENTS + 1];
    uint32_t count;
} room_list;

static bool get_rooms(PyObject *tuple, room_list *rooms)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count < 1 || count > (Py_ssize_t)MMB_MAX_SEGMENTS + 1) {
        PyErr_SetString(PyExc_ValueError, "a stage needs a room for each section");
        return false;
    }
    for (rooms->count = 0; rooms->count < count; rooms->count++) {
        PyObject *room = PyTuple_GetItem(tuple, rooms->count);
        if (!PyTuple_Check(room)) {
            PyErr_SetString(PyExc_TypeError, "a room is a tuple");
            return false;
        }
        if (!mmbpy_room_get(room, &rooms->list[rooms->count])) {
            return false;
        }
    }
    return true;
}

static int too_few_rooms(uint32_t segment, uint64_t word, mmb_flaw *flaw)
{
    *flaw = (mmb_flaw){.segment = segment,
                       .word = (uint32_t)word,
                       .reason = "there are not as many rooms as the stage needs"};
    return MMB_EMESSAGE;
}

/* Return whether the stage can become a new list. */
static bool is_list(const mmbpy_stage *self)
{
    return self->what == MMBPY_ROWS || self->stage.is_pointer_list;
}

/* Put the stage into the segments. Its heap or its rows go into rooms, which may be in `map`. */
static int put_stage(mmbpy_stage *self, const mmbpy_memory *memory, uint32_t segment, uint64_t word,
                     const room_list *rooms, const list_part *part, mmb_map *map, mmb_flaw *flaw)
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
    uint32_t sections = mmb_stage_section_count(stage);
    if (is_list(self) && target.kind == MMB_TO_NOTHING) {
        bool behind = rooms->count == 1;
        return !behind && rooms->count != 1 + sections
                   ? too_few_rooms(segment, word, flaw)
                   : mmb_stage_put_list(stage, memory->segments, memory->count, segment, word,
                                        rooms->list, behind ? NULL : rooms->list + 1, flaw);
    }
    if (rooms->count != sections) {
        return too_few_rooms(segment, word, flaw);
    }
    if (self->what == MMBPY_POINTER) {
        return mmb_stage_put_pointer(stage, memory->segments, memory->count, segment, word,
                                     rooms->list, flaw);
    }
    return mmb_stage_put_rows(stage, memory->segments, memory->count, &target, rooms->list, flaw);
}

PyDoc_STRVAR(put_doc,
             "put($self, segments, segment, word, rooms, part=None, /)\n--\n\n"
             "Put the stage into a message: into the object that the pointer at word of\n"
             "segment leads to, or into a new list if the pointer is null.\n\n"
             "A room is (segment, word, words), zeroed. A new list takes one room, or one for its\n"
             "rows and one for each of the sections; rows in place take one for each section.\n"
             "With part, which is (first, count), only these elements of a list of structs are\n"
             "replaced.");

static PyObject *stage_put(PyObject *object, PyObject *args)
{
    mmbpy_stage *self = (mmbpy_stage *)object;
    PyObject *tuple, *room_tuples, *part_tuple = Py_None, *result = NULL;
    unsigned int segment;
    unsigned long long word;
    mmbpy_memory memory = {0};
    room_list rooms;
    list_part part = {0};
    mmb_flaw flaw = {0};
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    if (state == NULL || !PyArg_ParseTuple(args, "O!IKO!|O:put", &PyTuple_Type, &tuple, &segment,
                                           &word, &PyTuple_Type, &room_tuples, &part_tuple)) {
        return NULL;
    }
    part.is_all = part_tuple == Py_None;
    if (!part.is_all && !PyArg_ParseTuple(part_tuple, "KK:put", &part.first, &part.count)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, true, &memory) && get_rooms(room_tuples, &rooms)) {
        uint32_t number = rooms.list[0].segment; /* all segments are of one map, or of none */
        mmbpy_map *map =
            number < memory.count ? mmbpy_map_of_view(state, PyTuple_GetItem(tuple, number)) : NULL;
        mmb_map *core = map == NULL ? NULL : mmbpy_map_enter(map);
        int error = 0;
        if (map == NULL || core != NULL) {
            Py_BEGIN_ALLOW_THREADS
            error = put_stage(self, &memory, segment, word, &rooms, &part, core, &flaw);
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
    mmb_room room = {0};
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

static PyObject *get_list_words(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(mmb_stage_list_words(&((mmbpy_stage *)self)->stage));
}

static PyObject *get_list_head(PyObject *object, void *Py_UNUSED(unused))
{
    const mmbpy_stage *self = (const mmbpy_stage *)object;
    return PyLong_FromUnsignedLongLong(is_list(self) ? mmb_stage_list_head(&self->stage) : 0);
}

static PyObject *get_sections(PyObject *self, void *Py_UNUSED(unused))
{
    const mmb_stage *stage = &((mmbpy_stage *)self)->stage;
    uint32_t count = mmb_stage_section_count(stage);
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        mmb_stage_section section = mmb_stage_section_at(stage, i);
        PyObject *pair = Py_BuildValue("KK", (unsigned long long)section.words,
                                       (unsigned long long)section.pointers);
        if (pair == NULL || PyList_SetItem(list, (Py_ssize_t)i, pair) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyGetSetDef stage_getset[] = {
    {"list_words", get_list_words, NULL, "The words of room that a new list takes.", NULL},
    {"list_head", get_list_head, NULL,
     "The same without what the rows lead to; 0 if it can be no new list.", NULL},
    {"sections", get_sections, NULL,
     "What the rows lead to, by rooms: the words, and how many more in another segment.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef stage_members[] = {
    {"what", T_INT, offsetof(mmbpy_stage, what), READONLY, "What it holds: see Plan.stage."},
    {"count", T_ULONGLONG, offsetof(mmbpy_stage, stage.count), READONLY, "The number of rows."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef stage_methods[] = {
    {"put", stage_put, METH_VARARGS, put_doc},
    {"put_record", stage_put_record, METH_VARARGS, put_record_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(stage_doc, "Rows in the format of a message, until they are put into one.");

static PyType_Slot stage_slots[] = {
    {Py_tp_doc, (void *)stage_doc}, {Py_tp_dealloc, stage_dealloc}, {Py_tp_methods, stage_methods},
    {Py_tp_getset, stage_getset},   {Py_tp_members, stage_members}, {0, NULL},
};

MMBPY_SPEC(stage, "Stage", Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE)
