/* registry.h - the *registry*: the table from addresses to maps, which the signal handler reads.
 *
 * Readers take no lock. Calls that change it (open, memory, close, fork) take a mutex, which the
 * handler never touches; so it does not matter if a signal interrupts the thread that holds it. */
#ifndef MMB_MAP_REGISTRY_H
#define MMB_MAP_REGISTRY_H

#include "map.h"

#define MMB__NO_SLOT UINT32_MAX

/* Give `map` a slot. EMFILE when full. Handler: no. */
int mmb__registry_add(mmb_map *map);

/* Make `base` the memory of `map`, and let handlers find it. A fork sees either both or neither.
 * False if another thread was faster and has set another base. Handler: no. */
bool mmb__registry_publish(mmb_map *map, unsigned char *base);

/* Take the map out and wait until no handler is inside. Handler: no. */
void mmb__registry_remove(mmb_map *map);

/* Wait until no handler that found `map` before this call is still inside. Handler: no. */
void mmb__registry_drain(const mmb_map *map);

/* Return the map whose range holds `address`, or NULL. The map is not freed before
 * mmb__registry_leave is called for it. Handler: yes. */
mmb_map *mmb__registry_enter(uintptr_t address);
void mmb__registry_leave(mmb_map *map);

/* Between these two no map leaves its slot, so no map is freed. Handler: no. */
void mmb__registry_lock(void);
void mmb__registry_unlock(void);

/* A forked child calls this: threads that were inside a handler do not exist there.
 * Handler: no. */
void mmb__registry_forget_users(void);

/* Call `visit` with each map, between lock and unlock. Handler: no. */
void mmb__registry_visit(void (*visit)(mmb_map *map));

#endif
