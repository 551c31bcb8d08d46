/* os.h - the operating system: everything that we ask of it beyond plain POSIX.
 *
 * This is the lowest floor. It knows files by their descriptor and memory by its address, and it
 * does not know what they are for. Every #ifdef for a system stands in this folder. posix.c has
 * what all systems do alike; linux.c and linux_files.c, darwin.c and bsd.c have what each system
 * does in its own way; not_linux.c has what the other systems do instead of the calls that only
 * Linux has.
 *
 * Errors are returned as errno values. A signal handler may call the functions that are marked
 * "Handler: yes": they are system calls that bring no locks, allocation or cancellation points of
 * libc. This floor has no state but the page size and what the running kernel can do;
 * mmb__os_init finds both out. */
#ifndef MMB_OS_H
#define MMB_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* ---- memory --------------------------------------------------------------- */

/* Find out what the handler needs to know but must not ask the system for. Call this before any
 * other function of this header. */
void mmb__os_init(void);
void mmb__os_init_system(void); /* the part for one system; only mmb__os_init calls it */
void mmb__os_init_files(void);  /* likewise, what concerns files */
uint64_t mmb__os_page(void);    /* bytes. Handler: yes. */

/* Return how many bytes of address space this process may have; UINT64_MAX without a limit. */
uint64_t mmb__os_address_limit(void);

/* This is true if AddressSanitizer looks for the use of freed memory. It notices only memory that
 * was given back to the C library. */
#if defined(__SANITIZE_ADDRESS__)
#define MMB__OS_LOOKS_FOR_FREED_MEMORY true
#else
#define MMB__OS_LOOKS_FOR_FREED_MEMORY false
#endif

/* Map `fd` shared over an aligned range of `length` bytes of addresses. The first `small` bytes
 * come in page by page, the others in huge pages where the system has them. */
int mmb__os_map_file(int fd, uint64_t length, uint64_t alignment, uint64_t small,
                     unsigned char **base);

/* Map memory that cannot be accessed yet. It is anonymous if `fd` is -1, and otherwise the file,
 * shared. If `at` is not NULL, it replaces what is mapped there. After mlockall(MCL_FUTURE) it does
 * not count as locked, and needs no RLIMIT_MEMLOCK. Return NULL with errno set. */
void *mmb__os_reserve(unsigned char *at, uint64_t length, int fd);

/* Give the kernel the advice that mmb__os_map_file gives for a new mapping. */
void mmb__os_advise(unsigned char *base, uint64_t length, uint64_t small);

/* Advise the kernel that pages which come in from now on are to be huge. Handler: yes. */
void mmb__os_use_huge_pages(unsigned char *base, uint64_t length);

/* Replace the memory at `base`: by private copy-on-write pages of `fd` from `offset` on; by private
 * zeros; or by a private copy of the bytes that can still be read there, with zeros for the others.
 * The first two reserve no memory. None of the three locks memory, whatever mlockall() has asked
 * for. Either the whole range is replaced or, after an error, it is as it was: where the system
 * can, the new memory is made elsewhere and moved over the old. Handler: yes. */
int mmb__os_map_private(unsigned char *base, uint64_t length, int fd, uint64_t offset);
int mmb__os_map_zeros(unsigned char *base, uint64_t length);
int mmb__os_map_copy(unsigned char *base, uint64_t length);

/* Allocate memory of zeros that a forked child shares, and give such memory back. */
void *mmb__os_shared_alloc(size_t size);
void mmb__os_shared_free(void *memory, size_t size);

/* Bring pages in for reading or writing. EFAULT: the file cannot give them (no
 * space, bad block, beyond EOF); ENOSYS: this kernel cannot say. Handler: yes. */
int mmb__os_populate(unsigned char *base, uint64_t length, bool write);

/* ---- files ---------------------------------------------------------------- */

/* Call the next three only while signals are blocked. On tmpfs a pending signal makes the call give
 * up, and the next call begins again from nothing. If a fast timer sent signals, no call would ever
 * succeed. */

/* Allocate blocks for a range, which may be beyond EOF; EOF stays. EOPNOTSUPP if the system cannot
 * promise blocks. Handler: yes. */
int mmb__os_allocate(int fd, uint64_t offset, uint64_t length);

/* Raise EOF to `end`, and allocate blocks for [from, end). EOF is never lowered, and it moves in
 * one step if `from` is in the last block. EOPNOTSUPP as above. Handler: yes. */
int mmb__os_raise(int fd, uint64_t from, uint64_t end);

/* Give back the blocks of a range; EOF stays. EOPNOTSUPP if the file system makes no holes. */
int mmb__os_punch(int fd, uint64_t offset, uint64_t length);

/* Return true if the file system has less than `room` bytes left, as far as it says.
 * Handler: yes. */
bool mmb__os_is_full(int fd, uint64_t room);

/* Find the first byte of data at or after `offset`. Return 0, or ENXIO if only holes follow.
 * Moves the file offset. */
int mmb__os_next_data(int fd, uint64_t offset, uint64_t *found);

/* This is true on systems where reads of a file and mappings of it have separate caches. */
#if defined(__OpenBSD__)
#define MMB__OS_HAS_SEPARATE_CACHES true
#else
#define MMB__OS_HAS_SEPARATE_CACHES false
#endif

/* Let reads of the file see what was stored through the mapping. With one cache this does nothing.
 */
int mmb__os_publish_stores(const unsigned char *base, uint64_t length);

/* Read `length` bytes at `offset`. `*got` is their number: it is smaller only at the end of the
 * file or after an error. */
int mmb__os_read_all(int fd, void *to, size_t length, uint64_t offset, size_t *got);

/* A caller of the three writes below says whether the program shares the open file, and so can set
 * it to append (O_APPEND). Where a trait of the file system says so, such writes go to `offset` all
 * the same. */

/* Write up to `length` bytes at `offset`. Return how many were written, or -1 with errno set.
 * Handler: yes. */
ssize_t mmb__os_write(int fd, bool shared, const void *from, size_t length, uint64_t offset);

/* Write `length` bytes at `offset`. `*written` (may be NULL) is how many were written, after an
 * error as well. */
int mmb__os_write_all(int fd, bool shared, const void *from, size_t length, uint64_t offset,
                      size_t *written);

/* Write a few bytes of one page by one call; EIO if the call took only a part. Handler: yes. */
int mmb__os_put(int fd, bool shared, const void *from, size_t length, uint64_t offset);

/* Set, remove and get the extended attributes that we give to files (label.h, loss.h). On file
 * systems without attributes nothing happens. Getting returns false if the attribute is not there,
 * or not `length` bytes long. */
typedef enum { MMB__LABEL, MMB__LOSS } mmb__attribute;
void mmb__os_set_attribute(int fd, mmb__attribute which, const void *value,
                           size_t length);                   /* Handler: yes. */
void mmb__os_remove_attribute(int fd, mmb__attribute which); /* Handler: no. */
bool mmb__os_get_attribute(int fd, mmb__attribute which, void *value, size_t length);

/* Set EOF, up or down. Handler: yes. */
int mmb__os_truncate(int fd, uint64_t size);

/* What is true of the file system that a file lies on. */
typedef struct {
    bool block_count_is_exact;   /* fstat counts every block that was allocated, at once */
    bool seek_data_is_reliable;  /* mmb__os_next_data sees what was stored through a mapping */
    bool holes_take_blocks;      /* even a load through a mapping, from a hole, needs a block */
    bool has_huge_pages;         /* present kernels give huge pages if one asks for them */
    bool extends_without_io;     /* a move of EOF never waits for the device */
    bool flushes_after_truncate; /* closing a file that was made shorter writes out its data,
                                  * unless the data had blocks before */
    bool ignores_append;         /* our writes to a shared file go to their offset, although the
                                  * file is set to append */
} mmb__traits;

/* Tell the traits of the file system of `fd`. Return 0 if a file there can be mapped and grown, or
 * an errno that says why it cannot. */
int mmb__os_look_at(int fd, mmb__traits *out);

/* Start writing the dirty pages of a range to the device; wait for nothing. */
void mmb__os_start_writeback(int fd, uint64_t offset, uint64_t length);

/* Wait until the device has the data, and the size that is needed to read it. */
int mmb__os_datasync(int fd);

/* Return when the content was changed last, in nanoseconds. */
uint64_t mmb__os_changed_at(const struct stat *file);

/* Duplicate a descriptor. The copy is close-on-exec, and never gets the number of a standard
 * stream: if the program has closed that stream, what a library prints to it must not land in
 * the file. */
int mmb__os_duplicate(int fd, int *copy);

/* ---- bytes of a file that are held --------------------------------------------------------
 *
 * A byte of a file, even one far beyond its end, can be *held* through an open file: exclusively,
 * or shared with other holders. The system lets go of it when the last descriptor of that open file
 * is closed, so at the latest when the process ends. A held byte can still be read and written by
 * every program. */

/* Hold the byte at `offset`. If `exclusive` is true, `fd` must be open for writing. If the byte is
 * held by others, this waits if `wait` is true, and returns EAGAIN otherwise. EINTR: a signal ended
 * the wait. ENOTSUP: the system or the file system cannot hold bytes. The other function lets go of
 * the byte. */
int mmb__os_hold_byte(int fd, uint64_t offset, bool exclusive, bool wait);
void mmb__os_release_byte(int fd, uint64_t offset);

/* Return whether a byte of the range is held through another open file than that of `fd`. True if
 * the system does not say. */
bool mmb__os_bytes_are_held(int fd, uint64_t offset, uint64_t length);

/* ---- processes ------------------------------------------------------------ */

/* Return whether a process is alive. A dead one whose parent has not waited for it yet counts as
 * dead where the system can tell that. Handler: yes. */
bool mmb__os_is_alive(int pid);

/* Return a number for the pid namespace of this process; 0 if it is not known, or if the system
 * has none. What mmb__os_is_alive says of a pid is true only within the namespace. */
uint64_t mmb__os_pid_namespace(void);

/* Sleep for a millisecond, or until a signal comes. Handler: yes. */
void mmb__os_nap(void);

/* ---- waking a thread ------------------------------------------------------ */

/* An event counts its posts; each wait takes one, or waits for one. */
typedef struct mmb__os_event mmb__os_event;

int mmb__os_event_new(mmb__os_event **event);
void mmb__os_event_wait(mmb__os_event *event);
void mmb__os_event_free(mmb__os_event *event);
void mmb__os_event_post(mmb__os_event *event); /* Handler: yes. */

/* ---- pipes ---------------------------------------------------------------- */

/* Make a pipe that no other program inherits, and that never blocks. Return 0 or an errno. */
int mmb__os_pipe(int ends[2]);

/* ---- waiting for a word --------------------------------------------------- */

/* If `*word` still is `value`, wait until another thread wakes it: for at most `most` ns, and
 * perhaps for less. The word may lie in a file that several processes map. On systems that have
 * nothing for this, waiting is a short sleep, and waking does nothing. */
void mmb__os_wait_for_word(const uint32_t *word, uint32_t value, uint64_t most);
void mmb__os_wake_word(const uint32_t *word);        /* all that wait */
void mmb__os_wake_one_of_word(const uint32_t *word); /* one of them */

/* Tell the processor that this is a loop that waits for another one. */
static inline void mmb__os_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- checksums -------------------------------------------------------------- */

/* Return the CRC32C of all bytes so far. `crc` is that of the bytes before these; 0 if there are
 * none. The second function does not use the processor's instruction. */
uint32_t mmb__os_crc32c(uint32_t crc, const void *bytes, size_t length);
uint32_t mmb__os_crc32c_by_tables(uint32_t crc, const void *bytes, size_t length);

/* ---- signals -------------------------------------------------------------- */

typedef enum {
    MMB__FAULT,      /* the kernel refused an access; when the handler returns, it is tried again */
    MMB__SENT_BY_US, /* a thread of this process raised the signal */
    MMB__SENT,       /* another process sent it */
    MMB__OTHER_FAULT, /* failed hardware or a misaligned access: we never answer it */
} mmb__cause;

typedef struct {
    mmb__cause cause;
    bool again;        /* returning from the handler leads to the same fault again */
    bool write;        /* the refused access was a store, or we do not know what it was */
    uintptr_t address; /* of the access; for MMB__SENT_BY_US that of this thread's last fault, or 0
                        * if we do not know it */
} mmb__signal;

/* Tell what a SIGBUS is about. Handler: yes. */
mmb__signal mmb__os_read_signal(const siginfo_t *info, const void *context);

/* Send the same signal to this thread again. Handler: yes. */
void mmb__os_resend(int number, siginfo_t *info);

/* Return a number for this thread that no other living thread has. Handler: yes. */
unsigned long mmb__os_thread(void);

/* Wait until the system has forgotten a thread that was joined. pthread_join returns a little
 * earlier, when the thread can still be counted. Where the system cannot tell, this returns at
 * once. Handler: no. */
void mmb__os_await_end_of_thread(unsigned long thread);

/* Return the signal mask of the code that the signal has interrupted. Handler: yes. */
const sigset_t *mmb__os_interrupted_mask(const void *context);

#endif
