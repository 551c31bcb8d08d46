/* message.h - what the tests of messages share: pointers written by hand, files, and a
 * message of any number of segments in which every segment is reached by a far pointer. */
#ifndef MMB_TESTS_MESSAGE_H
#define MMB_TESTS_MESSAGE_H

#include "files.h"
#include "mmb_capnp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- pointers ----------------------------------------------------------------- */

static inline uint64_t p_struct(int64_t offset, unsigned data, unsigned pointers)
{
    return ((uint64_t)offset & 0x3FFFFFFF) << 2 | (uint64_t)data << 32 | (uint64_t)pointers << 48;
}

enum { VOID, BIT, BYTE, TWO, FOUR, EIGHT, POINTER, COMPOSITE };

static inline uint64_t p_list(int64_t offset, unsigned size, uint64_t count)
{
    return ((uint64_t)offset & 0x3FFFFFFF) << 2 | 1 | (uint64_t)size << 32 | count << 35;
}

/* The tag of a composite list. */
static inline uint64_t p_tag(uint64_t count, unsigned data, unsigned pointers)
{
    return count << 2 | (uint64_t)data << 32 | (uint64_t)pointers << 48;
}

static inline uint64_t p_far(uint64_t word, uint64_t segment)
{
    return word << 3 | 2 | segment << 32;
}

static inline uint64_t p_double(uint64_t word, uint64_t segment)
{
    return p_far(word, segment) | 4;
}

static inline uint64_t p_capability(uint64_t index)
{
    return index << 32 | 3;
}

/* ---- numbers in files ------------------------------------------------------------ */

static inline void put64(unsigned char *at, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

static inline uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t get64(const unsigned char *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static inline void put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (unsigned char)(value >> (8 * i));
    }
}

/* ---- a message over many segments --------------------------------------------------
 *
 * Segment 0: the root, a struct of one data word and `count` pointers: a Data of
 * its own, then one far pointer to each other segment. Segments from 1 on: a landing
 * pad, then a list of words. Everything is filled with what `word_of` says. */

static inline uint64_t word_of(uint32_t segment, uint64_t index)
{
    return (segment + 1) * 0x9E3779B97F4A7C15u ^ index;
}

/* Words that segment `index` of the message uses if each list has `list` words. */
static inline uint32_t many_used(uint32_t count, uint32_t index, uint32_t list)
{
    return index == 0 ? 2 + count + list : 1 + list;
}

/* Write segment `index`. */
static inline void many_fill(unsigned char *base, uint32_t count, uint32_t index, uint32_t list)
{
    unsigned char *at = base;
    if (index == 0) {
        put64(at, p_struct(0, 1, count));
        put64(at + 8, word_of(count, list));
        put64(at + 16, p_list((int64_t)count - 1, BYTE, (uint64_t)list * 8));
        for (uint32_t i = 1; i < count; i++) {
            put64(at + 16 + (size_t)i * 8, p_far(0, i));
        }
        at += 16 + (size_t)count * 8;
    } else {
        put64(at, p_list(0, EIGHT, list));
        at += 8;
    }
    for (uint32_t i = 0; i < list; i++) {
        put64(at + (size_t)i * 8, word_of(index, i));
    }
}

/* True if `base` holds what many_fill writes. */
static inline bool many_is_right(const unsigned char *base, uint32_t count, uint32_t index,
                                 uint32_t list)
{
    size_t bytes = (size_t)many_used(count, index, list) * 8;
    unsigned char *wanted = calloc(1, bytes);
    CHECK(wanted != NULL);
    many_fill(wanted, count, index, list);
    bool right = memcmp(base, wanted, bytes) == 0;
    free(wanted);
    return right;
}

#endif
