/* values_in.c - writes Python's numbers, strings and buffers as values of a message. */

#include "column_args.h"
#include "rows_in.h"

#include <math.h>
#include <string.h>

PyObject *mmbpy_type_name(PyObject *value)
{
    return PyType_GetName(Py_TYPE(value));
}

static const char *const names[MMB_TYPE_KINDS] = {
    "Void",   "Bool",    "Int8",     "Int16",        "Int32",      "Int64",   "UInt8",
    "UInt16", "UInt32",  "UInt64",   "Float32",      "Float64",    "Text",    "Data",
    "List",   "an enum", "a struct", "an interface", "AnyPointer", "a group",
};

/* Return whether a type is a time, a date or a decimal of Python, NumPy or pandas. A number
 * alone cannot stand for these. */
static bool needs_meaning(PyObject *name)
{
    static const char *const known[] = {"datetime",  "date",      "time",
                                        "timedelta", "Decimal",   "datetime64",
                                        "Timestamp", "Timedelta", "timedelta64"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (PyUnicode_CompareWithASCIIString(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool wrong_type(const mmbpy_stager *w, mmb_type_kind kind, PyObject *value)
{
    PyObject *name = mmbpy_type_name(value);
    if (name != NULL) {
        mmbpy_stager_fail(w, PyExc_TypeError, "%s cannot be made of %U%s", names[kind], name,
                          needs_meaning(name) ? ": an annotation of /mmapbuilder/arrow.capnp, such "
                                                "as $Arrow.timestamp, says what a field counts"
                                              : "");
        Py_DECREF(name);
    }
    return false;
}

static bool overflow(const mmbpy_stager *w, mmb_type_kind kind, PyObject *value)
{
    return mmbpy_stager_fail(w, PyExc_OverflowError, "%R does not fit %s", value, names[kind]);
}

/* ---- integers ----------------------------------------------------------------------- */

/* Return the value as an int. It is one, or has __index__. A new reference. */
static PyObject *as_int(const mmbpy_stager *w, mmb_type_kind kind, PyObject *value)
{
    if (PyLong_Check(value)) {
        return Py_NewRef(value);
    }
    PyObject *number = PyIndex_Check(value) ? PyNumber_Index(value) : NULL;
    if (number == NULL && mmbpy_forget(PyExc_TypeError)) {
        wrong_type(w, kind, value); /* arrays have __index__, and refuse to be one number */
    }
    return number;
}

static bool unsigned_64(const mmbpy_stager *w, PyObject *number, uint64_t *bits)
{
    *bits = PyLong_AsUnsignedLongLong(number);
    if (*bits == UINT64_MAX && PyErr_Occurred()) {
        return mmbpy_forget(PyExc_OverflowError) && overflow(w, MMB_UINT64, number);
    }
    return true;
}

static bool integer_bits(const mmbpy_stager *w, mmb_type_kind kind, PyObject *value, uint64_t *bits)
{
    PyObject *number = as_int(w, kind, value);
    if (number == NULL) {
        return false;
    }
    bool good;
    if (kind == MMB_UINT64) {
        good = unsigned_64(w, number, bits);
    } else {
        int beyond = 0;
        long long wide = PyLong_AsLongLongAndOverflow(number, &beyond);
        uint32_t width = mmb_kind_bits(kind);
        bool is_signed = kind <= MMB_INT64;
        long long least = is_signed ? -(long long)(1ull << (width - 1)) : 0;
        long long most =
            is_signed ? (long long)((1ull << (width - 1)) - 1) : (long long)((1ull << width) - 1);
        if (is_signed && width == 64) {
            least = INT64_MIN;
            most = INT64_MAX;
        }
        good = beyond == 0 && wide >= least && wide <= most;
        if (!good) {
            overflow(w, kind, number);
        }
        *bits = (uint64_t)wide;
    }
    Py_DECREF(number);
    return good;
}

/* ---- other numbers -------------------------------------------------------------------- */

static bool float_bits(const mmbpy_stager *w, mmb_type_kind kind, PyObject *value, uint64_t *bits)
{
    double number;
    if (PyFloat_Check(value)) {
        number = PyFloat_AsDouble(value);
    } else if (PyUnicode_Check(value) || PyBytes_Check(value) || !PyNumber_Check(value)) {
        return wrong_type(w, kind, value);
    } else {
        number = PyFloat_AsDouble(value);
    }
    if (number == -1.0 && PyErr_Occurred()) {
        if (mmbpy_forget(PyExc_OverflowError)) {
            return overflow(w, kind, value);
        }
        return mmbpy_forget(PyExc_TypeError) && wrong_type(w, kind, value);
    }
    if (kind == MMB_FLOAT64) {
        memcpy(bits, &number, sizeof number);
        return true;
    }
    float narrow = (float)number;
    uint32_t half;
    if (isinf(narrow) && !isinf(number)) {
        return overflow(w, kind, value);
    }
    memcpy(&half, &narrow, sizeof half);
    *bits = half;
    return true;
}

/* Find the bits of a bool, a bool of NumPy, 0 or 1. */
static bool bool_bits(const mmbpy_stager *w, PyObject *value, uint64_t *bits)
{
    if (value == Py_True || value == Py_False) {
        *bits = value == Py_True;
        return true;
    }
    if (PyIndex_Check(value)) {
        PyObject *number = PyNumber_Index(value);
        if (number == NULL) {
            return false;
        }
        int beyond = 0;
        long long wide = PyLong_AsLongLongAndOverflow(number, &beyond);
        Py_DECREF(number);
        *bits = (uint64_t)wide;
        return (beyond == 0 && (wide == 0 || wide == 1)) || overflow(w, MMB_BOOL, value);
    }
    PyObject *name = mmbpy_type_name(value);
    if (name == NULL) {
        return false;
    }
    bool is_bool = PyUnicode_CompareWithASCIIString(name, "bool") == 0 ||
                   PyUnicode_CompareWithASCIIString(name, "bool_") == 0;
    Py_DECREF(name);
    if (!is_bool) {
        return wrong_type(w, MMB_BOOL, value);
    }
    int truth = PyObject_IsTrue(value);
    *bits = truth > 0;
    return truth >= 0;
}

/* Return the number in "@7", as reading calls a value without a name; -1 if it is no such text, or
 * with an exception on an error. */
static long unnamed(PyObject *value)
{
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    long number = 0;
    if (text == NULL || length < 2 || length > 6 || text[0] != '@') {
        mmbpy_forget(PyExc_UnicodeError);
        return -1;
    }
    for (Py_ssize_t i = 1; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        number = number * 10 + (text[i] - '0');
    }
    return number <= UINT16_MAX ? number : -1;
}

/* Return the number of an enum of pycapnp, a new reference; NULL if the value is none, or with an
 * exception on an error. */
static PyObject *number_of_enum(PyObject *value)
{
    PyObject *name = mmbpy_type_name(value), *number = NULL;
    if (name != NULL && PyUnicode_CompareWithASCIIString(name, "_DynamicEnum") == 0) {
        number = PyObject_GetAttrString(value, "raw");
    }
    Py_XDECREF(name);
    return number;
}

static bool enum_bits(const mmbpy_stager *w, uint32_t number, PyObject *value, uint64_t *bits)
{
    const mmb_plan_enum *type = &w->plan->enums[number];
    if (PyUnicode_Check(value)) {
        PyObject *found = PyDict_GetItemWithError(w->self->numbers_by_name[number], value);
        if (found == NULL && PyErr_Occurred()) {
            return false;
        }
        long known = found != NULL ? PyLong_AsLong(found) : unnamed(value);
        *bits = (uint64_t)known;
        return known >= 0 || (!PyErr_Occurred() &&
                              mmbpy_stager_fail(w, PyExc_ValueError, "the enum has no %R", value));
    }
    PyObject *own = PyIndex_Check(value) ? NULL : number_of_enum(value);
    bool good = !PyErr_Occurred() && integer_bits(w, MMB_ENUM, own != NULL ? own : value, bits);
    Py_XDECREF(own);
    if (!good) {
        return false;
    }
    return (*bits < type->count && w->plan->enumerants[type->first + *bits] != NULL) ||
           mmbpy_stager_fail(w, PyExc_ValueError, "the enum has no number %R", value);
}

bool mmbpy_number_bits(const mmbpy_stager *w, const mmb_plan_type *type, PyObject *value,
                       uint64_t *bits)
{
    *bits = 0;
    if (type->meaning.what != MMB_MEANS_NUMBER) {
        PyObject *stored = mmbpy_stored_of(w, type, value);
        bool good = stored != NULL && integer_bits(w, type->kind, stored, bits);
        Py_XDECREF(stored);
        return good;
    }
    switch (type->kind) {
    case MMB_VOID:
        return value == Py_None || wrong_type(w, MMB_VOID, value);
    case MMB_BOOL:
        return bool_bits(w, value, bits);
    case MMB_FLOAT32:
    case MMB_FLOAT64:
        return float_bits(w, type->kind, value, bits);
    case MMB_ENUM:
        return enum_bits(w, type->refers_to, value, bits);
    default:
        return integer_bits(w, type->kind, value, bits);
    }
}

/* ---- Text and Data -------------------------------------------------------------------- */

static bool stage_bytes(mmbpy_stager *w, uint64_t pointer, bool text, const char *bytes,
                        Py_ssize_t length)
{
    int error = mmb_stage_bytes(w->stage, pointer, bytes, (uint64_t)length, text);
    return error == 0 || mmbpy_stager_fail_stage(w, error);
}

static bool write_str(mmbpy_stager *w, uint64_t pointer, bool text, PyObject *value)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(value, &length);
    if (bytes == NULL) {
        if (mmbpy_forget(PyExc_UnicodeError)) {
            mmbpy_stager_fail(w, PyExc_ValueError, "%A has surrogates, which UTF-8 has not", value);
        }
        return false;
    }
    return stage_bytes(w, pointer, text, bytes, length);
}

/* Write a uuid.UUID: it has the 16 bytes that stand for it. */
static bool write_uuid(mmbpy_stager *w, uint64_t pointer, PyObject *value)
{
    PyObject *name = mmbpy_type_name(value);
    bool is_uuid = name != NULL && PyUnicode_CompareWithASCIIString(name, "UUID") == 0;
    Py_XDECREF(name);
    if (name == NULL || !is_uuid) {
        return name != NULL && wrong_type(w, MMB_DATA, value);
    }
    PyObject *bytes = PyObject_GetAttrString(value, "bytes");
    bool good = bytes != NULL &&
                (PyBytes_Check(bytes)
                     ? stage_bytes(w, pointer, false, PyBytes_AsString(bytes), PyBytes_Size(bytes))
                     : wrong_type(w, MMB_DATA, bytes));
    Py_XDECREF(bytes);
    return good;
}

bool mmbpy_write_bytes(mmbpy_stager *w, uint64_t pointer, bool text, PyObject *value)
{
    if (PyUnicode_Check(value)) {
        return write_str(w, pointer, text, value);
    }
    if (!PyObject_CheckBuffer(value)) {
        return text ? wrong_type(w, MMB_TEXT, value) : write_uuid(w, pointer, value);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) {
        return false;
    }
    int is_string = mmbpy_is_string(w->state, value, &view, text);
    if (is_string != 1) {
        PyBuffer_Release(&view);
        return is_string == 0 && wrong_type(w, text ? MMB_TEXT : MMB_DATA, value);
    }
    bool good = (!text || mmb_is_text(view.buf, (uint64_t)view.len) ||
                 mmbpy_stager_fail(w, PyExc_ValueError, "the bytes are not UTF-8")) &&
                stage_bytes(w, pointer, text, view.buf, view.len);
    PyBuffer_Release(&view);
    return good;
}

/* ---- buffers of numbers ---------------------------------------------------------------- */

/* Return whether elements of a buffer, of `size` bytes and this format, are as the list stores
 * them. */
static bool same_format(const char *format, Py_ssize_t size, mmb_type_kind element)
{
    static const uint16_t probe = 1;
    bool is_little = *(const unsigned char *)&probe == 1;
    if (format == NULL) {
        format = "B";
    }
    if (*format == '<' || *format == '=' || *format == '@') {
        if (*format != '<' && !is_little) {
            return false;
        }
        format++;
    } else if (!is_little && size != 1) {
        return false;
    }
    if (format[0] == 0 || format[1] != 0 || 8u * (uint64_t)size != mmb_kind_bits(element)) {
        return false;
    }
    switch (element) {
    case MMB_FLOAT32:
    case MMB_FLOAT64:
        return *format == 'f' || *format == 'd';
    case MMB_ENUM:
    case MMB_BOOL:
        return false;
    default:
        return strchr(element <= MMB_INT64 ? "bhilqn" : "BHILQN", *format) != NULL;
    }
}

int mmbpy_write_buffer(mmbpy_stager *w, uint64_t pointer, mmb_type_kind element, PyObject *value)
{
    Py_buffer view;
    int is_masked = PyObject_CheckBuffer(value) ? mmbpy_is_masked(w->state, value) : 1;
    if (is_masked != 0) {
        return is_masked < 0 ? -1 : 0;
    }
    if (PyObject_GetBuffer(value, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT) < 0) {
        return mmbpy_forget_refusal() ? 0 : -1;
    }
    int result = 0;
    if (view.ndim == 1 && same_format(view.format, view.itemsize, element)) {
        uint64_t place;
        uint64_t count = (uint64_t)view.shape[0];
        int error = mmb_stage_list(w->stage, pointer, element, count, &place);
        if (error != 0) {
            mmbpy_stager_fail_stage(w, error);
        } else if (view.strides[0] == view.itemsize) {
            if (count != 0) {
                memcpy(mmb_stage_at(w->stage, place), view.buf, (size_t)view.len);
            }
        } else {
            for (uint64_t i = 0; i < count; i++) {
                memcpy(mmb_stage_at(w->stage, place) + i * (size_t)view.itemsize,
                       (const char *)view.buf + (Py_ssize_t)i * view.strides[0],
                       (size_t)view.itemsize);
            }
        }
        result = error == 0 ? 1 : -1;
    }
    PyBuffer_Release(&view);
    return result;
}
