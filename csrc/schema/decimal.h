/* decimal.h - decimals of up to 256 bits, as Arrow has them.
 *
 * A *decimal* is an integer together with a scale, which is kept elsewhere: 125 with a scale of
 * 2 is 1.25. Here are the integers: reading them, another scale without loss, and storing them.
 *
 * Any thread may call these. No function here may be called from a signal handler. */
#ifndef MMB_DECIMAL_H
#define MMB_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

enum { MMB__DECIMAL_DIGITS = 76 }; /* that every decimal of 256 bits can have */

typedef struct {
    uint64_t limb[4]; /* the magnitude, the lowest first */
    bool negative;
} mmb__decimal;

/* From two's complement in little-endian order: `width` is 4, 8, 16 or 32 bytes. */
mmb__decimal mmb__decimal_load(const unsigned char *from, uint32_t width);
mmb__decimal mmb__decimal_of(uint64_t magnitude, bool negative);

/* Times ten to the power of `digits`, which may be negative. False if that needs more than 256
 * bits, or if digits other than zeros would be lost. */
bool mmb__decimal_scale(mmb__decimal *value, int digits);

/* Whether it has at most so many digits. */
bool mmb__decimal_fits(const mmb__decimal *value, unsigned digits);

/* As two's complement of 64 bits, or without a sign. False if it does not fit. */
bool mmb__decimal_signed(const mmb__decimal *value, int64_t *out);
bool mmb__decimal_unsigned(const mmb__decimal *value, uint64_t *out);

/* As two's complement of `width` bytes, 16 or 32, in little-endian order. What is cut off must
 * be no digits: see mmb__decimal_fits. */
void mmb__decimal_store(const mmb__decimal *value, unsigned char *to, uint32_t width);

#endif
