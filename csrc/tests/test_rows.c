/* test_rows.c - columns of numbers stored into rows, and refused where they do not fit. */
#include "check.h"
#include "mmb_capnp.h"

enum { ROWS = 1300, STRIDE = 24 }; /* more than are done at a time */

static unsigned char *memory;
static mmb_segment segment;
static mmb_flaw flaw;

static void make(uint64_t words)
{
    free(memory);
    memory = calloc(words, MMB_WORD);
    CHECK(memory != NULL);
    segment = (mmb_segment){memory, words};
}

static uint64_t load(uint64_t row, unsigned offset, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, memory + 8 + row * STRIDE + offset, size); /* on little-endian machines */
    return value;
}

static void every_size(void)
{
    static uint64_t eight[ROWS];
    static uint32_t four[2 * ROWS];
    static uint16_t two[ROWS];
    static uint8_t one[ROWS];
    for (uint64_t i = 0; i < ROWS; i++) {
        eight[i] = i * 0x0102030405060708u;
        four[2 * i] = (uint32_t)i * 0x01020304u;
        two[i] = (uint16_t)(i * 3);
        one[i] = (uint8_t)i;
    }
    make(1 + ROWS * STRIDE / 8);
    mmb_rows rows = {.byte = 8, .stride = STRIDE, .count = ROWS};
    const mmb_numbers columns[] = {
        {.from = (const unsigned char *)eight, .step = 8, .offset = 16, .size = 8},
        {.from = (const unsigned char *)four,
         .step = 8,
         .offset = 0,
         .size = 4,
         .xor_default = 0xFF00FF},
        {.from = (const unsigned char *)(two + ROWS - 1), .step = -2, .offset = 4, .size = 2},
        {.from = one, .step = 1, .offset = 7, .size = 1, .xor_default = 0x80},
    };
    CHECK_EQ(mmb_rows_store(&segment, 1, &rows, columns, 4, &flaw), 0);
    for (uint64_t i = 0; i < ROWS; i++) {
        CHECK(load(i, 16, 8) == eight[i]);
        CHECK(load(i, 0, 4) == (four[2 * i] ^ 0xFF00FFu));
        CHECK(load(i, 4, 2) == two[ROWS - 1 - i]);
        CHECK(load(i, 7, 1) == (one[i] ^ 0x80u));
        CHECK(load(i, 6, 1) == 0);
        CHECK(load(i, 8, 8) == 0);
    }
}

static void what_does_not_fit(void)
{
    static const uint64_t numbers[4];
    make(4);
    const struct {
        mmb_rows rows;
        uint32_t offset, size;
    } wrong[] = {
        {{.byte = 0, .stride = 8, .count = 5}, 0, 8},
        {{.byte = 0, .stride = 8, .count = 4}, 1, 8},
        {{.byte = 0, .stride = 16, .count = 3}, 0, 1},
        {{.byte = 33, .stride = 0, .count = 1}, 0, 1},
        {{.byte = 32, .stride = 0, .count = 1}, 0, 1},
        {{.byte = UINT64_MAX, .stride = 8, .count = 1}, 0, 8},
        {{.byte = 0, .stride = UINT64_MAX, .count = 3}, 0, 8},
        {{.byte = 0, .stride = 8, .count = UINT64_MAX}, 0, 8},
        {{.byte = 0, .stride = 8, .count = 1, .segment = 1}, 0, 8},
        {{.byte = 0, .stride = 8, .count = 1}, UINT32_MAX, 8},
        {{.byte = 0, .stride = 8, .count = 1}, 0, 3},
        {{.byte = 0, .stride = 8, .count = 1}, 0, 0},
        {{.byte = 0, .stride = 8, .count = 1}, 0, 16},
    };
    mmb_numbers columns[] = {
        {.from = (const unsigned char *)numbers,
         .step = 0,
         .offset = 0,
         .size = 1,
         .xor_default = 1},
        {.from = (const unsigned char *)numbers, .step = 0},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        columns[1].offset = wrong[i].offset;
        columns[1].size = wrong[i].size;
        CHECK_EQ(mmb_rows_store(&segment, 1, &wrong[i].rows, columns, 2, &flaw), MMB_EMESSAGE);
        CHECK(flaw.reason != NULL);
        CHECK_EQ(memory[0], 0);
    }
    mmb_rows none = {.byte = UINT64_MAX, .stride = 8, .count = 0, .segment = 9};
    CHECK_EQ(mmb_rows_store(&segment, 1, &none, columns, 2, &flaw), 0);
    mmb_rows all = {.byte = 0, .stride = 8, .count = 4};
    columns[1] = (mmb_numbers){.from = (const unsigned char *)numbers, .offset = 7, .size = 1};
    CHECK_EQ(mmb_rows_store(&segment, 1, &all, columns, 2, &flaw), 0);
    CHECK_EQ(memory[24], 1);
}

int main(void)
{
    RUN(every_size);
    RUN(what_does_not_fit);
    free(memory);
    return 0;
}
