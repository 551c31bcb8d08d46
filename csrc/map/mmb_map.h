/* mmb_map.h - a *map*: a file mapped over a huge range of addresses, which grows as it is written.
 *
 * This is the public header of csrc/map: other floors use nothing else of it. The *capacity* is the
 * length of the range. A *growth fault* is an access beyond EOF; the SIGBUS handler answers it by
 * extending the file. A map that met an error which no store can report is *poisoned*: its memory
 * stays usable, but its file can no longer be trusted.
 *
 * Where a comment does not say otherwise, a function returns 0, an errno, or an MMB_E value. A
 * signal handler may call the functions that say "Handler: yes". All offsets and lengths are in
 * bytes. All functions that work on the file return EBADF if the program has closed the map's
 * descriptor. */
#ifndef MMB_MAP_H
#define MMB_MAP_H

#include "mmb_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most maps (snapshots included) that one process can hold. */
#define MMB_MAX_MAPS 16384

typedef struct mmb_map mmb_map;

typedef struct {
    uint64_t capacity;   /* bytes; rounded up to a page for the mapping */
    uint64_t max_growth; /* bytes; the largest step of one growth, at least MMB_GRANULE */
    bool prefault;       /* populate ahead of the stores, from a thread of the map's own */
    bool writeback;      /* start write-back behind the stores, so that a sync finds little to do */
    uint64_t size_hint; /* bytes that the file may well have in the end; 0: not known. It is advice:
                         * if it is large, the file grows in large steps and huge pages at once */
    bool is_content;    /* The file is plain content. All that it has when it is opened is declared,
                         * but not what growth has left behind in a process that was killed. So that
                         * the two can be told apart, the file has a label while it grows. */
    bool is_shared; /* another program can set the open file to append (O_APPEND): it is that of a
                     * descriptor that was given to us */
    bool replace;   /* empty the file first, but only when nothing else can fail any more */
} mmb_options;

typedef struct {
    uint64_t growths;    /* times EOF moved up, for any reason */
    uint64_t faults;     /* faults that the handler answered for this map */
    uint64_t backed;     /* EOF, as far as this map knows */
    uint64_t prefaulted; /* bytes populated ahead by the prefault thread */
    int poison;          /* 0, or what poisoned the map: an errno or an MMB_E value */
} mmb_stats;

/* Which limit stopped mmb_map_open, for a message that says what to do. */
typedef enum {
    MMB_LIMIT_NONE,
    MMB_LIMIT_FSIZE, /* RLIMIT_FSIZE is below the capacity (EFBIG) */
    MMB_LIMIT_AS,    /* RLIMIT_AS has no room for the capacity (ENOMEM) */
    MMB_LIMIT_SPACE, /* the address space has no room for the capacity (ENOMEM) */
    MMB_LIMIT_MAPS,  /* MMB_MAX_MAPS maps are open already (EMFILE) */
} mmb_limit;

/* ---- life of a map -------------------------------------------------------- */

/* Map `fd`, and begin to answer its growth faults. `fd` is a regular file, a file of tmpfs or a
 * memfd; it is open for reading and writing, without O_APPEND. The map works on a close-on-exec
 * duplicate of its own; the caller keeps `fd`. The content is kept. If the file is not empty, EOF
 * moves to a multiple of MMB_GRANULE. After a failure `*limit` (may be NULL) says whether a limit
 * was the cause. Errors: EISDIR, ESPIPE (the file cannot be mapped), EBADF (it is not open for
 * both), EINVAL (O_APPEND, or a capacity of zero), EFBIG, ENOMEM, EMFILE, ENOSPC and others.
 * Handler: no. */
int mmb_map_open(int fd, const mmb_options *options, mmb_map **out, mmb_limit *limit);

/* End all growth of the map. When this returns, no handler and no helper thread of this process is
 * at work on the map; if this is the owner, none of any process is. Stores beyond EOF now land in
 * private memory. If another program has truncated the file, the owner's map is poisoned by
 * MMB_ETRUNCATED; the caller looks at that before it touches the file. Further calls do nothing.
 * Handler: no. */
void mmb_map_seal(mmb_map *map);

/* Set the length of the file of a sealed map: it is cut, or a hole is added. MMB_ETRUNCATED, and
 * nothing is done, if another program has cut the file below `size`. EPERM in a forked child.
 * Handler: no. */
int mmb_map_cut(mmb_map *map, uint64_t size);

/* Turn the memory of a sealed map into a private snapshot. It shows what the file holds, at the
 * same addresses; stores stay in memory and never fail. It costs no memory until a program stores
 * in it. The file stays open until mmb_map_take_fd or mmb_map_free. If another program cuts or
 * changes the file later, the snapshot may change, too. After a failure the memory may still be the
 * file's. Handler: no. */
int mmb_map_detach(mmb_map *map);

/* Do the same at this very moment, before the map is sealed or its file is cut. The snapshot shows
 * the file up to `content`, where the caller will cut it, and zeros beyond. All stores that this
 * process has made reach the file, and no later one does. This waits for no thread that may wait
 * for a lock of the caller's. The caller calls mmb_map_seal next, if it has not yet. What other
 * processes store before that may be in the snapshot or not. Nothing is done to a poisoned map.
 * After a failure the memory still is the file's.
 *
 * With `lazily` this takes half the time, and memory beyond `content` becomes zeros when it is
 * accessed. This is for memory that nobody should use any more. What is stored beyond `content`
 * before the caller has cut the file is lost, system calls cannot use memory there that was not
 * accessed before, and the memory shows what the file gets there if it grows later.
 * Handler: no. */
int mmb_map_snapshot(mmb_map *map, uint64_t content, bool lazily);

/* Do as mmb_map_detach does, but turn all of the memory into zeros, so that it holds nothing of the
 * file. This is for addresses that may still be known when their content is not wanted any more.
 * After a failure the memory is a snapshot. Handler: no. */
int mmb_map_clear(mmb_map *map);

/* Take away the memory of a map that is not used any more, and seal the map first if needed.
 * mmb_map_cut may follow, for which the kernel then has no mapped pages to look for, and
 * mmb_map_free. Handler: no. */
void mmb_map_unmap(mmb_map *map);

/* Unmap, close and free a map that is not used any more; seal it first if needed. The file is not
 * cut. NULL is ignored. Handler: no. */
void mmb_map_free(mmb_map *map);

/* ---- use of a map --------------------------------------------------------- */

/* Get the address of the memory. The first call makes the memory, and moves EOF to a multiple of
 * MMB_GRANULE: until then EOF stands where writes end. A program calls this before it stores, and a
 * forked child calls it for itself; a further call costs nothing. Errors: EBADF, ENOMEM, an errno
 * of mmap or ftruncate; ESTALE if the memory was given up. Other errors are left for stores to
 * find. Handler: no. */
int mmb_map_memory(mmb_map *map, unsigned char **base);

/* Return the same address; NULL if there is no memory. Handler: yes. */
unsigned char *mmb_map_base(const mmb_map *map);

uint64_t mmb_map_capacity(const mmb_map *map); /* as asked for. Handler: yes. */
int mmb_map_fd(const mmb_map *map);            /* borrowed; -1 once taken. Handler: yes. */

/* Return the descriptor of a detached or unmapped map, which is now the caller's to close. The file
 * is still locked, and can be synced. -1 if the descriptor was taken before, or if the program has
 * closed it and its number is another file's by now. Handler: no. */
int mmb_map_take_fd(mmb_map *map);

/* Return true in the process that opened the map, and false in a forked child. Handler: yes. */
bool mmb_map_is_owner(const mmb_map *map);

/* Return true if a child was forked since the map was opened; then the child may store in the file,
 * too. Handler: yes. */
bool mmb_map_was_forked(const mmb_map *map);

/* Return 0, or what poisoned the map. Handler: yes. */
int mmb_map_poison(const mmb_map *map);

/* Poison the map; the first cause stays. Handler: yes. */
void mmb_map_set_poison(mmb_map *map, int cause);

/* Return the least offset from which on stores of any process did not reach the file; UINT64_MAX if
 * none was lost. Each store below it has reached the file. If a store has poisoned the map, only
 * the memory from there on is private. Handler: yes. */
uint64_t mmb_map_lost_from(const mmb_map *map);

/* Have that offset written into the file as well, as a record (mmb_file.h) at `file_offset` with
 * `kept` in its lower bits: when something is lost, and whenever more is lost. So the file tells of
 * the loss even if its processes are killed. The place must have a block, since the disk may have
 * none for it then. With UINT64_MAX as the place nothing is written any more, and no thread is
 * still writing when this returns. Handler: no. */
void mmb_map_note_loss_at(mmb_map *map, uint64_t file_offset, uint64_t kept);

void mmb_map_get_stats(const mmb_map *map, mmb_stats *out); /* Handler: yes. */

/* Give blocks to all of [from, end) now. Afterwards the kernel can read and write there, and no
 * store there finds the disk full. If growth has allocated the range already, this costs one system
 * call. A failure poisons nothing and loses nothing. Errors: MMB_ECAPACITY, ENOSPC, EDQUOT, EFBIG,
 * MMB_ETRUNCATED, what poisoned the map. Handler: no. */
int mmb_map_reserve(mmb_map *map, uint64_t from, uint64_t end);

/* Move EOF to `end` at least, as the growth policy wants it, so that this can be called for each of
 * many small appends. Holes stay holes; all else is as for mmb_map_reserve. Handler: no. */
int mmb_map_ensure(mmb_map *map, uint64_t end);

/* Copy `length` bytes from `data` to `offset` and declare them (see *content* below). The file
 * grows as needed. Errors are returned instead of met by a fault. After ENOSPC nothing was copied;
 * but a part may have been if there were at most 64 KiB, or if the file system has no fallocate.
 * `data` may lie in any map, in this one as well, and overlap the target. Handler: no. */
int mmb_map_write(mmb_map *map, uint64_t offset, const void *data, uint64_t length);

/* Write `length` bytes at `offset`, below EOF, by one call and all of them. The file does not grow,
 * and nothing is declared. Return an errno of pwrite. Handler: no. */
int mmb_map_put(mmb_map *map, uint64_t offset, const void *data, uint64_t length);

/* Give back the blocks of [offset, offset + length), which reads as zeros afterwards. If the file
 * system cannot, this returns EOPNOTSUPP and has changed nothing. EPERM in a forked child.
 * Handler: no. */
int mmb_map_make_hole(mmb_map *map, uint64_t offset, uint64_t length);

/* Find the end of the last byte at or beyond `floor` that is not zero; `floor` if there is none.
 * Holes take no time. Handler: no. */
int mmb_map_find_used(mmb_map *map, uint64_t floor, uint64_t *used);

/* Let the system begin to write what was stored; with `durable`, wait until the device has it.
 * Handler: no. */
int mmb_map_flush(mmb_map *map, bool durable);

/* Wait until the device has what is in [offset, offset + length), and perhaps more.
 * Handler: no. */
int mmb_map_flush_range(mmb_map *map, uint64_t offset, uint64_t length);

/* If a fork has stopped the helper thread, start it again. If there is none, this costs one load.
 * No thread may be closing the map. Handler: no. */
void mmb_map_resume_helper(mmb_map *map);

/* ---- content ---------------------------------------------------------------
 *
 * The *content* of a map is the part of its file that counts in the end. Forked children share the
 * *cursor*, where the next append goes, and the *declared size*, the least size that the content
 * has because calls have told so. (content.c) */

uint64_t mmb_map_cursor(const mmb_map *map);              /* Handler: yes. */
void mmb_map_set_cursor(mmb_map *map, uint64_t position); /* Handler: yes. */
uint64_t mmb_map_declared_size(const mmb_map *map);       /* Handler: yes. */
void mmb_map_declare(mmb_map *map, uint64_t end);         /* raises it only. Handler: yes. */

/* Move the cursor if it still is at `from`; return false if it is not. Handler: yes. */
bool mmb_map_move_cursor(mmb_map *map, uint64_t from, uint64_t to);

/* Find where the content ends. That is the declared size, if stores do not reach further. Otherwise
 * it is the end of the last byte that is not zero, rounded up to 16 but not beyond the capacity, so
 * that the last element of an array is not split. There is no other definition. Errors of
 * mmb_map_find_used. Handler: no. */
int mmb_map_size(mmb_map *map, uint64_t *size);

/* Declare that the content ends at `size`. All beyond reads as zeros afterwards, and its blocks are
 * given back where the file system can; EOF stays. Errors: MMB_ECAPACITY; EPERM in a forked child;
 * EBADF, what poisoned the map, and the errno of a write. Handler: no. */
int mmb_map_truncate(mmb_map *map, uint64_t size);

/* Write at the cursor, as mmb_map_write does, and move the cursor on. Each append of any thread or
 * process gets a range of its own. After an error the cursor is where it was, if no other append
 * has come since. Handler: no. */
int mmb_map_append(mmb_map *map, const void *data, uint64_t length);

/* Load or store one byte through the memory; a byte that is stored is declared. Where the file has
 * grown already this takes no system call. Errors of mmb_map_memory, and what poisoned the map.
 * Handler: no. */
int mmb_map_byte_at(mmb_map *map, uint64_t offset, unsigned char *byte);
int mmb_map_assign_byte(mmb_map *map, uint64_t offset, unsigned char byte);

/* Find the content that follows the cursor, at most `most` bytes of it. mmb_map_pass moves the
 * cursor over it as well, so that no other reader gets it. Errors of mmb_map_size. Handler: no. */
int mmb_map_ahead(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length);
int mmb_map_pass(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length);

/* Copy `length` bytes at `offset` to `out`, with zeros where the file has none. The file does not
 * grow. `out` may lie in a map. Return EBADF, or an errno of read. Handler: no. */
int mmb_map_read(mmb_map *map, uint64_t offset, void *out, uint64_t length);

/* Take the next `length` bytes at the cursor that start at a multiple of `align`, a power of two;
 * reserve and declare them, and move the cursor on. Handler: no. */
int mmb_map_allocate(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start);

/* Do the same, and clear the content that was there. Handler: no. */
int mmb_map_allocate_zeros(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start);

/* ---- the handler ---------------------------------------------------------- */

/* Make sure that growth faults reach our handler: install it, or put it back on top if another one
 * was installed since. If nothing has changed, this takes one system call. mmb_map_open calls this.
 * EBUSY if too many different handlers were put over ours to do it safely once more.
 * Handler: no. */
int mmb_install_handler(void);

#ifdef __cplusplus
}
#endif
#endif
