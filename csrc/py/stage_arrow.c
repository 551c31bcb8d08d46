/* stage_arrow.c - stages columns of the Arrow PyCapsule interface. */

#include "stage_arrow.h"
#include "arrow_table.h"
#include "plan_type.h"
#include "stage_file.h"
#include "stage_type.h"

static bool raise_refusal(mmbpy_state *state, const mmb_refusal *refusal)
{
    PyObject *kind = refusal->kind == MMB_REFUSED_TYPE       ? PyExc_TypeError
                     : refusal->kind == MMB_REFUSED_OVERFLOW ? PyExc_OverflowError
                     : refusal->kind == MMB_REFUSED_NAME     ? PyExc_KeyError
                     : refusal->kind == MMB_REFUSED_CAPACITY ? state->capacity_error
                                                             : PyExc_ValueError;
    if (refusal->kind == MMB_REFUSED_MEMORY) {
        PyErr_NoMemory();
    } else if (refusal->has_row) {
        PyErr_Format(kind, "column '%s', row %llu: %s", refusal->column,
                     (unsigned long long)refusal->row, refusal->text);
    } else {
        PyErr_Format(kind, "column '%s': %s", refusal->column, refusal->text);
    }
    return false;
}

/* How many rows to take at a time, and the sink that gets them. Without a sink (NULL) all rows
 * stay in the stage, which may move them to a file. */
typedef struct {
    uint64_t most;
    mmbpy_rows_sink *sink;
    void *context;
    mmbpy_state *state;
    PyObject *make_file; /* borrowed */
} taker;

enum { FIRST_RANGE = 1 << 12, MOST_RANGE = 1 << 18 };

/* Return how many rows to take next, after `range` rows: so many that they hardly fill the stage.
 */
static uint64_t rows_to_take(const mmb_stage *stage, uint64_t range)
{
    uint64_t words = stage->rows.words + stage->heap.words - stage->last_rows - stage->last_heap;
    uint64_t fits = stage->kept / (words / range + 1);
    uint64_t most = 4 * range < MOST_RANGE ? 4 * range : MOST_RANGE;
    return fits == 0 ? 1 : fits < most ? fits : most;
}

/* Stages a range of rows. */
typedef bool range_adder(const void *what, mmb_stage *stage, const mmb_arrow_part *parts,
                         uint64_t range, mmb_refusal *refusal);

/* Add all rows to a stage that has a file, in ranges in which each column is one array. A range of
 * which what it leads to is larger than a segment is taken in parts. */
static bool add_ranges(mmbpy_arrow_table *s, mmb_stage *stage, mmb_arrow_part *parts,
                       const taker *t, range_adder *add, const void *what, mmb_refusal *refusal)
{
    uint64_t most = FIRST_RANGE;
    for (uint64_t done = 0; done < s->rows;) {
        bool good;
        if (!mmbpy_stage_make_way(t->state, stage, t->make_file)) {
            return false;
        }
        uint64_t left = s->rows - done, before = stage->count;
        uint64_t range = mmbpy_table_next(s, left < most ? left : most, parts);
        Py_BEGIN_ALLOW_THREADS
        good = add(what, stage, parts, range, refusal);
        Py_END_ALLOW_THREADS
        if (!good && refusal->kind == MMB_REFUSED_CAPACITY && range > 1) {
            mmb_stage_take_back_rows(stage, stage->count - before);
            most = range / 2;
            continue;
        }
        if (!good) {
            return false;
        }
        mmbpy_table_pass(s, range);
        done += range;
        most = rows_to_take(stage, range);
    }
    return mmbpy_stage_make_way(t->state, stage, t->make_file);
}

/* What is needed to convert values. */
typedef struct {
    const mmb_plan *plan;
    const mmb_binding *binding;
    bool defaults;
} conversion;

static bool add_rows(const void *what, mmb_stage *stage, const mmb_arrow_part *parts,
                     uint64_t range, mmb_refusal *refusal)
{
    const conversion *c = what;
    return mmb_stage_arrow_rows(stage, c->plan, c->binding, parts, range, c->defaults, refusal);
}

static bool add_pointers(const void *what, mmb_stage *stage, const mmb_arrow_part *parts,
                         uint64_t range, mmb_refusal *refusal)
{
    const conversion *c = what;
    return mmb_stage_arrow_pointers(stage, c->plan, c->binding, parts, range, c->defaults, refusal);
}

/* Give all rows to the sink, some at a time. Return false with the refusal set, or with an
 * exception of the sink. */
static bool pass_ranges(mmbpy_arrow_table *s, const conversion *c, mmb_stage *stage,
                        mmb_arrow_part *parts, const taker *t, mmb_refusal *refusal)
{
    for (uint64_t done = 0; done < s->rows;) {
        uint64_t left = s->rows - done;
        uint64_t range = mmbpy_table_next(s, left < t->most ? left : t->most, parts);
        bool good;
        Py_BEGIN_ALLOW_THREADS
        good = add_rows(c, stage, parts, range, refusal);
        Py_END_ALLOW_THREADS
        if (!good) {
            refusal->row += done;
            return false;
        }
        mmbpy_table_pass(s, range);
        done += range;
        if (!t->sink(t->context, stage)) {
            return false;
        }
        mmb_stage_clear(stage);
    }
    return true;
}

static bool expect_rows(mmb_stage *stage, uint64_t rows, mmb_refusal *refusal)
{
    int error = mmb_stage_expect(stage, rows);
    *refusal =
        (mmb_refusal){.kind = error == MMB_ECAPACITY ? MMB_REFUSED_CAPACITY : MMB_REFUSED_MEMORY,
                      .text = "more rows than a list can hold"};
    return error == 0;
}

static bool stage_bound(mmbpy_arrow_table *s, const mmb_plan *plan, uint32_t record,
                        const mmb_arrow_schema **schemas, mmb_stage *stage, mmb_arrow_part *parts,
                        const taker *t, mmb_refusal *refusal)
{
    mmb_binding *binding = mmb_bind_columns(plan, record, schemas, s->column_count, refusal);
    const conversion c = {plan, binding, s->defaults};
    bool good = binding != NULL;
    if (good && t->sink != NULL) {
        good = pass_ranges(s, &c, stage, parts, t, refusal);
    } else if (good) {
        good = expect_rows(stage, s->rows, refusal) &&
               add_ranges(s, stage, parts, t, add_rows, &c, refusal);
        if (good && !mmb_stage_mask_columns(stage, plan, binding)) {
            refusal->kind = MMB_REFUSED_MEMORY;
            good = false;
        }
    }
    mmb_binding_free(binding);
    return good;
}

static bool stage_rows(mmbpy_state *state, const mmb_plan *plan, uint32_t record,
                       mmbpy_arrow_table *s, mmb_stage *stage, const taker *t)
{
    const mmb_plan_struct *type = &plan->structs[record];
    const mmb_arrow_schema **schemas = PyMem_Calloc((size_t)s->column_count + 1, sizeof *schemas);
    mmb_arrow_part *parts = PyMem_Calloc((size_t)s->column_count + 1, sizeof *parts);
    mmb_refusal refusal = {0};
    bool good = schemas != NULL && parts != NULL;
    mmb_stage_start(stage, type->data_words, type->pointer_words);
    if (t->sink == NULL) {
        mmb_stage_use_file(stage);
    }
    if (!good) {
        PyErr_NoMemory();
    }
    for (uint32_t i = 0; good && i < s->column_count; i++) {
        schemas[i] = &s->columns[i].schema;
    }
    if (good) {
        good = stage_bound(s, plan, record, schemas, stage, parts, t, &refusal);
        if (!good && !PyErr_Occurred()) {
            raise_refusal(state, &refusal);
        }
    }
    PyMem_Free(schemas);
    PyMem_Free(parts);
    return good;
}

bool mmbpy_arrow_each(mmbpy_state *state, const mmb_plan *plan, PyObject *list, bool defaults,
                      uint64_t most, mmbpy_rows_sink *sink, void *context)
{
    mmbpy_arrow_table s = {.defaults = defaults};
    const taker t = {.most = most, .sink = sink, .context = context};
    mmb_stage stage = {0};
    bool good = mmbpy_table_take(&s, list) &&
                stage_rows(state, plan, plan->types[0].refers_to, &s, &stage, &t);
    mmbpy_table_let_go(&s);
    mmb_stage_free(&stage);
    return good;
}

/* Stage a list whose elements are pointers: they are the rows. */
static bool stage_pointers(mmbpy_state *state, const mmb_plan *plan, uint32_t element,
                           mmbpy_arrow_table *s, mmb_stage *stage, const taker *t)
{
    mmb_refusal refusal = {0};
    mmb_arrow_part part;
    if (s->column_count != 1) {
        PyErr_SetString(PyExc_ValueError, "a list takes one column");
        return false;
    }
    mmb_stage_start(stage, 0, 1);
    mmb_stage_use_file(stage);
    stage->is_pointer_list = true;
    mmb_binding *binding = mmb_bind_elements(plan, element, &s->columns[0].schema, &refusal);
    const conversion c = {plan, binding, s->defaults};
    bool good = binding != NULL && expect_rows(stage, s->rows, &refusal) &&
                add_ranges(s, stage, &part, t, add_pointers, &c, &refusal);
    mmb_binding_free(binding);
    if (!good && !PyErr_Occurred()) {
        raise_refusal(state, &refusal);
    }
    return good;
}

static bool stage_list(mmbpy_state *state, const mmb_plan *plan, uint32_t element,
                       mmbpy_arrow_table *s, mmb_stage *stage)
{
    if (s->column_count != 1) {
        PyErr_SetString(PyExc_ValueError, "a list takes one column");
        return false;
    }
    const mmbpy_arrow_input *in = s->columns[0].from;
    mmb_arrow_part *parts = PyMem_Calloc((size_t)in->arrow.count + 1, sizeof *parts);
    uint64_t *lengths = PyMem_Calloc((size_t)in->arrow.count + 1, sizeof *lengths);
    mmb_refusal refusal = {0};
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
        mmb_binding *binding = mmb_bind_elements(plan, element, &s->columns[0].schema, &refusal);
        good = binding != NULL && mmb_stage_arrow_list(stage, plan, binding, place, parts, lengths,
                                                       in->arrow.count, s->defaults, &refusal);
        mmb_binding_free(binding);
        Py_END_ALLOW_THREADS
        good = good || raise_refusal(state, &refusal);
    }
    PyMem_Free(parts);
    PyMem_Free(lengths);
    return good;
}

const char mmbpy_plan_stage_arrow_doc[] =
    "stage_arrow($self, type, columns, defaults, make_file, /)\n--\n\n"
    "Convert columns of Arrow into the elements of a list of this type.\n\n"
    "columns is a list of (name, capsule): an arrow_array_stream, or a tuple of an\n"
    "arrow_schema and an arrow_array. The name is None for a table. With defaults a\n"
    "missing number gets its default; otherwise it is an error. make_file is as for\n"
    "stage.";

PyObject *mmbpy_plan_stage_arrow(PyObject *object, PyObject *args)
{
    unsigned int type;
    PyObject *list;
    const mmb_plan *plan = ((mmbpy_plan *)object)->plan;
    mmbpy_state *state = mmbpy_state_of_type(Py_TYPE(object));
    mmbpy_arrow_table s = {0};
    taker all = {.state = state};
    int defaults;
    if (state == NULL || !PyArg_ParseTuple(args, "IO!pO:stage_arrow", &type, &PyList_Type, &list,
                                           &defaults, &all.make_file)) {
        return NULL;
    }
    if (type >= plan->type_count || plan->types[type].kind != MMB_LIST) {
        PyErr_SetString(PyExc_ValueError, "there is no such list");
        return NULL;
    }
    s.defaults = defaults != 0;
    uint32_t element = plan->types[type].refers_to;
    mmb_type_kind kind = plan->types[element].kind;
    bool structs = kind == MMB_STRUCT;
    bool pointers = kind == MMB_TEXT || kind == MMB_DATA || kind == MMB_LIST;
    mmbpy_stage *self = mmbpy_stage_new(state, structs ? MMBPY_ROWS : MMBPY_POINTER);
    bool good = self != NULL && mmbpy_table_take(&s, list);
    if (good) {
        uint32_t record = plan->types[element].refers_to;
        good = structs    ? stage_rows(state, plan, record, &s, &self->stage, &all)
               : pointers ? stage_pointers(state, plan, element, &s, &self->stage, &all)
                          : stage_list(state, plan, element, &s, &self->stage);
    }
    mmbpy_table_let_go(&s);
    if (!good) {
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}
