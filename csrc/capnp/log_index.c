/* log_index.c - checks, reads and publishes the index of a log. See log_index.h. */
#include "log_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

static const unsigned char magic[8] = {'M', 'M', 'B', 'L', 'O', 'G', 'X', 2};

mmb__index_block *mmb__index_block_of(const unsigned char *memory, uint64_t number)
{
    const unsigned char *blocks = memory + MMB_INDEX_HEADER;
    return (mmb__index_block *)(uintptr_t)(blocks +
                                           number / MMB_INDEX_BLOCK * sizeof(mmb__index_block));
}

uint64_t mmb_index_bytes(uint64_t count)
{
    /* The end of the last message has an entry, too. */
    return MMB_INDEX_HEADER + (count / MMB_INDEX_BLOCK + 1) * sizeof(mmb__index_block);
}

/* ---- identity ----------------------------------------------------------------------- */

/* Read the id of this boot of the machine: 32 hexadecimal digits with dashes in between. */
static void read_boot(unsigned char boot[16])
{
    char text[64];
    unsigned digits = 0;
    memset(boot, 0, 16);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, sizeof text) : 0;
    for (ssize_t i = 0; i < length && digits < 32; i++) {
        unsigned c = (unsigned char)text[i];
        unsigned value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        if (value < 16) {
            boot[digits / 2] = (unsigned char)((unsigned)boot[digits / 2] << 4 | value);
            digits++;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

int mmb_log_identify(int fd, mmb_log_identity *out)
{
    struct stat now;
    if (fstat(fd, &now) != 0) {
        return errno;
    }
    *out = (mmb_log_identity){
        .device = (uint64_t)now.st_dev,
        .inode = (uint64_t)now.st_ino,
        .size = (uint64_t)now.st_size,
        .mtime = mmb__os_changed_at(&now),
    };
    read_boot(out->boot);
    return 0;
}

/* Return the FNV-1a hash of the parts. */
static uint64_t check_of(const uint64_t *parts, size_t count)
{
    uint64_t check = 0xCBF29CE484222325u;
    const unsigned char *bytes = (const unsigned char *)parts;
    for (size_t i = 0; i < count * sizeof *parts; i++) {
        check = (check ^ bytes[i]) * 0x100000001B3u;
    }
    return check;
}

static uint64_t check_of_header(const mmb__index_header *header)
{
    const uint64_t parts[] = {header->device, header->inode, header->generation};
    return check_of(parts, sizeof parts / sizeof parts[0]);
}

static bool is_of(const mmb__index_header *header, const mmb_log_identity *identity)
{
    return memcmp(header->magic, magic, sizeof magic) == 0 &&
           header->check == check_of_header(header) && header->device == identity->device &&
           header->inode == identity->inode;
}

static bool is_of_this_boot(const mmb__index_header *header, const mmb_log_identity *identity)
{
    static const unsigned char unnamed[16];
    return memcmp(header->boot, unnamed, 16) != 0 && memcmp(header->boot, identity->boot, 16) == 0;
}

static bool fits(const mmb__index_header *header, const mmb_log_identity *identity)
{
    if (!is_of(header, identity)) {
        return false;
    }
    if (atomic_load_explicit(&header->settled, memory_order_acquire) == 1) {
        return header->size == identity->size && header->mtime == identity->mtime;
    }
    return is_of_this_boot(header, identity);
}

bool mmb_index_is_from_earlier_boot(const unsigned char *memory, uint64_t bytes,
                                    const mmb_log_identity *identity)
{
    static const unsigned char unnamed[16]; /* no writer has used such a log */
    const mmb__index_header *header = mmb__index_header_of(memory);
    if (bytes < MMB_INDEX_HEADER || !is_of(header, identity) ||
        memcmp(header->boot, unnamed, 16) == 0 || memcmp(header->boot, identity->boot, 16) == 0) {
        return false;
    }
    const mmb__index_slot *slot = mmb__index_best_slot(header);
    return !fits(header, identity) || slot == NULL ||
           slot->synced < atomic_load_explicit(&header->committed, memory_order_relaxed);
}

/* ---- reading --------------------------------------------------------------------------- */

uint64_t mmb__index_nearest(const unsigned char *index, uint64_t number, uint64_t *left)
{
    const mmb__index_block *block = mmb__index_block_of(index, number);
    uint32_t at = (uint32_t)(number % MMB_INDEX_BLOCK);
    uint32_t first = at;
    while (at > 0 && block->delta[at] == MMB__FAR_AWAY) {
        at--;
    }
    *left = first - at;
    return block->base + (uint64_t)block->delta[at] * MMB_WORD;
}

bool mmb_index_check(const unsigned char *memory, uint64_t bytes, const mmb_log_identity *identity,
                     uint64_t *count, uint64_t *end)
{
    if (bytes < MMB_INDEX_HEADER || !fits(mmb__index_header_of(memory), identity)) {
        return false;
    }
    *count = atomic_load_explicit(&mmb__index_header_of(memory)->count, memory_order_acquire);
    if (*count > bytes || mmb_index_bytes(*count) > bytes) {
        return false;
    }
    uint64_t left;
    *end = mmb__index_nearest(memory, *count, &left);
    if (left != 0) { /* the entry holds no place so far away */
        /* Usually no message was published after this count, so its end is the committed end. */
        *end = atomic_load_explicit(&mmb__index_header_of(memory)->committed, memory_order_relaxed);
    }
    return *end <= identity->size;
}

/* ---- writing ----------------------------------------------------------------------------- */

void mmb__index_put(mmb__index_block *block, uint64_t number, uint64_t place)
{
    uint32_t at = (uint32_t)(number % MMB_INDEX_BLOCK);
    if (at == 0) {
        block->base = place;
    }
    uint64_t words = (place - block->base) / MMB_WORD;
    block->delta[at] = words < MMB__FAR_AWAY ? (uint32_t)words : MMB__FAR_AWAY;
}

void mmb_index_set_key(unsigned char *memory, const char *key)
{
    char *to = mmb__index_header_of(memory)->key;
    memset(to, 0, MMB_KEY_BYTES);
    for (size_t i = 0; key != NULL && key[i] != 0 && i < MMB_KEY_BYTES - 1; i++) {
        to[i] = key[i];
    }
}

void mmb_index_get_key(const unsigned char *memory, char *key)
{
    memcpy(key, mmb__index_header_of(memory)->key, MMB_KEY_BYTES);
    key[MMB_KEY_BYTES - 1] = 0;
}

void mmb_index_unsettle(unsigned char *memory, const mmb_log_identity *identity)
{
    mmb__index_header *header = mmb__index_header_of(memory);
    memcpy(header->boot, identity->boot, sizeof header->boot);
    atomic_store_explicit(&header->settled, 0, memory_order_release);
}

bool mmb_index_is_settled(const unsigned char *memory)
{
    return atomic_load_explicit(&mmb__index_header_of(memory)->settled, memory_order_acquire) == 1;
}

bool mmb_index_wait(unsigned char *memory, uint64_t count, uint64_t most)
{
    mmb__index_header *header = mmb__index_header_of(memory);
    uint32_t news = atomic_load_explicit(&header->news, memory_order_seq_cst);
    atomic_store_explicit(&header->awaited, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&header->count, memory_order_seq_cst) > count) {
        return true;
    }
    mmb__os_wait_for_word((const uint32_t *)&header->news, news, most);
    return atomic_load_explicit(&header->count, memory_order_seq_cst) > count;
}

void mmb_index_settle(unsigned char *memory, const mmb_log_identity *identity)
{
    mmb__index_header *header = mmb__index_header_of(memory);
    header->size = identity->size;
    header->mtime = identity->mtime;
    atomic_store_explicit(&header->settled, 1, memory_order_release);
}

/* ---- what is on the device ----------------------------------------------------------------- */

static uint64_t check_of_slot(const mmb__index_header *header, const mmb__index_slot *slot)
{
    const uint64_t parts[] = {slot->synced, slot->count, header->generation};
    return check_of(parts, sizeof parts / sizeof parts[0]);
}

static bool is_valid(const mmb__index_header *header, const mmb__index_slot *slot)
{
    return slot->synced != 0 && slot->check == check_of_slot(header, slot);
}

const mmb__index_slot *mmb__index_best_slot(const mmb__index_header *header)
{
    const mmb__index_slot *best = NULL;
    for (int i = 0; i < 2; i++) {
        const mmb__index_slot *slot = &header->slot[i];
        if (is_valid(header, slot) && (best == NULL || slot->count > best->count)) {
            best = slot;
        }
    }
    return best;
}

void mmb__index_put_slot(mmb__index_header *header, uint64_t count, uint64_t synced)
{
    mmb__index_slot *slot = &header->slot[mmb__index_best_slot(header) == &header->slot[0] ? 1 : 0];
    slot->check = 0;
    atomic_signal_fence(
        memory_order_seq_cst); /* the process may be killed between any two of these stores */
    slot->synced = synced;
    slot->count = count;
    atomic_signal_fence(memory_order_seq_cst);
    slot->check = check_of_slot(header, slot);
}

uint64_t mmb_index_get_synced(const unsigned char *memory)
{
    return atomic_load_explicit(&mmb__index_header_of(memory)->synced, memory_order_acquire);
}

void mmb__index_head(mmb__index_header *out, const mmb_log_identity *identity, uint64_t count,
                     uint64_t end)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (mmb__index_header){
        .device = identity->device,
        .inode = identity->inode,
        .generation = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
        .count = count,
        .committed = end,
    };
    memcpy(out->magic, magic, sizeof magic);
    out->check = check_of_header(out);
    mmb_index_settle((unsigned char *)out, identity);
}
