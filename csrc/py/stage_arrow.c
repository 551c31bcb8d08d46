/* stage_arrow.c - stages columns of the Arrow PyCapsule interface. */

#include "stage_arrow.h"
#include "arrow_in.h"
#include "arrow_take.h"
#include "plan_type.h"
#include "stage_type.h"

#include <string.h>

/* An input: one column, or a table of several. */
typedef struct {
    mmbpy_arrow arrow;
    bool is_table; /* the columns are children of its arrays */
} input;

/* A column, which comes in parts: from which input, and which child of its arrays. */
typedef struct {
    mmb_arrow_schema schema; /* copy of the input's schema with a name; it owns nothing */
    const input *from;
    int64_t child; /* -1: the arrays themselves are the column */
    uint32_t part; /* number of the present part */
    uint64_t done; /* rows of this part that were staged */
} column;

typedef struct {
    input *inputs;
    column *columns;
    Py_ssize_t input_count;
    uint32_t column_count;
    uint64_t rows;
    bool defaults; /* a missing number becomes the default */
} source;

/* ---- columns ------------------------------------------------------------------------------ */

static void let_go(source *s)
{
    for (Py_ssize_t i = 0; s->inputs != NULL && i < s->input_count; i++) {
        mmbpy_arrow_release(&s->inputs[i].arrow);
    }
    PyMem_Free(s->inputs);
    PyMem_Free(s->columns);
}

static bool damaged(const char *what)
{
    PyErr_Format(PyExc_ValueError, "the table of Arrow is damaged: %s", what);
    return false;
}

/* Return the first row of a batch that is null; -1 if none is. */
static int64_t null_row(const mmb_arrow_array *batch)
{
    const unsigned char *valid =
        batch->n_buffers > 0 && batch->buffers != NULL ? batch->buffers[0] : NULL;
    for (int64_t i = batch->offset; valid != NULL && i < batch->offset + batch->length; i++) {
        if ((valid[i / 8] >> (i % 8) & 1) == 0) {
            return i - batch->offset;
        }
    }
    return -1;
}

/* Check the batches of a table as far as this is needed to find its columns. */
static bool check_table(const input *in)
{
    const mmb_arrow_schema *schema = &in->arrow.schema;
    if (schema->format == NULL || strcmp(schema->format, "+s") != 0) {
        PyErr_SetString(PyExc_TypeError, "a table of Arrow, or an array of structs, is required");
        return false;
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children == NULL || schema->children[i] == NULL) {
            return damaged("a column has no schema");
        }
    }
    uint64_t rows = 0;
    for (uint32_t i = 0; i < in->arrow.count; i++) {
        const mmb_arrow_array *batch = &in->arrow.arrays[i];
        if (batch->n_children != schema->n_children || batch->length < 0 || batch->offset < 0 ||
            batch->length > INT64_MAX / 2 || batch->offset > INT64_MAX / 2) {
            return damaged("a batch has other columns than its schema");
        }
        for (int64_t k = 0; k < batch->n_children; k++) {
            if (batch->children == NULL || batch->children[k] == NULL) {
                return damaged("a column is missing");
            }
        }
        int64_t null = null_row(batch);
        if (null >= 0) {
            PyErr_Format(PyExc_TypeError, "row %llu is missing: structs in a list cannot be null",
                         (unsigned long long)(rows + (uint64_t)null));
            return false;
        }
        rows += (uint64_t)batch->length;
    }
    return true;
}

static bool count_rows(const input *in, uint64_t *rows)
{
    *rows = 0;
    for (uint32_t i = 0; i < in->arrow.count; i++) {
        if (in->arrow.arrays[i].length < 0 || in->arrow.arrays[i].length > INT64_MAX / 2) {
            return damaged("a length is negative");
        }
        *rows += (uint64_t)in->arrow.arrays[i].length;
    }
    return true;
}

static bool add_columns(source *s, const input *in, const char *name)
{
    int64_t count = in->is_table ? in->arrow.schema.n_children : 1;
    column *grown =
        PyMem_Realloc(s->columns, ((size_t)s->column_count + (size_t)count + 1) * sizeof *grown);
    if (grown == NULL) {
        PyErr_NoMemory();
        return false;
    }
    s->columns = grown;
    for (int64_t i = 0; i < count; i++) {
        column *c = &s->columns[s->column_count++];
        *c = (column){.from = in, .child = in->is_table ? i : -1};
        c->schema = in->is_table ? *in->arrow.schema.children[i] : in->arrow.schema;
        if (name != NULL) {
            c->schema.name = name;
        }
    }
    return true;
}

/* Take one item: (name or None for a table, capsule or pair of capsules). */
static bool take(source *s, PyObject *item, input *in)
{
    const char *name;
    PyObject *given;
    uint64_t rows;
    if (!PyArg_ParseTuple(item, "zO:column", &name, &given)) {
        return false;
    }
    if (!mmbpy_arrow_take(given, &in->arrow)) {
        return false;
    }
    in->is_table = name == NULL;
    if ((in->is_table && !check_table(in)) || !count_rows(in, &rows)) {
        return false;
    }
    if (in != s->inputs && rows != s->rows) {
        PyErr_Format(PyExc_ValueError, "column '%s' has %llu values, others have %llu",
                     name != NULL ? name : "", (unsigned long long)rows,
                     (unsigned long long)s->rows);
        return false;
    }
    s->rows = rows;
    return add_columns(s, in, name);
}

static bool take_all(source *s, PyObject *list)
{
    Py_ssize_t count = PyList_Size(list);
    s->inputs = PyMem_Calloc((size_t)count + 1, sizeof *s->inputs);
    if (s->inputs == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        s->input_count++;
        if (!take(s, PyList_GetItem(list, i), &s->inputs[i])) {
            return false;
        }
    }
    return true;
}

/* ---- staging ----------------------------------------------------------------------------------
 */

static bool raise_fault(mmbpy_state *state, const mmb_fault *fault)
{
    PyObject *kind = fault->kind == MMB_FAULT_TYPE       ? PyExc_TypeError
                     : fault->kind == MMB_FAULT_OVERFLOW ? PyExc_OverflowError
                     : fault->kind == MMB_FAULT_NAME     ? PyExc_KeyError
                     : fault->kind == MMB_FAULT_CAPACITY ? state->capacity_error
                                                         : PyExc_ValueError;
    if (fault->kind == MMB_FAULT_MEMORY) {
        PyErr_NoMemory();
    } else if (fault->has_row) {
        PyErr_Format(kind, "column '%s', row %llu: %s", fault->column,
                     (unsigned long long)fault->row, fault->text);
    } else {
        PyErr_Format(kind, "column '%s': %s", fault->column, fault->text);
    }
    return false;
}

/* Return where the column goes on, and in `*left` how many rows that part still has. */
static mmb_arrow_part part_of(column *c, uint64_t *left)
{
    const input *in = c->from;
    while (c->part < in->arrow.count && c->done == (uint64_t)in->arrow.arrays[c->part].length) {
        c->part++;
        c->done = 0;
    }
    const mmb_arrow_array *array = &in->arrow.arrays[c->part];
    *left = (uint64_t)array->length - c->done;
    if (c->child < 0) {
        return (mmb_arrow_part){array, c->done};
    }
    return (mmb_arrow_part){array->children[c->child], (uint64_t)array->offset + c->done};
}

/* How many rows to take at a time, and the sink that gets them. Without a sink (NULL) all rows
 * stay in the stage. */
typedef struct {
    uint64_t most;
    mmbpy_rows_sink *sink;
    void *context;
} taker;

static uint64_t next_range(source *s, uint64_t most, mmb_arrow_part *parts)
{
    uint64_t range = most;
    for (uint32_t i = 0; i < s->column_count; i++) {
        uint64_t left;
        parts[i] = part_of(&s->columns[i], &left);
        range = left < range ? left : range;
    }
    return range;
}

/* Stage all rows, in ranges in which each column is one array, or give them to the sink. Return
 * false with the fault set, or with an exception of the sink. */
static bool stage_ranges(source *s, const mmb_plan *plan, const mmb_binding *binding,
                         mmb_stage *stage, mmb_arrow_part *parts, const taker *t, mmb_fault *fault)
{
    for (uint64_t done = 0; done < s->rows;) {
        uint64_t left = s->rows - done;
        uint64_t range = next_range(s, left < t->most ? left : t->most, parts);
        bool good;
        Py_BEGIN_ALLOW_THREADS
        good = mmb_stage_arrow_rows(stage, plan, binding, parts, range, s->defaults, fault);
        Py_END_ALLOW_THREADS
        if (!good) {
            fault->row += t->sink != NULL ? done : 0;
            return false;
        }
        for (uint32_t i = 0; i < s->column_count; i++) {
            s->columns[i].done += range;
        }
        done += range;
        if (t->sink != NULL) {
            if (!t->sink(t->context, stage)) {
                return false;
            }
            mmb_stage_clear(stage);
        }
    }
    return true;
}

static bool expect_rows(mmb_stage *stage, uint64_t rows, mmb_fault *fault)
{
    int error = mmb_stage_expect(stage, rows);
    *fault = (mmb_fault){.kind = error == MMB_ECAPACITY ? MMB_FAULT_CAPACITY : MMB_FAULT_MEMORY,
                         .text = "more rows than a list can hold"};
    return error == 0;
}

static bool stage_bound(source *s, const mmb_plan *plan, uint32_t record,
                        const mmb_arrow_schema **schemas, mmb_stage *stage, mmb_arrow_part *parts,
                        const taker *t, mmb_fault *fault)
{
    mmb_binding *binding = mmb_bind_columns(plan, record, schemas, s->column_count, fault);
    bool good = binding != NULL && (t->sink != NULL || expect_rows(stage, s->rows, fault)) &&
                stage_ranges(s, plan, binding, stage, parts, t, fault);
    if (good && t->sink == NULL && !mmb_stage_mask_columns(stage, plan, binding)) {
        fault->kind = MMB_FAULT_MEMORY;
        good = false;
    }
    mmb_binding_free(binding);
    return good;
}

static bool stage_rows(mmbpy_state *state, const mmb_plan *plan, uint32_t record, source *s,
                       mmb_stage *stage, const taker *t)
{
    const mmb_plan_struct *type = &plan->structs[record];
    const mmb_arrow_schema **schemas = PyMem_Calloc((size_t)s->column_count + 1, sizeof *schemas);
    mmb_arrow_part *parts = PyMem_Calloc((size_t)s->column_count + 1, sizeof *parts);
    mmb_fault fault = {0};
    bool good = schemas != NULL && parts != NULL;
    mmb_stage_start(stage, type->data_words, type->pointer_words);
    if (!good) {
        PyErr_NoMemory();
    }
    for (uint32_t i = 0; good && i < s->column_count; i++) {
        schemas[i] = &s->columns[i].schema;
    }
    if (good) {
        good = stage_bound(s, plan, record, schemas, stage, parts, t, &fault);
        if (!good && !PyErr_Occurred()) {
            raise_fault(state, &fault);
        }
    }
    PyMem_Free(schemas);
    PyMem_Free(parts);
    return good;
}

bool mmbpy_arrow_each(mmbpy_state *state, const mmb_plan *plan, PyObject *list, uint64_t most,
                      mmbpy_rows_sink *sink, void *context)
{
    source s = {.defaults = true};
    const taker t = {.most = most, .sink = sink, .context = context};
    mmb_stage stage = {0};
    bool good =
        take_all(&s, list) && stage_rows(state, plan, plan->types[0].target, &s, &stage, &t);
    let_go(&s);
    mmb_stage_free(&stage);
    return good;
}

static bool stage_list(mmbpy_state *state, const mmb_plan *plan, uint32_t element, source *s,
                       mmb_stage *stage)
{
    if (s->column_count != 1) {
        PyErr_SetString(PyExc_ValueError, "a list takes one column");
        return false;
    }
    const input *in = s->columns[0].from;
    mmb_arrow_part *parts = PyMem_Calloc((size_t)in->arrow.count + 1, sizeof *parts);
    uint64_t *lengths = PyMem_Calloc((size_t)in->arrow.count + 1, sizeof *lengths);
    mmb_fault fault = {0};
    uint64_t place = 0;
    bool good = parts != NULL && lengths != NULL;
    mmb_stage_start(stage, 0, 1);
    if (!good || mmb_stage_add_row(stage, &place) != 0) {
        PyErr_NoMemory();
        good = false;
    }
    for (uint32_t i = 0; good && i < in->arrow.count; i++) {
        parts[i] = (mmb_arrow_part){&in->arrow.arrays[i], 0};
        lengths[i] = (uint64_t)in->arrow.arrays[i].length;
    }
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        mmb_binding *binding = mmb_bind_elements(plan, element, &s->columns[0].schema, &fault);
        good = binding != NULL && mmb_stage_arrow_list(stage, plan, binding, place, parts, lengths,
                                                       in->arrow.count, s->defaults, &fault);
        mmb_binding_free(binding);
        Py_END_ALLOW_THREADS
        good = good || raise_fault(state, &fault);
    }
    PyMem_Free(parts);
    PyMem_Free(lengths);
    return good;
}

const char mmbpy_plan_stage_arrow_doc[] =
    "stage_arrow($self, type, columns, defaults, /)\n--\n\n"
    "Convert columns of Arrow into the elements of a list of this type.\n\n"
    "columns is a list of (name, capsule): an arrow_array_stream, or a tuple of an\n"
    "arrow_schema and an arrow_array. The name is None for a table. With defaults a\n"
    "missing number gets its default; otherwise it is an error.";

PyObject *mmbpy_plan_stage_arrow(PyObject *object, PyObject *args)
{
    unsigned int type;
    PyObject *list;
    const mmb_plan *plan = ((mmbpy_plan *)object)->plan;
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    source s = {0};
    const taker all = {.most = UINT64_MAX};
    int defaults;
    if (state == NULL ||
        !PyArg_ParseTuple(args, "IO!p:stage_arrow", &type, &PyList_Type, &list, &defaults)) {
        return NULL;
    }
    if (type >= plan->type_count || plan->types[type].kind != MMB_LIST) {
        PyErr_SetString(PyExc_ValueError, "there is no such list");
        return NULL;
    }
    s.defaults = defaults != 0;
    uint32_t element = plan->types[type].target;
    bool structs = plan->types[element].kind == MMB_STRUCT;
    mmbpy_stage *self = mmbpy_stage_new(state, structs ? MMBPY_ROWS : MMBPY_POINTER);
    bool good = self != NULL && take_all(&s, list);
    if (good) {
        good = structs
                   ? stage_rows(state, plan, plan->types[element].target, &s, &self->stage, &all)
                   : stage_list(state, plan, element, &s, &self->stage);
    }
    let_go(&s);
    if (!good) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}
