/* numbers_simple.h - stores numbers that are simple, for rows_simple.c, which says what that is.
 *
 * The functions are inline, so that a list of numbers gets a loop for just their kind: its caller
 * gives the kind as a constant. No function sets an exception. Each of them returns false, and
 * stores nothing, if the value is not simple or does not fit. */
#ifndef MMBPY_NUMBERS_SIMPLE_H
#define MMBPY_NUMBERS_SIMPLE_H

#include "rows_in.h"

#include <math.h>
#include <string.h>

/* Take an int within bounds. */
static inline bool mmbpy_get_simple_int(PyObject *value, long long least, long long most,
                                        uint64_t *bits)
{
    int beyond = 0;
    if (!PyLong_CheckExact(value)) {
        return false;
    }
    long long number = PyLong_AsLongLongAndOverflow(value, &beyond);
    *bits = (uint64_t)number;
    return beyond == 0 && number >= least && number <= most;
}

static inline bool mmbpy_get_simple_double(PyObject *value, double *number)
{
    uint64_t bits;
    if (PyFloat_CheckExact(value)) {
        *number = PyFloat_AsDouble(value);
        return true;
    }
    if (!mmbpy_get_simple_int(value, INT64_MIN, INT64_MAX, &bits)) {
        return false;
    }
    *number = (double)(int64_t)bits;
    return true;
}

/* Store an int of `width` bits. */
static inline bool mmbpy_put_simple_int(unsigned char *at, uint64_t offset, uint32_t width,
                                        long long least, long long most, uint64_t xor_default,
                                        PyObject *value)
{
    uint64_t bits;
    if (!mmbpy_get_simple_int(value, least, most, &bits)) {
        return false;
    }
    mmb_store_bits(at, offset, width, bits ^ xor_default);
    return true;
}

/* Take the bits of a float of `width` bits. */
static inline bool mmbpy_get_simple_float(PyObject *value, uint32_t width, uint64_t *bits)
{
    double number;
    if (!mmbpy_get_simple_double(value, &number)) {
        return false;
    }
    if (width == 64) {
        memcpy(bits, &number, sizeof number);
        return true;
    }
    float narrow = (float)number;
    uint32_t narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow);
    *bits = narrow_bits;
    return !isinf(narrow) || isinf(number);
}

/* Store a float of `width` bits. */
static inline bool mmbpy_put_simple_float(unsigned char *at, uint64_t offset, uint32_t width,
                                          uint64_t xor_default, PyObject *value)
{
    uint64_t bits;
    if (!mmbpy_get_simple_float(value, width, &bits)) {
        return false;
    }
    mmb_store_bits(at, offset, width, bits ^ xor_default);
    return true;
}

static inline bool mmbpy_put_simple_enum(const mmbpy_stager *w, unsigned char *at, uint64_t offset,
                                         uint32_t number, uint64_t xor_default, PyObject *value)
{
    if (!PyUnicode_CheckExact(value)) {
        return false;
    }
    PyObject *found = PyDict_GetItemWithError(w->self->numbers_by_name[number], value);
    if (found == NULL) {
        return false;
    }
    mmb_store_bits(at, offset, 16, PyLong_AsUnsignedLong(found) ^ xor_default);
    return true;
}

/* Store a number `offset` bits behind an address. Its bits are XORed with `xor_default`. Where
 * `kind` is a constant, this is code for numbers of that kind only. */
static inline bool mmbpy_put_simple_number(const mmbpy_stager *w, unsigned char *at,
                                           uint64_t offset, mmb_type_kind kind, uint32_t refers_to,
                                           uint64_t xor_default, PyObject *value)
{
    switch (kind) {
    case MMB_BOOL:
        if (value != Py_True && value != Py_False) {
            return false;
        }
        mmb_store_bits(at, offset, 1, (value == Py_True) ^ xor_default);
        return true;
    case MMB_INT8:
        return mmbpy_put_simple_int(at, offset, 8, INT8_MIN, INT8_MAX, xor_default, value);
    case MMB_INT16:
        return mmbpy_put_simple_int(at, offset, 16, INT16_MIN, INT16_MAX, xor_default, value);
    case MMB_INT32:
        return mmbpy_put_simple_int(at, offset, 32, INT32_MIN, INT32_MAX, xor_default, value);
    case MMB_INT64:
        return mmbpy_put_simple_int(at, offset, 64, INT64_MIN, INT64_MAX, xor_default, value);
    case MMB_UINT8:
        return mmbpy_put_simple_int(at, offset, 8, 0, UINT8_MAX, xor_default, value);
    case MMB_UINT16:
        return mmbpy_put_simple_int(at, offset, 16, 0, UINT16_MAX, xor_default, value);
    case MMB_UINT32:
        return mmbpy_put_simple_int(at, offset, 32, 0, UINT32_MAX, xor_default, value);
    case MMB_UINT64:
        return mmbpy_put_simple_int(at, offset, 64, 0, INT64_MAX, xor_default, value);
    case MMB_FLOAT32:
        return mmbpy_put_simple_float(at, offset, 32, xor_default, value);
    case MMB_FLOAT64:
        return mmbpy_put_simple_float(at, offset, 64, xor_default, value);
    case MMB_ENUM:
        return mmbpy_put_simple_enum(w, at, offset, refers_to, xor_default, value);
    default:
        return false;
    }
}

#endif
