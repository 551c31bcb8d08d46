/* arrow_numbers.c - stores numbers, Bools and enums of Arrow in a stage. See arrow_stager.h. */
#include <math.h>
#include <string.h>

#include "arrow_stager.h"
#include "arrow_types.h"
#include "decimal.h"

static bool too_large(mmb__stager *w, uint64_t index, const mmb_binding *b, mmb_type_kind kind)
{
    mmb__bind_fail(w->refusal, MMB_REFUSED_OVERFLOW, b, "the value does not fit %s",
                   mmb__kind_names[kind]);
    return mmb__fail_at(w, index);
}

static uint64_t bit_at(const mmb_arrow_array *a, uint64_t index)
{
    return mmb__bit(a->buffers[1], (uint64_t)a->offset + index);
}

static bool integer(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index,
                    mmb_type_kind kind, uint64_t *bits)
{
    uint32_t width = mmb_kind_bits(kind);
    bool is_signed = kind <= MMB_INT64;
    if (b->layout == MMB_IN_BITS) {
        *bits = bit_at(a, index);
        return true;
    }
    if (b->layout == MMB_IN_SIGNED) {
        int64_t value = mmb__signed_at(b, a, index);
        *bits = (uint64_t)value;
        if (!is_signed) {
            return value >= 0 && (width == 64 || (uint64_t)value >> width == 0);
        }
        return width == 64 || (value >= -(1ll << (width - 1)) && value < 1ll << (width - 1));
    }
    *bits = mmb__unsigned_at(b, a, index);
    return is_signed ? *bits >> (width - 1) == 0 : width == 64 || *bits >> width == 0;
}

/* Convert a count to the unit of its field. Return false with the refusal set if that is not
 * possible. */
static bool convert_count(mmb__stager *w, const mmb_binding *b, uint64_t row, int64_t value,
                          uint64_t *bits)
{
    int64_t by = (int64_t)b->multiply;
    int64_t most = INT64_MAX / by;
    if (value > most || value < -most) {
        return mmb__fail(w, row, MMB_REFUSED_OVERFLOW, b,
                         "the value does not fit the field's unit");
    }
    value *= by;
    if (b->divide > 1 && value % (int64_t)b->divide != 0) {
        return mmb__fail(w, row, MMB_REFUSED_VALUE, b,
                         "the value has a part that is smaller than the field's unit");
    }
    value /= (int64_t)b->divide;
    *bits = (uint64_t)value;
    return true;
}

/* Read an integer or a decimal, in the scale of a field that is a decimal. */
static bool decimal_at(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                       uint64_t index, uint64_t row, mmb__decimal *out)
{
    const mmb_meaning *meaning = &w->plan->types[b->type].meaning;
    int scale = meaning->scale;
    if (b->layout == MMB_IN_DECIMAL) {
        const unsigned char *from = a->buffers[1];
        *out = mmb__decimal_load(from + ((uint64_t)a->offset + index) * b->width, b->width);
        scale -= b->meaning.scale;
    } else if (b->layout == MMB_IN_SIGNED) {
        int64_t value = mmb__signed_at(b, a, index);
        *out = mmb__decimal_of(value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value, value < 0);
    } else {
        *out = mmb__decimal_of(mmb__unsigned_at(b, a, index), false);
    }
    if (!mmb__decimal_scale(out, scale)) {
        return mmb__fail(w, row, MMB_REFUSED_VALUE, b,
                         "the value has more digits after the point than the field, or is too "
                         "large");
    }
    return mmb__decimal_fits(out, meaning->precision) ||
           mmb__fail(w, row, MMB_REFUSED_OVERFLOW, b, "the value has more digits than the field");
}

static bool decimal_bits(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                         uint64_t index, uint64_t row, uint64_t *bits)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    uint32_t width = mmb_kind_bits(kind);
    mmb__decimal value;
    int64_t number;
    if (!decimal_at(w, b, a, index, row, &value)) {
        return false;
    }
    if (kind > MMB_INT64) {
        return (mmb__decimal_unsigned(&value, bits) && (width == 64 || *bits >> width == 0)) ||
               too_large(w, row, b, kind);
    }
    bool fits = mmb__decimal_signed(&value, &number) &&
                (width == 64 || (number >= -(1ll << (width - 1)) && number < 1ll << (width - 1)));
    *bits = (uint64_t)number;
    return fits || too_large(w, row, b, kind);
}

bool mmb__decimal_bytes(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                        uint64_t index, uint64_t row, unsigned char *to, uint32_t *width)
{
    mmb__decimal value;
    *width = w->plan->types[b->type].meaning.precision > 38 ? 32 : 16;
    if (!decimal_at(w, b, a, index, row, &value)) {
        return false;
    }
    mmb__decimal_store(&value, to, *width);
    return true;
}

static double any_number(const mmb_binding *b, const mmb_arrow_array *a, uint64_t index)
{
    switch (b->layout) {
    case MMB_IN_SIGNED:
        return (double)mmb__signed_at(b, a, index);
    case MMB_IN_UNSIGNED:
        return (double)mmb__unsigned_at(b, a, index);
    case MMB_IN_BITS:
        return (double)bit_at(a, index);
    default:
        return mmb__float_at(b, a, index);
    }
}

/* Return the number in "@7"; MMB_NONE if the bytes are no such text. */
static uint32_t unnamed(const unsigned char *start, uint64_t length)
{
    uint32_t number = 0;
    if (length < 2 || length > 6 || start[0] != '@') {
        return MMB_NONE;
    }
    for (uint64_t i = 1; i < length; i++) {
        if (start[i] < '0' || start[i] > '9') {
            return MMB_NONE;
        }
        number = number * 10 + (start[i] - '0');
    }
    return number <= UINT16_MAX ? number : MMB_NONE;
}

static bool enumerant(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t index, uint64_t row, uint64_t *bits)
{
    const mmb_plan_enum *type = &w->plan->enums[w->plan->types[b->type].refers_to];
    const char **names = w->plan->enumerants + type->first;
    const unsigned char *start;
    uint64_t length;
    if (b->layout == MMB_IN_SIGNED || b->layout == MMB_IN_UNSIGNED) {
        *bits = mmb__unsigned_at(b, a, index);
        bool known = (b->layout == MMB_IN_UNSIGNED || mmb__signed_at(b, a, index) >= 0) &&
                     *bits < type->count && names[*bits] != NULL;
        return known || mmb__fail(w, row, MMB_REFUSED_VALUE, b, "the enum has no such number");
    }
    if (!mmb__bytes_at(b, a, index, &start, &length, w->refusal)) {
        return mmb__fail_at(w, row);
    }
    for (uint32_t i = 0; i < type->count; i++) {
        if (mmb__name_is(names[i], start, length)) {
            *bits = i;
            return true;
        }
    }
    *bits = unnamed(start, length);
    return *bits != MMB_NONE ||
           mmb__fail(w, row, MMB_REFUSED_VALUE, b, "the enum has no such name");
}

/* Find the bits of a value that is not null. */
static bool number_bits(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                        uint64_t index, uint64_t row, uint64_t *bits)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    switch (kind) {
    case MMB_BOOL:
        return (integer(b, a, index, MMB_UINT8, bits) && *bits <= 1) || too_large(w, row, b, kind);
    case MMB_ENUM:
        return enumerant(w, b, a, index, row, bits);
    case MMB_FLOAT64: {
        double value = any_number(b, a, index);
        memcpy(bits, &value, sizeof value);
        return true;
    }
    case MMB_FLOAT32: {
        double value = any_number(b, a, index);
        float narrow = (float)value;
        uint32_t half;
        memcpy(&half, &narrow, sizeof half);
        *bits = half;
        return !isinf(narrow) || isinf(value) || too_large(w, row, b, kind);
    }
    default:
        if (w->plan->types[b->type].meaning.what == MMB_DECIMAL) {
            return decimal_bits(w, b, a, index, row, bits);
        }
        if (b->multiply > 1 || b->divide > 1) {
            int64_t count;
            if (!convert_count(w, b, row, mmb__signed_at(b, a, index), bits)) {
                return false;
            }
            memcpy(&count, bits, sizeof count);
            return kind == MMB_INT64 || (count >= INT32_MIN && count <= INT32_MAX) ||
                   too_large(w, row, b, kind);
        }
        return integer(b, a, index, kind, bits) || too_large(w, row, b, kind);
    }
}

/* Deal with a missing number. Return false if it is an error. */
static bool missing(mmb__stager *w, uint64_t row, const mmb_binding *b)
{
    return w->defaults ||
           mmb__fail(w, row, MMB_REFUSED_TYPE, b,
                     "the value is missing, and a number cannot be null (missing=\"default\" "
                     "stores the default)");
}

bool mmb__same_numbers(const mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a)
{
    mmb_type_kind kind = w->plan->types[b->type].kind;
    const uint16_t probe = 1;
    bool fits = b->layout == MMB_IN_SIGNED     ? kind >= MMB_INT8 && kind <= MMB_INT64
                : b->layout == MMB_IN_UNSIGNED ? kind >= MMB_UINT8 && kind <= MMB_UINT64
                : b->layout == MMB_IN_FLOAT    ? kind == MMB_FLOAT32 || kind == MMB_FLOAT64
                                               : false;
    bool as_stored =
        b->multiply <= 1 && b->divide <= 1 && w->plan->types[b->type].meaning.what != MMB_DECIMAL;
    return fits && as_stored && !b->has_dictionary && b->width * 8 == mmb_kind_bits(kind) &&
           a->buffers[0] == NULL && *(const unsigned char *)&probe == 1;
}

/* Copy numbers of `width` bytes. Callers give a constant, so that each loop is a short one. */
static inline void spread(const unsigned char *from, unsigned char *to, uint64_t count,
                          uint64_t step, uint64_t xor_default, uint32_t width)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bits = 0;
        memcpy(&bits, from + i * width, width);
        bits ^= xor_default;
        memcpy(to + i * step, &bits, width);
    }
}

/* Copy numbers without a conversion. The machine is little-endian. */
static void copy_numbers(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                         uint64_t start, uint64_t count, mmb__values where, uint64_t xor_default)
{
    const unsigned char *from =
        (const unsigned char *)a->buffers[1] + ((uint64_t)a->offset + start) * b->width;
    unsigned char *to = mmb_stage_at(w->stage, where.place) + where.offset / 8;
    uint64_t step = where.step / 8;
    if (count == 0) {
        return;
    }
    if (step == b->width && xor_default == 0) {
        memcpy(to, from, (size_t)(count * b->width));
        return;
    }
    switch (b->width) {
    case 1:
        spread(from, to, count, step, xor_default, 1);
        break;
    case 2:
        spread(from, to, count, step, xor_default, 2);
        break;
    case 4:
        spread(from, to, count, step, xor_default, 4);
        break;
    default:
        spread(from, to, count, step, xor_default, 8);
        break;
    }
}

bool mmb__put_numbers(mmb__stager *w, const mmb_binding *b, const mmb_arrow_array *a,
                      uint64_t start, uint64_t count, mmb__values to, uint64_t xor_default,
                      const bool *mask)
{
    if (mask == NULL && mmb__same_numbers(w, b, a)) {
        copy_numbers(w, b, a, start, count, to, xor_default);
        return true;
    }
    uint32_t width = mmb_kind_bits(w->plan->types[b->type].kind);
    for (uint64_t i = 0; i < count; i++) {
        const mmb_binding *values = b;
        const mmb_arrow_array *array = a;
        uint64_t index = start + i;
        uint64_t bits = 0;
        if (mask != NULL && !mask[i]) {
            continue;
        }
        if (!mmb__is_valid(b, a, index)) {
            if (!missing(w, i, b)) {
                return false;
            }
            continue;
        }
        if (b->has_dictionary) {
            if (!mmb__look_up(&values, &array, &index, w->refusal)) {
                return mmb__fail_at(w, i);
            }
            if (!mmb__is_valid(values, array, index)) {
                if (!missing(w, i, b)) {
                    return false;
                }
                continue;
            }
        }
        if (!number_bits(w, values, array, index, i, &bits)) {
            return false;
        }
        mmb_stage_store(w->stage, to.place, to.offset + i * to.step, width, bits ^ xor_default);
    }
    return true;
}
