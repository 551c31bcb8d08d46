/* rows.c - stores whole columns of numbers into the structs of a list.
 *
 * For one column this is a store at a fixed distance. To store column by column would go through
 * the whole list once for each column. To store row by row would be slow as well, since each column
 * may have numbers of another size. So we finish some rows at a time: their memory stays in the
 * first cache until the last column is stored. */
#include "mmb_capnp.h"

#include <string.h>

enum { ROWS_AT_A_TIME = 512 };

/* Define one loop for each size of number, so that loads and stores are single instructions.
 * Numbers are copied as they are: those given have the byte order of the format. */
#define DEFINE_STORE(type)                                                                         \
    static void store_##type(unsigned char *to, uint64_t stride, const mmb_numbers *column,        \
                             uint64_t first, uint64_t count)                                       \
    {                                                                                              \
        const unsigned char *from = column->from + (int64_t)first * column->step;                  \
        const type xor_default = (type)column->xor_default;                                        \
        const int64_t step = column->step;                                                         \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            type value;                                                                            \
            memcpy(&value, from, sizeof value);                                                    \
            value = (type)(value ^ xor_default);                                                   \
            memcpy(to, &value, sizeof value);                                                      \
            from += step;                                                                          \
            to += stride;                                                                          \
        }                                                                                          \
    }

DEFINE_STORE(uint8_t)
DEFINE_STORE(uint16_t)
DEFINE_STORE(uint32_t)
DEFINE_STORE(uint64_t)

static void store(unsigned char *to, uint64_t stride, const mmb_numbers *column, uint64_t first,
                  uint64_t count)
{
    switch (column->size) {
    case 1:
        store_uint8_t(to, stride, column, first, count);
        break;
    case 2:
        store_uint16_t(to, stride, column, first, count);
        break;
    case 4:
        store_uint32_t(to, stride, column, first, count);
        break;
    default:
        store_uint64_t(to, stride, column, first, count);
        break;
    }
}

/* Return true if the number of each row lies within the `bytes` of the segment. */
static bool is_inside(const mmb_rows *rows, const mmb_numbers *column, uint64_t bytes)
{
    uint64_t reach = (uint64_t)column->offset + column->size;
    if (rows->byte > bytes || reach > bytes - rows->byte) {
        return false;
    }
    uint64_t room = bytes - rows->byte - reach;
    return rows->stride == 0 || rows->count - 1 <= room / rows->stride;
}

int mmb_rows_store(const mmb_segment *segments, uint32_t count, const mmb_rows *rows,
                   const mmb_numbers *columns, uint32_t column_count, mmb_flaw *flaw)
{
    if (rows->count == 0) {
        return 0;
    }
    uint64_t bytes = rows->segment < count ? segments[rows->segment].words * MMB_WORD : 0;
    for (uint32_t i = 0; i < column_count; i++) {
        uint32_t size = columns[i].size;
        if ((size != 1 && size != 2 && size != 4 && size != 8) ||
            !is_inside(rows, &columns[i], bytes)) {
            *flaw = (mmb_flaw){.segment = rows->segment,
                               .word = rows->byte / MMB_WORD,
                               .reason = "the list reaches beyond its segment"};
            return MMB_EMESSAGE;
        }
    }
    /* Segments are declared constant, for callers that only read them. */
    unsigned char *start = (unsigned char *)(uintptr_t)segments[rows->segment].base + rows->byte;
    for (uint64_t first = 0; first < rows->count; first += ROWS_AT_A_TIME) {
        uint64_t left = rows->count - first;
        uint64_t now = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME;
        for (uint32_t i = 0; i < column_count; i++) {
            store(start + first * rows->stride + columns[i].offset, rows->stride, &columns[i],
                  first, now);
        }
    }
    return 0;
}
