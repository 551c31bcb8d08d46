/* blocks.c - memory that grows. See blocks.h. */
#include "blocks.h"

#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BYTES = 256,
    LEAST_KEPT = 32 << 10, /* the C library itself keeps smaller blocks */
    MOST_KEPT = 4 << 20,
    MOST_KEPT_IN_ALL = 8 << 20,
    MOST_TIMES = 16,      /* a block that is larger than so many times what is needed is left */
    MANY_BYTES = 4 << 20, /* from so many on, huge pages are worth asking for */
    SLOTS = 16,
};

/* A block that is kept is in one of the slots, and its first bytes say its room. Whoever takes it
 * out has it alone. A forked child has copies of all. */
static _Atomic(unsigned char *) slots[SLOTS];
static _Atomic uint64_t kept_in_all;

/* Put a block into an empty slot. Return false if there is none. */
static bool keep(unsigned char *block, uint64_t room)
{
    memcpy(block, &room, sizeof room);
    for (unsigned i = 0; i < SLOTS; i++) {
        unsigned char *empty = NULL;
        if (atomic_load_explicit(&slots[i], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong(&slots[i], &empty, block)) {
            return true;
        }
    }
    return false;
}

void mmb__block_give_back(unsigned char *block, uint64_t room)
{
    if (room < LEAST_KEPT || room > MOST_KEPT || MMB__OS_LOOKS_FOR_FREED_MEMORY) {
        free(block);
        return;
    }
    if (atomic_fetch_add(&kept_in_all, room) > MOST_KEPT_IN_ALL - room || !keep(block, room)) {
        atomic_fetch_sub(&kept_in_all, room);
        free(block);
    }
}

/* Take a block with room for `size` bytes out of its slot. Return NULL if none is kept. */
static unsigned char *take_kept(uint64_t size, uint64_t *room)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (atomic_load_explicit(&slots[i], memory_order_relaxed) == NULL) {
            continue;
        }
        unsigned char *block = atomic_exchange(&slots[i], NULL);
        if (block == NULL) {
            continue;
        }
        memcpy(room, block, sizeof *room);
        if (*room >= size && *room <= MOST_TIMES * size) {
            atomic_fetch_sub(&kept_in_all, *room);
            return block;
        }
        if (!keep(block, *room)) {
            atomic_fetch_sub(&kept_in_all, *room);
            free(block);
        }
    }
    return NULL;
}

/* Ask for huge pages where the block has whole ones. */
static void welcome_huge_pages(unsigned char *block, uint64_t room)
{
    const uintptr_t huge = (uintptr_t)2 << 20;
    uintptr_t start = ((uintptr_t)block + huge - 1) / huge * huge;
    uintptr_t end = ((uintptr_t)block + room) / huge * huge;
    mmb__os_use_huge_pages(block + (start - (uintptr_t)block), end - start);
}

int mmb__block_grow(unsigned char **block, uint64_t *room, uint64_t size)
{
    uint64_t wanted = *room + *room / 2, found;
    wanted = wanted > size ? wanted : size;
    wanted = wanted > FIRST_BYTES ? wanted : FIRST_BYTES;
    bool may_be_kept = wanted >= LEAST_KEPT && wanted <= MOST_KEPT;
    unsigned char *grown = may_be_kept ? take_kept(wanted, &found) : NULL;
    if (grown != NULL) {
        if (*room != 0) {
            memcpy(grown, *block, (size_t)*room);
        }
        mmb__block_give_back(*block, *room);
        wanted = found;
    } else {
        grown = wanted > SIZE_MAX ? NULL : realloc(*block, (size_t)wanted);
        if (grown == NULL) {
            return ENOMEM;
        }
        if (wanted >= MANY_BYTES) {
            welcome_huge_pages(grown, wanted);
        }
    }
    *block = grown;
    *room = wanted;
    return 0;
}
