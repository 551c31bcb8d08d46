/* mmb_capnp.h - Cap'n Proto messages in mapped files: building, reading, checking.
 *
 * The public header of the Cap'n Proto layer: with it come framing.h (the segment table),
 * region.h and building.h (a message from its first byte to its last).
 *
 * Sizes of segments are in words of 8 bytes, places in files are in bytes.
 * Errors are returned: 0 is success, otherwise an errno value, one of mmb_map.h's
 * MMB_E values, or MMB_EMESSAGE. No function here may be called from a signal
 * handler; all may be called from any thread, one at a time for each map or fd.
 */
#ifndef MMB_CAPNP_H
#define MMB_CAPNP_H

#include "building.h"
#include "framing.h"
#include "mmb_map.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A segment in memory; `base` needs no alignment. */
typedef struct {
    const void *base;
    uint64_t words; /* at most MMB_MAX_SEGMENT_WORDS */
} mmb_segment;

/* What one pointer leads to. */
typedef enum {
    MMB_TO_NOTHING, /* null */
    MMB_TO_STRUCT,
    MMB_TO_LIST,
    MMB_TO_CAPABILITY,
} mmb_kind;

typedef struct {
    mmb_kind kind;
    uint32_t segment;       /* of the object; not of the pointer, which may be far */
    uint32_t word;          /* of the struct, or of the first element */
    uint32_t elements;      /* of a list */
    uint16_t data_words;    /* of the struct or of each struct of a list */
    uint16_t pointer_words; /* likewise; 1 for lists of pointers */
    uint8_t element_size;   /* of a list, as pointers say it: 0 to 7 for nothing, a bit, 1, 2,
                             * 4 and 8 bytes, pointers, structs */
} mmb_object;

/* True if `segment` begins as a message does that has a root: with a pointer to the struct
 * that follows. The segments may hold any bytes. */
bool mmb_begins_message(const mmb_segment *segments, uint32_t count, uint32_t segment);

/* Follow the pointer at `word` of `segment`, whatever bytes these are: what `*out`
 * describes lies within its segment. Elements may take no words, and be any number: whoever
 * makes something of each must set a bound. Returns 0 or MMB_EMESSAGE. */
int mmb_resolve(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                mmb_object *out, mmb_flaw *flaw);

/* ---- columns of numbers -------------------------------------------------------- */

/* Where the data sections of the structs in a list lie. */
typedef struct {
    uint64_t byte;   /* of the first, from the start of the segment */
    uint64_t stride; /* bytes from one to the next */
    uint64_t count;
    uint32_t segment;
} mmb_rows;

/* Numbers to be stored, one for each row, in the byte order of the format. */
typedef struct {
    const unsigned char *from; /* the first */
    int64_t step;              /* bytes from one to the next */
    uint64_t flip;             /* what each is XORed with: the default of the field */
    uint32_t offset;           /* bytes from the start of a data section */
    uint32_t size;             /* bytes of a number: 1, 2, 4 or 8 */
} mmb_numbers;

/* Store columns into the rows. Returns 0, or MMB_EMESSAGE if they would reach beyond
 * the segment (then nothing was stored). */
int mmb_rows_store(const mmb_segment *segments, uint32_t count, const mmb_rows *rows,
                   const mmb_numbers *columns, uint32_t column_count, mmb_flaw *flaw);

/* ---- columns of Text and Data --------------------------------------------------- */

/* Byte strings that lie one after the other: number i is [offset i, offset i + 1) of
 * `bytes`. Apache Arrow lays strings out like this. */
typedef struct {
    const unsigned char *bytes;
    uint64_t size;                /* of `bytes` */
    const unsigned char *offsets; /* count + 1 numbers in the machine's byte order */
    uint32_t width;               /* of an offset: 4 or 8 bytes */
    const unsigned char *valid;   /* bit valid_first + i is 0 where there is no string (the
                                   * pointer is to be null); NULL if there is one everywhere */
    uint64_t valid_first;
    uint64_t count;
} mmb_strings;

/* Pointers at equal distances: the same field of all structs in a list. */
typedef struct {
    uint64_t word;   /* of the first */
    uint64_t stride; /* words from one to the next */
    uint64_t count;
    uint32_t segment;
} mmb_pointers;

/* Check that all pointers lie in their segment. Returns 0 or MMB_EMESSAGE. */
int mmb_pointers_check(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                       mmb_flaw *flaw);

/* Words of one segment. */
typedef struct {
    uint64_t word;
    uint64_t words;
    uint32_t segment;
} mmb_block;

/* Words that `length` bytes take as Data, or as Text with its terminator. */
static inline uint64_t mmb_string_words(uint64_t length, bool text)
{
    return (length + (text ? 1 : 0) + MMB_WORD - 1) / MMB_WORD;
}

/* Check strings that come from elsewhere, as Text (UTF-8, gets a terminator) or Data, and
 * tell how many there are and the words that they take. Of those that `wanted` (NULL: all;
 * one byte for each, not zero: wanted) leaves out only the offsets are checked. Returns
 * NULL, or what is wrong, in static text, with string `*bad`. */
const char *mmb_strings_measure(const mmb_strings *strings, const unsigned char *wanted, bool text,
                                uint64_t *words, uint64_t *found, uint64_t *bad);

/* Lay strings into `block`, which must be zero, from string `*next` on, and set the
 * pointers of the same numbers to them; those not wanted are left alone. Stops where
 * the block is full: `*next` is the first string that was not laid, the block is cut
 * to what is left of it. In another segment than the pointers, each string takes one
 * word more, for the landing pad. What a pointer led to before is zeroed if it was
 * Text or Data, since nothing will lead there any more.
 *
 * The strings must have been measured. Returns 0 or MMB_EMESSAGE: pointers or block
 * are out of bounds (nothing was done), or the strings changed since. */
int mmb_strings_lay(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                    const mmb_strings *strings, const unsigned char *wanted, bool text,
                    uint64_t *next, mmb_block *block, mmb_flaw *flaw);

/* The same for strings that lie here and there: number i is for pointer i. `*laid` is how
 * many were dealt with. */
typedef struct {
    const unsigned char *bytes; /* NULL: no string, the pointer is to be null */
    uint64_t length;
    bool skip; /* leave the pointer alone */
} mmb_slice;

int mmb_slices_lay(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                   const mmb_slice *slices, uint64_t slice_count, bool text, uint64_t *laid,
                   mmb_block *block, mmb_flaw *flaw);

/* Read what pointers lead to; those not wanted (as above) count as null, whatever they
 * lead to. `offsets` gets pointers->count + 1 numbers, `valid` (of
 * (count + 7) / 8 bytes) bits as in mmb_strings, `*size` the bytes of all strings; then
 * mmb_strings_copy puts these into `bytes`. Text must be UTF-8 with its terminator, and
 * the strings no longer than the message. Returns 0 or MMB_EMESSAGE. */
int mmb_strings_find(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                     const unsigned char *wanted, bool text, uint64_t *offsets,
                     unsigned char *valid, uint64_t *size, mmb_flaw *flaw);
int mmb_strings_copy(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                     const unsigned char *wanted, bool text, const uint64_t *offsets,
                     unsigned char *bytes, mmb_flaw *flaw);

/* What a walk met. */
typedef struct {
    uint64_t words;       /* that belong to the message: root, objects and landing pads */
    uint64_t pointers;    /* that are not null */
    uint64_t objects;     /* structs and lists; the elements of a list are not counted */
    uint64_t far;         /* pointers that lead to their objects by way of landing pads */
    uint64_t lost;        /* pointers that count as null, and lists as shorter, since what they led
                           * to is not there; in mmb_recover only */
    uint64_t lost_values; /* elements of these, as far as they are known; a struct is one */
    uint32_t depth;       /* of the deepest object; the root object has depth 1 */
} mmb_totals;

/* Check every pointer that can be reached from the root (word 0 of segment 0):
 * structs, lists of all sizes, far and double-far pointers, capabilities. The
 * used size of each segment (end of the last word that a pointer leads to) goes
 * to `used`, an array of `count`.
 *
 * Safe on hostile bytes. Time is bounded by the words of the message: each object
 * is charged against them, so what is pointed at in a loop or over and over is
 * found out. (Objects that overlap are a flaw, but found only if together they have
 * more words than the used parts of the segments: to find all would take memory.)
 * Memory is bounded too: a few MiB, for pending objects; a list linked by its last
 * pointers may have any length. `segments` must stay readable: for memory that can
 * vanish, such as a mapping of a file that others may cut, the caller must provide;
 * mmb_verify and mmb_recover are safe there.
 *
 * Returns 0, MMB_EMESSAGE (`flaw` says more; `used` and `totals` then hold what
 * was met until there), or ENOMEM. `totals` may be NULL. */
int mmb_walk(const mmb_segment *segments, uint32_t count, uint32_t *used, mmb_totals *totals,
             mmb_flaw *flaw);

/* ---- checking and recovering files --------------------------------------------- */

typedef struct {
    uint64_t file_bytes; /* of the message: its table and segments */
    uint64_t trailing;   /* bytes of the file after it */
    mmb_totals totals;
    mmb_flaw flaw;     /* set if the result is MMB_EMESSAGE */
    uint32_t entries;  /* of the table */
    uint32_t segments; /* entries of a size above zero */
    bool unfinished;   /* the message carried the mark when it was opened */
} mmb_report;

/* Asked now and then by what may take long, and told how many words of the message were dealt
 * with so far; true to give up, with EINTR. */
typedef struct {
    bool (*asked)(void *context, uint64_t words);
    void *context;
} mmb_interrupt;

/* In place of a capacity: the message may reach to the end of its file. */
#define MMB_TO_END UINT64_MAX

/* Check the message that begins at `offset` (a multiple of 8) of the file `fd` (open for
 * reading; its file offset is not used). Reads with pread through a small cache and maps
 * nothing: a file that is cut or changed meanwhile can give a wrong answer or an error, never
 * a crash. Holes are skipped where the file system tells of them, for which the descriptor's
 * file offset is moved and put back. `interrupt` may be NULL.
 * Returns 0, MMB_EMESSAGE (unfinished messages included), EINTR, or an error of reading. */
int mmb_verify(int fd, uint64_t offset, const mmb_interrupt *interrupt, mmb_report *report);

/* The same for a message in memory, whose `length` bytes begin at `bytes`. */
int mmb_verify_memory(const void *bytes, uint64_t length, const mmb_interrupt *interrupt,
                      mmb_report *report);

/* Finish the message in the region that begins at `offset` (a multiple of 8) of the file `fd`
 * (open for reading and writing) and has `capacity` bytes. Its builder is gone, in whatever
 * step it died: everything that can be reached from the root and is in the file is kept. What
 * lies beyond the end of the file is zeros, if the file ends where a builder's can
 * (at a multiple of MMB_GRANULE) and the builder lost nothing. Otherwise what is not there is
 * counted in report->totals.lost: a pointer becomes null that leads to a segment or a landing pad
 * that never was in the file, or to an object from the first lost byte on; a list that reaches
 * beyond that byte is cut to the elements before it, a struct, Text or Data becomes null.
 * Only writes if the walk finds the message valid, and is not interrupted from then on; a
 * finished one is verified and left alone. The caller holds the lock that keeps a living builder
 * away. With MMB_TO_END the file is cut at the end of the message. `durable` as in
 * mmb_message_finish. Returns 0, MMB_EMESSAGE or EINTR (nothing was written), or an error of
 * reading or writing (what a failed write leaves behind is unfinished still, and can be recovered
 * again). ENOSPC also means that reading the message would need more blocks than a full tmpfs has.
 */
int mmb_recover(int fd, uint64_t offset, uint64_t capacity, bool durable,
                const mmb_interrupt *interrupt, mmb_report *report);

#ifdef __cplusplus
}
#endif
#endif
