/* decimal.c - calculates with decimals. See decimal.h. */
#include "decimal.h"

#include <string.h>

enum { LIMBS = 4 };

static uint64_t load64(const unsigned char *from, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        value |= (uint64_t)from[i] << (8 * i);
    }
    return value;
}

static void negate(uint64_t *limb)
{
    bool carry = true;
    for (int i = 0; i < LIMBS; i++) {
        limb[i] = ~limb[i] + (carry ? 1 : 0);
        carry = carry && limb[i] == 0;
    }
}

mmb__decimal mmb__decimal_load(const unsigned char *from, uint32_t width)
{
    mmb__decimal value = {.negative = (from[width - 1] & 0x80) != 0};
    uint64_t fill = value.negative ? UINT64_MAX : 0;
    for (uint32_t i = 0; i < LIMBS; i++) {
        uint32_t left = width > 8 * i ? width - 8 * i : 0;
        value.limb[i] = left >= 8 ? load64(from + 8 * i, 8) : fill;
        if (left == 4) {
            value.limb[i] = load64(from, 4) | (fill << 32);
        }
    }
    if (value.negative) {
        negate(value.limb);
    }
    return value;
}

mmb__decimal mmb__decimal_of(uint64_t magnitude, bool negative)
{
    return (mmb__decimal){.limb = {magnitude}, .negative = negative && magnitude != 0};
}

/* Multiply by ten. Half a limb is taken at a time, so that no number is wider than 64 bits. */
static bool times_ten(uint64_t *limb)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        uint64_t low = (limb[i] & UINT32_MAX) * 10 + carry;
        uint64_t high = (limb[i] >> 32) * 10 + (low >> 32);
        limb[i] = (low & UINT32_MAX) | (high << 32);
        carry = high >> 32;
    }
    return carry == 0 && limb[LIMBS - 1] >> 63 == 0;
}

/* Divide by ten. Return the digit that is lost. */
static uint64_t by_ten(uint64_t *limb)
{
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        uint64_t high = (rest << 32) | (limb[i] >> 32);
        uint64_t low = ((high % 10) << 32) | (limb[i] & UINT32_MAX);
        limb[i] = ((high / 10) << 32) | (low / 10);
        rest = low % 10;
    }
    return rest;
}

static bool is_zero(const mmb__decimal *value)
{
    return (value->limb[0] | value->limb[1] | value->limb[2] | value->limb[3]) == 0;
}

bool mmb__decimal_scale(mmb__decimal *value, int digits)
{
    if (is_zero(value)) {
        return true;
    }
    for (; digits > 0; digits--) {
        if (!times_ten(value->limb)) {
            return false;
        }
    }
    for (; digits < 0; digits++) {
        if (by_ten(value->limb) != 0) {
            return false;
        }
    }
    return true;
}

bool mmb__decimal_fits(const mmb__decimal *value, unsigned digits)
{
    mmb__decimal rest = *value;
    for (unsigned i = 0; i < digits && !is_zero(&rest); i++) {
        (void)by_ten(rest.limb);
    }
    return is_zero(&rest);
}

bool mmb__decimal_unsigned(const mmb__decimal *value, uint64_t *out)
{
    *out = value->limb[0];
    return (value->limb[1] | value->limb[2] | value->limb[3]) == 0 &&
           (!value->negative || value->limb[0] == 0);
}

bool mmb__decimal_signed(const mmb__decimal *value, int64_t *out)
{
    uint64_t size = value->limb[0];
    uint64_t most = value->negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    *out = (int64_t)(value->negative ? ~size + 1 : size);
    return (value->limb[1] | value->limb[2] | value->limb[3]) == 0 && size <= most;
}

void mmb__decimal_store(const mmb__decimal *value, unsigned char *to, uint32_t width)
{
    mmb__decimal copy = *value;
    if (copy.negative) {
        negate(copy.limb);
    }
    for (uint32_t i = 0; i < width; i++) {
        to[i] = (unsigned char)(copy.limb[i / 8] >> (8 * (i % 8)));
    }
}
