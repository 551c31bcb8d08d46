/* crc32c.c - the checksum CRC32C, by the processor's own instruction where it has one. */
#include "os.h"

#include <pthread.h>
#include <string.h>

/* ---- eight bytes at a time, by tables ----------------------------------------------------- */

static uint32_t tables[8][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
        }
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int k = 1; k < 8; k++) {
            tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 0xFF];
        }
    }
}

static uint32_t by_tables(uint32_t crc, const unsigned char *bytes, size_t length)
{
    pthread_once(&made, make_tables);
    for (; length >= 8; bytes += 8, length -= 8) {
        uint32_t low = crc ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                              (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
        crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^
              tables[4][low >> 24] ^ tables[3][bytes[4]] ^ tables[2][bytes[5]] ^
              tables[1][bytes[6]] ^ tables[0][bytes[7]];
    }
    for (; length > 0; bytes++, length--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *bytes) & 0xFF];
    }
    return crc;
}

/* ---- by the processor ----------------------------------------------------------------------- */

#if defined(__x86_64__)

#define HAS_INSTRUCTION (__builtin_cpu_supports("sse4.2"))

/* The instruction came with SSE 4.2; to newer versions of clang it is a feature of its own. */
#if defined(__clang__) && __clang_major__ >= 14
#define WITH_INSTRUCTION __attribute__((target("sse4.2,crc32")))
#else
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
#endif

WITH_INSTRUCTION static uint32_t by_instruction(uint32_t crc, const unsigned char *bytes,
                                                size_t length)
{
    uint64_t wide = crc;
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; length > 0; bytes++, length--) {
        crc = __builtin_ia32_crc32qi(crc, *bytes);
    }
    return crc;
}

#else

#define HAS_INSTRUCTION false

static uint32_t by_instruction(uint32_t crc, const unsigned char *bytes, size_t length)
{
    return by_tables(crc, bytes, length);
}

#endif

uint32_t mmb__os_crc32c(uint32_t crc, const void *bytes, size_t length)
{
    uint32_t inverted = ~crc;
    inverted = HAS_INSTRUCTION ? by_instruction(inverted, bytes, length)
                               : by_tables(inverted, bytes, length);
    return ~inverted;
}

uint32_t mmb__os_crc32c_by_tables(uint32_t crc, const void *bytes, size_t length)
{
    return ~by_tables(~crc, bytes, length);
}
