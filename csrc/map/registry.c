/* registry.c - the slots of the registry, which hold ranges and maps.
 *
 * A slot in use holds a range and its map. A reader that finds its address in the range counts
 * itself in and looks again. Either it still sees the range; then the thread that retires the
 * slot sees the count, and waits. Or the range is gone; then the reader leaves. Both sides use
 * seq_cst for this pair of steps.
 *
 * Slots come in groups. Each group has bounds around the ranges of its maps. So with ten thousand
 * maps open, a fault looks at a hundred bounds and one group, and not at all slots. While a slot
 * of the group has a range, the bounds only widen. They are widened for a map before any code
 * knows its address; so a thread that knows an address of a live map finds it inside them. */
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

typedef struct {
    _Atomic uintptr_t start; /* 0: no memory yet, free, or being retired */
    _Atomic uintptr_t end;
    _Atomic(mmb_map *) map;
    _Atomic uint32_t users; /* handlers inside, of this process */
    bool taken;             /* guarded by the mutex */
} slot;

#define GROUP 128

typedef struct {
    _Atomic uintptr_t low; /* with `high`: around every range of the group; 0, 0 if none */
    _Atomic uintptr_t high;
    uint32_t taken; /* slots with a range; the mutex guards it, and every store to the bounds */
} slot_group;

static slot slots[MMB_MAX_MAPS];
static slot_group groups[MMB_MAX_MAPS / GROUP];
static _Atomic uint32_t used_slots; /* one past the highest slot in use */
static uint32_t lowest_free;        /* no free slot below it; guarded by the mutex */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

void mmb__registry_lock(void)
{
    pthread_mutex_lock(&mutex);
}

void mmb__registry_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void mmb__registry_forget_users(void)
{
    uint32_t count = atomic_load(&used_slots);
    for (uint32_t i = 0; i < count; i++) {
        atomic_store(&slots[i].users, 0);
    }
}

void mmb__registry_visit(void (*visit)(mmb_map *map))
{
    uint32_t count = atomic_load(&used_slots);
    for (uint32_t i = 0; i < count; i++) {
        mmb_map *map = atomic_load(&slots[i].map);
        if (map != NULL) {
            visit(map);
        }
    }
}

/* Widen the bounds of a group. The caller has the mutex. */
static void enter_group(slot_group *of, uintptr_t start, uintptr_t end)
{
    bool first = of->taken++ == 0;
    /* `high` comes first: a reader in between sees bounds that are too wide, or none yet. */
    if (first || end > atomic_load(&of->high)) {
        atomic_store(&of->high, end);
    }
    if (first || start < atomic_load(&of->low)) {
        atomic_store(&of->low, start);
    }
}

static void leave_group(slot_group *of)
{
    if (--of->taken == 0) {
        atomic_store(&of->high, 0);
        atomic_store(&of->low, 0);
    }
}

int mmb__registry_add(mmb_map *map)
{
    pthread_mutex_lock(&mutex);
    uint32_t index = lowest_free;
    while (index < MMB_MAX_MAPS && slots[index].taken) {
        index++;
    }
    if (index == MMB_MAX_MAPS) {
        pthread_mutex_unlock(&mutex);
        return EMFILE;
    }
    lowest_free = index + 1;
    slot *at = &slots[index];
    at->taken = true;
    map->slot = index;
    atomic_store_explicit(&at->map, map, memory_order_relaxed);
    if (index >= atomic_load(&used_slots)) {
        atomic_store(&used_slots, index + 1);
    }
    pthread_mutex_unlock(&mutex);
    return 0;
}

bool mmb__registry_publish(mmb_map *map, unsigned char *base)
{
    pthread_mutex_lock(&mutex);
    bool first = atomic_load_explicit(&map->base, memory_order_relaxed) == NULL;
    if (first) {
        slot *at = &slots[map->slot];
        uintptr_t start = (uintptr_t)base, end = start + map->file.limit;
        enter_group(&groups[map->slot / GROUP], start, end);
        atomic_store_explicit(&at->end, end, memory_order_relaxed);
        atomic_store_explicit(&map->base, base, memory_order_release);
        atomic_store(&at->start, start); /* publishes the map, its base and the end */
    }
    pthread_mutex_unlock(&mutex);
    return first;
}

static void wait_for_users(slot *at)
{
    while (atomic_load(&at->users) != 0) {
        sched_yield();
    }
}

void mmb__registry_remove(mmb_map *map)
{
    slot *at = &slots[map->slot];
    /* This must come before the look at `users`. An exchange keeps that order on every processor;
     * some emulators do not keep the order of a plain store and a load. */
    bool published = atomic_exchange(&at->start, 0) != 0;
    wait_for_users(at);
    pthread_mutex_lock(&mutex);
    atomic_store_explicit(&at->map, NULL, memory_order_relaxed);
    at->taken = false;
    if (published) {
        leave_group(&groups[map->slot / GROUP]);
    }
    if (map->slot < lowest_free) {
        lowest_free = map->slot;
    }
    uint32_t count = atomic_load(&used_slots);
    while (count > 0 && !slots[count - 1].taken) {
        count--;
    }
    atomic_store(&used_slots, count);
    map->slot = MMB__NO_SLOT;
    pthread_mutex_unlock(&mutex);
}

void mmb__registry_drain(const mmb_map *map)
{
    wait_for_users(&slots[map->slot]);
}

/* Return the map of this slot, counted in, if its range holds `address`. */
static mmb_map *enter_slot(slot *at, uintptr_t address)
{
    uintptr_t start = atomic_load_explicit(&at->start, memory_order_acquire);
    if (start == 0 || address < start ||
        address >= atomic_load_explicit(&at->end, memory_order_relaxed)) {
        return NULL;
    }
    atomic_fetch_add(&at->users, 1);
    /* In between the slot may have been retired, or given to another map. The map whose start is
     * there now stays until we leave, and so does its end. We load the start only once, since it
     * can become 0, which is below every address. */
    start = atomic_load(&at->start);
    if (start != 0 && address >= start && address < atomic_load(&at->end)) {
        return atomic_load_explicit(&at->map, memory_order_relaxed);
    }
    atomic_fetch_sub(&at->users, 1);
    return NULL;
}

mmb_map *mmb__registry_enter(uintptr_t address)
{
    uint32_t count = atomic_load_explicit(&used_slots, memory_order_acquire);
    for (uint32_t first = 0; first < count; first += GROUP) {
        slot_group *of = &groups[first / GROUP];
        if (address < atomic_load_explicit(&of->low, memory_order_acquire) ||
            address >= atomic_load_explicit(&of->high, memory_order_acquire)) {
            continue;
        }
        uint32_t end = first + GROUP < count ? first + GROUP : count;
        for (uint32_t i = first; i < end; i++) {
            mmb_map *map = enter_slot(&slots[i], address);
            if (map != NULL) {
                return map;
            }
        }
    }
    return NULL;
}

void mmb__registry_leave(mmb_map *map)
{
    atomic_fetch_sub(&slots[map->slot].users, 1);
}
