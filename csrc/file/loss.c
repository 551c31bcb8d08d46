/* loss.c - keeping the least lost offset, and writing it into the file. */
#include "loss.h"

#include "os/process.h"

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

uint64_t mmb_loss_record(uint64_t kept, uint64_t offset)
{
    return (kept & (((uint64_t)1 << MMB_LOSS_KEPT_BITS) - 1)) | encode(offset)
                                                                    << MMB_LOSS_KEPT_BITS;
}

static void store_little_endian(unsigned char out[8], uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        out[i] = (unsigned char)(value >> 8 * i);
    }
}

/* Write the record. Another thread may lower the offset at the same time, and writes it, too. If
 * this thread then writes the higher offset last, it finds the lower one when it looks again.
 * Return 0 or an errno. A file that is not ours, or too short for the record, needs none. */
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
        store_little_endian(record, mmb_loss_record(atomic_load(&file->shared->loss_kept), least));
        int error = mmb__os_put(file->fd, file->is_shared, record, sizeof record, place);
        if (error != 0) {
            return error;
        }
        written = least;
    }
    return 0;
}

/* Let an attribute tell the offset until the owner tries to write the record again
 * (mmb__settle_loss). A full btrfs has no room for the record, but still some for an attribute. Two
 * threads may do this at the same time: as in write_record, each looks again after it has written.
 */
static void set_attribute(const mmb__file *file)
{
    uint64_t least = MMB__NOTHING_LOST, told;
    do {
        told = least;
        least = atomic_load(&file->shared->lost_from);
        if (least != told) {
            mmb__os_set_attribute(file->fd, MMB__LOSS, &least, sizeof least);
        }
    } while (least != told);
}

/* The thread counts itself in, so that the place is not taken away meanwhile. */
static int tell_loss(const mmb__file *file)
{
    atomic_fetch_add(&file->shared->loss_writers, 1);
    int error = write_record(file);
    uint64_t eof = 0;
    if (error != 0 && mmb__our_file(file, &eof) == 0) {
        set_attribute(file);
    }
    atomic_fetch_sub(&file->shared->loss_writers, 1);
    return error;
}

void mmb__note_loss(const mmb__file *file, uint64_t offset)
{
    _Atomic uint64_t *least = &file->shared->lost_from;
    uint64_t seen = atomic_load(least);
    while (offset < seen) {
        if (atomic_compare_exchange_weak(least, &seen, offset)) {
            (void)tell_loss(file); /* mmb__settle_loss tries again */
            return;
        }
    }
}

void mmb__settle_loss(const mmb__file *file)
{
    uint64_t least = mmb__lost_from(file);
    if (least == MMB__NOTHING_LOST || atomic_load(&file->shared->loss_place) == MMB__NOTHING_LOST) {
        return;
    }
    uint64_t eof = 0;
    if (write_record(file) != 0) {
        /* This is done as well if another program has cut the file: recovery must not take its end
         * for one that a builder has left. */
        (void)(mmb__our_file(file, &eof) == 0 && mmb__os_truncate(file->fd, least + 1) == 0);
    } else {
        mmb__os_remove_attribute(file->fd, MMB__LOSS);
    }
}

uint64_t mmb__lost_from(const mmb__file *file)
{
    return atomic_load(&file->shared->lost_from);
}

void mmb__note_loss_at(const mmb__file *file, uint64_t place, uint64_t kept)
{
    enum { MOST_ROUNDS = 1000 }; /* one of them may have been killed */
    atomic_store(&file->shared->loss_place, MMB__NOTHING_LOST);
    for (uint32_t round = 0; atomic_load(&file->shared->loss_writers) != 0 && round < MOST_ROUNDS;
         round++) {
        mmb__wait_a_moment(round);
    }
    atomic_store(&file->shared->loss_kept, kept);
    atomic_store(&file->shared->loss_place, place);
    (void)tell_loss(file);
}

bool mmb_loss_told(int fd, uint64_t *offset)
{
    return mmb__os_get_attribute(fd, MMB__LOSS, offset, sizeof *offset);
}

void mmb_loss_forget(int fd)
{
    mmb__os_remove_attribute(fd, MMB__LOSS);
}
