/* test_log_killed.c - a writer is killed after each store that others can see, also while it holds
 * the lock. Another writer, which was at work before, goes on at once, and finds a log of whole
 * messages. */
#define _GNU_SOURCE

#include "log_frames.h"
#include "trace.h"

static const mmb_log_options usual = {.capacity = (uint64_t)1 << 30, .shared = true};

enum { BEFORE = 3, BATCH = 3, WORDS = 5 };

/* What all processes see: the start of the log, and of its index. */
typedef struct {
    const unsigned char *data, *index;
    int fd;
    unsigned char seen_data[4096], seen_index[3 * 4096];
    uint64_t seen_size;
} files;

static bool have_changed(files *f)
{
    uint64_t size = file_size(f->fd);
    if (size == f->seen_size && memcmp(f->seen_data, f->data, sizeof f->seen_data) == 0 &&
        memcmp(f->seen_index, f->index, sizeof f->seen_index) == 0) {
        return false;
    }
    f->seen_size = size;
    memcpy(f->seen_data, f->data, sizeof f->seen_data);
    memcpy(f->seen_index, f->index, sizeof f->seen_index);
    return true;
}

/* Open the file once more: locks belong to what was opened. */
static int open_again(int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR | O_CLOEXEC);
    CHECK(again >= 0);
    return again;
}

static mmb_log_writer *join(int fd, int index_fd)
{
    mmb_log_writer *writer;
    CHECK_EQ(mmb_log_enter_gate(fd, true), 0);
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 0, 0, &writer), 0);
    mmb_log_leave_gate(fd);
    return writer;
}

/* ---- what the writer does that is killed ------------------------------------------------ */

typedef void act(mmb_log_writer *writer, int fd);

static void append_messages(mmb_log_writer *writer, uint64_t count)
{
    static unsigned char bytes[ROOM];
    uint64_t size = 0;
    for (uint64_t i = 0; i < count; i++) {
        size += frame(bytes + size, WORDS, BEFORE + i);
    }
    CHECK_EQ(mmb_log_append(writer, bytes, size, NULL), 0);
}

static void append_one(mmb_log_writer *writer, int fd)
{
    (void)fd;
    append_messages(writer, 1);
}

/* The same; the writer may be killed while it opens the log, too. */
static void open_and_append(mmb_log_writer *writer, int fd)
{
    append_one(writer, fd);
}

static void append_batch(mmb_log_writer *writer, int fd)
{
    (void)fd;
    append_messages(writer, BATCH);
}

static void cut_and_append(mmb_log_writer *writer, int fd)
{
    (void)fd;
    CHECK_EQ(mmb_log_cut(writer), 0);
    append_messages(writer, 1);
}

/* Build a message in place: a table for one segment, and the segment. */
static void build(mmb_log_writer *writer, int fd, bool commit)
{
    unsigned char bytes[8 + 8 * WORDS];
    const uint32_t words = WORDS;
    uint64_t start, number;
    uint64_t size = frame(bytes, WORDS, BEFORE);
    CHECK_EQ(mmb_log_begin(writer, MMB_FENCE_BYTES, &start), 0);
    CHECK(pwrite(fd, bytes + 8, size - 8, (off_t)start + 8) == (ssize_t)size - 8);
    if (commit) {
        CHECK_EQ(mmb_log_commit(writer, &words, 1, false, &number), 0);
        CHECK_EQ(number, BEFORE);
    } else {
        mmb_log_abandon(writer);
    }
}

static void build_and_commit(mmb_log_writer *writer, int fd)
{
    build(writer, fd, true);
}

static void build_and_abandon(mmb_log_writer *writer, int fd)
{
    build(writer, fd, false);
}

static void append_and_close(mmb_log_writer *writer, int fd)
{
    (void)fd;
    append_messages(writer, 1);
    CHECK_EQ(mmb_log_close(writer), 0);
}

/* ---- killing it ---------------------------------------------------------------------------- */

/* Let a child do `what`, and kill it after change number `most` of what others see. Return
 * whether it came to its end before that. */
static bool kill_after(files *f, int index_fd, act *what, uint64_t most)
{
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int own = open_again(f->fd);
        mmb_log_writer *writer = NULL;
        if (what != open_and_append) {
            writer = join(own, open_again(index_fd));
        }
        trace_me();
        writer = writer != NULL ? writer : join(own, open_again(index_fd));
        what(writer, own);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        if (is_emulated()) {
            fprintf(stderr, "  (not here: an emulator has no ptrace)\n");
            exit(0);
        }
        skip("ptrace is refused");
        exit(0);
    }
    have_changed(f);
    for (uint64_t changes = 0; WIFSTOPPED(status);) {
        int signal = WSTOPSIG(status);
        int deliver = signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
        changes += have_changed(f);
        if (changes == most) {
            CHECK(kill(child, SIGKILL) == 0);
            CHECK(waitpid(child, &status, 0) == child);
            return false;
        }
        CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, (void *)(long)deliver) == 0);
        CHECK(waitpid(child, &status, 0) == child);
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return true;
}

/* The index agrees with the log, message by message. */
static void look_at_index(const files *f, int index_fd, uint64_t wanted)
{
    mmb_log_identity identity;
    uint64_t count, end, start, expected, bytes, file_bytes;
    mmb_places hopped = {0};
    mmb_tail tail;
    const char *reason;
    CHECK_EQ(mmb_log_identify(f->fd, &identity), 0);
    CHECK(mmb_index_check(f->index, file_size(index_fd), &identity, &count, &end));
    CHECK_EQ(count, wanted);
    CHECK_EQ(mmb_log_hop(f->fd, &hopped, &tail, &file_bytes, &reason), 0);
    CHECK_EQ(hopped.count, wanted);
    CHECK_EQ(hopped.end, end);
    mmb_places places = {.index = f->index, .indexed = count, .count = count, .end = end};
    for (uint64_t i = 0; i < count; i++) {
        CHECK_EQ(mmb_places_find(&places, f->data, i, &start, &bytes), 0);
        CHECK_EQ(mmb_places_find(&hopped, f->data, i, &expected, &bytes), 0);
        CHECK_EQ(start, expected);
    }
    CHECK_EQ(mmb_index_compare(&places, f->data, 0), MMB_SUM_AGREES);
    mmb_places_clear(&hopped);
}

/* One life: it is killed after change number `most`. Return whether it came to its end. */
static bool lives(act *what, uint64_t batch, uint64_t most)
{
    static unsigned char bytes[ROOM];
    uint64_t count, end, number;
    files f = {.fd = make_file_in("/tmp", NULL)};
    int index_fd = index_for(f.fd);
    mmb_log_writer *writer = join(f.fd, index_fd);
    for (uint64_t i = 0; i < BEFORE; i++) {
        CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, WORDS, i), NULL), 0);
    }
    f.data = mmap(NULL, MIB, PROT_READ, MAP_SHARED, f.fd, 0);
    f.index = mmap(NULL, MIB, PROT_READ, MAP_SHARED, index_fd, 0);
    CHECK(f.data != MAP_FAILED && f.index != MAP_FAILED);
    bool ended = kill_after(&f, index_fd, what, most);
    CHECK_EQ(mmb_log_look(writer, &count, &end), 0);
    CHECK(count == BEFORE + batch || (count == BEFORE && !ended));
    look_at_index(&f, index_fd, count);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, WORDS, count), &number), 0);
    CHECK_EQ(number, count);
    CHECK_EQ(look(f.fd, true), count + 1);
    look_at_index(&f, index_fd, count + 1);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    CHECK_EQ(look(f.fd, false), count + 1);
    munmap((void *)(uintptr_t)f.data, MIB);
    munmap((void *)(uintptr_t)f.index, MIB);
    close(index_fd);
    close(f.fd);
    return ended;
}

static void die_after_each_change(act *what, uint64_t batch)
{
    uint64_t most = 1;
    while (!lives(what, batch, most)) {
        most++;
    }
    CHECK(most > 5);
}

static void while_it_appends(void)
{
    die_after_each_change(append_one, 1);
}

static void while_it_appends_a_batch(void)
{
    die_after_each_change(append_batch, BATCH);
}

static void while_it_cuts_and_appends(void)
{
    die_after_each_change(cut_and_append, 1);
}

static void while_it_commits_what_it_has_built(void)
{
    die_after_each_change(build_and_commit, 1);
}

static void while_it_abandons_what_it_has_built(void)
{
    die_after_each_change(build_and_abandon, 0);
}

static void while_it_opens(void)
{
    die_after_each_change(open_and_append, 1);
}

static void while_it_closes(void)
{
    die_after_each_change(append_and_close, 1);
}

int main(void)
{
    RUN(while_it_appends);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return 0; /* one instruction at a time, the code of a sanitizer takes minutes */
#endif
    RUN(while_it_appends_a_batch);
    RUN(while_it_cuts_and_appends);
    RUN(while_it_commits_what_it_has_built);
    RUN(while_it_abandons_what_it_has_built);
    RUN(while_it_opens);
    RUN(while_it_closes);
    return 0;
}
