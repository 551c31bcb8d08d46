/* wire.h - bytes of the wire format: little-endian numbers, and the fields of pointers. Private to
 * csrc/capnp and csrc/schema.
 *
 * All functions are pure: they check no bounds and keep no memory. Numbers may have any alignment,
 * so they are copied. (If they were made of single bytes, compilers would find one load in the end,
 * but take the functions for large ones before, and call them.) */
#ifndef MMB_WIRE_H
#define MMB_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool mmb__is_little_endian(void)
{
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

/* Change a number from the machine's byte order to little-endian order, or back. */
static inline uint32_t mmb__swap32(uint32_t number)
{
    return mmb__is_little_endian() ? number : __builtin_bswap32(number);
}

static inline uint64_t mmb__swap64(uint64_t number)
{
    return mmb__is_little_endian() ? number : __builtin_bswap64(number);
}

static inline uint32_t mmb__load32(const unsigned char *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return mmb__swap32(number);
}

static inline uint64_t mmb__load64(const unsigned char *at)
{
    uint64_t number;
    memcpy(&number, at, sizeof number);
    return mmb__swap64(number);
}

static inline void mmb__store32(unsigned char *at, uint32_t value)
{
    value = mmb__swap32(value);
    memcpy(at, &value, sizeof value);
}

static inline void mmb__store64(unsigned char *at, uint64_t value)
{
    value = mmb__swap64(value);
    memcpy(at, &value, sizeof value);
}

/* Copy `length` bytes, from `half` to twice as many, by two moves that may overlap. `half` is a
 * constant, at most 32. */
static inline void mmb__copy_ends(unsigned char *to, const unsigned char *from, uint64_t length,
                                  size_t half)
{
    unsigned char head[32], tail[32];
    memcpy(head, from, half);
    memcpy(tail, from + length - half, half);
    memcpy(to, head, half);
    memcpy(to + length - half, tail, half);
}

/* Do the work of memcpy without a call for most strings and short lists. (Where `length` is smaller
 * than what is subtracted from it, the difference wraps to a large number.) */
static inline void mmb__copy_bytes(unsigned char *to, const unsigned char *from, uint64_t length)
{
    if (length - 33 < 32) {
        mmb__copy_ends(to, from, length, 32);
    } else if (length - 16 <= 16) {
        mmb__copy_ends(to, from, length, 16);
    } else if (length - 8 < 8) {
        mmb__copy_ends(to, from, length, 8);
    } else if (length - 4 < 4) {
        mmb__copy_ends(to, from, length, 4);
    } else if (length != 0) {
        memcpy(to, from, (size_t)length);
    }
}

/* A pointer is one word. Its lowest two bits say what kind it is. */
enum {
    MMB__STRUCT = 0, /* 30 offset | 16 data words | 16 pointers */
    MMB__LIST = 1,   /* 30 offset | 3 element size | 29 elements (composite: words) */
    MMB__FAR = 2,    /* 1 double | 29 place of the landing pad | 32 segment */
    MMB__OTHER = 3,  /* 30 zero bits: a capability; anything else is undefined */
};

/* Element sizes of lists. The sizes that are not named here are bits, bytes or words of plain
 * data. */
enum {
    MMB__BYTES = 2,
    MMB__POINTERS = 6,
    MMB__COMPOSITE = 7, /* a tag word, then structs */
};

static inline unsigned mmb__kind(uint64_t pointer)
{
    return (unsigned)(pointer & 3);
}

/* Return how many words lie between the pointer and its object. The number is signed and has 30
 * bits. */
static inline int64_t mmb__offset(uint64_t pointer)
{
    int64_t raw = (int64_t)(pointer >> 2 & 0x3FFFFFFF);
    return raw < 0x20000000 ? raw : raw - 0x40000000;
}

static inline uint16_t mmb__data_words(uint64_t pointer)
{
    return (uint16_t)(pointer >> 32);
}

static inline uint16_t mmb__pointer_words(uint64_t pointer)
{
    return (uint16_t)(pointer >> 48);
}

static inline unsigned mmb__element_size(uint64_t pointer)
{
    return (unsigned)(pointer >> 32 & 7);
}

/* Return the bits of an element of a list with this element size; 0 if it is composite. */
static inline uint32_t mmb__element_bits(unsigned size)
{
    static const uint8_t bits[8] = {0, 1, 8, 16, 32, 64, 64, 0};
    return bits[size];
}

static inline uint32_t mmb__list_count(uint64_t pointer)
{
    return (uint32_t)(pointer >> 35);
}

static inline bool mmb__is_double_far(uint64_t pointer)
{
    return (pointer & 4) != 0;
}

static inline uint32_t mmb__far_word(uint64_t pointer)
{
    return (uint32_t)pointer >> 3;
}

static inline uint32_t mmb__far_segment(uint64_t pointer)
{
    return (uint32_t)(pointer >> 32);
}

/* Return true for the only pointer of kind MMB__OTHER that the format defines. */
static inline bool mmb__is_capability(uint64_t pointer)
{
    return (uint32_t)pointer == MMB__OTHER;
}

#endif
