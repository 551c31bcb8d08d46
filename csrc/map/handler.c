/* handler.c - the SIGBUS handler: it finds the map that a fault belongs to, makes its file grow or
 * its memory private, and passes on what is not ours.
 *
 * The handler calls nothing that allocates or prints. It uses atomics and system calls such as
 * fstat, fallocate, ftruncate, madvise, mmap, sigaction, getpid, gettid and sched_yield. It takes
 * no lock but those on EOF (file/file.h). A thread that holds one of these has all signals
 * blocked, so the handler never waits for the thread that it runs in. The handler runs with all
 * signals blocked, on the stack that the thread has for signals. */
#include "file/growth.h"
#include "file/loss.h"
#include "levels.h"
#include "private.h"
#include "registry.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* ---- faults that were answered lately ------------------------------------------
 *
 * A handler above ours, like faulthandler's, may raise SIGBUS again for a fault that we have not
 * seen. The program may also raise SIGBUS by itself. These addresses tell the two apart. For a
 * raised signal the system says only which fault the thread had last. If we have answered that
 * fault, the program raised the signal. A new thread and a forked child inherit the last fault of
 * their creator, so the addresses are kept in a table by address. Other faults may overwrite an
 * entry there, so the last address of each thread is kept as well. All of these are hints, so they
 * need no memory order. */

/* An address is in one of the entries of its set; a new address overwrites the oldest entry. Growth
 * faults come at multiples of large powers of two, so the set is chosen by a mix of all bits. */
enum { SET_BITS = 10, SETS = 1 << SET_BITS, WAYS = 4 };

typedef struct {
    _Atomic uintptr_t address[WAYS];
    _Atomic uint32_t next;
} address_set;

static address_set served[SETS];
static _Atomic uintptr_t served_last[SETS];

static uint32_t mixed(uint64_t value)
{
    return (uint32_t)(value * UINT64_C(0x9e3779b97f4a7c15) >> (64 - SET_BITS));
}

static _Atomic uintptr_t *place_of_thread(void)
{
    return &served_last[mmb__os_thread() % SETS];
}

static bool is_in(const address_set *of, uintptr_t address)
{
    for (int i = 0; i < WAYS; i++) {
        if (atomic_load_explicit(&of->address[i], memory_order_relaxed) == address) {
            return true;
        }
    }
    return false;
}

static bool was_served(uintptr_t address)
{
    return is_in(&served[mixed(address)], address) ||
           atomic_load_explicit(place_of_thread(), memory_order_relaxed) == address;
}

static void note_served(uintptr_t address)
{
    address_set *of = &served[mixed(address)];
    if (!is_in(of, address)) {
        uint32_t way = atomic_fetch_add_explicit(&of->next, 1, memory_order_relaxed) % WAYS;
        atomic_store_explicit(&of->address[way], address, memory_order_relaxed);
    }
    atomic_store_explicit(place_of_thread(), address, memory_order_relaxed);
}

/* ---- judging a fault, and answering it ------------------------------------------ */

/* Return why a page below EOF cannot be had; 0 if it can. */
static int page_error(mmb_map *map, uint64_t start, mmb__access access)
{
    uint64_t page = mmb__os_page();
    int error = mmb__os_populate(mmb__base(map) + start, page, access == MMB__WRITE);
    if (error != EFAULT && !mmb__tried_too_often(map, start)) {
        return 0; /* the page is there by now, or the kernel will say more at the next try */
    }
    /* There is no page. We ask for its block, since the answer tells a full disk from a failing
     * one. If we get the block, the disk was full only for a moment. */
    error = mmb__allocate(&map->file, start, page);
    if (error != 0 && error != EOPNOTSUPP) {
        return error;
    }
    if (mmb__os_populate(mmb__base(map) + start, page, access == MMB__WRITE) == 0) {
        return 0;
    }
    uint64_t eof = 0;
    error = mmb__check(&map->file, &eof);
    if (error != 0) {
        return error; /* another program has truncated the file since we looked */
    }
    /* A file system with large folios wants blocks for all of a granule at once. */
    return mmb__os_is_full(map->file.fd, MMB_GRANULE) ? ENOSPC : EIO;
}

/* Return the offset from which on stores do not reach the file: that of this access, or a lower one
 * if another program has truncated the file. */
static uint64_t loss_from(const mmb_map *map, uint64_t start, int error)
{
    uint64_t eof = start;
    bool truncated = error == MMB_ETRUNCATED && mmb__our_file(&map->file, &eof) == 0;
    return truncated ? mmb__min(start, eof) : start;
}

/* Note that this store and all beyond it are lost to the file, so that the next call tells. */
static void report(mmb_map *map, uint64_t start, int error)
{
    if (error != ESTALE) {
        mmb__note_loss(&map->file, loss_from(map, start, error));
        mmb__poison(&map->file, error);
    } else if (!mmb__is_owner(&map->file)) {
        /* The owner is closing the map; the store that is lost is this process's. */
        atomic_store_explicit(&map->stored_late, true, memory_order_relaxed);
    }
}

/* Let the page at `start`, for which EOF has just moved, be a huge one: if the file is to become
 * large, and the whole page has blocks. Pages behind the first granule are huge anyway. */
static void welcome_huge_page(mmb_map *map, uint64_t start)
{
    const mmb__file *file = &map->file;
    if (file->small == 0 && file->traits.has_huge_pages && start < MMB_GRANULE &&
        atomic_load_explicit(&file->shared->allocated_end, memory_order_relaxed) >= MMB_GRANULE) {
        mmb__os_use_huge_pages(mmb__base(map), mmb__min(MMB_GRANULE, file->limit));
    }
}

/* Answer an access at `offset` that the kernel has refused: the file grows, or an error poisons the
 * map and the access succeeds in private memory. True if the access will succeed when it is tried
 * again; false if the fault is not ours to answer. */
static bool answer_fault(mmb_map *map, uint64_t offset, mmb__access access)
{
    uint64_t start = mmb__round_down(offset, mmb__os_page());
    if (start >= atomic_load_explicit(&map->private_from, memory_order_acquire)) {
        return mmb__make_private(map, start);
    }
    bool moved = false;
    int error = mmb__grow(&map->file, start, start + mmb__os_page(), access, &moved);
    if (error == 0 && moved) {
        welcome_huge_page(map, start);
    } else if (error == 0) {
        error = page_error(map, start, access);
    }
    if (error == EBADF) {
        return false; /* the fd is not our file's any more */
    }
    if (error != 0) {
        report(map, start, error);
        return mmb__make_private(map, start);
    }
    return true;
}

/* Answer the fault of a signal. True if the access can be tried again. */
static bool answer_signal(const mmb__signal *signal)
{
    if (signal->cause == MMB__OTHER_FAULT || signal->cause == MMB__SENT) {
        return false;
    }
    /* A handler above us, like faulthandler's, may take a growth fault for a crash, put our handler
     * back, and raise SIGBUS again. We have not answered that fault yet: we answer it now, and
     * ignore the raise. But if we have answered the thread's last fault, then the program raised
     * SIGBUS by itself and wants to die. */
    if (signal->cause == MMB__SENT_BY_US && was_served(signal->address)) {
        return false;
    }
    mmb_map *map = mmb__registry_enter(signal->address);
    if (map == NULL) {
        return false;
    }
    bool answered = answer_fault(map, signal->address - (uintptr_t)mmb__base(map),
                                 signal->write ? MMB__WRITE : MMB__READ);
    if (answered) {
        note_served(signal->address);
        atomic_fetch_add_explicit(&map->file.shared->faults, 1, memory_order_relaxed);
    }
    mmb__registry_leave(map);
    return answered;
}

/* ---- passing on what is not ours ------------------------------------------------- */

/* Call a handler under the mask that the kernel would have given it. */
static void call_previous(const struct sigaction *previous, int number, siginfo_t *info,
                          void *context)
{
    const sigset_t *interrupted = mmb__os_interrupted_mask(context);
    if (interrupted != NULL) {
        sigset_t mask = *interrupted;
        for (int other = 1; other < NSIG; other++) {
            if (sigismember(&previous->sa_mask, other) == 1) {
                sigaddset(&mask, other);
            }
        }
        if ((previous->sa_flags & SA_NODEFER) == 0) {
            sigaddset(&mask, number);
        }
        pthread_sigmask(SIG_SETMASK, &mask, NULL);
    }
    if ((previous->sa_flags & SA_SIGINFO) != 0) {
        previous->sa_sigaction(number, info, context);
    } else {
        previous->sa_handler(number);
    }
}

/* Pass the signal on to the handler below this level. */
static void pass_on(unsigned int level, int number, siginfo_t *info, void *context,
                    const mmb__signal *signal)
{
    const struct sigaction *previous = mmb__below_level(level);
    bool function = (previous->sa_flags & SA_SIGINFO) != 0 ||
                    (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN);
    if (function) {
        call_previous(previous, number, info, context);
        return;
    }
    if (previous->sa_handler == SIG_IGN && !signal->again) {
        return;
    }
    /* The kernel finds the restored action when the fault comes again. A signal that does not come
     * again by itself is sent once more; it arrives when we return. */
    sigaction(number, previous, NULL);
    if (!signal->again) {
        mmb__os_resend(number, info);
    }
}

/* ---- the entry points, one for each level ---------------------------------------- */

static void handle(unsigned int level, int number, siginfo_t *info, void *context)
{
    int saved = errno;
    mmb__signal signal = mmb__os_read_signal(info, context);
    if (!answer_signal(&signal)) {
        pass_on(level, number, info, context, &signal);
    }
    errno = saved;
}

#define ENTRY(n)                                                                                   \
    static void entry_##n(int number, siginfo_t *info, void *context)                              \
    {                                                                                              \
        handle(n, number, info, context);                                                          \
    }
ENTRY(0)
ENTRY(1)
ENTRY(2)
ENTRY(3)
ENTRY(4)
ENTRY(5)
ENTRY(6)
ENTRY(7)
ENTRY(8)
ENTRY(9)
ENTRY(10)
ENTRY(11)
ENTRY(12)
ENTRY(13)
ENTRY(14)
ENTRY(15)

static const mmb__entry entries[MMB__LEVELS] = {
    entry_0, entry_1, entry_2,  entry_3,  entry_4,  entry_5,  entry_6,  entry_7,
    entry_8, entry_9, entry_10, entry_11, entry_12, entry_13, entry_14, entry_15,
};

int mmb_install_handler(void)
{
    return mmb__install_on_top(entries);
}
