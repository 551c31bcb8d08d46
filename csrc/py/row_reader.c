/* row_reader.c - makes Python's dicts, tuples and objects of structs of a message. */

#include "row_reader.h"
#include "numbers_out.h"

/* The most structs within each other that are shown although they are not set. A struct can be a
 * member of its own union, so without a limit this would have no end. */
enum { MOST_ABSENT = 8 };

static PyObject *invalid(const mmbpy_row_reader *r)
{
    return mmbpy_raise_invalid(r->state, &r->reading.flaw);
}

PyObject *mmbpy_row_reader_fail(mmbpy_row_reader *r, uint32_t segment, uint64_t word,
                                const char *reason)
{
    mmb_reading_fail(&r->reading, segment, word, reason);
    return invalid(r);
}

static PyObject *read_record(mmbpy_row_reader *r, uint32_t type, const mmb_record *record,
                             mmbpy_row_style style);

/* Return what structs inside a struct of that style become. */
static mmbpy_row_style inner_style(mmbpy_row_style style)
{
    return style == MMBPY_AS_TUPLE ? MMBPY_AS_TUPLE : MMBPY_AS_DICT;
}

/* Note that the present field is left out. Return false with an exception on an error. */
static bool leave_out(mmbpy_row_reader *r)
{
    if (r->field == NULL) {
        return true;
    }
    if (r->left_out == NULL) {
        r->left_out = PySet_New(NULL);
    }
    return r->left_out != NULL &&
           PySet_Add(r->left_out, r->self->names[r->field - r->plan->fields]) == 0;
}

/* ---- values ------------------------------------------------------------------------- */

static PyObject *enumerant(const mmbpy_row_reader *r, uint32_t number, uint32_t value)
{
    const mmb_plan_enum *type = &r->plan->enums[number];
    PyObject *name = value < type->count ? r->self->enumerants[type->first + value] : NULL;
    return name != NULL ? Py_NewRef(name) : PyUnicode_FromFormat("@%u", (unsigned)value);
}

/* Return what `bits` mean. The default is in them already. */
static PyObject *stored_number(const mmbpy_row_reader *r, const mmb_plan_type *type, uint64_t bits)
{
    switch (type->kind) {
    case MMB_VOID:
        return Py_NewRef(Py_None);
    case MMB_BOOL:
        return PyBool_FromLong((long)bits);
    case MMB_ENUM:
        return enumerant(r, type->refers_to, (uint32_t)bits);
    default:
        return mmbpy_number_of(type->kind, bits);
    }
}

static PyObject *number(const mmbpy_row_reader *r, const mmb_plan_type *type, uint64_t bits)
{
    PyObject *stored = stored_number(r, type, bits);
    return type->meaning.what == MMB_MEANS_NUMBER ? stored : mmbpy_meant_by(r->self, type, stored);
}

static PyObject *bytes_or_str(bool text, const unsigned char *start, uint64_t length)
{
    return text ? PyUnicode_DecodeUTF8((const char *)start, (Py_ssize_t)length, NULL)
                : PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)length);
}

static PyObject *read_list(mmbpy_row_reader *r, uint32_t element, const mmb_span *span,
                           uint64_t start, uint64_t stop, mmbpy_row_style style);

static int read_span(mmbpy_row_reader *r, uint32_t element, uint32_t segment, uint64_t word,
                     mmb_span *out)
{
    const mmb_plan_type *type = &r->plan->types[element];
    uint32_t values = type->kind == MMB_STRUCT ? r->plan->structs[type->refers_to].count : 1;
    return mmb_read_span(&r->reading, segment, word, type->kind, values, out);
}

static PyObject *read_object(mmbpy_row_reader *r, const mmb_plan_type *type,
                             const mmb_plan_field *field, uint32_t segment, uint64_t word,
                             bool there, bool absent, mmbpy_row_style style);

/* Return whether the default of a field is being read already. Without this check, a struct with a
 * default for a field of its own type would have no end. */
static bool is_in_use(const mmbpy_row_reader *r, const mmb_plan_field *field)
{
    const mmbpy_default_use *use = r->uses;
    while (use != NULL && use->field != field) {
        use = use->up;
    }
    return use != NULL;
}

/* Return the value of the pointer at a place. If it is null, return what a null pointer stands
 * for; with `absent`, return NULL without an exception if that is nothing. */
static PyObject *read_pointer(mmbpy_row_reader *r, const mmb_plan_type *type,
                              const mmb_plan_field *field, uint32_t segment, uint64_t word,
                              bool there, bool absent, mmbpy_row_style style)
{
    const mmbpy_default_use use = {.up = r->uses, .field = field};
    uint32_t place = segment;
    if (field == NULL || (absent && style == MMBPY_AS_DICT) || is_in_use(r, field)) {
        return read_object(r, type, field, segment, word, there, absent, style);
    }
    bool found = mmb_read_default(&r->reading, field, there, &place, &word);
    if (place != segment) {
        r->uses = &use;
    }
    PyObject *value = read_object(r, type, field, place, word, found, absent, style);
    r->uses = use.up;
    return value;
}

/* Return the string that a pointer leads to. */
static PyObject *read_string(mmbpy_row_reader *r, const mmb_plan_type *type,
                             const mmb_plan_field *field, uint32_t segment, uint64_t word,
                             bool there, bool absent, mmbpy_row_style style)
{
    bool is_text = type->kind == MMB_TEXT;
    const unsigned char *start = NULL;
    uint64_t length = 0;
    if (there && mmb_read_bytes(&r->reading, segment, word, is_text, &start, &length) != 0) {
        return invalid(r);
    }
    if (start == NULL && field != NULL && field->default_start != NULL &&
        (!absent || style != MMBPY_AS_DICT)) {
        start = field->default_start;
        length = field->default_bytes;
    }
    if (start == NULL && absent) {
        return NULL;
    }
    if (type->meaning.what != MMB_MEANS_NUMBER && start != NULL) {
        return mmbpy_meant_by(r->self, type, bytes_or_str(false, start, length));
    }
    return bytes_or_str(is_text, start, length);
}

/* Return a struct that a pointer leads to, or what stands for one that is not there. */
static PyObject *read_struct(mmbpy_row_reader *r, uint32_t type, uint32_t segment, uint64_t word,
                             bool there, bool absent, mmbpy_row_style style)
{
    mmb_record record = {0};
    bool is_null = true;
    if (there && mmb_read_struct(&r->reading, segment, word, &record, &is_null) != 0) {
        return invalid(r);
    }
    if (is_null && absent) {
        return NULL;
    }
    if (is_null && r->absent == MOST_ABSENT) {
        return style == MMBPY_AS_TUPLE ? Py_NewRef(Py_None) : PyDict_New();
    }
    r->absent += is_null ? 1 : 0;
    PyObject *result = read_record(r, type, &record, style);
    r->absent -= is_null ? 1 : 0;
    return result;
}

static PyObject *read_object(mmbpy_row_reader *r, const mmb_plan_type *type,
                             const mmb_plan_field *field, uint32_t segment, uint64_t word,
                             bool there, bool absent, mmbpy_row_style style)
{
    mmb_span span = {.is_null = true};
    mmb_object object = {.kind = MMB_TO_NOTHING};
    r->field = field != NULL ? field : r->field;
    switch (type->kind) {
    case MMB_TEXT:
    case MMB_DATA:
        return read_string(r, type, field, segment, word, there, absent, style);
    case MMB_LIST:
        if (there && read_span(r, type->refers_to, segment, word, &span) != 0) {
            return invalid(r);
        }
        return span.is_null && absent
                   ? NULL
                   : read_list(r, type->refers_to, &span, 0, span.count, inner_style(style));
    case MMB_STRUCT:
        return read_struct(r, type->refers_to, segment, word, there, absent, inner_style(style));
    default: /* AnyPointer and interfaces */
        if (there && mmb_read_object(&r->reading, segment, word, &object) != 0) {
            return invalid(r);
        }
        if (object.kind != MMB_TO_NOTHING && !leave_out(r)) {
            return NULL;
        }
        return absent ? NULL : Py_NewRef(Py_None);
    }
}

/* ---- lists --------------------------------------------------------------------------- */

static PyObject *read_element(mmbpy_row_reader *r, const mmb_plan_type *type, const mmb_span *span,
                              uint64_t index, mmbpy_row_style style)
{
    mmb_record record;
    if (type->kind == MMB_STRUCT) {
        mmb_span_record(span, index, &record);
        return read_record(r, type->refers_to, &record, style);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        mmb_span_record(span, index, &record);
        return read_pointer(r, type, NULL, record.segment, record.word, true, false, style);
    }
    return number(r, type, mmb_span_bits(span, index, mmb_kind_bits(type->kind)));
}

static PyObject *make_object(const mmbpy_row_reader *r, PyObject *keywords)
{
    if (keywords == NULL) {
        return NULL;
    }
    PyObject *nothing = PyTuple_New(0);
    PyObject *made = nothing == NULL ? NULL : PyObject_Call(r->class, nothing, keywords);
    Py_XDECREF(nothing);
    Py_DECREF(keywords);
    return made;
}

static PyObject *read_list(mmbpy_row_reader *r, uint32_t element, const mmb_span *span,
                           uint64_t start, uint64_t stop, mmbpy_row_style style)
{
    if (++r->depth > MMB_MOST_DEPTH) {
        return mmbpy_row_reader_fail(r, span->segment, span->word,
                                     "the message is nested too deeply");
    }
    PyObject *list = PyList_New((Py_ssize_t)(stop - start));
    for (uint64_t i = start; list != NULL && i < stop; i++) {
        PyObject *item = read_element(r, &r->plan->types[element], span, i, style);
        if (style == MMBPY_AS_OBJECT) {
            item = make_object(r, item);
        }
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)(i - start), item) < 0) {
            Py_CLEAR(list);
        }
    }
    r->depth--;
    return list;
}

/* ---- structs ------------------------------------------------------------------------- */

/* Return the value of a field; NULL without an exception if it is not to be shown. */
static PyObject *read_field(mmbpy_row_reader *r, const mmb_plan_field *field, uint32_t tag,
                            const mmb_record *record, mmbpy_row_style style)
{
    const mmb_plan_type *type = &r->plan->types[field->type];
    if (field->tag != MMB_NONE && field->tag != tag) {
        return NULL;
    }
    if (type->kind == MMB_GROUP) {
        return read_record(r, type->refers_to, record, inner_style(style));
    }
    if (mmb_kind_is_pointer(type->kind)) {
        uint64_t word;
        bool there = mmb_record_pointer(record, field->offset, &word);
        bool absent = field->tag == MMB_NONE || style != MMBPY_AS_DICT;
        return read_pointer(r, type, field, record->segment, word, there, absent, style);
    }
    return number(r, type,
                  mmb_record_bits(record, field->offset, mmb_kind_bits(type->kind)) ^
                      field->default_bits);
}

static PyObject *record_dict(mmbpy_row_reader *r, const mmb_plan_struct *type,
                             const mmb_record *record, mmbpy_row_style style)
{
    uint32_t tag = mmb_record_tag(record, type);
    PyObject *dict = PyDict_New();
    for (uint32_t i = type->first; dict != NULL && i < type->first + type->count; i++) {
        PyObject *name = r->self->names[i];
        if (style == MMBPY_AS_OBJECT && r->fields != NULL) {
            int wanted = PySet_Contains(r->fields, name);
            if (wanted <= 0) {
                if (wanted < 0) {
                    Py_CLEAR(dict);
                }
                continue;
            }
        }
        PyObject *value = read_field(r, &r->plan->fields[i], tag, record, style);
        if (value == NULL && !PyErr_Occurred()) {
            if (style == MMBPY_AS_DICT) {
                continue;
            }
            value = Py_NewRef(Py_None);
        }
        if (value == NULL || PyDict_SetItem(dict, name, value) < 0) {
            Py_CLEAR(dict);
        }
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *record_tuple(mmbpy_row_reader *r, const mmb_plan_struct *type,
                              const mmb_record *record)
{
    uint32_t tag = mmb_record_tag(record, type);
    PyObject *tuple = PyTuple_New((Py_ssize_t)type->count);
    for (uint32_t i = 0; tuple != NULL && i < type->count; i++) {
        PyObject *value =
            read_field(r, &r->plan->fields[type->first + i], tag, record, MMBPY_AS_TUPLE);
        if (value == NULL && !PyErr_Occurred()) {
            value = Py_NewRef(Py_None);
        }
        if (value == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)i, value) < 0) {
            Py_CLEAR(tuple);
        }
    }
    return tuple;
}

static PyObject *read_record(mmbpy_row_reader *r, uint32_t type, const mmb_record *record,
                             mmbpy_row_style style)
{
    if (++r->depth > MMB_MOST_DEPTH) {
        return mmbpy_row_reader_fail(r, record->segment, record->word,
                                     "the message is nested too deeply");
    }
    const mmb_plan_struct *layout = &r->plan->structs[type];
    PyObject *result = style == MMBPY_AS_TUPLE ? record_tuple(r, layout, record)
                                               : record_dict(r, layout, record, style);
    r->depth--;
    return result;
}

/* ---- from outside -------------------------------------------------------------------- */

bool mmbpy_row_reader_start(mmbpy_row_reader *r, PyObject *plan, int style, PyObject *class,
                            PyObject *fields)
{
    *r = (mmbpy_row_reader){
        .self = (mmbpy_plan *)plan,
        .plan = ((mmbpy_plan *)plan)->plan,
        .state = mmbpy_state_of_type(Py_TYPE(plan)),
        .style = (mmbpy_row_style)style,
        .class = class,
        .fields = fields == Py_None ? NULL : fields,
    };
    return r->state != NULL;
}

/* Limit an index as slices do, if it is negative or too large. */
static uint64_t clip(long long index, uint64_t count)
{
    if (index < 0) {
        index = (uint64_t)-(index + 1) >= count ? 0 : index + (long long)count;
    }
    return (uint64_t)index < count ? (uint64_t)index : count;
}

PyObject *mmbpy_row_reader_target(mmbpy_row_reader *r, const mmb_plan_type *type, uint32_t segment,
                                  uint64_t word, long long start, long long stop)
{
    if (type->kind != MMB_LIST) {
        return read_pointer(r, type, NULL, segment, word, true, false, r->style);
    }
    mmb_span span;
    if (read_span(r, type->refers_to, segment, word, &span) != 0) {
        return invalid(r);
    }
    uint64_t first = clip(start, span.count);
    uint64_t end = clip(stop, span.count);
    return read_list(r, type->refers_to, &span, first, end > first ? end : first, r->style);
}

PyObject *mmbpy_row_reader_root(mmbpy_row_reader *r)
{
    mmb_record root;
    bool is_null;
    if (mmb_read_struct(&r->reading, 0, 0, &root, &is_null) != 0) {
        return invalid(r);
    }
    r->field = NULL;
    PyObject *row = read_record(r, r->plan->types[0].refers_to, &root, r->style);
    return r->style == MMBPY_AS_OBJECT ? make_object(r, row) : row;
}

PyObject *mmbpy_row_reader_end(mmbpy_row_reader *r, PyObject *value)
{
    PyObject *names = r->left_out != NULL ? r->left_out : Py_NewRef(Py_None);
    PyObject *result = value == NULL ? NULL : PyTuple_Pack(2, value, names);
    Py_XDECREF(value);
    Py_DECREF(names);
    return result;
}
