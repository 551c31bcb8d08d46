/* shared.c - the pool of shared states: shared pages with several states in each.
 *
 * A page for each map would cost more than everything else about a small file. A state that was
 * given out is never given out again, since a forked child may still have the map that it
 * belongs to. A page is freed as a whole, when all of its states were given out and came back. */
#include "shared.h"

#include "os/os.h"

#include <pthread.h>
#include <stdlib.h>

/* What this process knows of a page; a forked child has a copy. */
typedef struct {
    unsigned char *memory;
    uint32_t given; /* states that were given out, from the start of the page */
    uint32_t held;  /* those of them that have not come back */
} page;

/* The start of each page. A child finds its own copy at the same address. */
typedef struct {
    page *of;
} head;

enum { LINE = 64, SIZE = (sizeof(mmb__shared) + LINE - 1) / LINE * LINE };
_Static_assert(sizeof(head) <= LINE, "the head is the first line");

static page *current; /* the next state comes from this page, or NULL; guarded by the mutex */
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

/* The child takes no more states from the page, since the parent goes on taking them. */
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
            current = NULL; /* the page is freed when all of its states have come back */
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
