/* mmb_log.h - many messages in one growing file.
 *
 * A *frame* is a message as it lies in a file: its table and then its segments. A *log* is
 * a file of frames, back to back, and nothing else, so every reader of concatenated messages
 * reads it. The frames end at the *committed end*, in bytes from the start of the file.
 * What the file holds behind that is its *tail*.
 *
 * While a writer is at work the tail begins with the *fence*: a header of one segment that
 * reaches beyond the end of the file. Stream readers take it for a message of which the end
 * is missing, and stop. Zeros would be taken for empty messages.
 *
 * Places are in bytes from the start of the file, messages are counted from 0. Errors are
 * those of mmb_capnp.h. No function here may be called from a signal handler.
 */
#ifndef MMB_LOG_H
#define MMB_LOG_H

#include "mmb_capnp.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- frames ------------------------------------------------------------------- */

/* The table of a frame does not fit into the bytes that can be read. */
#define MMB_EHEAD (-102)

/* How large the frame is that starts at `head`, of which `have` bytes can be read. Returns 0
 * with the bytes of the frame, which may be more than `have`; MMB_EHEAD with the bytes of its
 * table; or MMB_EMESSAGE with `*reason`, in static text: no reader accepts such a table, or
 * the message has no root. */
int mmb_frame_measure(const void *head, uint64_t have, uint64_t *bytes, const char **reason);

/* What the fence says: a segment of 60 MiB, or of a larger multiple of the unit while a larger
 * message is being built. Files end earlier. Readers take up to 64 MiB for possible. */
#define MMB_FENCE_UNIT ((uint64_t)4 << 20)
#define MMB_FENCE_BYTES (15 * MMB_FENCE_UNIT)

static inline uint64_t mmb_fence_of(uint64_t bytes)
{
    return bytes / MMB_WORD << 32;
}

/* ---- where frames start ---------------------------------------------------------- */

/* The most anchors; of more messages every second, fourth, ... has one. */
enum { MMB_MAX_ANCHORS = 1 << 17 };

/* The places of messages in bounded memory: those of some messages, the *anchors*, are kept;
 * others are found by going on from there, frame by frame. What the index of the log knows
 * needs no anchors. Belongs to one thread at a time. */
typedef struct {
    const unsigned char *index; /* memory of the index (see below), borrowed, or NULL */
    uint64_t indexed;           /* messages whose places, and that of the end, the index has */
    uint64_t *anchors;          /* owned: of message indexed + (i << shift) */
    uint32_t room;              /* anchors that there is memory for */
    uint32_t shift;
    uint64_t count; /* messages */
    uint64_t end;   /* the committed end, as far as it is known */
} mmb_places;

void mmb_places_clear(mmb_places *places); /* frees the anchors; afterwards it is empty */

/* Note that a frame of `bytes` starts at places->end. Returns 0 or ENOMEM. */
int mmb_places_add(mmb_places *places, uint64_t bytes);

/* Where message `number` (below places->count) starts and how large it is. `data` is the file
 * in memory, up to places->end at least. Whatever these bytes are, what is found lies in
 * front of places->end. Returns 0 or MMB_EMESSAGE: the bytes are no longer the frames that were
 * there, or the index is of other ones. */
int mmb_places_find(const mmb_places *places, const unsigned char *data, uint64_t number,
                    uint64_t *start, uint64_t *bytes);

/* The starts of the messages [first, first + count) as numbers in the machine's byte order.
 * Returns as mmb_places_find. */
int mmb_places_list(const mmb_places *places, const unsigned char *data, uint64_t first,
                    uint64_t count, uint64_t *starts);

/* ---- hopping over frames ------------------------------------------------------------ */

/* What lies behind the last whole frame. */
typedef enum {
    MMB_TAIL_NONE,  /* nothing */
    MMB_TAIL_FENCE, /* a fence: the log is open, or its writer was killed */
    MMB_TAIL_TORN,  /* the beginning of a message */
    MMB_TAIL_ZEROS, /* zeros only */
} mmb_tail;

/* Go on from places->end, from header to header, as far as `fd` (open for reading; its file
 * offset is not used) holds whole frames, and add them to `places`. Reads with pread and maps
 * nothing: a file that is cut meanwhile is no danger. Time is bounded by the bytes of the
 * file. Returns 0, with what follows in `*tail` and the size of the file in `*file_bytes`;
 * MMB_EMESSAGE, with the `*reason` why what stands at places->end begins no message; ENOMEM
 * or an error of reading. What was found before an error is in `places`. */
int mmb_log_hop(int fd, mmb_places *places, mmb_tail *tail, uint64_t *file_bytes,
                const char **reason);

/* ---- memory for reading --------------------------------------------------------------- */

/* A file mapped for reading, with address space behind its end: when the file grows, what is
 * new can be read at the same addresses. Needs no descriptor. Who reads beyond the file's end
 * dies of SIGBUS. */
typedef struct {
    const unsigned char *base; /* NULL if there is none */
    uint64_t length;           /* bytes; at least those that were asked for */
} mmb_view;

/* Map `fd` so that `bytes` can be read, and more later if there are addresses for it. Returns
 * 0 or an errno. */
int mmb_view_map(int fd, uint64_t bytes, mmb_view *out);
void mmb_view_unmap(mmb_view *view);

/* ---- the index ----------------------------------------------------------------------- */

/* The *index* of a log is a file beside it that tells where each message starts. It is only
 * of use together with its log, on this machine, and it can be made again at any time. */

/* What tells the log that an index belongs to from all others. */
typedef struct {
    uint64_t device;
    uint64_t inode;
    unsigned char boot[16]; /* zeros where the system does not name its boots */
    uint64_t size;          /* of the log's file, bytes */
    uint64_t mtime;         /* of the log's file, ns */
} mmb_log_identity;

/* Fill it in for `fd`. Returns 0 or an errno. */
int mmb_log_identify(int fd, mmb_log_identity *out);

#define MMB_INDEX_HEADER ((uint64_t)4096)

/* The size of the index of `count` messages, bytes. */
uint64_t mmb_index_bytes(uint64_t count);

/* Write a whole index of `places`, which has no index itself, into the empty file `fd`; `data`
 * is the log in memory. It is a *settled* one: good for as long as the log's file has the size
 * and the time of its last change that `identity` says. Returns 0, MMB_EMESSAGE as
 * mmb_places_find, ENOMEM, or an error of writing. */
int mmb_index_write(int fd, const mmb_places *places, const unsigned char *data,
                    const mmb_log_identity *identity);

/* How far the index in `memory`, of which the file has `bytes`, can be used for the log of
 * `identity`: the number of messages, and the committed end. False if not at all: it is of
 * another log, of a state of it that is gone, of an earlier boot of the machine, or damaged.
 * What a writer appends while this is called may be in or not. */
bool mmb_index_check(const unsigned char *memory, uint64_t bytes, const mmb_log_identity *identity,
                     uint64_t *count, uint64_t *end);

/* An index can name the field by which the messages are ordered: a path of field names, dotted,
 * that ends with a zero. NULL to clear it. */
#define MMB_KEY_BYTES 64
void mmb_index_set_key(unsigned char *memory, const char *key);
/* Copy it to `key`, which has room for MMB_KEY_BYTES; empty if there is none. */
void mmb_index_get_key(const unsigned char *memory, char *key);

/* For the writer, who has the index mapped and has made room for mmb_index_bytes(count + 1).
 * Unsettle: from now on what counts is what is published, while this boot lasts. Publish: the
 * log has `count` messages by now, of which the last is the `bytes` bytes at `frame` and ends at
 * `end`; to be called for every number in turn, after the message is committed. Settle: as
 * mmb_index_write. */
void mmb_index_unsettle(unsigned char *memory, const mmb_log_identity *identity);
void mmb_index_publish(unsigned char *memory, uint64_t count, uint64_t end,
                       const unsigned char *frame, uint64_t bytes);
void mmb_index_settle(unsigned char *memory, const mmb_log_identity *identity);

/* What of the log is known to be on the device, in bytes from its start. */
uint64_t mmb_index_get_synced(const unsigned char *memory);

/* Whether the index in `memory`, of which the file has `bytes`, is one of the log of `identity`
 * that was in use before the machine was started the last time, and whose log may have lost since
 * what was not on the device. */
bool mmb_index_is_from_earlier_boot(const unsigned char *memory, uint64_t bytes,
                                    const mmb_log_identity *identity);

/* How much of such a log can be relied on: what was on the device, and then what agrees with the
 * checksums in the index, up to the first that does not. `places`, empty before, gets the messages
 * of that; `data` is the log's file in memory, of `data_bytes`. Where messages were noted without
 * checksums, their headers alone are looked at, and `*unchecked` is set. Reads all that was not
 * on the device. Returns 0 or ENOMEM. */
int mmb_log_trust(const unsigned char *memory, uint64_t bytes, const unsigned char *data,
                  uint64_t data_bytes, mmb_places *places, bool *unchecked);

/* For followers, who wait for more. The header page of an index, mapped for writing, or NULL.
 * Whether it is settled, so that nobody will publish anything. And: wait until it publishes
 * more than `count` messages, for `most` ns at the most; true if it does. A follower that is
 * killed while it waits costs the writer one system call. */
unsigned char *mmb_index_map_header(int fd);
void mmb_index_unmap_header(unsigned char *memory); /* NULL is ignored */
bool mmb_index_is_settled(const unsigned char *memory);
bool mmb_index_wait(unsigned char *memory, uint64_t count, uint64_t most);

/* ---- several writers --------------------------------------------------------------------
 *
 * Writers of one log find each other by bytes of its file that they hold (os.h): one each, and one
 * that whoever opens or closes a log has for that time, the *gate*. What only one may do at a time
 * is done under a lock in the index, which is the owner's for as long as it holds its byte: so a
 * writer that was killed is known as dead, whatever namespace its pid belongs to. */

/* Hold the gate of the log `fd`, or try to, and let go of it. ENOTSUP where there is none: then the
 * log can have but one writer. */
int mmb_log_enter_gate(int fd, bool wait);
/* The same for whoever only reads, and wants to put a new index in its place: EBUSY if a writer is
 * at work. */
int mmb_log_enter_gate_to_index(int fd);
void mmb_log_leave_gate(int fd);

/* Whether another writer is at work on the log `fd`. */
bool mmb_log_has_writers(int fd);

/* ---- writing --------------------------------------------------------------------------- */

/* A writer of a log. At every moment, whatever it is in the middle of, readers find all
 * messages that were committed, and then a fence. No store of it meets a full disk: room is
 * made by calls before. Used by one thread at a time, in the process that opened it. */
typedef struct mmb_log_writer mmb_log_writer;

/* Around what may take long: waiting for another writer, or for readers. What `begin` returns is
 * given to `end`; other threads may use the writer between the two. `give_up` is asked whether to
 * go on waiting for another writer. NULL: nothing is called. */
typedef struct {
    void *(*begin)(void);
    void (*end)(void *context);
    bool (*give_up)(void);
} mmb_log_wait;

typedef struct {
    uint64_t capacity; /* bytes that the file can get; of addresses, so large is cheap */
    bool writeback;    /* as in mmb_options */
    bool shared;       /* with other writers, by way of the index */
    const char *key;   /* for the index; NULL to leave it as it is */
} mmb_log_options;

/* Go on behind the `count` messages in `fd`, which end at `end`: what the file holds there is
 * dropped. If other writers are at work it goes on behind theirs, whatever `count` says. `fd` as
 * for mmb_map_open; it is borrowed until mmb_log_free. `index_fd` is an index that fits, up to
 * some message at least, open for reading and writing, or -1; the writer has a duplicate. The
 * caller has the gate if it shares the log. Errors: those of mmb_map_open and writing; EBUSY if
 * other writers are at work that use another index. */
int mmb_log_open(int fd, int index_fd, const mmb_log_options *options, uint64_t count, uint64_t end,
                 mmb_log_writer **out, mmb_limit *limit);

/* What is to be called around waits; nothing until then. */
void mmb_log_set_wait(mmb_log_writer *writer, const mmb_log_wait *wait);

/* Append whole frames, `bytes` in all, which the caller has checked; readers find all of them
 * or none, those with an index one after the other. `*number` (may be NULL) is that of the first.
 * Returns 0; or ENOSPC, EDQUOT, EFBIG, MMB_ECAPACITY, MMB_ETRUNCATED and other errors: then nothing
 * was appended, and the next call can be one that succeeds. EBADF if the writer was closed
 * meanwhile, EINTR if a wait was given up. */
int mmb_log_append(mmb_log_writer *writer, const void *frames, uint64_t bytes, uint64_t *number);

/* Append a message that is built in place, through another mapping of the file. Begin: raise
 * the fence to `reach` bytes, so that the file may grow as far; `*start` is where the message is to
 * begin. Other writers wait from now on. Commit: the message has a
 * table of `count` entries (1 to MMB_MAX_SEGMENTS), room for it was left at the committed end,
 * and the segments follow, back to back; if it is `alone`, the first is made the only one:
 * no other was ever handed out. `words` are the full sizes of all segments, but for the last that
 * is not empty, whose size is what is used. Nothing may be appended in between. Abandon: drop it,
 * and cut the file. */
int mmb_log_begin(mmb_log_writer *writer, uint64_t reach, uint64_t *start);
int mmb_log_commit(mmb_log_writer *writer, const uint32_t *words, uint32_t count, bool alone,
                   uint64_t *number);
void mmb_log_abandon(mmb_log_writer *writer);

/* Cut the file at the committed end: it is now nothing but its messages. The next append grows
 * it again. */
int mmb_log_cut(mmb_log_writer *writer);

/* See what others have appended, and tell: the messages, and where they end. */
int mmb_log_look(mmb_log_writer *writer, uint64_t *count, uint64_t *end);

/* The device has all of the first `count` messages, up to `end`. Note: for recovery, in the index,
 * which the caller then brings to the device as well. Tell: those who ask the index. */
int mmb_log_note_synced(mmb_log_writer *writer, uint64_t count, uint64_t end);
void mmb_log_tell_synced(mmb_log_writer *writer, uint64_t end);

/* Cut and settle the index, unless other writers are at work, and let go of the files. Waits for
 * the gate. The writer can be asked nothing but what it has counted afterwards. */
int mmb_log_close(mmb_log_writer *writer);

/* Let go of the files as they are, as if the process had ended, once no other thread is inside. In
 * a forked child nothing of the parent's is touched. */
void mmb_log_leave(mmb_log_writer *writer);

/* Free the writer, which leaves the files as they are if it has not been closed. */
void mmb_log_free(mmb_log_writer *writer);

/* What all writers have appended. */
uint64_t mmb_log_count(const mmb_log_writer *writer);
uint64_t mmb_log_end(const mmb_log_writer *writer);
uint64_t mmb_log_synced(const mmb_log_writer *writer); /* bytes from the start of the file */
void mmb_log_get_stats(const mmb_log_writer *writer, mmb_stats *out);

#ifdef __cplusplus
}
#endif
#endif
