/* copy.c - copying one file into another, with holes where the source has holes or zeros. */
#include "mmb_file.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)256 << 10)

static bool is_zero(const unsigned char *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* Copy one chunk at `*at`, and move `*at` behind it. */
static int copy_chunk(int from, int to, uint64_t *at, uint64_t end, unsigned char *buffer)
{
    size_t got = 0, length = end - *at < CHUNK ? (size_t)(end - *at) : CHUNK;
    int error = mmb__os_read_all(from, buffer, length, *at, &got);
    if (error == 0 && !is_zero(buffer, got)) {
        error = mmb__os_write_all(to, false, buffer, got, *at, NULL);
    }
    *at = got < length ? end : *at + got; /* the file may have become shorter */
    return error;
}

/* Find the first place at or after `offset` where data may be; `end` if there is none before. */
static int skip_hole(int from, uint64_t offset, uint64_t end, uint64_t *data)
{
    uint64_t found = offset;
    int error = mmb__os_next_data(from, offset, &found);
    if (error == ENXIO) { /* there is none */
        found = end;
        error = 0;
    }
    *data = found < end ? found : end;
    return error == EOPNOTSUPP ? 0 : error;
}

int mmb_file_copy(int from, int to, uint64_t offset, uint64_t end)
{
    mmb__traits traits = {.seek_data_is_reliable = false};
    if (mmb__os_look_at(from, &traits) != 0) {
        traits.seek_data_is_reliable = false;
    }
    unsigned char *buffer = malloc(CHUNK);
    int error = buffer != NULL ? 0 : ENOMEM;
    while (error == 0 && offset < end) {
        if (traits.seek_data_is_reliable) {
            error = skip_hole(from, offset, end, &offset);
        }
        if (error == 0 && offset < end) {
            error = copy_chunk(from, to, &offset, end, buffer);
        }
    }
    free(buffer);
    return error;
}
