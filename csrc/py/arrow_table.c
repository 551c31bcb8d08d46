/* arrow_table.c - takes tables and columns of Arrow from Python. See arrow_table.h. */

#include "arrow_table.h"

#include <string.h>

void mmbpy_table_let_go(mmbpy_arrow_table *s)
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
static bool check_table(const mmbpy_arrow_input *in)
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

static bool count_rows(const mmbpy_arrow_input *in, uint64_t *rows)
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

static bool add_columns(mmbpy_arrow_table *s, const mmbpy_arrow_input *in, const char *name)
{
    int64_t count = in->is_table ? in->arrow.schema.n_children : 1;
    mmbpy_arrow_column *grown =
        PyMem_Realloc(s->columns, ((size_t)s->column_count + (size_t)count + 1) * sizeof *grown);
    if (grown == NULL) {
        PyErr_NoMemory();
        return false;
    }
    s->columns = grown;
    for (int64_t i = 0; i < count; i++) {
        mmbpy_arrow_column *c = &s->columns[s->column_count++];
        *c = (mmbpy_arrow_column){.from = in, .child = in->is_table ? i : -1};
        c->schema = in->is_table ? *in->arrow.schema.children[i] : in->arrow.schema;
        if (name != NULL) {
            c->schema.name = name;
        }
    }
    return true;
}

/* Take one item: (name or None for a table, capsule or pair of capsules). */
static bool take(mmbpy_arrow_table *s, PyObject *item, mmbpy_arrow_input *in)
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

bool mmbpy_table_take(mmbpy_arrow_table *s, PyObject *list)
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

/* Return where the column goes on, and in `*left` how many rows that part still has. */
static mmb_arrow_part part_of(mmbpy_arrow_column *c, uint64_t *left)
{
    const mmbpy_arrow_input *in = c->from;
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

uint64_t mmbpy_table_next(mmbpy_arrow_table *s, uint64_t most, mmb_arrow_part *parts)
{
    uint64_t range = most;
    for (uint32_t i = 0; i < s->column_count; i++) {
        uint64_t left;
        parts[i] = part_of(&s->columns[i], &left);
        range = left < range ? left : range;
    }
    return range;
}

void mmbpy_table_pass(mmbpy_arrow_table *s, uint64_t rows)
{
    for (uint32_t i = 0; i < s->column_count; i++) {
        s->columns[i].done += rows;
    }
}
