/* served.c - two tables of hints: by address, and by thread. */
#include "served.h"

#include "os/os.h"

#include <stdatomic.h>

#define PLACES 4096
static _Atomic uintptr_t served[PLACES];
static _Atomic uintptr_t served_last[PLACES];

static _Atomic uintptr_t *place_of_address(uintptr_t address)
{
    return &served[(address >> 3) % PLACES];
}

static _Atomic uintptr_t *place_of_thread(void)
{
    return &served_last[mmb__os_thread() % PLACES];
}

bool mmb__was_served(uintptr_t address)
{
    return atomic_load_explicit(place_of_address(address), memory_order_relaxed) == address ||
           atomic_load_explicit(place_of_thread(), memory_order_relaxed) == address;
}

void mmb__note_served(uintptr_t address)
{
    atomic_store_explicit(place_of_address(address), address, memory_order_relaxed);
    atomic_store_explicit(place_of_thread(), address, memory_order_relaxed);
}
