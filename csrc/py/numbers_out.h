/* numbers_out.h - makes Python's numbers of those in messages. */
#ifndef MMBPY_NUMBERS_OUT_H
#define MMBPY_NUMBERS_OUT_H

#include "plan_type.h"

#include <string.h>

/* Return the number whose bits, as many as its kind has, are the lowest of `bits`. */
static inline PyObject *mmbpy_number_of(mmb_type_kind kind, uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float single;
    double wide;
    switch (kind) {
    case MMB_INT8:
        return PyLong_FromLong((int8_t)bits);
    case MMB_INT16:
        return PyLong_FromLong((int16_t)bits);
    case MMB_INT32:
        return PyLong_FromLong((int32_t)bits);
    case MMB_INT64:
        return PyLong_FromLongLong((int64_t)bits);
    case MMB_FLOAT32:
        memcpy(&single, &narrow, sizeof single);
        return PyFloat_FromDouble((double)single);
    case MMB_FLOAT64:
        memcpy(&wide, &bits, sizeof wide);
        return PyFloat_FromDouble(wide);
    default:
        return PyLong_FromUnsignedLongLong(bits);
    }
}

#endif
