/* log_save.c - writes the whole index of a log from the places of its messages. */
#include "log_index.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Write the blocks of all messages: each when it is full, and the last one at the end. */
static int write_blocks(int fd, const mmb_places *places, const unsigned char *data)
{
    uint64_t starts[MMB_INDEX_BLOCK], at = MMB_INDEX_HEADER;
    mmb__index_block *block = malloc(sizeof *block);
    int error = block != NULL ? 0 : ENOMEM;
    for (uint64_t first = 0; error == 0 && first <= places->count; first += MMB_INDEX_BLOCK) {
        uint64_t left = places->count - first;
        uint64_t count = left < MMB_INDEX_BLOCK ? left : MMB_INDEX_BLOCK;
        memset(block, 0, sizeof *block);
        error = mmb_places_list(places, data, first, count, starts);
        for (uint64_t i = 0; i < count; i++) {
            mmb__index_put(block, i, starts[i]);
        }
        if (count < MMB_INDEX_BLOCK) {
            mmb__index_put(block, count, places->end);
        }
        block->sum = mmb__sum(0, (uint32_t)count, (uint32_t)count);
        error = error != 0 ? error : mmb__os_write_all(fd, false, block, sizeof *block, at, NULL);
        at += sizeof *block;
    }
    free(block);
    return error;
}

int mmb_index_write(int fd, const mmb_places *places, const unsigned char *data,
                    const mmb_log_identity *identity)
{
    unsigned char page[MMB_INDEX_HEADER] = {0};
    mmb__index_header header;
    mmb__index_head(&header, identity, places->count, places->end);
    memcpy(page, &header, sizeof header);
    int error = mmb__os_write_all(fd, false, page, sizeof page, 0, NULL);
    return error != 0 ? error : write_blocks(fd, places, data);
}
