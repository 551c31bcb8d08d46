/* plan_type.c - `_core.Plan`: a compiled schema. See plan_type.h and schema/plan.h. */

#include "plan_type.h"

#include <stdlib.h>
#include <string.h>

/* ---- how much room the plan takes --------------------------------------------------- */

static bool add_text(PyObject *object, mmb_plan *sizes)
{
    Py_ssize_t length = 0;
    if (object == Py_None) {
        return true;
    }
    if (PyUnicode_Check(object)) {
        if (PyUnicode_AsUTF8AndSize(object, &length) == NULL) {
            return false;
        }
    } else if (PyBytes_Check(object)) {
        length = PyBytes_Size(object);
    }
    sizes->text_bytes += (size_t)length + 1;
    return true;
}

/* A struct comes as (name, data words, pointer words, tag offset or -1, members, is group,
 * fields), and a field as (name, type, offset, tag or -1, default, name of its columns or None). */
typedef struct {
    PyObject *name, *fields;
    unsigned int data_words, pointer_words, members;
    long tag_offset;
    int is_group;
} struct_args;

typedef struct {
    PyObject *name, *column, *default_value;
    unsigned int type, offset;
    long tag;
} field_args;

static bool parse_struct(PyObject *tuple, struct_args *out)
{
    return PyArg_ParseTuple(tuple, "UIIlIpO!:struct", &out->name, &out->data_words,
                            &out->pointer_words, &out->tag_offset, &out->members, &out->is_group,
                            &PyList_Type, &out->fields);
}

static bool parse_field(PyObject *tuple, field_args *out)
{
    out->column = Py_None;
    return PyArg_ParseTuple(tuple, "UIIlO|O:field", &out->name, &out->type, &out->offset, &out->tag,
                            &out->default_value, &out->column);
}

static bool measure(PyObject *types, PyObject *structs, PyObject *enums, mmb_plan *sizes)
{
    sizes->type_count = (uint32_t)PyList_Size(types);
    sizes->struct_count = (uint32_t)PyList_Size(structs);
    sizes->enum_count = (uint32_t)PyList_Size(enums);
    for (Py_ssize_t i = 0; i < PyList_Size(structs); i++) {
        struct_args args;
        if (!parse_struct(PyList_GetItem(structs, i), &args)) {
            return false;
        }
        Py_ssize_t count = PyList_Size(args.fields);
        sizes->field_count += (uint32_t)count;
        sizes->member_count += args.members;
        for (Py_ssize_t k = 0; k < count; k++) {
            field_args field;
            if (!parse_field(PyList_GetItem(args.fields, k), &field)) {
                return false;
            }
            sizes->object_count += PyTuple_Check(field.default_value) ? 1 : 0;
            if (!add_text(field.name, sizes) || !add_text(field.default_value, sizes) ||
                !add_text(field.column, sizes)) {
                return false;
            }
        }
    }
    for (Py_ssize_t i = 0; i < PyList_Size(enums); i++) {
        PyObject *names = PyList_GetItem(enums, i);
        if (!PyList_Check(names)) {
            PyErr_SetString(PyExc_TypeError, "an enum is a list of names");
            return false;
        }
        sizes->enumerant_count += (uint32_t)PyList_Size(names);
        for (Py_ssize_t k = 0; k < PyList_Size(names); k++) {
            if (!add_text(PyList_GetItem(names, k), sizes)) {
                return false;
            }
        }
    }
    return true;
}

/* ---- filling it in ------------------------------------------------------------------ */

typedef struct {
    mmbpy_plan *self;
    mmb_plan *plan;
    size_t text;                               /* bytes of `text` that are taken */
    uint32_t field, member, enumerant, object; /* the next number of each */
} filler;

/* Copy a str or bytes, with a zero at the end. There is room, unless the object has changed. */
static const char *copy_text(filler *f, PyObject *object, Py_ssize_t *length)
{
    char *from;
    if (PyUnicode_Check(object)) {
        from = (char *)(uintptr_t)PyUnicode_AsUTF8AndSize(object, length);
    } else if (PyBytes_AsStringAndSize(object, &from, length) < 0) {
        return NULL;
    }
    if (from == NULL || (size_t)*length >= f->plan->text_bytes - f->text) {
        return NULL;
    }
    char *to = f->plan->text + f->text;
    memcpy(to, from, (size_t)*length);
    f->text += (size_t)*length + 1;
    return to;
}

/* Take a default from (segment, word): a message of one segment, and where its pointer lies
 * there. */
static bool fill_object(filler *f, PyObject *tuple, mmb_plan_field *field)
{
    PyObject *bytes;
    unsigned int word;
    char *from;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(tuple, "O!I:default", &PyBytes_Type, &bytes, &word) ||
        PyBytes_AsStringAndSize(bytes, &from, &length) < 0) {
        return false;
    }
    unsigned char *to = malloc((size_t)length + 1);
    if (to == NULL) {
        PyErr_NoMemory();
        return false;
    }
    if (f->object == f->plan->object_count || (uint64_t)word >= (uint64_t)length / MMB_WORD) {
        free(to);
        return false;
    }
    memcpy(to, from, (size_t)length);
    f->plan->objects[f->object++] = (mmb_segment){.base = to, .words = (uint64_t)length / MMB_WORD};
    field->default_object = f->object;
    field->default_word = word;
    return true;
}

static bool fill_default(filler *f, PyObject *value, mmb_plan_field *field)
{
    if (PyTuple_Check(value)) {
        return fill_object(f, value, field);
    }
    if (PyLong_Check(value)) {
        field->default_bits = PyLong_AsUnsignedLongLong(value);
        return !PyErr_Occurred();
    }
    if (value != Py_None) {
        Py_ssize_t length;
        field->default_start = (const unsigned char *)copy_text(f, value, &length);
        field->default_bytes = (uint32_t)length;
        return field->default_start != NULL;
    }
    return true;
}

static bool fill_field(filler *f, PyObject *tuple, uint32_t number, const mmb_plan_struct *record,
                       PyObject *by_name)
{
    field_args args;
    Py_ssize_t length;
    mmb_plan_field *field = &f->plan->fields[number];
    if (!parse_field(tuple, &args)) {
        return false;
    }
    *field = (mmb_plan_field){
        .name = copy_text(f, args.name, &length),
        .type = args.type,
        .offset = args.offset,
        .tag = args.tag < 0 ? MMB_NONE : (uint32_t)args.tag,
    };
    if (field->name == NULL || !fill_default(f, args.default_value, field)) {
        return false;
    }
    if (args.column != Py_None) {
        field->column = copy_text(f, args.column, &length);
        if (field->column == NULL) {
            return false;
        }
    }
    if (field->tag != MMB_NONE && field->tag < record->members) {
        f->plan->members[record->first_member + field->tag] = number;
    }
    PyObject *name = Py_NewRef(args.name);
    PyUnicode_InternInPlace(&name);
    f->self->names[number] = name;
    PyObject *value = PyLong_FromUnsignedLong(number);
    bool good = value != NULL && PyDict_SetItem(by_name, name, value) == 0;
    Py_XDECREF(value);
    return good;
}

static bool fill_struct(filler *f, PyObject *tuple, uint32_t number)
{
    struct_args args;
    mmb_plan_struct *record = &f->plan->structs[number];
    PyObject *by_name = f->self->fields_by_name[number] = PyDict_New();
    if (by_name == NULL || !parse_struct(tuple, &args)) {
        return false;
    }
    *record = (mmb_plan_struct){
        .first = f->field,
        .count = (uint32_t)PyList_Size(args.fields),
        .tag_offset = args.tag_offset < 0 ? MMB_NONE : (uint32_t)args.tag_offset,
        .members = args.members,
        .first_member = f->member,
        .data_words = (uint16_t)args.data_words,
        .pointer_words = (uint16_t)args.pointer_words,
        .is_group = args.is_group != 0,
    };
    if (record->count > f->plan->field_count - f->field ||
        record->members > f->plan->member_count - f->member) {
        return false;
    }
    for (uint32_t i = 0; i < record->members; i++) {
        f->plan->members[f->member + i] = MMB_NONE;
    }
    for (uint32_t i = 0; i < record->count; i++) {
        PyObject *item = PyList_GetItem(args.fields, (Py_ssize_t)i);
        if (item == NULL || !fill_field(f, item, record->first + i, record, by_name)) {
            return false;
        }
    }
    f->field += record->count;
    f->member += record->members;
    return true;
}

static bool fill_enum(filler *f, PyObject *names, uint32_t number)
{
    uint32_t count = (uint32_t)PyList_Size(names);
    PyObject *by_name = f->self->numbers_by_name[number] = PyDict_New();
    if (by_name == NULL || count > f->plan->enumerant_count - f->enumerant) {
        return false;
    }
    f->plan->enums[number] = (mmb_plan_enum){.first = f->enumerant, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        PyObject *name = PyList_GetItem(names, (Py_ssize_t)i);
        Py_ssize_t length;
        if (name == NULL) {
            return false;
        }
        if (name == Py_None) {
            continue;
        }
        PyObject *value = PyLong_FromUnsignedLong(i);
        bool good = value != NULL && PyDict_SetItem(by_name, name, value) == 0;
        Py_XDECREF(value);
        const char *text = good ? copy_text(f, name, &length) : NULL;
        if (text == NULL) {
            return false;
        }
        f->self->enumerants[f->enumerant + i] = Py_NewRef(name);
        f->plan->enumerants[f->enumerant + i] = text;
    }
    f->enumerant += count;
    return true;
}

/* Take a type from (kind, refers_to), or from (kind, refers_to, meaning, unit, precision, scale,
 * zoned, into, out of). `into` makes the stored int or bytes of a Python value; `out of` makes
 * the Python value of these. */
static bool fill_type(filler *f, PyObject *tuple, uint32_t number)
{
    unsigned int kind, refers_to, what = 0;
    unsigned char unit = 0, precision = 0;
    int scale = 0, zoned = 0;
    PyObject *into = NULL, *out_of = NULL;
    if (tuple == NULL || !PyArg_ParseTuple(tuple, "II|IbbipOO:type", &kind, &refers_to, &what,
                                           &unit, &precision, &scale, &zoned, &into, &out_of)) {
        return false;
    }
    f->plan->types[number] = (mmb_plan_type){
        .kind = (mmb_type_kind)kind,
        .refers_to = refers_to,
        .meaning = {(mmb_meaning_kind)what, unit, precision, (int8_t)scale, zoned != 0},
    };
    f->self->into[number] = Py_XNewRef(into);
    f->self->out_of[number] = Py_XNewRef(out_of);
    return what == MMB_MEANS_NUMBER || (into != NULL && out_of != NULL);
}

static bool fill(mmbpy_plan *self, PyObject *types, PyObject *structs, PyObject *enums)
{
    mmb_plan *plan = self->plan;
    filler f = {.self = self, .plan = plan};
    for (uint32_t i = 0; i < plan->type_count; i++) {
        if (!fill_type(&f, PyList_GetItem(types, (Py_ssize_t)i), i)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->struct_count; i++) {
        PyObject *item = PyList_GetItem(structs, (Py_ssize_t)i);
        if (item == NULL || !fill_struct(&f, item, i)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->enum_count; i++) {
        PyObject *item = PyList_GetItem(enums, (Py_ssize_t)i);
        if (item == NULL || !fill_enum(&f, item, i)) {
            return false;
        }
    }
    return true;
}

/* ---- the type ----------------------------------------------------------------------- */

static PyObject **object_array(uint32_t count)
{
    return PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
}

static void free_objects(PyObject **objects, uint32_t count)
{
    for (uint32_t i = 0; objects != NULL && i < count; i++) {
        Py_XDECREF(objects[i]);
    }
    PyMem_Free(objects);
}

static PyObject *plan_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *types, *structs, *enums;
    mmb_plan sizes = {0};
    if (kwargs != NULL && PyDict_Size(kwargs) != 0) {
        PyErr_SetString(PyExc_TypeError, "Plan() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O!O!:Plan", &PyList_Type, &types, &PyList_Type, &structs,
                          &PyList_Type, &enums) ||
        !measure(types, structs, enums, &sizes)) {
        return NULL;
    }
    mmbpy_plan *self = (mmbpy_plan *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->plan = mmb_plan_new(&sizes);
    self->names = object_array(sizes.field_count);
    self->into = object_array(sizes.type_count);
    self->out_of = object_array(sizes.type_count);
    self->fields_by_name = object_array(sizes.struct_count);
    self->enumerants = object_array(sizes.enumerant_count);
    self->numbers_by_name = object_array(sizes.enum_count);
    if (self->plan == NULL || self->names == NULL || self->into == NULL || self->out_of == NULL ||
        self->fields_by_name == NULL || self->enumerants == NULL || self->numbers_by_name == NULL) {
        PyErr_NoMemory();
    } else if (!fill(self, types, structs, enums) || !mmb_plan_check(self->plan)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError, "the schema contradicts itself");
        }
    } else {
        return (PyObject *)self;
    }
    Py_DECREF(self);
    return NULL;
}

static void plan_dealloc(PyObject *object)
{
    mmbpy_plan *self = (mmbpy_plan *)object;
    if (self->plan != NULL) {
        free_objects(self->names, self->plan->field_count);
        free_objects(self->into, self->plan->type_count);
        free_objects(self->out_of, self->plan->type_count);
        free_objects(self->fields_by_name, self->plan->struct_count);
        free_objects(self->enumerants, self->plan->enumerant_count);
        free_objects(self->numbers_by_name, self->plan->enum_count);
        mmb_plan_free(self->plan);
    }
    mmbpy_free_object(object);
}

PyDoc_STRVAR(plan_doc, "Plan(types, structs, enums, /)\n--\n\n"
                       "A schema, compiled by mmapbuilder.columns.schema.");

static PyMethodDef plan_methods[] = {
    {"read", mmbpy_plan_read, METH_VARARGS, mmbpy_plan_read_doc},
    {"read_roots", mmbpy_plan_read_roots, METH_VARARGS, mmbpy_plan_read_roots_doc},
    {"columns", mmbpy_plan_columns, METH_VARARGS, mmbpy_plan_columns_doc},
    {"columns_of_roots", mmbpy_plan_columns_of_roots, METH_VARARGS,
     mmbpy_plan_columns_of_roots_doc},
    {"stage_arrow", mmbpy_plan_stage_arrow, METH_VARARGS, mmbpy_plan_stage_arrow_doc},
    {"stage", mmbpy_plan_stage, METH_VARARGS, mmbpy_plan_stage_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot plan_slots[] = {
    {Py_tp_doc, (void *)plan_doc},
    {Py_tp_new, plan_new},
    {Py_tp_dealloc, plan_dealloc},
    {Py_tp_methods, plan_methods},
    {0, NULL},
};

MMBPY_SPEC(plan, "Plan", Py_TPFLAGS_IMMUTABLETYPE)
