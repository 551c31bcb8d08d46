/* columns_type.c - `_core.Columns`: a list of a message as columns of Apache Arrow.
 *
 * Capsules of the Arrow C data interface hand the columns out, so no Arrow library is needed. */

#include "column_args.h"
#include "column_read.h"
#include "column_roots.h"
#include "plan_type.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    PyObject_HEAD mmb_columns *columns; /* holds one reference */
} mmbpy_columns;

/* The most levels that columns may nest. Each level takes a few kilobytes of stack. */
enum { MOST_NESTED = 64 };

/* ---- from a description of the columns -------------------------------------------------- */

static char *copy_string(const char *from)
{
    size_t size = strlen(from) + 1;
    char *to = malloc(size);
    if (to == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    return memcpy(to, from, size);
}

static bool get_conditions(PyObject *list, mmb_column *column)
{
    Py_ssize_t count = PyList_Size(list);
    column->conditions = calloc((size_t)count + 1, sizeof *column->conditions);
    if (column->conditions == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        mmb_condition *condition = &column->conditions[i];
        unsigned int offset, tag;
        if (!PyArg_ParseTuple(PyList_GetItem(list, i), "II:condition", &offset, &tag)) {
            return false;
        }
        *condition = (mmb_condition){offset, tag};
        column->condition_count++;
    }
    return true;
}

/* Return the layout of a column. The format says whether it has views. */
static mmb_column_layout layout_of(const mmb_plan_type *type, const char *format)
{
    if (type->meaning.what == MMB_DECIMAL) {
        return MMB_LAY_DECIMAL;
    }
    switch (type->kind) {
    case MMB_VOID:
        return MMB_LAY_NULL;
    case MMB_BOOL:
        return MMB_LAY_BITS;
    case MMB_TEXT:
    case MMB_DATA:
        return format[0] == 'v' ? MMB_LAY_VIEWS : MMB_LAY_BYTES;
    case MMB_LIST:
        return strcmp(format, "+vL") == 0 ? MMB_LAY_LIST_VIEW : MMB_LAY_LIST;
    case MMB_ENUM:
        return MMB_LAY_NAMES;
    case MMB_STRUCT:
    case MMB_GROUP:
        return MMB_LAY_STRUCT;
    default:
        return MMB_LAY_NUMBERS;
    }
}

/* Set the names of an enum, or those of a union's members by their tags. */
static bool set_names(const mmb_plan *plan, const mmb_plan_type *type, unsigned int record,
                      mmb_column *column)
{
    bool is_tag = column->subject == MMB_FROM_TAG;
    uint32_t count = is_tag ? plan->structs[record].members : plan->enums[type->refers_to].count;
    column->names = calloc((size_t)count + 1, sizeof *column->names);
    if (column->names == NULL) {
        PyErr_NoMemory();
        return false;
    }
    column->name_count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (is_tag) {
            uint32_t field = plan->members[plan->structs[record].first_member + i];
            column->names[i] = field == MMB_NONE ? NULL : plan->fields[field].name;
        } else {
            column->names[i] = plan->enumerants[plan->enums[type->refers_to].first + i];
        }
    }
    return true;
}

/* Check that a column fits its subject, and complete the column. `number` is the number of a type
 * for elements, of a field for a field, and of a struct for a tag or a group. */
static bool set_subject(const mmb_plan *plan, unsigned int number, mmb_column *column)
{
    mmb_plan_type type = {.kind = MMB_GROUP, .refers_to = number};
    bool good;
    switch (column->subject) {
    case MMB_FROM_FIELD:
        good = number < plan->field_count;
        column->number = number;
        type = good ? plan->types[plan->fields[number].type] : type;
        break;
    case MMB_FROM_ELEMENT:
        good = number < plan->type_count;
        type = good ? plan->types[number] : type;
        break;
    case MMB_FROM_TAG:
        good = number < plan->struct_count && plan->structs[number].members != 0;
        type.kind = MMB_ENUM;
        column->tag_offset = good ? plan->structs[number].tag_offset : 0;
        break;
    case MMB_FROM_UNION:
        good = number < plan->struct_count && plan->structs[number].members != 0;
        column->tag_offset = good ? plan->structs[number].tag_offset : 0;
        break;
    case MMB_FROM_NOTHING:
        good = true;
        type.kind = MMB_VOID;
        break;
    default:
        good = column->subject == MMB_FROM_GROUP && number < plan->struct_count;
        break;
    }
    column->kind = type.kind;
    column->layout = layout_of(&type, column->format);
    column->width = type.meaning.precision > 38 ? 32 : 16;
    if (column->subject == MMB_FROM_UNION) {
        column->layout = MMB_LAY_UNION;
    }
    if (!good || type.kind == MMB_ANY_POINTER || type.kind == MMB_INTERFACE ||
        (type.kind == MMB_GROUP && column->subject == MMB_FROM_FIELD)) {
        PyErr_SetString(PyExc_ValueError, "the column shows nothing that the schema has");
        return false;
    }
    return column->layout != MMB_LAY_NAMES || set_names(plan, &type, number, column);
}

static bool get_columns(const mmb_plan *plan, PyObject *list, mmb_column *parent,
                        unsigned int depth);

/* Return whether the children of a column are as its layout needs them. */
static bool check_children(const mmb_column *column)
{
    const mmb_column *inner = column->children;
    mmb_column_layout layout = column->layout;
    bool good = true;
    if (layout == MMB_LAY_LIST || layout == MMB_LAY_LIST_VIEW) {
        good = column->child_count == 1;
    }
    if (good && layout == MMB_LAY_LIST_VIEW) {
        good = inner->subject == MMB_FROM_ELEMENT &&
               (inner->layout == MMB_LAY_NUMBERS || inner->layout == MMB_LAY_BITS);
    }
    if (layout == MMB_LAY_UNION) {
        good = column->child_count > 0 && column->child_count <= 128;
        for (uint32_t i = 0; good && i < column->child_count; i++) {
            good = inner[i].code < 128;
        }
    }
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "the column has other columns than it can have");
    }
    return good;
}

/* Take one column from (name, format, subject, number, nullable, code, conditions, children). */
static bool get_column(const mmb_plan *plan, PyObject *tuple, mmb_column *column,
                       unsigned int depth)
{
    const char *name, *format;
    unsigned int subject, number, code;
    int nullable;
    PyObject *conditions, *children;
    if (!PyArg_ParseTuple(tuple, "ssIIpIO!O!:column", &name, &format, &subject, &number, &nullable,
                          &code, &PyList_Type, &conditions, &PyList_Type, &children)) {
        return false;
    }
    column->name = copy_string(name);
    column->format = copy_string(format);
    column->subject = (mmb_column_subject)subject;
    column->nullable = nullable != 0;
    column->code = code;
    if (column->name == NULL || column->format == NULL || !set_subject(plan, number, column) ||
        !get_conditions(conditions, column) || !get_columns(plan, children, column, depth + 1)) {
        return false;
    }
    return check_children(column);
}

static bool get_columns(const mmb_plan *plan, PyObject *list, mmb_column *parent,
                        unsigned int depth)
{
    Py_ssize_t count = PyList_Size(list);
    if (depth > MOST_NESTED) {
        PyErr_Format(PyExc_ValueError, "columns nest more than %d deep", (int)MOST_NESTED);
        return false;
    }
    if (mmb_column_add_children(parent, (uint32_t)count) != 0) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!get_column(plan, PyList_GetItem(list, i), &parent->children[i], depth)) {
            return false;
        }
    }
    return true;
}

/* Return new columns as a list of Python describes them, or NULL with an exception. */
static mmb_columns *describe(const mmb_plan *plan, PyObject *list)
{
    mmb_columns *columns = mmb_columns_new();
    if (columns == NULL) {
        PyErr_NoMemory();
    } else if (!get_columns(plan, list, &columns->table, 0)) {
        mmb_columns_drop(columns);
        columns = NULL;
    }
    return columns;
}

/* ---- keeping what is borrowed --------------------------------------------------------------- */

/* Free what an array has borrowed. Any thread may release arrays, with or without the GIL. */
static void let_go(void *keeper)
{
    if (Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure();
        Py_DECREF((PyObject *)keeper);
        PyGILState_Release(state);
    }
}

/* ---- making them ----------------------------------------------------------------------------- */

static PyObject *new_columns(mmbpy_state *state, mmb_columns *columns)
{
    PyTypeObject *type = state->columns_type;
    mmbpy_columns *self = (mmbpy_columns *)mmbpy_new_object(type);
    if (self == NULL) {
        mmb_columns_drop(columns);
        return NULL;
    }
    self->columns = columns;
    return (PyObject *)self;
}

/* A range of elements of a list: `stop` is not included, as in slices. */
typedef struct {
    Py_ssize_t start, stop;
} range;

/* Keep only a range of the elements of a span. Bits that begin within a byte are copied to
 * `*bits`, which the caller frees. Return false if there is no memory. */
static bool keep_range(mmb_span *span, range kept, unsigned char **bits)
{
    Py_ssize_t count = PySlice_AdjustIndices((Py_ssize_t)span->count, &kept.start, &kept.stop, 1);
    uint64_t first = (uint64_t)kept.start * span->step_bits;
    span->count = (uint32_t)count;
    if (count == 0 || first == 0) {
        return true;
    }
    span->start += first / 8;
    span->word += first / 64;
    if (first % 8 == 0) {
        return true;
    }
    size_t bytes = ((size_t)count + 7) / 8;
    *bits = calloc(bytes, 1);
    if (*bits == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < span->count; i++) {
        uint64_t from = first % 8 + i;
        unsigned bit = span->start[from / 8] >> (from % 8) & 1u;
        (*bits)[i / 8] |= (unsigned char)(bit << (i % 8));
    }
    span->start = *bits;
    return true;
}

/* Read the list into the columns, and take over the reference to them. */
static PyObject *read_columns(mmbpy_state *state, const mmb_plan *plan, mmb_columns *columns,
                              PyObject *segments, const mmb_plan_type *type, unsigned int segment,
                              unsigned long long word, bool there, bool trusted, bool borrow,
                              bool views, range kept)
{
    mmbpy_memory memory = {0};
    mmb_reading reading;
    mmb_span span = {.is_null = true};
    int error = 0;
    bool borrowed = false;
    unsigned char *bits = NULL;
    if (!mmbpy_memory_get(segments, false, &memory)) {
        mmbpy_memory_release(&memory);
        mmb_columns_drop(columns);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    mmb_reading_start(&reading, memory.segments, memory.count, trusted);
    mmb_reading_use_defaults(&reading, plan);
    if (views) {
        error = mmb_columns_set_windows(columns, memory.segments, memory.count);
    }
    if (error == 0 && there) {
        error = mmb_read_span(&reading, segment, word, plan->types[type->refers_to].kind,
                              columns->table.child_count, &span);
    }
    if (error == 0 && !keep_range(&span, kept, &bits)) {
        error = ENOMEM;
    }
    if (error == 0) {
        error = mmb_columns_read(&reading, plan, columns, &span, borrow, &borrowed);
    }
    free(bits);
    Py_END_ALLOW_THREADS
    if (borrowed || views) {
        columns->keeper = Py_NewRef(segments);
        columns->let_go = let_go;
    }
    mmbpy_memory_release(&memory);
    if (error == 0) {
        return new_columns(state, columns);
    }
    mmb_columns_drop(columns);
    return error == MMB_EMESSAGE ? mmbpy_raise_invalid(state, &reading.flaw) : PyErr_NoMemory();
}

const char mmbpy_plan_columns_doc[] =
    "columns($self, segments, type, pointer, columns, trusted, borrow, views, start, stop, "
    "/)\n--\n\n"
    "Read the list that the pointer (segment, word) leads to into columns; for None\n"
    "an empty list.\n\n"
    "columns is a list of (name, format, subject, number, nullable, code, conditions,\n"
    "children). views: the format of some columns says that they are views. Only the\n"
    "elements of the slice start:stop are read.";

PyObject *mmbpy_plan_columns(PyObject *object, PyObject *args)
{
    PyObject *segments, *pointer, *list;
    unsigned int type, segment = 0;
    unsigned long long word = 0;
    int trusted, borrow, views;
    range kept;
    const mmb_plan *plan = ((mmbpy_plan *)object)->plan;
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    if (state == NULL || !PyArg_ParseTuple(args, "O!IOO!pppnn:columns", &PyTuple_Type, &segments,
                                           &type, &pointer, &PyList_Type, &list, &trusted, &borrow,
                                           &views, &kept.start, &kept.stop)) {
        return NULL;
    }
    if (pointer != Py_None && !PyArg_ParseTuple(pointer, "IK:pointer", &segment, &word)) {
        return NULL;
    }
    if (type >= plan->type_count || plan->types[type].kind != MMB_LIST) {
        PyErr_SetString(PyExc_ValueError, "there is no such list");
        return NULL;
    }
    mmb_columns *columns = describe(plan, list);
    if (columns == NULL) {
        return NULL;
    }
    return read_columns(state, plan, columns, segments, &plan->types[type], segment, word,
                        pointer != Py_None, trusted != 0, borrow != 0, views != 0, kept);
}

const char mmbpy_plan_columns_of_roots_doc[] =
    "columns_of_roots($self, frames, count, first, name, columns, /)\n--\n\n"
    "Read the roots of count messages that lie back to back into columns. first and\n"
    "name are for errors.";

PyObject *mmbpy_plan_columns_of_roots(PyObject *object, PyObject *args)
{
    PyObject *name, *list;
    Py_buffer frames;
    unsigned long long count, first;
    const mmb_plan *plan = ((mmbpy_plan *)object)->plan;
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    if (state == NULL || !PyArg_ParseTuple(args, "y*KKOO!:columns_of_roots", &frames, &count,
                                           &first, &name, &PyList_Type, &list)) {
        return NULL;
    }
    mmb_roots roots = {.frames = frames.buf, .bytes = (uint64_t)frames.len, .count = count};
    mmb_columns *columns = describe(plan, list);
    int error = 0;
    if (columns != NULL) {
        Py_BEGIN_ALLOW_THREADS
        error = mmb_columns_read_roots(&roots, plan, columns);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&frames);
    if (columns == NULL) {
        return NULL;
    }
    if (error == 0) {
        return new_columns(state, columns);
    }
    mmb_columns_drop(columns);
    return error == MMB_EMESSAGE ? mmbpy_raise_in_log(state, &roots.flaw, name, first + roots.bad)
                                 : PyErr_NoMemory();
}

/* ---- capsules ------------------------------------------------------------------------------ */

/* The method that makes one kind of capsule, and what the end of the capsule does. */
#define CAPSULE(what, name)                                                                        \
    static void free_##what(PyObject *capsule)                                                     \
    {                                                                                              \
        mmb_arrow_##what *given = PyCapsule_GetPointer(capsule, name);                             \
        if (given != NULL && given->release != NULL) {                                             \
            given->release(given);                                                                 \
        }                                                                                          \
        PyMem_Free(given);                                                                         \
    }                                                                                              \
                                                                                                   \
    static PyObject *what##_capsule(PyObject *self, PyObject *Py_UNUSED(unused))                   \
    {                                                                                              \
        mmb_arrow_##what *made = PyMem_Calloc(1, sizeof *made);                                    \
        if (made == NULL || mmb_columns_##what(((mmbpy_columns *)self)->columns, made) != 0) {     \
            PyMem_Free(made);                                                                      \
            return PyErr_NoMemory();                                                               \
        }                                                                                          \
        PyObject *capsule = PyCapsule_New(made, name, free_##what);                                \
        if (capsule == NULL) {                                                                     \
            made->release(made);                                                                   \
            PyMem_Free(made);                                                                      \
        }                                                                                          \
        return capsule;                                                                            \
    }
CAPSULE(schema, "arrow_schema")
CAPSULE(array, "arrow_array")
CAPSULE(stream, "arrow_array_stream")

static PyObject *get_rows(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(((mmbpy_columns *)self)->columns->table.length);
}

static void columns_dealloc(PyObject *object)
{
    mmb_columns_drop(((mmbpy_columns *)object)->columns);
    mmbpy_free_object(object);
}

static PyGetSetDef columns_getset[] = {
    {"rows", get_rows, NULL, "The number of rows of the table.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef columns_methods[] = {
    {"schema", schema_capsule, METH_NOARGS, "schema($self, /)\n--\n\nA capsule arrow_schema."},
    {"array", array_capsule, METH_NOARGS, "array($self, /)\n--\n\nA capsule arrow_array."},
    {"stream", stream_capsule, METH_NOARGS,
     "stream($self, /)\n--\n\nA capsule arrow_array_stream."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(columns_doc, "The columns of a table, in memory of their own.");

static PyType_Slot columns_slots[] = {
    {Py_tp_doc, (void *)columns_doc},
    {Py_tp_dealloc, columns_dealloc},
    {Py_tp_methods, columns_methods},
    {Py_tp_getset, columns_getset},
    {0, NULL},
};

MMBPY_SPEC(columns, "Columns", Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE)
