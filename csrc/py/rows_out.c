/* rows_out.c - makes Python's dicts, tuples and objects of structs of a message.
 *
 * No code of others runs while bytes of the message are looked at. The only exception is a class of
 * the caller, which makes the object of a row: it runs between two rows. */

#include "column_args.h"
#include "plan_type.h"
#include "roots.h"

/* What a struct becomes. For the first two kinds, structs inside it become the same kind. */
typedef enum {
    AS_DICT,   /* a key for each field that is set, as in pycapnp's to_dict() */
    AS_TUPLE,  /* a value for each field; None if it is not set */
    AS_OBJECT, /* keywords for a class, a value for each field; structs inside become dicts */
} row_style;

/* The most structs within each other that are shown though they are not there. A struct can be a
 * member of its own union, so without a limit this would have no end. */
enum { MOST_ABSENT = 8 };

/* A field whose default is being read in place of a null pointer. */
typedef struct default_use {
    const struct default_use *up; /* the default that this one is in */
    const mmb_plan_field *field;
} default_use;

typedef struct {
    const mmbpy_plan *self;
    const mmb_plan *plan;
    mmbpy_state *state;
    mmb_reading reading;
    const default_use *uses; /* the innermost default that is being read; NULL: none is */
    row_style style;
    PyObject *class;             /* for AS_OBJECT; borrowed */
    PyObject *fields;            /* set of the names that `class` takes; NULL: all; borrowed */
    uint32_t depth;              /* how many structs and lists are around the present place */
    uint32_t absent;             /* how many of these structs are not there */
    const mmb_plan_field *field; /* the last one that was come to; NULL: none was */
    /* Owned set of the names of fields that are set but cannot be shown; NULL: there is none. */
    PyObject *left_out;
} reader;

static PyObject *invalid(const reader *r)
{
    return mmbpy_raise_invalid(r->state, &r->reading.flaw);
}

static PyObject *fail(reader *r, uint32_t segment, uint64_t word, const char *reason)
{
    mmb_reading_fail(&r->reading, segment, word, reason);
    return invalid(r);
}

static PyObject *read_record(reader *r, uint32_t type, const mmb_record *record, row_style style);

/* Note that the present field is left out. Return false with an exception on an error. */
static bool leave_out(reader *r)
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

/* Return the value with the names of the fields that are left out, or None. Both are given up. */
static PyObject *with_left_out(reader *r, PyObject *value)
{
    PyObject *names = r->left_out != NULL ? r->left_out : Py_NewRef(Py_None);
    PyObject *result = value == NULL ? NULL : PyTuple_Pack(2, value, names);
    Py_XDECREF(value);
    Py_DECREF(names);
    return result;
}

/* ---- values ------------------------------------------------------------------------- */

static PyObject *enumerant(const reader *r, uint32_t number, uint32_t value)
{
    const mmb_plan_enum *type = &r->plan->enums[number];
    PyObject *name = value < type->count ? r->self->enumerants[type->first + value] : NULL;
    return name != NULL ? Py_NewRef(name) : PyUnicode_FromFormat("@%u", (unsigned)value);
}

static PyObject *float_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return PyFloat_FromDouble(value);
}

static PyObject *float32_of(uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return PyFloat_FromDouble((double)value);
}

/* Return what `bits` mean. The default is in them already. */
static PyObject *stored_number(const reader *r, const mmb_plan_type *type, uint64_t bits)
{
    switch (type->kind) {
    case MMB_BOOL:
        return PyBool_FromLong((long)bits);
    case MMB_INT8:
        return PyLong_FromLong((int8_t)bits);
    case MMB_INT16:
        return PyLong_FromLong((int16_t)bits);
    case MMB_INT32:
        return PyLong_FromLong((int32_t)bits);
    case MMB_INT64:
        return PyLong_FromLongLong((int64_t)bits);
    case MMB_UINT8:
    case MMB_UINT16:
    case MMB_UINT32:
    case MMB_UINT64:
        return PyLong_FromUnsignedLongLong(bits);
    case MMB_FLOAT32:
        return float32_of(bits);
    case MMB_FLOAT64:
        return float_of(bits);
    case MMB_ENUM:
        return enumerant(r, type->target, (uint32_t)bits);
    default:
        return Py_NewRef(Py_None);
    }
}

static PyObject *number(const reader *r, const mmb_plan_type *type, uint64_t bits)
{
    PyObject *stored = stored_number(r, type, bits);
    return type->meaning.what == MMB_MEANS_NUMBER ? stored : mmbpy_meant_by(r->self, type, stored);
}

static PyObject *bytes_or_str(bool text, const unsigned char *start, uint64_t length)
{
    return text ? PyUnicode_DecodeUTF8((const char *)start, (Py_ssize_t)length, NULL)
                : PyBytes_FromStringAndSize((const char *)start, (Py_ssize_t)length);
}

static PyObject *read_list(reader *r, uint32_t element, const mmb_span *span, uint64_t start,
                           uint64_t stop, row_style style);

static int read_span(reader *r, uint32_t element, uint32_t segment, uint64_t word, mmb_span *out)
{
    const mmb_plan_type *type = &r->plan->types[element];
    uint32_t values = type->kind == MMB_STRUCT ? r->plan->structs[type->target].count : 1;
    return mmb_read_span(&r->reading, segment, word, type->kind, values, out);
}

static PyObject *read_object(reader *r, const mmb_plan_type *type, const mmb_plan_field *field,
                             uint32_t segment, uint64_t word, bool there, bool absent,
                             row_style style);

/* Return whether the default of a field is being read already. A struct with a default for a field
 * of its own type would have no end. */
static bool is_in_use(const reader *r, const mmb_plan_field *field)
{
    const default_use *use = r->uses;
    while (use != NULL && use->field != field) {
        use = use->up;
    }
    return use != NULL;
}

/* Return the value of the pointer at a place. If it is null, return what a null pointer stands
 * for; with `absent`, return NULL without an exception if that is nothing. */
static PyObject *read_pointer(reader *r, const mmb_plan_type *type, const mmb_plan_field *field,
                              uint32_t segment, uint64_t word, bool there, bool absent,
                              row_style style)
{
    const default_use use = {.up = r->uses, .field = field};
    uint32_t place = segment;
    if (field == NULL || (absent && style == AS_DICT) || is_in_use(r, field)) {
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

static PyObject *read_object(reader *r, const mmb_plan_type *type, const mmb_plan_field *field,
                             uint32_t segment, uint64_t word, bool there, bool absent,
                             row_style style)
{
    const unsigned char *start = NULL;
    uint64_t length = 0;
    bool is_null = true;
    mmb_span span = {.is_null = true};
    mmb_record record = {0};
    mmb_object object;
    int error = 0;
    r->field = field != NULL ? field : r->field;
    switch (type->kind) {
    case MMB_TEXT:
    case MMB_DATA:
        if (there) {
            error =
                mmb_read_bytes(&r->reading, segment, word, type->kind == MMB_TEXT, &start, &length);
        }
        if (error == 0 && start == NULL && field != NULL && field->default_start != NULL &&
            (!absent || style == AS_TUPLE || style == AS_OBJECT)) {
            start = field->default_start;
            length = field->default_bytes;
        }
        if (error != 0) {
            return invalid(r);
        }
        if (start == NULL && absent) {
            return NULL;
        }
        if (type->meaning.what != MMB_MEANS_NUMBER && start != NULL) {
            return mmbpy_meant_by(r->self, type, bytes_or_str(false, start, length));
        }
        return bytes_or_str(type->kind == MMB_TEXT, start, length);
    case MMB_LIST:
        if (there && read_span(r, type->target, segment, word, &span) != 0) {
            return invalid(r);
        }
        return span.is_null && absent ? NULL
                                      : read_list(r, type->target, &span, 0, span.count,
                                                  style == AS_TUPLE ? AS_TUPLE : AS_DICT);
    case MMB_STRUCT:
        if (there && mmb_read_struct(&r->reading, segment, word, &record, &is_null) != 0) {
            return invalid(r);
        }
        if (is_null && absent) {
            return NULL;
        }
        if (is_null && r->absent == MOST_ABSENT) {
            return style == AS_TUPLE ? Py_NewRef(Py_None) : PyDict_New();
        }
        r->absent += is_null ? 1 : 0;
        PyObject *result =
            read_record(r, type->target, &record, style == AS_TUPLE ? AS_TUPLE : AS_DICT);
        r->absent -= is_null ? 1 : 0;
        return result;
    default: /* AnyPointer and interfaces */
        if (there) {
            if (mmb_read_object(&r->reading, segment, word, &object) != 0) {
                return invalid(r);
            }
            if (object.kind != MMB_TO_NOTHING && !leave_out(r)) {
                return NULL;
            }
        }
        return absent ? NULL : Py_NewRef(Py_None);
    }
}

/* ---- lists --------------------------------------------------------------------------- */

static PyObject *read_element(reader *r, const mmb_plan_type *type, const mmb_span *span,
                              uint64_t index, row_style style)
{
    mmb_record record;
    if (type->kind == MMB_STRUCT) {
        mmb_span_record(span, index, &record);
        return read_record(r, type->target, &record, style);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        mmb_span_record(span, index, &record);
        return read_pointer(r, type, NULL, record.segment, record.word, true, false, style);
    }
    return number(r, type, mmb_span_bits(span, index, mmb_kind_bits(type->kind)));
}

static PyObject *make_object(const reader *r, PyObject *keywords)
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

static PyObject *read_list(reader *r, uint32_t element, const mmb_span *span, uint64_t start,
                           uint64_t stop, row_style style)
{
    if (++r->depth > MMB_MOST_DEPTH) {
        return fail(r, span->segment, span->word, "the message is nested too deeply");
    }
    PyObject *list = PyList_New((Py_ssize_t)(stop - start));
    for (uint64_t i = start; list != NULL && i < stop; i++) {
        PyObject *item = read_element(r, &r->plan->types[element], span, i, style);
        if (style == AS_OBJECT) {
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
static PyObject *read_field(reader *r, const mmb_plan_field *field, uint32_t tag,
                            const mmb_record *record, row_style style)
{
    const mmb_plan_type *type = &r->plan->types[field->type];
    if (field->tag != MMB_NONE && field->tag != tag) {
        return NULL;
    }
    if (type->kind == MMB_GROUP) {
        return read_record(r, type->target, record, style == AS_TUPLE ? AS_TUPLE : AS_DICT);
    }
    if (mmb_kind_is_pointer(type->kind)) {
        uint64_t word;
        bool there = mmb_record_pointer(record, field->offset, &word);
        bool absent = field->tag == MMB_NONE || style != AS_DICT;
        return read_pointer(r, type, field, record->segment, word, there, absent, style);
    }
    return number(r, type,
                  mmb_record_bits(record, field->offset, mmb_kind_bits(type->kind)) ^
                      field->default_bits);
}

static PyObject *record_dict(reader *r, const mmb_plan_struct *type, const mmb_record *record,
                             row_style style)
{
    uint32_t tag = mmb_record_tag(record, type);
    PyObject *dict = PyDict_New();
    for (uint32_t i = type->first; dict != NULL && i < type->first + type->count; i++) {
        PyObject *name = r->self->names[i];
        if (style == AS_OBJECT && r->fields != NULL) {
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
            if (style == AS_DICT) {
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

static PyObject *record_tuple(reader *r, const mmb_plan_struct *type, const mmb_record *record)
{
    uint32_t tag = mmb_record_tag(record, type);
    PyObject *tuple = PyTuple_New((Py_ssize_t)type->count);
    for (uint32_t i = 0; tuple != NULL && i < type->count; i++) {
        PyObject *value = read_field(r, &r->plan->fields[type->first + i], tag, record, AS_TUPLE);
        if (value == NULL && !PyErr_Occurred()) {
            value = Py_NewRef(Py_None);
        }
        if (value == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)i, value) < 0) {
            Py_CLEAR(tuple);
        }
    }
    return tuple;
}

static PyObject *read_record(reader *r, uint32_t type, const mmb_record *record, row_style style)
{
    if (++r->depth > MMB_MOST_DEPTH) {
        return fail(r, record->segment, record->word, "the message is nested too deeply");
    }
    const mmb_plan_struct *layout = &r->plan->structs[type];
    PyObject *result =
        style == AS_TUPLE ? record_tuple(r, layout, record) : record_dict(r, layout, record, style);
    r->depth--;
    return result;
}

/* ---- the method ---------------------------------------------------------------------- */

/* Limit an index as slices do, if it is negative or too large. */
static uint64_t clip(long long index, uint64_t count)
{
    if (index < 0) {
        index = (uint64_t)-(index + 1) >= count ? 0 : index + (long long)count;
    }
    return (uint64_t)index < count ? (uint64_t)index : count;
}

static PyObject *read_target(reader *r, const mmb_plan_type *type, uint32_t segment, uint64_t word,
                             long long start, long long stop)
{
    if (type->kind != MMB_LIST) {
        return read_pointer(r, type, NULL, segment, word, true, false, r->style);
    }
    mmb_span span;
    if (read_span(r, type->target, segment, word, &span) != 0) {
        return invalid(r);
    }
    uint64_t first = clip(start, span.count);
    uint64_t end = clip(stop, span.count);
    return read_list(r, type->target, &span, first, end > first ? end : first, r->style);
}

const char mmbpy_plan_read_doc[] =
    "read($self, segments, type, segment, word, start, stop, style, row_class, fields,\n     "
    "trusted, /)\n--\n\n"
    "Read what the pointer at a place leads to, as dicts (style 0), tuples (1) or\n"
    "objects (2). Of a list read the elements from start to stop.\n\n"
    "Return the value, and the names of fields that are set but left out, or None.";

PyObject *mmbpy_plan_read(PyObject *object, PyObject *args)
{
    PyObject *tuple, *fields, *result = NULL;
    unsigned int type, segment;
    unsigned long long word;
    long long start, stop;
    int style, trusted;
    mmbpy_memory memory = {0};
    reader r = {.self = (mmbpy_plan *)object};
    r.plan = r.self->plan;
    r.state = mmbpy_state_of_type(Py_TYPE(object));
    if (r.state == NULL ||
        !PyArg_ParseTuple(args, "O!IIKLLiOOp:read", &PyTuple_Type, &tuple, &type, &segment, &word,
                          &start, &stop, &style, &r.class, &fields, &trusted)) {
        return NULL;
    }
    if (type >= r.plan->type_count) {
        PyErr_SetString(PyExc_ValueError, "there is no such type");
        return NULL;
    }
    r.style = (row_style)style;
    r.fields = fields == Py_None ? NULL : fields;
    if (mmbpy_memory_get(tuple, false, &memory)) {
        mmb_reading_start(&r.reading, memory.segments, memory.count, trusted != 0);
        mmb_reading_use_defaults(&r.reading, r.plan);
        /* The new objects have no cycles, and all of them are in use. A collector that looks at
         * them again and again would take most of the time, so it is turned off. If code of a
         * class runs, the collector stays on. */
        bool collects = r.style != AS_OBJECT && PyGC_Disable() != 0;
        PyObject *value = read_target(&r, &r.plan->types[type], segment, word, start, stop);
        if (collects) {
            PyGC_Enable();
        }
        result = with_left_out(&r, value);
    }
    mmbpy_memory_release(&memory);
    return result;
}

/* ---- the roots of many messages ------------------------------------------------------------ */

/* Append the root of the next message to the list. Return false with an exception on an error. */
static bool read_root(reader *r, const unsigned char *frame, uint64_t left, mmb_segment *segments,
                      uint64_t *bytes, PyObject *list)
{
    uint32_t count;
    const char *reason;
    if (mmb_frame_segments(frame, left, segments, &count, bytes, &reason) != 0) {
        return fail(r, 0, 0, reason) != NULL;
    }
    mmb_reading_go_on(&r->reading, segments, count);
    mmb_reading_use_defaults(&r->reading, r->plan);
    mmb_record root;
    bool is_null;
    if (mmb_read_struct(&r->reading, 0, 0, &root, &is_null) != 0) {
        return invalid(r) != NULL;
    }
    r->field = NULL;
    PyObject *row = read_record(r, r->plan->types[0].target, &root, r->style);
    row = r->style == AS_OBJECT ? make_object(r, row) : row;
    bool good = row != NULL && PyList_Append(list, row) == 0;
    Py_XDECREF(row);
    return good;
}

const char mmbpy_plan_read_roots_doc[] =
    "read_roots($self, frames, count, first, name, style, row_class, fields, /)\n--\n\n"
    "Read the roots of count messages that lie back to back, as dicts (style 0),\n"
    "tuples (1) or objects (2). first and name are for errors.\n\n"
    "Return a list, and the names of fields that are set but left out, or None.";

PyObject *mmbpy_plan_read_roots(PyObject *object, PyObject *args)
{
    mmb_segment segments[MMB_MAX_SEGMENTS];
    PyObject *name, *fields;
    Py_buffer frames;
    unsigned long long count, first;
    int style;
    reader r = {.self = (mmbpy_plan *)object};
    r.plan = r.self->plan;
    r.state = mmbpy_state_of_type(Py_TYPE(object));
    if (r.state == NULL || !PyArg_ParseTuple(args, "y*KKOiOO:read_roots", &frames, &count, &first,
                                             &name, &style, &r.class, &fields)) {
        return NULL;
    }
    r.style = (row_style)style;
    r.fields = fields == Py_None ? NULL : fields;
    const unsigned char *bytes = frames.buf;
    uint64_t place = 0, size = 0;
    mmb_reading_start(&r.reading, segments, 0, false);
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    bool collects = r.style != AS_OBJECT && PyGC_Disable() != 0; /* see above */
    for (uint64_t i = 0; good && i < count; i++, place += size) {
        good = read_root(&r, bytes + place, (uint64_t)frames.len - place, segments, &size, list);
        if (!good && PyErr_ExceptionMatches(r.state->invalid_message)) {
            PyErr_Clear();
            mmbpy_raise_in_log(r.state, &r.reading.flaw, name, first + i);
        }
    }
    if (collects) {
        PyGC_Enable();
    }
    PyBuffer_Release(&frames);
    if (!good) {
        Py_CLEAR(list);
    }
    return with_left_out(&r, list);
}
