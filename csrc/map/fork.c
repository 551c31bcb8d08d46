/* fork.c - the handlers that run before and after a fork.
 *
 * Before the fork we take the locks in their order (map.h), so that the child finds everything
 * that they guard in a good state. After the fork both sides give them back. */
#include "fork.h"

#include "file/growth.h"
#include "helper.h"
#include "levels.h"
#include "map.h"
#include "private.h"
#include "registry.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(mmb_map *map)
{
    mmb__helper_pause(map);
    mmb__prepare_for_fork(&map->file);
}

static void repair(mmb_map *map)
{
    mmb__private_after_fork(map);
    mmb__turns_after_fork(&map->file);
}

static void before_fork(void)
{
    mmb__registry_lock();
    mmb__registry_visit(prepare);
    mmb__shared_before_fork();
}

static void after_fork_in_parent(void)
{
    mmb__shared_after_fork_in_parent();
    mmb__registry_unlock();
}

static void after_fork_in_child(void)
{
    mmb__shared_after_fork_in_child();
    mmb__registry_forget_users();
    mmb__registry_visit(repair);
    mmb__registry_unlock();
    mmb__levels_after_fork();
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void mmb__watch_forks(void)
{
    pthread_once(&once, install);
}
