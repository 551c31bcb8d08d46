/* registry.h - the table address -> map that the signal handler reads.
 *
 * Readers take no lock; writers (open, memory, close, fork) take a mutex, which is never held
 * where a handler of the same thread could run into it: the handler does not touch it. */
#ifndef MMB_MAP_REGISTRY_H
#define MMB_MAP_REGISTRY_H

#include "map.h"

#define MMB__NO_SLOT UINT32_MAX

/* Give `map` a slot. EMFILE when full. Handler: no. */
int mmb__registry_add(mmb_map *map);

/* Make `base` the memory of `map` and let handlers find it; a fork finds all of that or
 * nothing. False if another thread has been faster, with another base. Handler: no. */
bool mmb__registry_publish(mmb_map *map, unsigned char *base);

/* Take the map out and wait until no handler is inside. Handler: no. */
void mmb__registry_remove(mmb_map *map);

/* Wait until no handler that found `map` before this call is still inside. Handler: no. */
void mmb__registry_drain(const mmb_map *map);

/* The map whose range holds `address`, pinned until mmb__registry_leave, or
 * NULL. Handler: yes. */
mmb_map *mmb__registry_enter(uintptr_t address);
void mmb__registry_leave(mmb_map *map);

/* Between these no map leaves its slot, so none is freed: for forks. Handler: no. */
void mmb__registry_lock(void);
void mmb__registry_unlock(void);

/* In a forked child: the threads that were inside a handler are not here. Handler: no. */
void mmb__registry_forget_users(void);

/* Call `visit` with each map, between lock and unlock. Handler: no. */
void mmb__registry_visit(void (*visit)(mmb_map *map));

#endif
