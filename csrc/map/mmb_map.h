/* mmb_map.h - a *map*: a file mapped over a huge address range, growing as it is written.
 *
 * The public header of csrc/map, and all of it that another layer may use.
 * Words: *capacity* is the length of the range in bytes; *backed* is the file's present end
 * (EOF); a *growth fault* is an access beyond EOF, which the SIGBUS handler answers by
 * extending the file. A map that met an error which no store can report is
 * *poisoned*: its memory stays usable, its file can no longer be trusted.
 *
 * Errors are returned as errno values or MMB_E values (0 is success) unless said otherwise.
 * "Handler: yes" marks the functions that may be called from a signal handler.
 * All offsets and lengths are bytes.
 */
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
    bool prefault;       /* populate ahead of the writer from a thread of the map's own */
    bool writeback;      /* start write-back behind the writer, so that a sync finds little to do */
    uint64_t size_hint; /* bytes that the file may well have in the end; 0: not known. Advice: where
                         * it is large, the file grows in large steps and huge pages at once */
    bool is_content; /* the file is plain content, all of which is declared when it is opened, but
                      * for what growth has left behind in a process that was killed; it is
                      * labelled while it grows, so that this can be told */
    bool is_shared;  /* another program can set the open file to append (O_APPEND): it is that of a
                      * descriptor that was given to us */
    bool replace;    /* empty the file first, but only when nothing else can fail any more */
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

/* Map `fd` (a regular file, tmpfs file or memfd, open for reading and writing,
 * not O_APPEND) and start to serve its growth faults. The map works on its own
 * close-on-exec duplicate; the caller keeps `fd`. The content is kept; EOF is
 * raised to a multiple of MMB_GRANULE if the file is not empty. On failure
 * `*limit` (may be NULL) says whether a limit was the cause. Errors: EISDIR,
 * ESPIPE (not a file that can be mapped), EBADF (not open for both), EINVAL
 * (O_APPEND, or capacity of zero), EFBIG, ENOMEM, EMFILE, ENOSPC and others.
 * Handler: no. */
int mmb_map_open(int fd, const mmb_options *options, mmb_map **out, mmb_limit *limit);

/* Stop growing, for good: returns when no handler and no helper thread is still
 * at work on the map, in this process or, for the owner, in any. Stores beyond EOF
 * now land in private memory. In the owner the map is poisoned by MMB_ETRUNCATED if
 * someone else has cut the file: look at the poison before the file is touched.
 * Idempotent. Handler: no. */
void mmb_map_seal(mmb_map *map);

/* Cut the file of a sealed map to `size` bytes (or extend it, sparsely).
 * Only the process that opened the map may: EPERM in a child. EBADF, as from all
 * that work on the file, if the program has closed the map's fd. Handler: no. */
int mmb_map_cut(mmb_map *map, uint64_t size);

/* Turn the memory of a sealed map into a private snapshot: what the file holds
 * can be read at the same addresses, stores stay in memory and never fail. The file is held
 * open until mmb_map_take_fd or mmb_map_free. Costs no memory until it is written. What someone
 * cuts off the file later, or changes in it, is cut off or changed here too. On failure
 * the memory may still be the file's. Handler: no. */
int mmb_map_detach(mmb_map *map);

/* The same at this very moment, before the map is sealed: no store that this process makes
 * afterwards reaches the file, each that it has made does. It waits for no thread that may wait
 * for a lock of the caller's. The caller calls mmb_map_seal next; what others do to the file before
 * that may be in the snapshot or not. On failure the memory is the file's still. Handler: no. */
int mmb_map_snapshot(mmb_map *map);

/* The same, but all of the memory becomes zeros, so that nothing of the file is held on to: for
 * addresses that may be known still, but whose content is not wanted. On failure it is a
 * snapshot. Handler: no. */
int mmb_map_clear(mmb_map *map);

/* Take the memory of a map away that is used no more; seals first if needed. What may
 * follow is mmb_map_cut, which then has no pages to look for, and mmb_map_free. Handler: no. */
void mmb_map_unmap(mmb_map *map);

/* Unmap, close, free. The map must not be used by anyone any more. Seals first
 * if needed; does not cut the file. NULL is ignored. Handler: no. */
void mmb_map_free(mmb_map *map);

/* ---- use of a map --------------------------------------------------------- */

/* Where the memory of the map is, which is made when this is first called, and EOF moved to a
 * multiple of MMB_GRANULE: before, calls write, and EOF stands where they end. A program that is to
 * store calls this once, a forked child for itself; it costs nothing again. EBADF, ENOMEM, or an
 * errno of mmap or ftruncate; ESTALE if the memory was given up; other errors are left for
 * stores to find. Handler: no. */
int mmb_map_memory(mmb_map *map, unsigned char **base);

/* The same address, for those who know that there is memory; NULL if there is none.
 * Handler: yes. */
unsigned char *mmb_map_base(const mmb_map *map);

uint64_t mmb_map_capacity(const mmb_map *map); /* as asked for. Handler: yes. */
int mmb_map_fd(const mmb_map *map);            /* borrowed; -1 once taken. Handler: yes. */

/* The fd of a detached or unmapped map, from now on the caller's to close: the file is still
 * locked, and can be synced. -1 if it was taken before, or its number is another file's by now,
 * since the program closed ours. Handler: no. */
int mmb_map_take_fd(mmb_map *map);

/* True in the process that opened the map, false in a forked child. Handler: yes. */
bool mmb_map_is_owner(const mmb_map *map);

/* True if a child was forked since the map was opened: it may store in the file, too.
 * Handler: yes. */
bool mmb_map_was_forked(const mmb_map *map);

/* 0, or what poisoned the map. Handler: yes. */
int mmb_map_poison(const mmb_map *map);

/* Poison the map by hand; the first cause stays. Handler: yes. */
void mmb_map_set_poison(mmb_map *map, int cause);

/* The least offset from which on stores did not reach the file, in any process of the map: each
 * store below it did. UINT64_MAX if none was lost. After the map is poisoned by a store, only
 * what lies from there on is private memory. Handler: yes. */
uint64_t mmb_map_lost_from(const mmb_map *map);

/* Have that offset written into the file at `file_offset` as well, as a record (mmb_file.h)
 * with `kept` in its lower bits, once there is one, and whenever it becomes less: so a file whose
 * processes are killed afterwards still tells of it. The place must have a block, or the disk may
 * have none for it. With UINT64_MAX as the place nothing is written there any more, and no thread
 * is still writing when this returns. Handler: no. */
void mmb_map_note_loss_at(mmb_map *map, uint64_t file_offset, uint64_t kept);

void mmb_map_get_stats(const mmb_map *map, mmb_stats *out); /* Handler: yes. */

/* Back all of [from, end) with blocks now: afterwards kernel I/O into the range
 * works and no store there can find the disk full. Costs no system call but one
 * where growth has allocated the range already. On failure nothing is poisoned
 * and nothing is lost. Errors: MMB_ECAPACITY, ENOSPC, EDQUOT, EFBIG,
 * MMB_ETRUNCATED, what poisoned the map. Handler: no. */
int mmb_map_reserve(mmb_map *map, uint64_t from, uint64_t end);

/* Move EOF to `end` at least, by the growth policy: cheap to call for each of
 * many small appends. Otherwise as mmb_map_reserve, but holes stay holes.
 * Handler: no. */
int mmb_map_ensure(mmb_map *map, uint64_t end);

/* Copy `length` bytes from `data` to `offset`, growing as needed, and declare them (see
 * *content* below), with errors returned rather than met by a fault: a full disk is ENOSPC here,
 * and then nothing was copied, unless it was 64 KiB at the most or the file system has no
 * fallocate: of that, a part may have been. `data` may lie in any map, this one included, and
 * overlap the target. Handler: no. */
int mmb_map_write(mmb_map *map, uint64_t offset, const void *data, uint64_t length);

/* Write `length` bytes at `offset`, below the end of the file, at once and whole: the file does
 * not grow, and nothing is declared. An errno of pwrite. Handler: no. */
int mmb_map_put(mmb_map *map, uint64_t offset, const void *data, uint64_t length);

/* Give back the blocks of [offset, offset + length), which reads as zeros afterwards. A wish:
 * EOPNOTSUPP where the file system cannot, and then nothing changed. Only the process that opened
 * the map may: EPERM in a child. Handler: no. */
int mmb_map_make_hole(mmb_map *map, uint64_t offset, uint64_t length);

/* End of the last non-zero byte at or beyond `floor`, else `floor`. Holes cost
 * nothing. Handler: no. */
int mmb_map_find_used(mmb_map *map, uint64_t floor, uint64_t *used);

/* Push stores to the file (msync); `durable` waits until the device has them
 * (fdatasync). Handler: no. */
int mmb_map_flush(mmb_map *map, bool durable);

/* Wait until the device has what is in [offset, offset + length), and perhaps more.
 * Handler: no. */
int mmb_map_flush_range(mmb_map *map, uint64_t offset, uint64_t length);

/* Start the helper thread again that a fork has stopped, if there is one. Costs a load where
 * there is none. No thread may be closing the map. Handler: no. */
void mmb_map_resume_helper(mmb_map *map);

/* ---- content ---------------------------------------------------------------
 *
 * The *content* of a map is what of its file counts. Forked children share the *cursor*,
 * where the next append goes, and the *declared size*, the least that the content holds,
 * since a call said so. (content.c) */

uint64_t mmb_map_cursor(const mmb_map *map);              /* Handler: yes. */
void mmb_map_set_cursor(mmb_map *map, uint64_t position); /* Handler: yes. */
uint64_t mmb_map_declared_size(const mmb_map *map);       /* Handler: yes. */
void mmb_map_declare(mmb_map *map, uint64_t end);         /* raises it only. Handler: yes. */

/* Move the cursor if it still is at `from`: false if it is not. Handler: yes. */
bool mmb_map_move_cursor(mmb_map *map, uint64_t from, uint64_t to);

/* Where the content ends; there is no other definition. The declared size, or where stores
 * reach further: the end of the last byte that is not zero, rounded up to 16 (but not beyond
 * the capacity), so that an array's last element is not split. Errors of
 * mmb_map_find_used. Handler: no. */
int mmb_map_size(mmb_map *map, uint64_t *size);

/* Declare that the content ends at `size`: what lies beyond reads as zeros afterwards.
 * Blocks are given back where the file system can; EOF stays. MMB_ECAPACITY; EPERM in a forked
 * child; EBADF, what poisoned the map, and the errno of a write. Handler: no. */
int mmb_map_truncate(mmb_map *map, uint64_t size);

/* mmb_map_write at the cursor, which moves on. Each append, of any thread or process, gets
 * a range of its own. After an error the cursor is where it was, if no other append has come
 * since. Handler: no. */
int mmb_map_append(mmb_map *map, const void *data, uint64_t length);

/* Load or store one byte through the memory, which takes no system call where the file has grown
 * to there; what was stored is declared. Errors of mmb_map_memory, and what poisoned the map.
 * Handler: no. */
int mmb_map_byte_at(mmb_map *map, uint64_t offset, unsigned char *byte);
int mmb_map_assign_byte(mmb_map *map, uint64_t offset, unsigned char byte);

/* The same, with zeros in place of what content was there. Handler: no. */
int mmb_map_allocate_zeros(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start);

/* The content that follows the cursor, `most` bytes of it at the most: a range to read. The
 * second moves the cursor over it, so that it is the caller's. Errors of mmb_map_size.
 * Handler: no. */
int mmb_map_ahead(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length);
int mmb_map_pass(mmb_map *map, uint64_t most, uint64_t *start, uint64_t *length);

/* Copy `length` bytes at `offset` to `out`, zeros where the file has none; the file does not
 * grow. `out` may lie in a map. EBADF, or an errno of read. Handler: no. */
int mmb_map_read(mmb_map *map, uint64_t offset, void *out, uint64_t length);

/* mmb_map_reserve the next `length` bytes at the cursor that start at a multiple of `align`,
 * a power of two, and declare them; the cursor moves on. Handler: no. */
int mmb_map_allocate(mmb_map *map, uint64_t length, uint64_t align, uint64_t *start);

/* ---- the handler ---------------------------------------------------------- */

/* Make sure that growth faults reach us: install the SIGBUS handler, or put it
 * back on top if someone else has taken SIGBUS since. Cheap (one system call)
 * when nothing changed; mmb_map_open does it. EBUSY when too many different
 * handlers have been put over ours to do it safely once more. Handler: no. */
int mmb_install_handler(void);

#ifdef __cplusplus
}
#endif
#endif
