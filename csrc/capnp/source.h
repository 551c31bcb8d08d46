/* source.h - where the walk reads words from: memory, or a file through a cache.
 *
 * Private to csrc/capnp. Files are read with pread, never mapped: a mapping of a
 * file that somebody cuts kills the process by SIGBUS, and a word that is read
 * twice can change in between. Here a word is read once, into a local copy.
 */
#ifndef MMB_SOURCE_H
#define MMB_SOURCE_H

#include "mmb_capnp.h"
#include "wire.h"

/* A walk reads pointers, in runs, and skips the data between them; a page for
 * each block and enough blocks for the runs that are under way do well. */
enum {
    MMB__BLOCK_BYTES = 4096,
    MMB__BLOCKS = 256,
};

typedef struct {
    uint64_t number[MMB__BLOCKS]; /* which block of the file this is, plus 1; 0 for none */
    uint32_t length[MMB__BLOCKS]; /* bytes that the file had of it; the last block is short */
    uint32_t blocks;              /* a power of two up to MMB__BLOCKS, for small files fewer */
    unsigned char bytes[][MMB__BLOCK_BYTES];
} mmb__cache;

/* The file has become too short for a word that it had. */
#define MMB__ESHORT (-101)

/* Belongs to one walk in one thread. */
typedef struct {
    const mmb_segment *memory;   /* segments in memory, or NULL: */
    const mmb_framing *framing;  /* where they lie in the message that begins at `offset` of `fd` */
    mmb__cache *cache;           /* owned; only for files */
    uint64_t offset;             /* bytes from the start of the file, a multiple of 8 */
    uint64_t zeros_from;         /* bytes from `offset`: where the file ends, and zeros go on; else
                                  * NO_ZEROS */
    uint64_t hole_from, hole_to; /* a hole of the file that was met: bytes from its start */
    uint64_t no_hole_before;     /* it is not worth looking for another one before this */
    uint32_t count;              /* segments */
    int fd;                      /* borrowed */
    bool finds_holes;            /* what the file system says about holes can be relied on */
} mmb__source;

#define MMB__NO_ZEROS UINT64_MAX

/* Over segments in memory. Owns nothing, need not be closed. */
void mmb__source_memory(mmb__source *source, const mmb_segment *segments, uint32_t count);

/* Over the segments of a message in a file, as far as `framing` says. Borrows both. Errors:
 * ENOMEM. To be closed with mmb__source_close. */
int mmb__source_file(mmb__source *source, int fd, uint64_t offset, const mmb_framing *framing);
void mmb__source_close(mmb__source *source);

/* A word of `segment`: from `word`, which is zero, up to it all is known to be zero, since the
 * file has a hole there. */
uint64_t mmb__source_zeros_end(const mmb__source *source, uint32_t segment, uint32_t word);

/* The slow path of mmb__source_word. */
int mmb__source_pread(mmb__source *source, uint32_t segment, uint32_t word, uint64_t *out);

/* Words in a segment; `segment` is below source->count. */
static inline uint64_t mmb__source_words(const mmb__source *source, uint32_t segment)
{
    return source->memory != NULL ? source->memory[segment].words : source->framing->words[segment];
}

/* Of these, the words that are really there: behind them all is zero. */
static inline uint64_t mmb__source_stored(const mmb__source *source, uint32_t segment)
{
    uint64_t words = mmb__source_words(source, segment);
    if (source->zeros_from == MMB__NO_ZEROS) {
        return words;
    }
    uint64_t start = source->framing->start[segment];
    uint64_t there = start < source->zeros_from ? (source->zeros_from - start) / MMB_WORD : 0;
    return there < words ? there : words;
}

/* Read one word, which the caller knows to be in bounds. Returns 0 or the error
 * of reading; MMB__ESHORT if the file has become too short for the word. */
static inline int mmb__source_word(mmb__source *source, uint32_t segment, uint32_t word,
                                   uint64_t *out)
{
    if (source->memory == NULL) {
        return mmb__source_pread(source, segment, word, out);
    }
    const unsigned char *base = source->memory[segment].base;
    *out = mmb__load64(base + (size_t)word * MMB_WORD);
    return 0;
}

#endif
