/* loss.c - keeping the least lost offset, and writing it into the file. */
#include "loss.h"

/* A record tells an offset by the number of its page plus 1, which it has in the form m << e. */
enum { LOSS_PAGE = 4096, M_BITS = 18, RECORD_BYTES = 8 };

static uint64_t encode(uint64_t offset)
{
    uint64_t number = offset / LOSS_PAGE + 1;
    uint64_t exponent = 0;
    while (number >> exponent >= (uint64_t)1 << M_BITS) {
        exponent++;
    }
    return exponent << M_BITS | number >> exponent;
}

uint64_t mmb_loss_offset(uint64_t record)
{
    uint64_t code = record >> MMB_LOSS_KEPT_BITS;
    uint64_t number = (code & (((uint64_t)1 << M_BITS) - 1)) << (code >> M_BITS);
    return number == 0 ? MMB__NOTHING_LOST : (number - 1) * LOSS_PAGE;
}

static void store_little_endian(unsigned char out[8], uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (unsigned char)(value >> 8 * i);
    }
}

/* Write the record. Another thread may lower the offset at the same time, and writes it, too. If
 * this thread then writes the higher offset last, it finds the lower one when it looks again.
 * Returns 0 or an errno. A file that is not ours, or too short for the record, needs none. */
static int write_record(const mmb__file *file)
{
    uint64_t place = atomic_load(&file->shared->loss_place);
    uint64_t written = MMB__NOTHING_LOST, eof = 0;
    while (place != MMB__NOTHING_LOST) {
        uint64_t least = atomic_load(&file->shared->lost_from);
        if (least == written || mmb__our_file(file, &eof) != 0 || place + RECORD_BYTES > eof) {
            return 0; /* nothing is new, or the place was cut off: we must not make it again */
        }
        unsigned char record[RECORD_BYTES];
        store_little_endian(record, atomic_load(&file->shared->loss_kept) |
                                        encode(least) << MMB_LOSS_KEPT_BITS);
        int error = mmb__os_put(file->fd, record, sizeof record, place);
        if (error != 0) {
            return error;
        }
        written = least;
    }
    return 0;
}

void mmb__note_loss(const mmb__file *file, uint64_t offset)
{
    _Atomic uint64_t *least = &file->shared->lost_from;
    uint64_t seen = atomic_load(least);
    while (offset < seen) {
        if (atomic_compare_exchange_weak(least, &seen, offset)) {
            (void)write_record(file); /* mmb__settle_loss tries again */
            return;
        }
    }
}

void mmb__settle_loss(const mmb__file *file)
{
    uint64_t least = mmb__lost_from(file);
    if (least != MMB__NOTHING_LOST && write_record(file) != 0) {
        (void)mmb__truncate(file, least + 1);
    }
}

uint64_t mmb__lost_from(const mmb__file *file)
{
    return atomic_load(&file->shared->lost_from);
}

void mmb__note_loss_at(const mmb__file *file, uint64_t place, uint64_t kept)
{
    atomic_store(&file->shared->loss_place, MMB__NOTHING_LOST);
    atomic_store(&file->shared->loss_kept, kept);
    atomic_store(&file->shared->loss_place, place);
    (void)write_record(file);
}
