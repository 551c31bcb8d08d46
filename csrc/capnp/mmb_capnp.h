/* mmb_capnp.h - Cap'n Proto messages in mapped files: building, reading, checking.
 *
 * This is the public header of csrc/capnp. It includes framing.h (the segment table), region.h
 * and building.h (a message that is being built).
 *
 * Sizes of segments are in words of 8 bytes; places in files are in bytes. Functions return 0 for
 * success, otherwise an errno value, one of the MMB_E values of mmb_file.h, or MMB_EMESSAGE. No
 * function here may be called from a signal handler. Any thread may call them, one thread at a
 * time for each map or fd.
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

/* Return true if `segment` begins like a message with a root, that is, with a pointer to the struct
 * behind it. The segments may hold any bytes. */
bool mmb_begins_message(const mmb_segment *segments, uint32_t count, uint32_t segment);

/* Follow the pointer at `word` of `segment`. The bytes may be anything; the object that `*out`
 * describes lies within its segment. A list may have elements of no words, and then their number
 * may be large: a caller that makes something of each element must set a bound. Return 0 or
 * MMB_EMESSAGE. */
int mmb_resolve(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                mmb_object *out, mmb_flaw *flaw);

/* ---- columns of numbers -------------------------------------------------------- */

/* The data sections of the structs of a list. */
typedef struct {
    uint64_t byte;   /* of the first, from the start of the segment */
    uint64_t stride; /* bytes from one to the next */
    uint64_t count;
    uint32_t segment;
} mmb_rows;

/* Numbers that are to be stored, one for each row, in the byte order of the format. */
typedef struct {
    const unsigned char *from; /* the first */
    int64_t step;              /* bytes from one to the next */
    uint64_t xor_default;      /* the default of the field, with which each number is XORed */
    uint32_t offset;           /* bytes from the start of a data section */
    uint32_t size;             /* bytes of a number: 1, 2, 4 or 8 */
} mmb_numbers;

/* Store columns into the rows. Return 0, or MMB_EMESSAGE if the rows reach beyond their segment;
 * then nothing was stored. */
int mmb_rows_store(const mmb_segment *segments, uint32_t count, const mmb_rows *rows,
                   const mmb_numbers *columns, uint32_t column_count, mmb_flaw *flaw);

/* ---- columns of Text and Data --------------------------------------------------- */

/* Byte strings that lie one after the other. String i is [offset i, offset i + 1) of `bytes`, as in
 * Apache Arrow. */
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

/* Check that all pointers lie in their segment. Return 0 or MMB_EMESSAGE. */
int mmb_pointers_check(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                       mmb_flaw *flaw);

/* Words of one segment that belong to nothing yet. */
typedef struct {
    uint64_t word;
    uint64_t words;
    uint32_t segment;
} mmb_room;

/* Words that `length` bytes take as Data, or as Text with its terminator. */
static inline uint64_t mmb_string_words(uint64_t length, bool text)
{
    return (length + (text ? 1 : 0) + MMB_WORD - 1) / MMB_WORD;
}

/* Check strings from elsewhere, as Text (UTF-8, which gets a terminator) or as Data. Tell how many
 * there are, and how many words they take. `mask` has a byte for each string, which is zero if the
 * string is left out; NULL leaves out none. Of strings that are left out only the offsets are
 * checked. Return NULL, or a static text that says what is wrong with string `*bad`. */
const char *mmb_strings_measure(const mmb_strings *strings, const unsigned char *mask, bool text,
                                uint64_t *words, uint64_t *found, uint64_t *bad);

/* Write strings into `room`, which must be zeros, from string `*next` on, and let the pointers of
 * the same numbers lead to them. Pointers of strings that are left out stay as they are. This stops
 * when the room is full: then `*next` is the first string that was not written, and the room is
 * what is left of it. If the room is in another segment than the pointers, each string takes one
 * word more, for its landing pad. If a pointer led to Text or Data before, that is zeroed, since
 * nothing leads there any more.
 *
 * The strings must have been measured. Return 0, or MMB_EMESSAGE: either the pointers or the
 * room are out of bounds, and nothing was done; or the strings have changed since. */
int mmb_strings_write(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                      const mmb_strings *strings, const unsigned char *mask, bool text,
                      uint64_t *next, mmb_room *room, mmb_flaw *flaw);

/* The same for strings that lie in different places: reference i is for pointer i. `*written` is
 * how many references were written or skipped. */
typedef struct {
    const unsigned char *bytes; /* NULL: no string, the pointer is to be null */
    uint64_t length;
    bool skip; /* leave the pointer alone */
} mmb_string_ref;

int mmb_string_refs_write(const mmb_segment *segments, uint32_t count, const mmb_pointers *pointers,
                          const mmb_string_ref *refs, uint64_t ref_count, bool text,
                          uint64_t *written, mmb_room *room, mmb_flaw *flaw);

/* What a walk has met. */
typedef struct {
    uint64_t words;       /* of the message: root pointer, objects and landing pads */
    uint64_t pointers;    /* pointers that are not null */
    uint64_t objects;     /* structs and lists; the elements of a list are not counted */
    uint64_t far;         /* pointers that lead to their objects by way of landing pads */
    uint64_t lost;        /* only in mmb_recover: pointers that count as null, and lists that count
                           * as shorter, since the file does not have what they lead to */
    uint64_t lost_values; /* the elements that are lost by that, as far as they are known; a struct
                           * is one */
    uint32_t depth;       /* of the deepest object; the root object has depth 1 */
} mmb_totals;

/* Check every pointer that can be reached from the root (word 0 of segment 0): structs, lists of
 * all sizes, far and double-far pointers, capabilities. `used`, an array of `count`, gets the used
 * size of each segment: the end of the last word that a pointer leads to.
 *
 * This is safe on hostile bytes. Its time is bounded by the words of the message: each object is
 * charged against them, so a loop of pointers, or an object with many pointers to it, is found
 * out. (Objects that overlap are a flaw. They are found only if together they have more words than
 * the used parts of the segments, since finding all of them would take memory.) Its memory is
 * bounded by a few MiB for pending objects; a list that is linked by the last pointer of each
 * element may have any length. `segments` must stay readable. A mapping of a file that others may
 * cut does not; mmb_verify and mmb_recover are for such files.
 *
 * Return 0, ENOMEM, or MMB_EMESSAGE; then `flaw` says more, and `used` and `totals` have what was
 * met so far. `totals` may be NULL. */
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
    bool unfinished;   /* the message had the mark when it was opened */
} mmb_report;

/* A function that long work calls now and then, with the number of words of the message that were
 * dealt with so far. If it returns true, the work ends with EINTR. */
typedef struct {
    bool (*asked)(void *context, uint64_t words);
    void *context;
} mmb_interrupt;

/* A capacity that says: the message may reach to the end of its file. */
#define MMB_TO_END UINT64_MAX

/* Check the message that begins at `offset` (a multiple of 8) of the file `fd`, which is open for
 * reading. This reads with pread through a small cache, and maps nothing. If another program
 * cuts or changes the file meanwhile, the answer may be wrong or an error, but there is no crash.
 * Holes are skipped where the file system tells of them; for that the file offset of `fd` is moved
 * and put back. `interrupt` may be NULL. Return 0, MMB_EMESSAGE (for unfinished messages as well),
 * EINTR, or an error of reading. */
int mmb_verify(int fd, uint64_t offset, const mmb_interrupt *interrupt, mmb_report *report);

/* The same for a message in memory, whose `length` bytes begin at `bytes`. */
int mmb_verify_memory(const void *bytes, uint64_t length, const mmb_interrupt *interrupt,
                      mmb_report *report);

/* Finish the message in the region that begins at `offset` (a multiple of 8) of the file `fd`,
 * which is open for reading and writing, and that has `capacity` bytes. The builder of the message
 * is gone, and it may have died in any step. Everything is kept that can be reached from the root
 * and is in the file.
 *
 * If the builder lost nothing, and the file ends where a builder's file can (at a multiple of
 * MMB_GRANULE), the bytes beyond its end are zeros. Otherwise they are lost, and are counted in
 * report->totals.lost. A pointer becomes null if it leads to a segment or a landing pad that never
 * was in the file, or to an object behind the first lost byte. A list that reaches beyond that
 * byte is cut to the elements before it; a struct, Text or Data becomes null.
 *
 * The file is written to only if the walk finds the message valid; from then on the work is not
 * interrupted. A finished message is verified and left as it is. The caller holds the lock that
 * keeps living builders away. With MMB_TO_END the file is cut at the end of the message. `durable`
 * is as in mmb_message_finish.
 *
 * Return 0; MMB_EMESSAGE or EINTR, and then nothing was written; or an error of reading or
 * writing. After a failed write the message is still unfinished, and can be recovered again.
 * ENOSPC also means that reading the message would need more blocks than a full tmpfs has. */
int mmb_recover(int fd, uint64_t offset, uint64_t capacity, bool durable,
                const mmb_interrupt *interrupt, mmb_report *report);

#ifdef __cplusplus
}
#endif
#endif
