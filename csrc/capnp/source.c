/* source.c - reads words of a file through a small cache of pages. See source.h. */
#include "source.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

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
    uint32_t pages = 1;
    while (pages < MMB__PAGES && (uint64_t)pages * MMB__PAGE_BYTES < framing->file_bytes) {
        pages *= 2;
    }
    source->cache = malloc(sizeof *source->cache + (size_t)pages * MMB__PAGE_BYTES);
    if (source->cache == NULL) {
        return ENOMEM;
    }
    mmb__traits traits = {.seek_data_is_reliable = false};
    /* An error here does no harm: a file that cannot be mapped can be read. */
    (void)mmb__os_look_at(fd, &traits);
    source->finds_holes = traits.seek_data_is_reliable;
    source->cache->pages = pages;
    memset(source->cache->number, 0, sizeof source->cache->number);
    return 0;
}

void mmb__source_close(mmb__source *source)
{
    free(source->cache);
    source->cache = NULL;
}

/* Return the one place of the cache for a page of the file. The multiplication separates pages
 * whose distance is a power of two, as columns of equal length have. */
static uint32_t place_of(const mmb__cache *cache, uint64_t page)
{
    return (uint32_t)(page * 0x9E3779B97F4A7C15u >> 48) & (cache->pages - 1);
}

/* ---- holes ---------------------------------------------------------------------- */

/* Bytes of data that we expect behind each place with data, before we look for a hole again. */
#define NO_HOLE_FOR ((uint64_t)1 << 20)

static bool is_zero(const unsigned char *bytes, size_t length)
{
    return length > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

uint64_t mmb__hole_end(int fd, uint64_t offset)
{
    uint64_t data = 0;
    off_t before = lseek(fd, 0, SEEK_CUR); /* others may share this position */
    int error = mmb__os_next_data(fd, offset, &data);
    lseek(fd, before, SEEK_SET);
    if (error == ENXIO) {
        return UINT64_MAX;
    }
    return error == 0 && data > offset ? data : offset;
}

/* The file has zeros at `offset`. If they are a hole, note how far it reaches. */
static void look_for_hole(mmb__source *source, uint64_t offset)
{
    if (!source->finds_holes || offset < source->no_hole_before) {
        return;
    }
    uint64_t data = mmb__hole_end(source->fd, offset);
    if (data > offset) {
        source->hole_from = offset;
        source->hole_to = data;
    } else {
        source->no_hole_before = offset + NO_HOLE_FOR;
    }
}

uint64_t mmb__source_zeros_end(const mmb__source *source, uint32_t segment, uint32_t word)
{
    if (source->hole_to == 0) {
        return word;
    }
    uint64_t start = source->offset + source->framing->start[segment];
    uint64_t at = start + (uint64_t)word * MMB_WORD;
    if (at < source->hole_from || at >= source->hole_to) {
        return word;
    }
    uint64_t end = (source->hole_to - start) / MMB_WORD;
    uint64_t words = mmb__source_words(source, segment);
    return end < words ? end : words;
}

/* ---- reading -------------------------------------------------------------------- */

/* Load a page of the file into its place of the cache. */
static int load_page(mmb__source *source, uint64_t page, uint32_t place)
{
    mmb__cache *cache = source->cache;
    unsigned char *bytes = cache->bytes[place];
    size_t got = 0;
    cache->number[place] = 0;
    int error = mmb__os_read_all(source->fd, bytes, MMB__PAGE_BYTES, page * MMB__PAGE_BYTES, &got);
    if (error != 0) {
        return error;
    }
    cache->length[place] = (uint32_t)got;
    cache->number[place] = page + 1;
    if (is_zero(bytes, got)) {
        look_for_hole(source, page * MMB__PAGE_BYTES);
    }
    return 0;
}

int mmb__source_pread(mmb__source *source, uint32_t segment, uint32_t word, uint64_t *out)
{
    uint64_t place_in_message = source->framing->start[segment] + (uint64_t)word * MMB_WORD;
    if (place_in_message >= source->zeros_from) {
        *out = 0;
        return 0;
    }
    uint64_t offset = source->offset + place_in_message;
    uint64_t page = offset / MMB__PAGE_BYTES;
    mmb__cache *cache = source->cache;
    uint32_t place = place_of(cache, page);
    if (cache->number[place] != page + 1) {
        int error = load_page(source, page, place);
        if (error != 0) {
            return error;
        }
    }
    if (offset % MMB__PAGE_BYTES + MMB_WORD > cache->length[place]) {
        return MMB__ESHORT;
    }
    /* Segments start at multiples of a word in the file, so each word lies in one page. */
    *out = mmb__load64(cache->bytes[place] + offset % MMB__PAGE_BYTES);
    return 0;
}
