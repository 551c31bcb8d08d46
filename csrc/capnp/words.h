/* words.h - the words of a message, in memory or in a file behind a cache. Private to csrc/capnp.
 *
 * A walk reads a message by way of its *words*. These read files with pread and never maps
 * them. If another program cut a mapped file, SIGBUS would kill the process; and a word that is
 * read twice could change between the two reads. Here a word is read once, into a local copy. */
#ifndef MMB_WORDS_H
#define MMB_WORDS_H

#include "mmb_capnp.h"
#include "wire.h"

/* A walk reads runs of pointers, and skips the data between them. So it is read in
 * pages, and there are enough pages for the runs that are read at the same time. */
enum {
    MMB__PAGE_BYTES = 4096,
    MMB__PAGES = 256,
};

typedef struct {
    uint64_t number[MMB__PAGES]; /* of each page in the file, plus 1; 0: no page */
    uint32_t length[MMB__PAGES]; /* bytes of each page; the last one may be short */
    uint32_t pages;              /* a power of two up to MMB__PAGES; smaller for small files */
    unsigned char bytes[][MMB__PAGE_BYTES];
} mmb__cache;

/* The file has become too short for a word that it had before. */
#define MMB__ESHORT (-101)

/* An object of this type belongs to one walk in one thread. */
typedef struct {
    const mmb_segment *memory;  /* segments in memory; NULL for a file */
    const mmb_framing *framing; /* of the message that begins at `offset` of the file `fd` */
    mmb__cache *cache;          /* owned; only for files */
    uint64_t offset; /* bytes from the start of the file to the message; a multiple of 8 */
    /* Bytes from `offset` to the end of the file, if zeros follow it; else NO_ZEROS. */
    uint64_t zeros_from;
    uint64_t hole_from, hole_to; /* a hole of the file that was found: bytes from its start */
    uint64_t no_hole_before;     /* before this place we do not look for another hole */
    uint32_t count;              /* number of segments */
    int fd;                      /* borrowed */
    bool finds_holes;            /* the file system tells holes reliably */
} mmb__words;

#define MMB__NO_ZEROS UINT64_MAX

/* Let them be those of segments in memory. They own nothing, and need not be closed. */
void mmb__words_of_memory(mmb__words *message, const mmb_segment *segments, uint32_t count);

/* Let them be those of a message in a file, as `framing` describes it. They borrow both. Errors:
 * ENOMEM. The caller closes it with mmb__words_close. */
int mmb__words_of_file(mmb__words *message, int fd, uint64_t offset, const mmb_framing *framing);
void mmb__words_close(mmb__words *message);

/* Return where the hole of the file that `offset` lies in ends: where data follow, or UINT64_MAX if
 * none do. Return `offset` if it lies in no hole, or the file system does not tell. Whether it
 * tells reliably is a trait of it (os.h). The position of `fd` stays as it was. */
uint64_t mmb__hole_end(int fd, uint64_t offset);

/* Return the end of the zeros that begin at `word` of `segment`, as far as a hole of the file
 * makes them known. The word itself is zero. */
uint64_t mmb__words_zeros_end(const mmb__words *message, uint32_t segment, uint32_t word);

/* Read one word from the file. mmb__word_at calls this if the cache does not have the word. */
int mmb__words_pread(mmb__words *message, uint32_t segment, uint32_t word, uint64_t *out);

/* Return the words of a segment; `segment` is below message->count. */
static inline uint64_t mmb__words_in(const mmb__words *message, uint32_t segment)
{
    return message->memory != NULL ? message->memory[segment].words
                                   : message->framing->words[segment];
}

/* Return how many words of a segment are stored. Behind them all words are zero. */
static inline uint64_t mmb__words_stored(const mmb__words *message, uint32_t segment)
{
    uint64_t words = mmb__words_in(message, segment);
    if (message->zeros_from == MMB__NO_ZEROS) {
        return words;
    }
    uint64_t start = message->framing->start[segment];
    uint64_t there = start < message->zeros_from ? (message->zeros_from - start) / MMB_WORD : 0;
    return there < words ? there : words;
}

/* Read one word, which the caller knows to be in bounds. Return 0, or the error of reading;
 * MMB__ESHORT if the file has become too short for the word. */
static inline int mmb__word_at(mmb__words *message, uint32_t segment, uint32_t word, uint64_t *out)
{
    if (message->memory == NULL) {
        return mmb__words_pread(message, segment, word, out);
    }
    const unsigned char *base = message->memory[segment].base;
    *out = mmb__load64(base + (size_t)word * MMB_WORD);
    return 0;
}

#endif
