/* decimal.h - decimals of up to 256 bits, as Arrow has them.
 *
 * A *decimal* is an integer together with a scale, which is kept elsewhere: 125 with a scale of 2
 * is 1.25. The functions here work on the integers: they load them, change their scale without
 * loss, and store them.
 *
 * Any thread may call them. No function here may be called from a signal handler. */
#ifndef MMB_DECIMAL_H
#define MMB_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t limb[4]; /* the magnitude, the lowest limb first */
    bool negative;
} mmb__decimal;

/* Load a decimal from two's complement in little-endian order. `width` is 4, 8, 16 or 32 bytes. */
mmb__decimal mmb__decimal_load(const unsigned char *from, uint32_t width);
mmb__decimal mmb__decimal_of(uint64_t magnitude, bool negative);

/* Multiply by ten to the power of `digits`, which may be negative. Return false if the result needs
 * more than 256 bits, or if a digit that is not zero would be lost. */
bool mmb__decimal_scale(mmb__decimal *value, int digits);

/* Return whether the value has at most so many digits. */
bool mmb__decimal_fits(const mmb__decimal *value, unsigned digits);

/* Convert to a number of 64 bits, with a sign or without. Return false if the value does not
 * fit. */
bool mmb__decimal_signed(const mmb__decimal *value, int64_t *out);
bool mmb__decimal_unsigned(const mmb__decimal *value, uint64_t *out);

/* Store the value as two's complement of `width` bytes, 16 or 32, in little-endian order. The
 * value must fit: see mmb__decimal_fits. */
void mmb__decimal_store(const mmb__decimal *value, unsigned char *to, uint32_t width);

#endif
