/* test_log_adrift.c - a store into the index of a shared log is lost, or the repair of a log
 * fails. No writer overwrites what another one has committed, and nobody waits for ever. */
#define _GNU_SOURCE

#include "log_frames.h"

#include "log_lock.h"
#include "log_state.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

static const mmb_log_options usual = {.capacity = (uint64_t)1 << 30, .shared = true};

enum { WORDS = 5, PAGE = 4096 };

/* ---- two writers --------------------------------------------------------------------------- */

typedef struct {
    char path[PATH_MAX], index_path[PATH_MAX];
    mmb_log_writer *one, *two;
    int fd[2];
    uint64_t count;
} writers;

static mmb_log_writer *join(writers *w, int which)
{
    mmb_log_writer *writer;
    int fd = w->fd[which] = open(w->path, O_RDWR | O_CLOEXEC);
    int index_fd = open(w->index_path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && index_fd >= 0);
    CHECK_EQ(mmb_log_enter_gate(fd, true), 0);
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 0, 0, &writer), 0);
    mmb_log_leave_gate(fd);
    close(index_fd);
    return writer;
}

static void begin(writers *w)
{
    *w = (writers){.count = 0};
    close(make_file_in(temp_directory(), w->path));
    close(make_file_in(temp_directory(), w->index_path));
    int fd = open(w->path, O_RDWR | O_CLOEXEC), index_fd = open(w->index_path, O_RDWR | O_CLOEXEC);
    mmb_log_identity identity;
    mmb_places none = {0};
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    CHECK_EQ(mmb_index_write(index_fd, &none, NULL, &identity), 0);
    close(fd);
    close(index_fd);
    w->one = join(w, 0);
    w->two = join(w, 1);
}

static int append(writers *w, mmb_log_writer *writer)
{
    unsigned char bytes[8 + 8 * WORDS];
    uint64_t number, size = frame(bytes, WORDS, w->count);
    int error = mmb_log_append(writer, bytes, size, &number);
    if (error == 0) {
        CHECK_EQ(number, w->count);
        w->count++;
    }
    CHECK_EQ(look(w->fd[0], true), w->count);
    return error;
}

/* All messages are there, and the index says where. */
static void end(writers *w)
{
    CHECK_EQ(append(w, w->two), 0);
    CHECK_EQ(append(w, w->one), 0);
    CHECK_EQ(append(w, w->two), 0);
    CHECK_EQ(mmb_log_close(w->one), 0);
    CHECK_EQ(mmb_log_close(w->two), 0);
    mmb_log_free(w->one);
    mmb_log_free(w->two);
    CHECK_EQ(look(w->fd[0], false), w->count);
    int index_fd = open(w->index_path, O_RDWR | O_CLOEXEC);
    mmb_log_identity identity;
    CHECK_EQ(mmb_log_identify(w->fd[0], &identity), 0);
    uint64_t known, last, start, size, bytes = file_size(index_fd);
    unsigned char *index = mmap(NULL, bytes, PROT_READ, MAP_SHARED, index_fd, 0);
    unsigned char *data = mmap(NULL, identity.size, PROT_READ, MAP_SHARED, w->fd[0], 0);
    CHECK(mmb_index_check(index, bytes, &identity, &known, &last));
    CHECK_EQ(known, w->count);
    mmb_places places = {.index = index, .indexed = known, .count = known, .end = last};
    for (uint64_t i = 0; i < known; i++) {
        CHECK_EQ(mmb_places_find(&places, data, i, &start, &size), 0);
        CHECK(is_frame(w->fd[0], start, size, i));
    }
    munmap(index, bytes);
    munmap(data, identity.size);
    close(index_fd);
    close(w->fd[0]);
    close(w->fd[1]);
    unlink(w->path);
    unlink(w->index_path);
}

/* ---- stores that are lost ---------------------------------------------------------------------
 */

/* A store to a page of the index is to be lost: at the first store, or at the first after one to
 * another page. What the map does when a page cannot be had is done here. */
static struct {
    mmb_map *index;
    volatile int trap; /* the page whose store is waited for; -1: none */
    int lost;          /* the page that then cannot be had */
} loss = {.trap = -1};

static void protect(int page, int how)
{
    CHECK(mprotect(mmb_map_base(loss.index) + (size_t)page * PAGE, PAGE, how) == 0);
}

static void lose(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    unsigned char *base = mmb_map_base(loss.index), *at = info->si_addr;
    if (loss.trap < 0 || at < base + (size_t)loss.trap * PAGE ||
        at >= base + (size_t)(loss.trap + 1) * PAGE) {
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    if (loss.trap != loss.lost) { /* this store is made, and then the trap is on the other page */
        protect(loss.trap, PROT_READ | PROT_WRITE);
        loss.trap = loss.lost;
        protect(loss.lost, PROT_READ);
        return;
    }
    unsigned char *page = base + (size_t)loss.lost * PAGE;
    loss.trap = -1;
    CHECK(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, mmb_map_fd(loss.index),
               (off_t)loss.lost * PAGE) == page);
    mmb_map_set_poison(loss.index, EIO);
}

static void store_is_lost(int trap, int lost, int expected)
{
    writers w;
    begin(&w);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(append(&w, i % 2 == 0 ? w.one : w.two), 0);
    }
    loss.index = w.one->index;
    loss.lost = lost;
    loss.trap = trap;
    protect(trap, PROT_READ);
    CHECK_EQ(append(&w, w.one), expected);
    CHECK_EQ(loss.trap, -1);
    end(&w);
}

/* The lock seems to be taken, but only in a private copy. */
static void the_lock_is_lost(void)
{
    store_is_lost(0, 0, EIO);
}

static void the_place_of_a_message_is_lost(void)
{
    store_is_lost(1, 1, 0);
}

/* The message is committed and noted, but neither counted, nor is the lock released. */
static void the_number_of_messages_is_lost(void)
{
    store_is_lost(1, 0, 0);
}

/* ---- repairs that fail ----------------------------------------------------------------------- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* A writer is killed after it has committed a message, and before the index has it. Another one
 * cannot repair that at first; a third one must not take the log for repaired. */
static void a_repair_fails(void)
{
    enum { DEAD = 12345 };
    writers w;
    begin(&w);
    CHECK_EQ(append(&w, w.one), 0);
    unsigned char bytes[8 + 8 * WORDS + 8];
    uint64_t size = frame(bytes, WORDS, w.count);
    put64(bytes + size, mmb_fence_of(MMB_FENCE_BYTES));
    CHECK(pwrite(w.fd[0], bytes, size + 8, (off_t)w.one->end) == (ssize_t)size + 8);
    w.count++;
    atomic_store(&mmb__index_header_of(mmb_map_base(w.one->index))->lock, DEAD);

    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    for (int i = 0; i < 3; i++) {
        limit_files(1);
        int error = append(&w, w.one);
        limit_files(RLIM_INFINITY);
        CHECK_EQ(error, EFBIG);
    }
    end(&w);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = lose, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    if (sysconf(_SC_PAGESIZE) != PAGE) {
        fprintf(stderr, "  (not here: the header of an index shares its page)\n");
        return 0;
    }
    alarm(60); /* nobody waits for ever */
    RUN(the_lock_is_lost);
    RUN(the_place_of_a_message_is_lost);
    RUN(the_number_of_messages_is_lost);
    RUN(a_repair_fails);
    return 0;
}
