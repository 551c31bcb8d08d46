/* test_log_writer.c - appending: what readers find at every moment, and after every error. */
#define _GNU_SOURCE

#include "capnp/log_lock.h"
#include "capnp/log_state.h"
#include "log_frames.h"
#include "os/os.h"
#include "trace.h"

#include <pthread.h>
#include <stdatomic.h>

static const mmb_log_options usual = {.capacity = (uint64_t)1 << 30};

/* ---- at every moment ------------------------------------------------------------- */

/* What the child that appends tells the one that watches. */
typedef struct {
    _Atomic uint64_t returned; /* messages whose append has returned */
    _Atomic uint64_t begun;    /* messages that append was called for */
} progress;

static void append_all(int fd, int index_fd, progress *p)
{
    static unsigned char bytes[ROOM];
    static const uint32_t words[] = {1, 2, 40, 1, 7};
    mmb_log_writer *writer;
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 0, 0, &writer), 0);
    trace_me();
    for (uint64_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint64_t size = frame(bytes, words[i], i);
        atomic_store(&p->begun, i + 1);
        CHECK_EQ(mmb_log_append(writer, bytes, size, NULL), 0);
        atomic_store(&p->returned, i + 1);
    }
    uint64_t first = sizeof words / sizeof words[0], size = 0;
    for (uint64_t i = 0; i < 3; i++) { /* all or none */
        size += frame(bytes + size, (uint32_t)(1 + i), first + i);
    }
    atomic_store(&p->begun, first + 3);
    CHECK_EQ(mmb_log_append(writer, bytes, size, NULL), 0);
    atomic_store(&p->returned, first + 3);
    _exit(0);
}

/* The index never tells more than the log has. */
static void look_at_index(int fd, int index_fd, uint64_t count)
{
    mmb_log_identity identity;
    uint64_t known, end;
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    uint64_t length = file_size(index_fd);
    unsigned char *memory = mmap(NULL, length, PROT_READ, MAP_SHARED, index_fd, 0);
    CHECK(mmb_index_check(memory, length, &identity, &known, &end));
    CHECK(known <= count);
    munmap(memory, length);
}

/* True if the beginning of the file, where all messages are, is not what it was. */
static bool has_changed(int fd)
{
    static unsigned char before[4096], now[4096];
    CHECK(pread(fd, now, sizeof now, 0) == (ssize_t)sizeof now);
    bool changed = memcmp(before, now, sizeof now) != 0;
    memcpy(before, now, sizeof now);
    return changed;
}

/* The writer is stopped after each instruction. Killed there, it would leave what is seen. */
static void after_every_instruction(void)
{
    progress *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fd = make_file_in("/tmp", NULL), index_fd = index_for(fd), status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        append_all(fd, index_fd, p);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77 && is_emulated()) {
        fprintf(stderr, "  (not here: an emulator has no ptrace)\n");
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip("ptrace is refused");
        return;
    }
    uint64_t steps = 0, changes = 0, count = 0;
    while (WIFSTOPPED(status)) {
        int deliver =
            WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
        if (steps == 0 || has_changed(fd)) {
            uint64_t now = look(fd, true);
            CHECK(now == count || now == atomic_load(&p->begun));
            look_at_index(fd, index_fd, now);
            count = now;
            changes++;
        }
        CHECK(count >= atomic_load(&p->returned) && count <= atomic_load(&p->begun));
        CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, (void *)(long)deliver) == 0);
        CHECK(waitpid(child, &status, 0) == child);
        steps++;
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(look(fd, true), 8);
    CHECK(changes > 20);
    munmap(p, 4096);
    close(index_fd);
    close(fd);
}

/* ---- slow readers --------------------------------------------------------------------- */

/* A reader may have read a fence a moment ago, and take it for the header of what it reads next. So
 * the file does not reach beyond what a fence claims until that fence has been gone for a while:
 * for these nanoseconds, and some more. A test that is slow looks at less. */
#define WHILE ((uint64_t)45 * 1000000)

static uint64_t fence_at(int fd, uint64_t end)
{
    uint64_t word;
    CHECK(pread(fd, &word, sizeof word, (off_t)end) == sizeof word);
    return word >> 32 << 3;
}

/* A message that is built in place brings the end near to what the first fence claims, at once. */
static void later_messages_outgrow_no_fence(void)
{
    static unsigned char bytes[ROOM];
    const uint32_t words = (uint32_t)((MMB_FENCE_BYTES - ROOM) / 8 - 1);
    mmb_log_writer *writer;
    uint64_t start, number;
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_log_open(fd, -1, &usual, 0, 0, &writer), 0);
    uint64_t seen = mmb__log_now();
    CHECK_EQ(fence_at(fd, 0), MMB_FENCE_BYTES);
    CHECK_EQ(mmb_log_begin(writer, 0, &start), 0);
    CHECK_EQ(mmb_log_commit(writer, &words, 1, true, &number), 0);
    for (uint64_t i = 1; i < 5; i++) {
        CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, ROOM / 8 - 1, i), NULL), 0);
        CHECK(file_size(fd) <= MMB_FENCE_BYTES || mmb__log_now() - seen >= WHILE);
    }
    CHECK(file_size(fd) > MMB_FENCE_BYTES); /* or this was no test */
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    close(fd);
}

typedef struct {
    int fd;
    _Atomic bool begun, enough;
} watched;

static void *watch(void *argument)
{
    watched *w = argument;
    uint64_t last = 0; /* when the usual fence was there */
    while (!atomic_load(&w->enough)) {
        uint64_t now = mmb__log_now();
        last = fence_at(w->fd, 0) == MMB_FENCE_BYTES ? now : last;
        CHECK(file_size(w->fd) <= MMB_FENCE_BYTES || mmb__log_now() - last >= WHILE);
        atomic_store(&w->begun, true);
    }
    return NULL;
}

static void a_large_message_outgrows_no_fence(void)
{
    const uint32_t words = (uint32_t)(MMB_FENCE_BYTES / 8 + ROOM);
    unsigned char *bytes = malloc((size_t)words * 8 + 8);
    CHECK(bytes != NULL);
    mmb_log_writer *writer;
    watched w = {.fd = make_file_in("/tmp", NULL)};
    pthread_t thread;
    CHECK_EQ(mmb_log_open(w.fd, -1, &usual, 0, 0, &writer), 0);
    CHECK_EQ(fence_at(w.fd, 0), MMB_FENCE_BYTES);
    CHECK_EQ(pthread_create(&thread, NULL, watch, &w), 0);
    while (!atomic_load(&w.begun)) {
    }
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, words, 0), NULL), 0);
    atomic_store(&w.enough, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    CHECK_EQ(file_size(w.fd), (uint64_t)words * 8 + 8);
    close(w.fd);
    free(bytes);
}

/* ---- after errors --------------------------------------------------------------------- */

static void reopens(void)
{
    static unsigned char bytes[ROOM];
    mmb_log_writer *writer;
    int fd = make_file_in("/tmp", NULL);
    uint64_t end = 0;
    for (uint64_t i = 0; i < 60; i++) {
        CHECK_EQ(mmb_log_open(fd, -1, &usual, i, end, &writer), 0);
        CHECK_EQ(look(fd, true), i);
        CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, (uint32_t)(1 + i * 700), i), NULL), 0);
        CHECK_EQ(mmb_log_count(writer), i + 1);
        end = mmb_log_end(writer);
        if (i % 3 == 0) {
            mmb_log_free(writer); /* as if it had been killed */
            CHECK_EQ(look(fd, true), i + 1);
            continue;
        }
        if (i % 3 == 1) {
            CHECK_EQ(mmb_log_cut(writer), 0);
            CHECK_EQ(look(fd, false), i + 1);
        }
        CHECK_EQ(mmb_log_close(writer), 0);
        mmb_log_free(writer);
        CHECK_EQ(look(fd, false), i + 1);
        CHECK_EQ(file_size(fd), end);
    }
    close(fd);
}

/* Someone cuts the file: an error, and no zeros in place of what is gone. */
static void cut_by_others(uint32_t words)
{
    static unsigned char bytes[ROOM];
    const uint64_t size = frame(bytes, words, 0);
    mmb_log_writer *writer;
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_log_open(fd, -1, &usual, 0, 0, &writer), 0);
    for (uint64_t i = 0; i < 100; i++) {
        CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, words, i), NULL), 0);
    }
    CHECK(ftruncate(fd, (off_t)(5 * size)) == 0);
    int error = 0;
    for (uint64_t i = 100; error == 0 && i < 2000; i++) {
        error = mmb_log_append(writer, bytes, frame(bytes, words, i), NULL);
    }
    CHECK_EQ(error, MMB_ETRUNCATED);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 1, 0), NULL), MMB_ETRUNCATED);
    CHECK_EQ(mmb_log_close(writer), MMB_ETRUNCATED);
    mmb_log_free(writer);
    CHECK_EQ(file_size(fd), 5 * size);
    CHECK_EQ(look(fd, false), 5);
    close(fd);
}

static void cut_while_small_messages_are_appended(void)
{
    cut_by_others(1000);
}

static void cut_while_large_messages_are_appended(void)
{
    cut_by_others(5000);
}

/* Nothing is appended after the cut: the end of the log finds it. */
static void cut_before_the_end(void)
{
    static unsigned char bytes[ROOM];
    const uint64_t size = frame(bytes, 100, 0);
    for (int kept = 0; kept < 3; kept++) {
        mmb_log_writer *writer;
        int fd = make_file_in("/tmp", NULL);
        CHECK_EQ(mmb_log_open(fd, -1, &usual, 0, 0, &writer), 0);
        for (uint64_t i = 0; i < 3; i++) {
            CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 100, i), NULL), 0);
        }
        CHECK(ftruncate(fd, (off_t)((uint64_t)kept * size)) == 0);
        CHECK_EQ(mmb_log_cut(writer), MMB_ETRUNCATED);
        CHECK_EQ(mmb_log_close(writer), MMB_ETRUNCATED);
        mmb_log_free(writer);
        CHECK_EQ(file_size(fd), (uint64_t)kept * size);
        CHECK_EQ(look(fd, false), (uint64_t)kept);
        close(fd);
    }
}

/* A store behind the fence is lost, and the map says so: that is no message, for readers either. */
static void what_was_lost_is_no_message(void)
{
    static unsigned char bytes[ROOM];
    mmb_log_writer *writer;
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_log_open(fd, -1, &usual, 0, 0, &writer), 0);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 5, 0), NULL), 0);
    mmb_map_set_poison(writer->map, EIO);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 5, 1), NULL), EIO);
    CHECK_EQ(look(fd, true), 1);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 5, 1), NULL), 0);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    CHECK_EQ(look(fd, false), 2);
    close(fd);
}

/* The capacity is used up: an error, and smaller messages go on. */
static void capacity_used_up(void)
{
    static unsigned char bytes[3 * ROOM];
    const mmb_log_options small = {.capacity = 2 * ROOM + 4096};
    mmb_log_writer *writer;
    int fd = make_file_in("/tmp", NULL);
    CHECK_EQ(mmb_log_open(fd, -1, &small, 0, 0, &writer), 0);
    uint64_t count = 0;
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 3 * ROOM / 8 - 1, 0), NULL), MMB_ECAPACITY);
    while (mmb_log_append(writer, bytes, frame(bytes, 10000, count), NULL) == 0) {
        count++;
    }
    CHECK_EQ(count, (2 * ROOM + 4096) / 80008);
    CHECK_EQ(look(fd, true), count);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 2, count), NULL), 0);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    CHECK_EQ(look(fd, false), count + 1);
    close(fd);
}

/* What the last writer had no time to tell the index is told by the next. */
static void index_catches_up(void)
{
    static unsigned char bytes[ROOM];
    mmb_log_writer *writer;
    mmb_log_identity identity;
    uint64_t known, end;
    int fd = make_file_in("/tmp", NULL), index_fd = index_for(fd);
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 0, 0, &writer), 0);
    for (uint64_t i = 0; i < 1500; i++) {
        CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 3, i), NULL), 0);
    }
    end = mmb_log_end(writer);
    mmb_log_free(writer);
    for (uint64_t i = 1500; i < 4000; i++) {
        uint64_t size = frame(bytes, (uint32_t)(1 + i % 5), i);
        CHECK(pwrite(fd, bytes, size, (off_t)end) == (ssize_t)size);
        end += size;
    }
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 4000, end, &writer), 0);
    CHECK_EQ(mmb_log_append(writer, bytes, frame(bytes, 3, 4000), NULL), 0);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    CHECK_EQ(mmb_log_identify(fd, &identity), 0);
    uint64_t length = file_size(index_fd);
    unsigned char *memory = mmap(NULL, length, PROT_READ, MAP_SHARED, index_fd, 0);
    CHECK(mmb_index_check(memory, length, &identity, &known, &end));
    CHECK_EQ(known, 4001);
    CHECK_EQ(end, file_size(fd));
    CHECK_EQ(length, mmb_index_bytes(4001));
    munmap(memory, length);
    close(index_fd);
    close(fd);
}

/* ---- pages ahead ------------------------------------------------------------------- */

/* Return whether memory has the last page of the chunk in which the messages end. */
static bool has_last_page_of_chunk(int fd, const mmb_log_writer *writer)
{
    enum { CHUNK = 64 << 10 };
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t last = mmb_log_end(writer) / CHUNK * CHUNK + CHUNK - page;
    unsigned char in;
    void *memory = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)last);
    CHECK(memory != MAP_FAILED && mincore(memory, page, &in) == 0);
    munmap(memory, page);
    return (in & 1) != 0;
}

/* Pages come ahead of the messages, but not for a log that may stay small. */
static void many_messages_get_pages_ahead(void)
{
    unsigned char bytes[1 << 10];
    uint64_t size = frame(bytes, 100, 0);
    mmb_log_writer *writer;
    int fd = memfd_create("log", MFD_CLOEXEC), index_fd = index_for(fd);
    CHECK_EQ(mmb_log_open(fd, index_fd, &usual, 0, 0, &writer), 0);
    CHECK_EQ(mmb_log_append(writer, bytes, size, NULL), 0);
    CHECK(!has_last_page_of_chunk(fd, writer));
    while (mmb_log_end(writer) < 3 << 16) {
        CHECK_EQ(mmb_log_append(writer, bytes, size, NULL), 0);
    }
    CHECK(has_last_page_of_chunk(fd, writer) ||
          mmb__os_populate(mmb_map_base(writer->map), 1, true) == ENOSYS);
    CHECK_EQ(mmb_log_close(writer), 0);
    mmb_log_free(writer);
    close(fd);
    close(index_fd);
}

int main(void)
{
    RUN(after_every_instruction);
    RUN(later_messages_outgrow_no_fence);
    RUN(a_large_message_outgrows_no_fence);
    RUN(reopens);
    RUN(cut_while_small_messages_are_appended);
    RUN(cut_while_large_messages_are_appended);
    RUN(cut_before_the_end);
    RUN(what_was_lost_is_no_message);
    RUN(capacity_used_up);
    RUN(index_catches_up);
    RUN(many_messages_get_pages_ahead);
    return 0;
}
