/* shared.c - where shared states come from: a pool of shared pages, some states in each.
 *
 * A page of its own for each map would cost more than all else about a small file. What
 * has been given out is not given out again, though: a forked child may still have the
 * map that it was for. A page goes away as a whole, once all of it was given out and
 * has come back. */
#include "shared.h"

#include "os/os.h"

#include <pthread.h>
#include <stdlib.h>

/* Of this process; a forked child has a copy. */
typedef struct {
    unsigned char *memory;
    uint32_t given; /* from its start */
    uint32_t held;  /* of these, not come back yet */
} page;

/* At the start of each page. A child finds its own copy at the same address. */
typedef struct {
    page *of;
} head;

enum { LINE = 64, SIZE = (sizeof(mmb__shared) + LINE - 1) / LINE * LINE };
_Static_assert(sizeof(head) <= LINE, "the head is the first line");

static page *current; /* where the next comes from, or NULL; guarded by the mutex */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void remove_page(page *of)
{
    mmb__os_shared_free(of->memory, (size_t)mmb__os_page());
    free(of);
}

void mmb__shared_before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

void mmb__shared_after_fork_in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* The parent goes on giving out what is left of the page. */
void mmb__shared_after_fork_in_child(void)
{
    page *parents = current;
    current = NULL;
    if (parents != NULL && parents->held == 0) {
        remove_page(parents);
    }
    pthread_mutex_unlock(&mutex);
}

static uint32_t room(void)
{
    return (uint32_t)((mmb__os_page() - LINE) / SIZE);
}

static page *new_page(void)
{
    page *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    made->memory = mmb__os_shared_alloc((size_t)mmb__os_page());
    if (made->memory == NULL) {
        free(made);
        return NULL;
    }
    *(head *)(void *)made->memory = (head){.of = made};
    return made;
}

mmb__shared *mmb__shared_new(void)
{
    unsigned char *given = NULL;
    pthread_mutex_lock(&mutex);
    if (current == NULL) {
        current = new_page();
    }
    if (current != NULL) {
        given = current->memory + LINE + (size_t)current->given * SIZE;
        current->given++;
        current->held++;
        if (current->given == room()) {
            current = NULL; /* it goes when all of it has come back */
        }
    }
    pthread_mutex_unlock(&mutex);
    return (mmb__shared *)(void *)given;
}

void mmb__shared_free(mmb__shared *shared)
{
    uintptr_t start = (uintptr_t)shared - (uintptr_t)shared % (uintptr_t)mmb__os_page();
    pthread_mutex_lock(&mutex);
    page *of = ((const head *)start)->of;
    of->held--;
    if (of->held == 0 && of != current) {
        remove_page(of);
    }
    pthread_mutex_unlock(&mutex);
}
