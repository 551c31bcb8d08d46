/* mmb_log.h - many messages in one growing file.
 *
 * A *frame* is a message as it lies in a file: its table and then its segments. A *log* is a file
 * of frames, back to back, and nothing else. So every reader of concatenated messages can read it.
 * The frames end at the *committed end*, in bytes from the start of the file. What the file holds
 * behind that is its *tail*.
 *
 * While a writer is at work, the tail begins with the *fence*: the header of a segment that reaches
 * beyond the end of the file. Readers of streams take it for a message whose end is missing, and
 * stop. They would take zeros for empty messages.
 *
 * Places are in bytes from the start of the file, and messages are counted from 0. Errors are those
 * of mmb_capnp.h. No function here may be called from a signal handler. */
#ifndef MMB_LOG_H
#define MMB_LOG_H

#include "mmb_capnp.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- frames ------------------------------------------------------------------- */

/* The table of the frame does not fit into the bytes that can be read. */
#define MMB_EHEAD (-102)

/* Find the size of the frame that starts at `head`, of which `have` bytes can be read. Return 0
 * with the bytes of the frame, which may be more than `have`; MMB_EHEAD with the bytes of its
 * table; or MMB_EMESSAGE with `*reason`, a static text: no reader accepts such a table, or the
 * message has no root. */
int mmb_frame_measure(const void *head, uint64_t have, uint64_t *bytes, const char **reason);

/* The fence claims a segment of 60 MiB, or of a larger multiple of the unit while a larger
 * message is built. Files end before that. Readers accept up to 64 MiB. */
#define MMB_FENCE_UNIT ((uint64_t)4 << 20)
#define MMB_FENCE_BYTES (15 * MMB_FENCE_UNIT)

static inline uint64_t mmb_fence_of(uint64_t bytes)
{
    return bytes / MMB_WORD << 32;
}

/* ---- where frames start ---------------------------------------------------------- */

/* The most anchors. If there are more messages, only every second, fourth, ... message has one. */
enum { MMB_MAX_ANCHORS = 1 << 17 };

/* *Places* say where messages start, in bounded memory. They keep the places of some messages,
 * the *anchors*. From an anchor the other places are found frame by frame. Messages that the
 * index of the log knows need no anchors. Places belong to one thread at a time. */
typedef struct {
    const unsigned char *index; /* memory of the index (see below), borrowed; or NULL */
    uint64_t indexed;  /* messages whose places the index has, as it has that of their end */
    uint64_t *anchors; /* owned; number i is for message indexed + (i << shift) */
    uint32_t room;     /* how many anchors fit */
    uint32_t shift;
    uint64_t count; /* number of messages */
    uint64_t end;   /* the committed end, as far as it is known */
} mmb_places;

void mmb_places_clear(mmb_places *places); /* frees the anchors, and leaves no places */

/* Note that a frame of `bytes` starts at places->end. Return 0 or ENOMEM. */
int mmb_places_add(mmb_places *places, uint64_t bytes);

/* Find where message `number` (below places->count) starts and how large it is. `data` is the
 * file in memory, at least up to places->end. Whatever these bytes are, the result lies before
 * places->end. Return 0; or MMB_EMESSAGE if the bytes are no longer the frames that were there,
 * or the index belongs to others. */
int mmb_places_find(const mmb_places *places, const unsigned char *data, uint64_t number,
                    uint64_t *start, uint64_t *bytes);

/* Store the starts of the messages [first, first + count) as numbers in the machine's byte
 * order. Return as mmb_places_find does. */
int mmb_places_list(const mmb_places *places, const unsigned char *data, uint64_t first,
                    uint64_t count, uint64_t *starts);

/* ---- hopping over frames ------------------------------------------------------------ */

/* What lies behind the last whole frame. */
typedef enum {
    MMB_TAIL_NONE,  /* nothing */
    MMB_TAIL_FENCE, /* a fence: the log is open, or its writer was killed */
    MMB_TAIL_TORN,  /* the beginning of a message */
    MMB_TAIL_ZEROS, /* zeros only */
    MMB_TAIL_LOST,  /* what the device did not have in time when the machine went down */
} mmb_tail;

/* Go on from places->end, from header to header, as long as `fd` has whole frames, and add them
 * to `places`. `fd` is open for reading; its file offset is not used. This reads with pread and
 * maps nothing, so a file that is cut meanwhile is no danger. Its time is bounded by the bytes
 * of the file. Return 0, with what follows in `*tail` and the size of the file in `*file_bytes`;
 * MMB_EMESSAGE, with the `*reason` why the bytes at places->end begin no message; ENOMEM; or an
 * error of reading. What was found before an error is in `places`. */
int mmb_log_hop(int fd, mmb_places *places, mmb_tail *tail, uint64_t *file_bytes,
                const char **reason);

/* ---- memory for reading --------------------------------------------------------------- */

/* A file that is mapped for reading, with addresses behind its end: when the file grows, new bytes
 * can be read at the same addresses. The mapping needs no descriptor. To read beyond the end of the
 * file kills the process by SIGBUS. */
typedef struct {
    const unsigned char *base; /* NULL if nothing is mapped */
    uint64_t length;           /* in bytes; at least as many as were asked for */
} mmb_view;

/* Map `fd` so that `bytes` can be read, and later more if there are addresses for them. Return 0
 * or an errno. */
int mmb_view_map(int fd, uint64_t bytes, mmb_view *out);
void mmb_view_unmap(mmb_view *view);

/* ---- the index ----------------------------------------------------------------------- */

/* The *index* of a log is a file beside it that says where each message starts. It is of use
 * only together with its log, on this machine, and it can be made again at any time. */

/* What tells the log of an index from all other logs. */
typedef struct {
    uint64_t device;
    uint64_t inode;
    unsigned char boot[16]; /* zeros if the system has no id for a boot */
    uint64_t size;          /* bytes of the log's file */
    uint64_t mtime;         /* time of the last change of the log's file in ns */
} mmb_log_identity;

/* Find the identity of the file `fd`. Return 0 or an errno. */
int mmb_log_identify(int fd, mmb_log_identity *out);

#define MMB_INDEX_HEADER ((uint64_t)4096)

/* Return the size of the index of `count` messages in bytes. */
uint64_t mmb_index_bytes(uint64_t count);

/* Write a whole index of `places`, which have no index themselves, into the empty file `fd`;
 * `data` is the log in memory. The index is *settled*: it is good as long as the log's file has
 * the size and the time of its last change that `identity` says. Return 0, MMB_EMESSAGE as
 * mmb_places_find does, ENOMEM, or an error of writing. */
int mmb_index_write(int fd, const mmb_places *places, const unsigned char *data,
                    const mmb_log_identity *identity);

/* Find how far the index in `memory`, of which the file has `bytes`, can be used for the log of
 * `identity`: the number of messages, and the committed end. Return false if it cannot be used:
 * it belongs to another log, to a state of the log that is gone, or to an earlier boot of the
 * machine, or it is damaged. The result may or may not include what a writer appends during the
 * call. */
bool mmb_index_check(const unsigned char *memory, uint64_t bytes, const mmb_log_identity *identity,
                     uint64_t *count, uint64_t *end);

/* Set the key of an index: the field by which the messages are ordered. It is a path of field
 * names with dots, which ends with a zero. NULL clears it. */
#define MMB_KEY_BYTES 64
void mmb_index_set_key(unsigned char *memory, const char *key);
/* Copy the key to `key`, which has room for MMB_KEY_BYTES. It is empty if the index has none. */
void mmb_index_get_key(const unsigned char *memory, char *key);

/* A writer calls these. It has mapped the index and made room for mmb_index_bytes(count + 1).
 * mmb_index_unsettle: from now on, while this boot lasts, what is published counts.
 * mmb_index_note: the log is going to have `count` messages. The last `number` of them are the
 * `bytes` bytes at `frames`, which are whole frames and end at `end`. No message may be left out.
 * mmb_index_publish: it has them, all of them are committed, and nothing that was noted is lost.
 * mmb_index_settle: the index becomes settled, as by mmb_index_write. */
void mmb_index_unsettle(unsigned char *memory, const mmb_log_identity *identity);
void mmb_index_note(unsigned char *memory, uint64_t count, uint64_t number, uint64_t end,
                    const unsigned char *frames, uint64_t bytes);
void mmb_index_publish(unsigned char *memory, uint64_t count, uint64_t end);
void mmb_index_settle(unsigned char *memory, const mmb_log_identity *identity);

/* Return how much of the log is known to be on the device, in bytes from its start. */
uint64_t mmb_index_get_synced(const unsigned char *memory);

/* Return whether the index in `memory`, of which the file has `bytes`, belongs to the log of
 * `identity` and was in use before the machine was last started. Such a log may have lost what
 * was not on the device. */
bool mmb_index_is_from_earlier_boot(const unsigned char *memory, uint64_t bytes,
                                    const mmb_log_identity *identity);

/* Find how much of such a log is good: the part that was on the device, and then all messages
 * that agree with the checksums of the index, up to the first that does not. `places`, which is
 * empty before, gets these messages. `data` is the log's file in memory, of `data_bytes`. If
 * messages were noted without checksums, only their headers are checked, and `*unchecked`
 * becomes true. `*tail` is what follows. This reads all that was not on the device. Return 0 or
 * ENOMEM. */
int mmb_log_trust(const unsigned char *memory, uint64_t bytes, const unsigned char *data,
                  uint64_t data_bytes, mmb_places *places, mmb_tail *tail, bool *unchecked);

/* What the index says of the messages of one of its blocks. */
typedef enum {
    MMB_SUM_AGREES,  /* it has their checksum, and they agree with it */
    MMB_SUM_DIFFERS, /* they are not what was appended */
    MMB_SUM_MISSING, /* some of them have no checksum; the others agree with theirs */
} mmb_sum;

/* Messages in a block. */
enum { MMB_INDEX_BLOCK = 1024 };

/* Compare messages with their checksum in the index of `places`: those of the block that begins
 * with message `first`, as far as `places` has them. `data` is as for mmb_places_find. */
mmb_sum mmb_index_compare(const mmb_places *places, const unsigned char *data, uint64_t first);

/* Followers call these; they wait for more messages. mmb_index_map_header maps the header page
 * of an index for writing; NULL if that fails. mmb_index_is_settled returns whether it is
 * settled, so that no writer will publish anything. mmb_index_wait waits until more than `count`
 * messages are published, but at most `most` ns, and returns true if they are. If a follower is
 * killed while it waits, this costs the writer one system call. */
unsigned char *mmb_index_map_header(int fd);
void mmb_index_unmap_header(unsigned char *memory); /* NULL is ignored */
bool mmb_index_is_settled(const unsigned char *memory);
bool mmb_index_wait(unsigned char *memory, uint64_t count, uint64_t most);

/* ---- several writers --------------------------------------------------------------------
 *
 * Writers of one log find each other by bytes of its file that they hold (os.h). Each writer holds
 * one byte. One more byte is the *gate*: a process holds it while it opens or closes the log. Work
 * that only one writer may do at a time is done under a lock in the index. The lock belongs to its
 * owner as long as the owner holds its byte. So a writer that was killed is known to be dead,
 * whatever namespace its pid belongs to. */

/* Hold the gate of the log `fd`, or only try to if `wait` is false. Return ENOTSUP if bytes
 * cannot be held here: then the log can have only one writer. */
int mmb_log_enter_gate(int fd, bool wait);
/* Hold the gate for a process that only reads, and that is going to replace the index by a new one.
 * Return EBUSY if a writer is at work. */
int mmb_log_enter_gate_to_index(int fd);
void mmb_log_leave_gate(int fd);

/* Return whether another writer is at work on the log `fd`. */
bool mmb_log_has_writers(int fd);

/* ---- writing --------------------------------------------------------------------------- */

/* A writer of a log. At every moment, whatever it is doing, readers find all messages that were
 * committed, and then a fence. None of its stores meets a full disk, since calls make room
 * before. One thread at a time uses it, in the process that opened it. */
typedef struct mmb_log_writer mmb_log_writer;

/* Calls around waits that may be long, for another writer or for readers. `begin` is called
 * before a wait, and its result is given to `end` after it; other threads may use the writer
 * between the two. `give_up` is asked whether to stop waiting for another writer. A NULL is not
 * called. */
typedef struct {
    void *(*begin)(void);
    void (*end)(void *context);
    bool (*give_up)(void);
} mmb_log_wait;

typedef struct {
    uint64_t capacity; /* the most bytes of the file; it takes only addresses */
    bool writeback;    /* as in mmb_options */
    bool shared;       /* other writers may write, too, by way of the index */
    const char *key;   /* key for the index; NULL leaves it as it is */
} mmb_log_options;

/* Open a writer that goes on behind the `count` messages in `fd`, which end at `end`. What the
 * file holds behind them is dropped. If other writers are at work, it goes on behind their
 * messages, whatever `count` says. `fd` is as for mmb_map_open, and is borrowed until
 * mmb_log_free. `index_fd` is -1, or an index that fits at least up to some message, open for
 * reading and writing; the writer has a duplicate of it. If the log is shared, the caller holds
 * the gate. Errors: those of mmb_map_open and of writing; EBUSY if other writers at work use
 * another index. */
int mmb_log_open(int fd, int index_fd, const mmb_log_options *options, uint64_t count, uint64_t end,
                 mmb_log_writer **out);

/* Set what is called around waits. Nothing is called before that. */
void mmb_log_set_wait(mmb_log_writer *writer, const mmb_log_wait *wait);

/* Append whole frames, `bytes` in all, which the caller has checked. Readers find all of them or
 * none. `*number` (may be NULL) is the number of the first. Return 0; or ENOSPC, EDQUOT, EFBIG,
 * MMB_ECAPACITY, MMB_ETRUNCATED and other errors: then nothing was appended, and the next call may
 * succeed. EBADF if the writer was closed meanwhile, EINTR if a wait was given up. */
int mmb_log_append(mmb_log_writer *writer, const void *frames, uint64_t bytes, uint64_t *number);

/* Append a message that is built in place, through another mapping of the file.
 *
 * mmb_log_begin raises the fence to `reach` bytes, so that the file may grow so far. `*start` is
 * where the message must begin. Other writers wait from now on, and nothing else may be appended.
 *
 * mmb_log_commit appends the message. Its table of `count` entries (1 to MMB_MAX_SEGMENTS) has its
 * room at the committed end; the segments follow, back to back. `words` has the full size of each
 * segment, but the used size of the last one that is not empty. If `alone` is true, no segment but
 * the first was ever handed out, and it becomes the only one.
 *
 * mmb_log_abandon drops the message and cuts the file. */
int mmb_log_begin(mmb_log_writer *writer, uint64_t reach, uint64_t *start);
int mmb_log_commit(mmb_log_writer *writer, const uint32_t *words, uint32_t count, bool alone,
                   uint64_t *number);
void mmb_log_abandon(mmb_log_writer *writer);

/* Cut the file at the committed end, so that it has only its messages. The next append lets it
 * grow again. */
int mmb_log_cut(mmb_log_writer *writer);

/* Look at what other writers have appended. Find the number of messages, and where they end. */
int mmb_log_look(mmb_log_writer *writer, uint64_t *count, uint64_t *end);

/* Note that the device has all of the first `count` messages, up to `end`. mmb_log_note_synced
 * writes this to the index for recovery; the caller then brings the index to the device as well.
 * mmb_log_tell_synced tells it to processes that ask the index. */
int mmb_log_note_synced(mmb_log_writer *writer, uint64_t count, uint64_t end);
void mmb_log_tell_synced(mmb_log_writer *writer, uint64_t end);

/* Cut the file and settle the index, unless other writers are at work, and let go of the files.
 * This waits for the gate. Afterwards the writer can only be asked for its numbers. */
int mmb_log_close(mmb_log_writer *writer);

/* Wait until no other thread is inside, and free the writer. If it was not closed, the files stay
 * as they are, as if the process had ended; in a forked child nothing of the parent's is touched.
 */
void mmb_log_free(mmb_log_writer *writer);

/* Return the number of messages that all writers have appended. */
uint64_t mmb_log_count(const mmb_log_writer *writer);
uint64_t mmb_log_end(const mmb_log_writer *writer);
uint64_t mmb_log_synced(const mmb_log_writer *writer); /* bytes from the start of the file */
void mmb_log_get_stats(const mmb_log_writer *writer, mmb_stats *out);

#ifdef __cplusplus
}
#endif
#endif
