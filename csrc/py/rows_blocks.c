/* rows_blocks.c - writes simple rows a block at a time. See rows_simple.c for what is simple.
 *
 * A *block* is some rows of a list that have the same fields in the same order. The struct is flat:
 * it has only numbers, Text and Data. The values of all rows are gathered first. Then the numbers
 * of each field are stored by a loop that does only that, and at last all strings are copied.
 *
 * While a block of dicts or tuples is made, no code of Python runs, unless the block fails. So the
 * block holds no references to their values. The values of attributes come as new references, and
 * to read them can run code, as rows_simple.c says. */

#include "numbers_simple.h"
#include "stage_file.h"

enum { MOST_VALUES = 32 };

typedef struct {
    uint32_t value;   /* which value of a row it is */
    uint32_t pointer; /* its word in a row */
    bool is_text;
} string_field;

typedef struct {
    const char *bytes; /* NULL: the value is None */
    Py_ssize_t length;
} string;

typedef struct {
    uint32_t rows;
    uint32_t count;               /* values of a row */
    uint32_t fields[MOST_VALUES]; /* for which they are */
    PyObject *values[MOST_VALUES][MMBPY_BLOCK_ROWS];
    uint32_t string_count; /* strings of a row */
    string_field string_fields[MOST_VALUES];
    string strings[MMBPY_BLOCK_ROWS * MOST_VALUES]; /* those of a row side by side */
} block;

/* ---- gathering ---------------------------------------------------------------------------- */

/* Each function gathers the first rows of an array that have the same fields as the first one. */

static void gather_tuples(const mmbpy_stager *w, const mmb_plan_struct *type, PyObject *const *rows,
                          uint32_t count, block *b)
{
    uint32_t values = w->order != NULL ? w->order_count : type->count;
    for (uint32_t k = 0; k < values && values <= MOST_VALUES; k++) {
        b->fields[k] = w->order != NULL ? w->order[k] : type->first + k;
    }
    b->count = values;
    while (values <= MOST_VALUES && b->rows < count && PyTuple_CheckExact(rows[b->rows]) &&
           PyTuple_Size(rows[b->rows]) == (Py_ssize_t)values) {
        for (uint32_t k = 0; k < values; k++) {
            b->values[k][b->rows] = PyTuple_GetItem(rows[b->rows], (Py_ssize_t)k);
        }
        b->rows++;
    }
}

/* Gather a dict. Its keys are mostly the same objects as those of the first dict. */
static bool gather_dict(const mmbpy_stager *w, uint32_t type, PyObject *dict, PyObject **keys,
                        block *b)
{
    bool is_first = b->rows == 0;
    uint32_t most = is_first ? MOST_VALUES : b->count, k = 0;
    Py_ssize_t position = 0;
    PyObject *key, *value;
    for (; PyDict_Next(dict, &position, &key, &value); k++) {
        if (k == most) {
            return false;
        }
        if (is_first || key != keys[k]) {
            uint32_t field = mmbpy_field_of_simple_key(w, type, key);
            if (field == MMB_NONE || (!is_first && field != b->fields[k])) {
                return false;
            }
            b->fields[k] = field;
            keys[k] = key;
        }
        b->values[k][b->rows] = value;
    }
    b->count = is_first ? k : b->count;
    return k == b->count && (!w->wants_all || k == w->plan->structs[type].count);
}

static void gather_dicts(const mmbpy_stager *w, uint32_t type, PyObject *const *rows,
                         uint32_t count, block *b)
{
    PyObject *keys[MOST_VALUES];
    while (b->rows < count && PyDict_CheckExact(rows[b->rows]) &&
           gather_dict(w, type, rows[b->rows], keys, b)) {
        b->rows++;
    }
}

/* Drop the values of attributes, of which the block has a reference. */
static void drop_values(block *b, uint32_t row, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        Py_DECREF(b->values[k][row]);
    }
}

static bool gather_object(const mmbpy_row_class *known, descrgetfunc read_slot, PyObject *object,
                          block *b)
{
    for (uint32_t k = 0; k < known->count; k++) {
        PyObject *value = mmbpy_read_known(known, read_slot, &known->attributes[k],
                                           known->attributes[k].access, object);
        if (value == NULL || value == known->unset) {
            Py_XDECREF(value);
            if (value == NULL) {
                mmbpy_forget(PyExc_AttributeError);
            }
            drop_values(b, b->rows, k);
            return false;
        }
        b->values[k][b->rows] = value;
    }
    return true;
}

static void gather_objects(const mmbpy_stager *w, const mmbpy_row_class *known,
                           const mmb_plan_struct *type, PyObject *const *rows, uint32_t count,
                           block *b)
{
    descrgetfunc read_slot = (descrgetfunc)PyType_GetSlot(&PyMemberDescr_Type, Py_tp_descr_get);
    if (known->looked_up_at != w->code_runs || known->count > MOST_VALUES || known->count == 0 ||
        (w->wants_all && known->count != type->count)) {
        return;
    }
    for (uint32_t k = 0; k < known->count; k++) {
        b->fields[k] = known->attributes[k].field;
    }
    b->count = known->count;
    while (b->rows < count && Py_IS_TYPE(rows[b->rows], known->type) &&
           gather_object(known, read_slot, rows[b->rows], b)) {
        b->rows++;
    }
}

/* ---- writing ------------------------------------------------------------------------------ */

/* Store the numbers of a field; callers give constants. */
static inline bool put_run(const mmbpy_stager *w, mmb_type_kind kind, const mmb_plan_field *field,
                           unsigned char *row, uint64_t bytes, PyObject *const *values,
                           uint32_t count)
{
    uint32_t refers_to = w->plan->types[field->type].refers_to;
    for (uint32_t i = 0; i < count; i++, row += bytes) {
        if (!mmbpy_put_simple_number(w, row, field->offset, kind, refers_to, field->default_bits,
                                     values[i]) &&
            (values[i] != Py_None || w->refuses_none)) {
            return false;
        }
    }
    return true;
}

static bool put_numbers(const mmbpy_stager *w, const mmb_plan_field *field, unsigned char *row,
                        uint64_t bytes, PyObject *const *values, uint32_t count)
{
    mmb_type_kind kind = w->plan->types[field->type].kind;
    switch (kind) {
    case MMB_BOOL:
        return put_run(w, MMB_BOOL, field, row, bytes, values, count);
    case MMB_INT32:
        return put_run(w, MMB_INT32, field, row, bytes, values, count);
    case MMB_INT64:
        return put_run(w, MMB_INT64, field, row, bytes, values, count);
    case MMB_UINT64:
        return put_run(w, MMB_UINT64, field, row, bytes, values, count);
    case MMB_FLOAT64:
        return put_run(w, MMB_FLOAT64, field, row, bytes, values, count);
    case MMB_TEXT:
    case MMB_DATA:
        return true; /* put_strings writes them */
    default:
        return put_run(w, kind, field, row, bytes, values, count);
    }
}

/* Find where the bytes of a string are. The value is held, since an error can run code. */
static inline bool get_string(bool is_text, PyObject *value, string *found)
{
    if (PyUnicode_CheckExact(value)) {
        Py_INCREF(value);
        found->bytes = PyUnicode_AsUTF8AndSize(value, &found->length);
        Py_DECREF(value);
        return found->bytes != NULL || !mmbpy_forget(PyExc_UnicodeError);
    }
    *found = (string){0};
    if (!is_text && PyBytes_CheckExact(value)) {
        found->bytes = PyBytes_AsString(value);
        found->length = PyBytes_Size(value);
    }
    return found->bytes != NULL || value == Py_None;
}

/* Find all strings, and the words that they take at most. */
static bool get_strings(block *b, uint64_t *words)
{
    string *found = b->strings;
    *words = 0;
    for (uint32_t i = 0; i < b->rows; i++) {
        for (uint32_t k = 0; k < b->string_count; k++, found++) {
            const string_field *field = &b->string_fields[k];
            if (!get_string(field->is_text, b->values[field->value][i], found) ||
                (uint64_t)found->length >= MMB_MAX_SEGMENT_WORDS) {
                return false;
            }
            *words += mmb_stage_byte_words((uint64_t)found->length, true);
        }
    }
    return true;
}

/* Copy all strings to the heap, where there is room for them. */
static void put_strings(mmb_stage *stage, const block *b, uint64_t place, uint64_t words)
{
    const string *found = b->strings;
    for (uint32_t i = 0; i < b->rows; i++, place += words) {
        for (uint32_t k = 0; k < b->string_count; k++, found++) {
            if (found->bytes != NULL) {
                mmb_stage_put_bytes(stage, place + b->string_fields[k].pointer, found->bytes,
                                    (uint64_t)found->length, b->string_fields[k].is_text);
            }
        }
    }
}

/* Return whether all fields of a struct are numbers or strings, and none is in a union. */
static bool is_flat(const mmbpy_stager *w, const mmb_plan_struct *layout)
{
    bool flat = layout->members == 0;
    for (uint32_t i = 0; flat && i < layout->count; i++) {
        const mmb_plan_type *type = &w->plan->types[w->plan->fields[layout->first + i].type];
        flat =
            (type->kind == MMB_TEXT || type->kind == MMB_DATA || mmb_kind_bits(type->kind) != 0) &&
            type->meaning.what != MMB_DECIMAL;
    }
    return flat;
}

static void find_strings(const mmbpy_stager *w, const mmb_plan_struct *layout, block *b)
{
    b->string_count = 0;
    for (uint32_t k = 0; k < b->count; k++) {
        const mmb_plan_field *field = &w->plan->fields[b->fields[k]];
        mmb_type_kind kind = w->plan->types[field->type].kind;
        if (mmb_kind_is_pointer(kind)) {
            b->string_fields[b->string_count++] =
                (string_field){k, layout->data_words + field->offset, kind == MMB_TEXT};
        }
    }
}

/* Put the rows into the stage, or leave it as it is. */
static bool put_block(mmbpy_stager *w, const mmb_plan_struct *layout, block *b)
{
    mmb_stage *stage = w->stage;
    uint64_t words = (uint64_t)layout->data_words + layout->pointer_words, more, place;
    find_strings(w, layout, b);
    if (!get_strings(b, &more) || mmb_stage_add_rows(stage, b->rows, &place) != 0) {
        return false;
    }
    bool good = stage->rows.words + stage->heap.words + more <= stage->kept &&
                mmb_stage_reserve(stage, more) == 0;
    for (uint32_t k = 0; good && k < b->count; k++) {
        good = put_numbers(w, &w->plan->fields[b->fields[k]], mmb_stage_at(stage, place),
                           words * MMB_WORD, b->values[k], b->rows);
    }
    if (good) {
        put_strings(stage, b, place, words);
    } else {
        mmb_stage_take_back_rows(stage, b->rows);
    }
    return good;
}

uint32_t mmbpy_put_simple_rows(mmbpy_stager *w, uint32_t type, PyObject *const *rows,
                               uint32_t count)
{
    const mmb_plan_struct *layout = &w->plan->structs[type];
    const mmbpy_row_class *known = NULL;
    block b;
    b.rows = 0;
    if (!MMBPY_HAS_GIL || !w->is_simple || !is_flat(w, layout)) {
        return 0;
    }
    if (PyTuple_CheckExact(rows[0])) {
        gather_tuples(w, layout, rows, count, &b);
    } else if (PyDict_CheckExact(rows[0])) {
        gather_dicts(w, type, rows, count, &b);
    } else if ((known = mmbpy_know_class(w, type, rows[0])) != NULL) {
        gather_objects(w, known, layout, rows, count, &b);
    }
    uint32_t done = b.rows != 0 && !PyErr_Occurred() && put_block(w, layout, &b) ? b.rows : 0;
    for (uint32_t i = 0; known != NULL && i < b.rows; i++) {
        drop_values(&b, i, b.count);
    }
    return done;
}
