/* words.c - reads words of a file through a small cache of pages. See words.h. */
#include "words.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

void mmb__words_of_memory(mmb__words *message, const mmb_segment *segments, uint32_t count)
{
    *message =
        (mmb__words){.memory = segments, .zeros_from = MMB__NO_ZEROS, .count = count, .fd = -1};
}

int mmb__words_of_file(mmb__words *message, int fd, uint64_t offset, const mmb_framing *framing)
{
    *message = (mmb__words){.framing = framing,
                            .offset = offset,
                            .zeros_from = MMB__NO_ZEROS,
                            .count = framing->count,
                            .fd = fd};
    uint32_t pages = 1;
    while (pages < MMB__PAGES && (uint64_t)pages * MMB__PAGE_BYTES < framing->file_bytes) {
        pages *= 2;
    }
    message->cache = malloc(sizeof *message->cache + (size_t)pages * MMB__PAGE_BYTES);
    if (message->cache == NULL) {
        return ENOMEM;
    }
    mmb__traits traits = {.seek_data_is_reliable = false};
    /* An error here does no harm: a file that cannot be mapped can be read. */
    (void)mmb__os_look_at(fd, &traits);
    message->finds_holes = traits.seek_data_is_reliable;
    message->cache->pages = pages;
    memset(message->cache->number, 0, sizeof message->cache->number);
    return 0;
}

void mmb__words_close(mmb__words *message)
{
    free(message->cache);
    message->cache = NULL;
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
static void look_for_hole(mmb__words *message, uint64_t offset)
{
    if (!message->finds_holes || offset < message->no_hole_before) {
        return;
    }
    uint64_t data = mmb__hole_end(message->fd, offset);
    if (data > offset) {
        message->hole_from = offset;
        message->hole_to = data;
    } else {
        message->no_hole_before = offset + NO_HOLE_FOR;
    }
}

uint64_t mmb__words_zeros_end(const mmb__words *message, uint32_t segment, uint32_t word)
{
    if (message->hole_to == 0) {
        return word;
    }
    uint64_t start = message->offset + message->framing->start[segment];
    uint64_t at = start + (uint64_t)word * MMB_WORD;
    if (at < message->hole_from || at >= message->hole_to) {
        return word;
    }
    uint64_t end = (message->hole_to - start) / MMB_WORD;
    uint64_t words = mmb__words_in(message, segment);
    return end < words ? end : words;
}

/* ---- reading -------------------------------------------------------------------- */

/* Load a page of the file into its place of the cache. */
static int load_page(mmb__words *message, uint64_t page, uint32_t place)
{
    mmb__cache *cache = message->cache;
    unsigned char *bytes = cache->bytes[place];
    size_t got = 0;
    cache->number[place] = 0;
    int error = mmb__os_read_all(message->fd, bytes, MMB__PAGE_BYTES, page * MMB__PAGE_BYTES, &got);
    if (error != 0) {
        return error;
    }
    cache->length[place] = (uint32_t)got;
    cache->number[place] = page + 1;
    if (is_zero(bytes, got)) {
        look_for_hole(message, page * MMB__PAGE_BYTES);
    }
    return 0;
}

int mmb__words_pread(mmb__words *message, uint32_t segment, uint32_t word, uint64_t *out)
{
    uint64_t place_in_message = message->framing->start[segment] + (uint64_t)word * MMB_WORD;
    if (place_in_message >= message->zeros_from) {
        *out = 0;
        return 0;
    }
    uint64_t offset = message->offset + place_in_message;
    uint64_t page = offset / MMB__PAGE_BYTES;
    mmb__cache *cache = message->cache;
    uint32_t place = place_of(cache, page);
    if (cache->number[place] != page + 1) {
        int error = load_page(message, page, place);
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
