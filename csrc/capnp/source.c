/* source.c - words from a file through a small cache of blocks. See source.h. */
#include "source.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void mmb__source_memory(mmb__source *source, const mmb_segment *segments, uint32_t count)
{
    *source =
        (mmb__source){.memory = segments, .zeros_from = MMB__NO_ZEROS, .count = count, .fd = -1};
}

int mmb__source_file(mmb__source *source, int fd, uint64_t offset, const mmb_framing *framing)
{
    *source = (mmb__source){.framing = framing,
                            .offset = offset,
                            .zeros_from = MMB__NO_ZEROS,
                            .count = framing->count,
                            .fd = fd};
    uint32_t blocks = 1;
    while (blocks < MMB__BLOCKS && (uint64_t)blocks * MMB__BLOCK_BYTES < framing->file_bytes) {
        blocks *= 2;
    }
    source->cache = malloc(sizeof *source->cache + (size_t)blocks * MMB__BLOCK_BYTES);
    if (source->cache == NULL) {
        return ENOMEM;
    }
    source->cache->blocks = blocks;
    memset(source->cache->number, 0, sizeof source->cache->number);
    return 0;
}

void mmb__source_close(mmb__source *source)
{
    free(source->cache);
    source->cache = NULL;
}

/* Where a block of the file may be kept: one place only. Multiplying spreads runs
 * that are a power of two apart, as columns of equal length are. */
static uint32_t place_of(const mmb__cache *cache, uint64_t block)
{
    return (uint32_t)(block * 0x9E3779B97F4A7C15u >> 48) & (cache->blocks - 1);
}

static bool is_nulled(const mmb__dangling *d, uint32_t segment, uint32_t word)
{
    for (uint32_t i = 0; d != NULL && i < d->nulled; i++) {
        if (d->segment[i] == segment && d->word[i] == word) {
            return true;
        }
    }
    return false;
}

int mmb__source_pread(const mmb__source *source, uint32_t segment, uint32_t word, uint64_t *out)
{
    uint64_t place_in_message = source->framing->start[segment] + (uint64_t)word * MMB_WORD;
    if (place_in_message >= source->zeros_from || is_nulled(source->dangling, segment, word)) {
        *out = 0;
        return 0;
    }
    uint64_t offset = source->offset + place_in_message;
    uint64_t block = offset / MMB__BLOCK_BYTES;
    mmb__cache *cache = source->cache;
    uint32_t place = place_of(cache, block);
    unsigned char *bytes = cache->bytes[place];

    if (cache->number[place] != block + 1) {
        size_t got = 0;
        cache->number[place] = 0;
        int error =
            mmb__os_read_all(source->fd, bytes, MMB__BLOCK_BYTES, block * MMB__BLOCK_BYTES, &got);
        if (error != 0) {
            return error;
        }
        cache->length[place] = (uint32_t)got;
        cache->number[place] = block + 1;
    }
    if (offset % MMB__BLOCK_BYTES + MMB_WORD > cache->length[place]) {
        return MMB__ESHORT;
    }
    /* Segments start at multiples of a word in files, so no word straddles blocks. */
    *out = mmb__load64(bytes + offset % MMB__BLOCK_BYTES);
    return 0;
}
