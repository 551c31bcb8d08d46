/* test_decimal.c - decimals of up to 256 bits. */
#include "check.h"
#include "decimal.h"

#include <string.h>

static mmb__decimal of(int64_t value)
{
    return mmb__decimal_of(value < 0 ? (uint64_t)-(value + 1) + 1 : (uint64_t)value, value < 0);
}

static void test_what_is_stored_is_loaded(void)
{
    const int64_t values[] = {0, 1, -1, 10, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        unsigned char bytes[32];
        for (uint32_t width = 16; width <= 32; width *= 2) {
            mmb__decimal value = of(values[i]);
            int64_t back;
            mmb__decimal_store(&value, bytes, width);
            value = mmb__decimal_load(bytes, width);
            CHECK(mmb__decimal_signed(&value, &back) && back == values[i]);
        }
    }
    mmb__decimal narrow = mmb__decimal_load((const unsigned char *)"\xfe\xff\xff\xff", 4);
    int64_t two;
    CHECK(mmb__decimal_signed(&narrow, &two) && two == -2);
}

static void test_another_scale_loses_nothing(void)
{
    mmb__decimal value = of(-125);
    int64_t back;
    CHECK(mmb__decimal_scale(&value, 3) && mmb__decimal_signed(&value, &back) && back == -125000);
    CHECK(mmb__decimal_scale(&value, -3) && mmb__decimal_signed(&value, &back) && back == -125);
    CHECK(!mmb__decimal_scale(&value, -1));
    value = of(7);
    CHECK(mmb__decimal_scale(&value, 75) && mmb__decimal_fits(&value, 76));
    CHECK(!mmb__decimal_fits(&value, 75) && !mmb__decimal_signed(&value, &back));
    CHECK(!mmb__decimal_scale(&value, 5)); /* more than 256 bits */
    value = of(0);
    CHECK(mmb__decimal_scale(&value, 1000) && mmb__decimal_scale(&value, -1000));
}

static void test_integers_have_limits(void)
{
    int64_t back;
    uint64_t plain;
    mmb__decimal value = mmb__decimal_of((uint64_t)INT64_MAX + 1, true);
    CHECK(mmb__decimal_signed(&value, &back) && back == INT64_MIN);
    value.negative = false;
    CHECK(!mmb__decimal_signed(&value, &back) && mmb__decimal_unsigned(&value, &plain));
    value = of(-1);
    CHECK(!mmb__decimal_unsigned(&value, &plain));
    CHECK(mmb__decimal_fits(&value, 1) && !mmb__decimal_fits(&value, 0));
}

int main(void)
{
    RUN(test_what_is_stored_is_loaded);
    RUN(test_another_scale_loses_nothing);
    RUN(test_integers_have_limits);
    return 0;
}
