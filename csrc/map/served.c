/* served.c - the two tables of answered faults: by address, and by thread. */
#include "served.h"

#include "os/os.h"

#include <stdatomic.h>

/* An address is in one of the entries of its set; a new address overwrites the oldest entry. Growth
 * faults come at multiples of large powers of two, so the set is chosen by a mix of all bits. */
enum { SET_BITS = 10, SETS = 1 << SET_BITS, WAYS = 4 };

typedef struct {
    _Atomic uintptr_t address[WAYS];
    _Atomic uint32_t next;
} set;

static set served[SETS];
static _Atomic uintptr_t served_last[SETS];

static uint32_t mixed(uint64_t value)
{
    return (uint32_t)(value * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SET_BITS));
}

static _Atomic uintptr_t *place_of_thread(void)
{
    return &served_last[mmb__os_thread() % SETS];
}

static bool is_in(const set *of, uintptr_t address)
{
    for (int i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&of->address[i], memory_order_relaxed) == address) {
            return true;
        }
    }
    return false;
}

bool mmb__was_served(uintptr_t address)
{
    return is_in(&served[mixed(address)], address) ||
           atomic_load_explicit(place_of_thread(), memory_order_relaxed) == address;
}

void mmb__note_served(uintptr_t address)
{
    set *of = &served[mixed(address)];
    if (!is_in(of, address)) {
        uint32_t way = atomic_fetch_add_explicit(&of->next, 1, memory_order_relaxed) % WAYS;
        atomic_store_explicit(&of->address[way], address, memory_order_relaxed);
    }
    atomic_store_explicit(place_of_thread(), address, memory_order_relaxed);
}
