/* test_blocks.c - memory that grows, is given back, and is kept for the next owner. */
#include "tempfile.h"

#include "os/os.h"
#include "schema/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

typedef struct {
    unsigned char *bytes;
    uint64_t room;
} owned;

static owned take(uint64_t size)
{
    owned block = {0};
    CHECK_EQ(mmb__block_grow(&block.bytes, &block.room, size), 0);
    CHECK(block.room >= size);
    return block;
}

static void give_back(owned block)
{
    mmb__block_give_back(block.bytes, block.room);
}

/* Fill the block with bytes that tell of their place and of the owner. */
static void sign(owned block, uint64_t size, unsigned owner)
{
    for (uint64_t i = 0; i < size; i++) {
        block.bytes[i] = (unsigned char)(i * 7 + owner);
    }
}

static void check_signed(owned block, uint64_t size, unsigned owner)
{
    for (uint64_t i = 0; i < size; i++) {
        CHECK_EQ(block.bytes[i], (unsigned char)(i * 7 + owner));
    }
}

static void what_is_in_a_block_stays(void)
{
    for (int round = 0; round < 2; round++) { /* the second one finds blocks of the first */
        owned block = {0};
        for (uint64_t size = 1; size < 20 * MIB; size = size * 3 + 1) {
            uint64_t before = block.room < size ? block.room : size;
            if (size > block.room) {
                CHECK_EQ(mmb__block_grow(&block.bytes, &block.room, size), 0);
            }
            CHECK(block.room >= size);
            check_signed(block, before, 1);
            sign(block, block.room, 1);
        }
        give_back(block);
    }
}

static void a_block_is_used_again(void)
{
    owned block = take(300 * KIB);
    unsigned char *bytes = block.bytes;
    give_back(block);
    block = take(200 * KIB);
    CHECK_EQ(block.bytes == bytes, !MMB__OS_LOOKS_FOR_FREED_MEMORY);
    give_back(block);
}

/* A small owner may live for long, and would hold the memory. */
static void a_block_that_is_much_too_large_is_left(void)
{
    owned large = take(4 * MIB), small;
    unsigned char *bytes = large.bytes;
    give_back(large);
    small = take(40 * KIB);
    CHECK(small.bytes != bytes);
    CHECK(small.room < MIB);
    give_back(small);
}

/* Count the blocks that are kept by their addresses. */
static void only_so_much_is_kept(void)
{
    enum { COUNT = 12 };
    owned blocks[COUNT], again[COUNT];
    unsigned kept = 0;
    for (int i = 0; i < COUNT; i++) {
        blocks[i] = take(2 * MIB);
    }
    for (int i = 0; i < COUNT; i++) {
        memset(blocks[i].bytes, 'x', 16);
        give_back(blocks[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        again[i] = take(2 * MIB - 1); /* a new block has just that room */
        kept += again[i].room >= 2 * MIB;
    }
    CHECK(kept <= 4); /* 8 MiB */
    CHECK_EQ(kept >= 2, !MMB__OS_LOOKS_FOR_FREED_MEMORY);
    for (int i = 0; i < COUNT; i++) {
        give_back(again[i]);
    }
}

static void too_much_is_an_error(void)
{
    if (MMB__OS_LOOKS_FOR_FREED_MEMORY || IS_UNDER_TSAN) {
        return; /* the sanitizers end a program that asks for so much */
    }
    owned block = take(100);
    sign(block, 100, 3);
    uint64_t room = block.room;
    CHECK_EQ(mmb__block_grow(&block.bytes, &block.room, UINT64_MAX / 4), ENOMEM);
    CHECK_EQ(block.room, room);
    check_signed(block, 100, 3);
    give_back(block);
}

static void *take_and_give(void *context)
{
    unsigned owner = *(unsigned *)context;
    for (int round = 0; round < 2000; round++) {
        owned block = take(33 * KIB + (uint64_t)(round % 7) * 20 * KIB);
        sign(block, 64, owner);
        CHECK_EQ(mmb__block_grow(&block.bytes, &block.room, block.room + 1), 0);
        check_signed(block, 64, owner);
        give_back(block);
    }
    return NULL;
}

static void threads_have_blocks_of_their_own(void)
{
    pthread_t threads[4];
    unsigned owners[4] = {1, 2, 3, 4};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, take_and_give, &owners[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    RUN(what_is_in_a_block_stays);
    RUN(a_block_is_used_again);
    RUN(a_block_that_is_much_too_large_is_left);
    RUN(only_so_much_is_kept);
    RUN(too_much_is_an_error);
    RUN(threads_have_blocks_of_their_own);
    return 0;
}
