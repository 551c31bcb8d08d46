/* os.h - all that is asked of the operating system beyond plain POSIX.
 *
 * This is the lowest floor: it knows files by their descriptor and memory by its address,
 * and nothing of what they are for. Every #ifdef for a system stands in this folder:
 * posix.c has what all systems do alike, linux.c and linux_files.c, darwin.c and bsd.c what
 * each does in its own way, not_linux.c how the others do without what only Linux has.
 *
 * Errors are returned as errno values. The functions marked "Handler: yes" are system calls
 * without locks, allocation or cancellation points of libc's own: a signal handler may call
 * them. Nothing here has state but the page size and what the running kernel can do, which
 * mmb__os_init finds out. */
#ifndef MMB_OS_H
#define MMB_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* ---- memory --------------------------------------------------------------- */

/* To be called before anything else here: finds out what the handler must not ask for. */
void mmb__os_init(void);
void mmb__os_init_system(void); /* its part for one system; for mmb__os_init only */
uint64_t mmb__os_page(void);    /* bytes. Handler: yes. */

/* The address space that this process may have, in bytes; UINT64_MAX without a limit. */
uint64_t mmb__os_address_limit(void);

/* An aligned range of `length` bytes with `fd` mapped shared over it. The first `small`
 * bytes come in page by page, the rest in huge pages where the system has them. */
int mmb__os_map_file(int fd, uint64_t length, uint64_t alignment, uint64_t small,
                     unsigned char **base);

/* What mmb__os_map_file wishes for the pages of a new mapping. */
void mmb__os_advise(unsigned char *base, uint64_t length, uint64_t small);

/* Whether pages that come in from now on are to be huge. A wish. Handler: yes. */
void mmb__os_use_huge_pages(unsigned char *base, uint64_t length, bool yes);

/* Replace the memory at `base`: by private copy-on-write pages of `fd` at `offset`; by private
 * zeros; or by a private copy of what can still be read there, zeros where nothing can. None
 * of the first two reserves memory, and none locks it, whatever mlockall() has asked for. Either
 * all of the range is replaced or, after an error, it is what it was: where the system can, the
 * new memory is made elsewhere and moved over the old. Handler: yes. */
int mmb__os_map_private(unsigned char *base, uint64_t length, int fd, uint64_t offset);
int mmb__os_map_zeros(unsigned char *base, uint64_t length);
int mmb__os_map_copy(unsigned char *base, uint64_t length);

/* Zeroed memory that a forked child shares. */
void *mmb__os_shared_alloc(size_t size);
void mmb__os_shared_free(void *memory, size_t size);

/* Bring pages in for reading or writing. EFAULT: the file cannot give them (no
 * space, bad block, beyond EOF); ENOSYS: this kernel cannot say. Handler: yes. */
int mmb__os_populate(unsigned char *base, uint64_t length, bool write);

/* ---- files ---------------------------------------------------------------- */

/* The next three may be called with signals held back only: tmpfs gives up at any that is
 * pending and starts from scratch, so that under a fast timer it would never end. */

/* Allocate blocks for a range, beyond EOF as well; EOF stays. EOPNOTSUPP where the
 * system cannot promise that. Handler: yes. */
int mmb__os_allocate(int fd, uint64_t offset, uint64_t length);

/* Raise EOF to `end`, with blocks for [from, end); can never lower it, and moves it in
 * one step where `from` is in the last block. EOPNOTSUPP likewise. Handler: yes. */
int mmb__os_raise(int fd, uint64_t from, uint64_t end);

/* Deallocate; EOF stays. EOPNOTSUPP where holes cannot be made. */
int mmb__os_punch(int fd, uint64_t offset, uint64_t length);

/* True if the file system has less than `room` bytes left, as far as it says.
 * Handler: yes. */
bool mmb__os_is_full(int fd, uint64_t room);

/* First byte of data at or after `offset`: 0 and *found, or ENXIO when only holes
 * follow. Moves the file offset. */
int mmb__os_next_data(int fd, uint64_t offset, uint64_t *found);

/* Make what was stored through the mapping visible to reads of the file, on the systems where
 * the two have caches of their own. */
int mmb__os_publish_stores(const unsigned char *base, uint64_t length);

/* Read up to `length` bytes at `offset`; the number, less only at the end of the file or after
 * an error, in *got. */
int mmb__os_read_all(int fd, void *to, size_t length, uint64_t offset, size_t *got);

/* Write all of it at `offset`; the number of bytes written, also after an error, in *written
 * (may be NULL). */
int mmb__os_write_all(int fd, const void *from, size_t length, uint64_t offset, size_t *written);

/* Write a few bytes within a page by one call; EIO if not all were taken. Handler: yes. */
int mmb__os_put(int fd, const void *from, size_t length, uint64_t offset);

/* The one extended attribute that files get from us (mark.h). Nothing happens where there are
 * none; getting it is false if it is not there, or not `length` bytes long. */
void mmb__os_set_attribute(int fd, const void *value, size_t length); /* Handler: yes. */
void mmb__os_remove_attribute(int fd);
bool mmb__os_get_attribute(int fd, void *value, size_t length);

/* Set EOF, up or down. Handler: yes. */
int mmb__os_truncate(int fd, uint64_t size);

/* What can be relied on where a file lies. */
typedef struct {
    bool block_count_is_exact;   /* fstat counts every block that was allocated, at once */
    bool seek_data_is_reliable;  /* mmb__os_next_data sees what was stored through a mapping */
    bool holes_take_blocks;      /* even a load through a mapping, from a hole, needs a block */
    bool has_huge_pages;         /* present kernels give them to those who ask */
    bool extends_without_io;     /* a move of EOF never waits for the device */
    bool flushes_after_truncate; /* closing a file that was made shorter writes out its data,
                                  * unless blocks were allocated for them before */
} mmb__traits;

/* 0, and what can be relied on, if a file of this kind can be mapped and grown; else
 * why it cannot. */
int mmb__os_look_at(int fd, mmb__traits *out);

/* Start writing dirty pages of the range; waits for nothing. */
void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length);

/* Wait until the device has the data, and the size needed to read it. */
int mmb__os_datasync(int fd);

/* When the content was changed last, in nanoseconds. */
uint64_t mmb__os_changed_at(const struct stat *file);

/* Close-on-exec, and never one of the standard streams' numbers: what a library
 * prints to a stream that the program has closed must not land in the file. */
int mmb__os_duplicate(int fd, int *copy);

/* ---- processes ------------------------------------------------------------ */

/* False once the process is dead, whether its parent has waited for it or not (where
 * the system can say, else only after that). Handler: yes. */
bool mmb__os_is_alive(int pid);

/* ---- waking a thread ------------------------------------------------------ */

/* Counts posts until they are waited for. */
typedef struct mmb__os_event mmb__os_event;

int mmb__os_event_new(mmb__os_event **event);
void mmb__os_event_wait(mmb__os_event *event);
void mmb__os_event_free(mmb__os_event *event);
void mmb__os_event_post(mmb__os_event *event); /* Handler: yes. */

/* ---- pipes ---------------------------------------------------------------- */

/* Let a pipe hold a page and no more, where the system can. */
void mmb__os_shrink_pipe(int fd);

/* ---- waiting for a word --------------------------------------------------- */

/* Wait until `*word`, which may lie in a file that several processes map, is woken, if it is
 * `value` still; for `most` ns at the most, and perhaps for less. Where the system has nothing
 * for that, this is a short sleep, and waking does nothing. */
void mmb__os_wait_for_word(const uint32_t *word, uint32_t value, uint64_t most);
void mmb__os_wake_word(const uint32_t *word);

/* ---- signals -------------------------------------------------------------- */

typedef enum {
    MMB__FAULT,       /* an access the kernel refused; returning tries it again */
    MMB__SENT_BY_US,  /* raised by a thread of this process */
    MMB__SENT,        /* by another process */
    MMB__OTHER_FAULT, /* failed hardware, misaligned access: never for us to answer */
} mmb__cause;

typedef struct {
    mmb__cause cause;
    bool again;        /* returning from the handler leads to the same fault again */
    bool write;        /* the refused access was a store, or it is not known */
    uintptr_t address; /* MMB__SENT_BY_US: of this thread's last fault, 0 if not known */
} mmb__signal;

/* What a SIGBUS is about. Handler: yes. */
mmb__signal mmb__os_read_signal(const siginfo_t *info, const void *context);

/* Send the same signal to this thread again. Handler: yes. */
void mmb__os_resend(int number, siginfo_t *info);

/* A number for this thread, unique while it lives. Handler: yes. */
unsigned long mmb__os_thread(void);

/* Return when a thread of this process that was joined is none of the system's any more:
 * pthread_join returns a little before that, and who counts threads would still find it. Where
 * that cannot be told: at once. Handler: no. */
void mmb__os_await_end_of_thread(unsigned long thread);

/* The mask that the interrupted code had. Handler: yes. */
const sigset_t *mmb__os_interrupted_mask(const void *context);

#endif
