/* column_plain.c - appends single values to plain columns: numbers, bits and decimals. See
 * column_add.h. */
#include "column_add.h"

static int push_bit(mmb_column *column, uint64_t index, bool bit)
{
    if (index % 8 == 0) {
        unsigned char byte = bit;
        return mmb_bytes_add(&column->values, &byte, 1);
    }
    unsigned char *at = column->values.bytes + index / 8;
    *at = (unsigned char)(*at | (unsigned)bit << (index % 8));
    return 0;
}

/* Append the two's complement of a number as a decimal, in the machine's byte order. */
static int push_decimal(mmb_column *column, uint64_t bits)
{
    uint32_t width = mmb_kind_bits(column->kind);
    bool negative = column->kind <= MMB_INT64 && width != 0 && (bits >> (width - 1) & 1) != 0;
    unsigned char bytes[32];
    uint64_t wide = negative && width < 64 ? bits | UINT64_MAX << width : bits;
    bool little = mmb__is_little_endian();
    for (uint32_t i = 0; i < column->width; i++) {
        unsigned char byte = (unsigned char)(i < 8 ? wide >> (8 * i) : negative ? 0xFF : 0);
        bytes[little ? i : column->width - 1 - i] = byte;
    }
    return mmb_bytes_add(&column->values, bytes, column->width);
}

int mmb__add_plain(mmb_column *column, uint64_t bits, bool valid)
{
    int error = 0;
    if (column->layout == MMB_LAY_BITS) {
        error = push_bit(column, column->length, bits != 0);
    } else if (column->layout == MMB_LAY_DECIMAL) {
        error = push_decimal(column, bits);
    } else if (column->layout != MMB_LAY_NULL) {
        uint32_t size = column->layout == MMB_LAY_NAMES ? 4 : mmb__bytes_of(column->kind);
        error = mmb_bytes_reserve(&column->values, size);
        if (error == 0) {
            mmb__push_number(column, bits, size);
        }
    }
    return error == 0 ? mmb_column_add_valid(column, valid) : error;
}
