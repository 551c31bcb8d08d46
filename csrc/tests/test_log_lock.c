/* test_log_lock.c - a writer that waits for the lock of a log gets it, however busy the others are.
 */
#define _GNU_SOURCE

#include "log_frames.h"

#include "log_enter.h"

#include <pthread.h>

enum { WORDS = 5 };

/* Two writers of one log; the second one belongs to a thread. */
typedef struct {
    mmb_log_writer *one, *two;
    int fd[2], index_fd;
    uint64_t number; /* of the message that the thread appended */
} writers;

static mmb_log_writer *join(int fd, int index_fd)
{
    const mmb_log_options options = {.capacity = (uint64_t)1 << 30, .shared = true};
    mmb_log_writer *writer;
    CHECK_EQ(mmb_log_enter_gate(fd, true), 0);
    CHECK_EQ(mmb_log_open(fd, index_fd, &options, 0, 0, &writer), 0);
    mmb_log_leave_gate(fd);
    return writer;
}

static void begin(writers *w)
{
    char path[PATH_MAX];
    w->fd[0] = make_file_in(temp_directory(), path);
    w->fd[1] = open(path, O_RDWR | O_CLOEXEC); /* locks belong to what was opened */
    CHECK(w->fd[1] >= 0 && unlink(path) == 0);
    w->index_fd = index_for(w->fd[0]);
    w->one = join(w->fd[0], w->index_fd);
    w->two = join(w->fd[1], w->index_fd);
}

static void end(writers *w)
{
    CHECK_EQ(mmb_log_close(w->one), 0);
    CHECK_EQ(mmb_log_close(w->two), 0);
    mmb_log_free(w->one);
    mmb_log_free(w->two);
    close(w->fd[0]);
    close(w->fd[1]);
    close(w->index_fd);
}

static uint64_t append(mmb_log_writer *writer)
{
    unsigned char bytes[8 + 8 * WORDS];
    uint64_t number;
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, WORDS, 0), &number), 0);
    return number;
}

static mmb__index_header *header_of(const mmb_log_writer *writer)
{
    return mmb__index_header_of(mmb_map_base(writer->index));
}

static void *append_in_thread(void *argument)
{
    writers *w = argument;
    w->number = append(w->two);
    return NULL;
}

/* The owner takes the lock again as soon as it has let go of it, and the other one must wake up
 * first. A machine that is busy may take longer for that than the owner waits, so not each round
 * counts. */
static void who_starves_is_first(void)
{
    enum { ROUNDS = 20, MILLISECOND = 1000 };
    writers w;
    int first = 0;
    begin(&w);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        CHECK_EQ(mmb__log_enter(w.one), 0);
        CHECK_EQ(pthread_create(&thread, NULL, append_in_thread, &w), 0);
        while (atomic_load(&header_of(w.one)->starving) == 0) {
            usleep(MILLISECOND);
        }
        mmb__log_leave(w.one);
        uint64_t number = append(w.one);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        first += w.number < number;
    }
    CHECK(first >= ROUNDS / 2);
    CHECK_EQ(atomic_load(&header_of(w.one)->lock), 0);
    end(&w);
}

/* The one that starved was killed before it woke up. */
static void the_lock_is_kept_for_nobody(void)
{
    writers w;
    begin(&w);
    CHECK_EQ(append(w.one), 0);
    atomic_store(&header_of(w.one)->lock, MMB__CONTENDED);
    CHECK_EQ(append(w.two), 1);
    CHECK_EQ(atomic_load(&header_of(w.one)->lock), 0); /* it does not hold up the ones after that */
    CHECK_EQ(append(w.one), 2);
    end(&w);
}

static _Atomic bool stop;

static void *append_until_told(void *argument)
{
    writers *w = argument;
    do {
        w->number = append(w->two);
    } while (!atomic_load(&stop));
    return NULL;
}

/* They get into each other's way until one has waited without sleeping, which one processor may
 * never give them. */
static void who_waits_measures_its_append(void)
{
    enum { MOST = 1 << 20 };
    writers w;
    pthread_t thread;
    begin(&w);
    CHECK_EQ(pthread_create(&thread, NULL, append_until_told, &w), 0);
    uint64_t number = 0;
    for (int i = 0; i < MOST && w.one->turns.cold == 0; i++) {
        number = append(w.one);
    }
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    uint64_t last = number > w.number ? number : w.number;
    CHECK_EQ(atomic_load(&header_of(w.one)->count), last + 1);
    CHECK_EQ(atomic_load(&header_of(w.one)->lock), 0);
    CHECK(w.one->turns.got == 0 && w.two->turns.got == 0); /* each append is measured once */
    end(&w);
}

int main(void)
{
    alarm(60); /* nobody waits for ever */
    RUN(who_starves_is_first);
    RUN(the_lock_is_kept_for_nobody);
    RUN(who_waits_measures_its_append);
    return 0;
}
