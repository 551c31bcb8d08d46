/* log_publish.c - notes messages in the index of a log, and wakes those who follow. See mmb_log.h.
 */
#include "log_index.h"

#include "os/os.h"

/* Return the size of the frame that begins `bytes` bytes, which other processes may have
 * overwritten: at most `bytes`. */
static uint64_t next_size(const unsigned char *frames, uint64_t bytes)
{
    uint64_t size;
    const char *reason;
    bool whole = mmb_frame_measure(frames, bytes, &size, &reason) == 0 && size <= bytes;
    return whole ? size : bytes;
}

/* Let the checksum of a block cover `number` more messages, from number `at` of the block on. */
static void add_to_sum(mmb__index_block *block, uint32_t at, uint32_t number,
                       const unsigned char *frames, uint64_t bytes)
{
    uint64_t sum = at == 0 ? 0 : atomic_load_explicit(&block->sum, memory_order_relaxed);
    uint32_t upto = mmb__sum_upto(sum), end = at + number;
    if (upto < at) { /* messages between are not covered: begin a new checksum */
        sum = mmb__sum(0, at, at);
    }
    for (; at < upto && bytes != 0; at++) { /* the writer that was killed had added these */
        uint64_t size = next_size(frames, bytes);
        frames += size;
        bytes -= size;
    }
    if (at < end) {
        uint32_t crc = mmb__os_crc32c((uint32_t)(sum >> 32), frames, (size_t)bytes);
        atomic_store_explicit(&block->sum, mmb__sum(crc, mmb__sum_from(sum), end),
                              memory_order_relaxed);
    }
}

/* Note messages in their blocks, from message `at` up to `count`. They are the `bytes` bytes at
 * `frames`, which end at `end`. */
static void note(unsigned char *memory, uint64_t at, uint64_t count, uint64_t end,
                 const unsigned char *frames, uint64_t bytes)
{
    while (at < count) {
        mmb__index_block *block = mmb__index_block_of(memory, at);
        uint32_t first = (uint32_t)(at % MMB_INDEX_BLOCK);
        uint64_t stop = at - first + MMB_INDEX_BLOCK, left = bytes;
        stop = stop < count ? stop : count;
        for (uint64_t number = at; number < stop; number++) {
            left -= next_size(frames + (bytes - left), left);
            mmb__index_put(mmb__index_block_of(memory, number + 1), number + 1, end - left);
        }
        add_to_sum(block, first, (uint32_t)(stop - at), frames, bytes - left);
        frames += bytes - left;
        bytes = left;
        at = stop;
    }
}

void mmb_index_note(unsigned char *memory, uint64_t count, uint64_t number, uint64_t end,
                    const unsigned char *frames, uint64_t bytes)
{
    note(memory, count - number, count, end, frames, bytes);
}

void mmb_index_publish(unsigned char *memory, uint64_t count, uint64_t end)
{
    mmb__index_header *header = mmb__index_header_of(memory);
    atomic_store_explicit(&header->committed, end, memory_order_relaxed);
    atomic_store_explicit(&header->count, count, memory_order_seq_cst);
    if (atomic_load_explicit(&header->awaited, memory_order_seq_cst) != 0) {
        atomic_store_explicit(&header->awaited, 0, memory_order_seq_cst);
        atomic_fetch_add_explicit(&header->news, 1, memory_order_seq_cst);
        mmb__os_wake_word((const uint32_t *)&header->news);
    }
}
