/* finish.c - finishes a message by writes in a fixed order: first the sizes that lie behind its
 * first 16 bytes, then these 16 bytes. layout.h says why this is enough. */
#include "finish.h"

#include "layout.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>

/* Bytes; a hole for a shorter tail is not worth its system call. */
#define WORTH_A_HOLE ((uint64_t)64 << 10)

/* ---- what is written ----------------------------------------------------------------- */

/* Return how many words that were set aside belong to segment 0 if the table has one entry. */
static uint32_t skipped_words(const mmb__outcome *outcome)
{
    return (uint32_t)(mmb__set_aside(outcome->entries) / MMB_WORD) - 1;
}

static bool has_one_entry(const mmb__outcome *outcome)
{
    return outcome->count == 1 && !outcome->has_far_pointers &&
           outcome->words[0] <= MMB_MAX_SEGMENT_WORDS - skipped_words(outcome);
}

uint32_t mmb__outcome_entries(const mmb__outcome *outcome)
{
    if (has_one_entry(outcome)) {
        return 1;
    }
    /* Two words are set aside even for one entry. */
    return outcome->entries < 2 ? 2 : outcome->entries;
}

uint32_t mmb__outcome_segments(const mmb__outcome *outcome)
{
    uint32_t segments = 0;
    for (uint32_t i = 0; i < outcome->count; i++) {
        segments += outcome->words[i] > 0 ? 1 : 0;
    }
    return segments;
}

uint64_t mmb__outcome_bytes(const mmb__outcome *outcome)
{
    uint64_t bytes = mmb__set_aside(outcome->entries);
    for (uint32_t i = 0; i < outcome->count; i++) {
        bytes += (uint64_t)outcome->words[i] * MMB_WORD;
    }
    return bytes;
}

/* Encode the whole finished table, padding included: at most MMB_HEAD_BYTES. */
static void encode_table(const mmb__outcome *outcome, uint64_t root, unsigned char *table)
{
    if (has_one_entry(outcome)) {
        mmb__store32(table, 0);
        mmb__store32(table + 4, skipped_words(outcome) + outcome->words[0]);
        mmb__store64(table + 8, mmb__root_moved(root, skipped_words(outcome)));
        return;
    }
    mmb__table_encode(table, mmb__outcome_entries(outcome), outcome->words, outcome->count);
}

/* ---- writing it ------------------------------------------------------------------------ */

static int wait_for_device(const mmb__message_file *file)
{
    if (!file->durable) {
        return 0;
    }
    if (file->map != NULL) {
        return mmb_map_flush(file->map, true);
    }
    return mmb__os_datasync(file->fd);
}

/* Write `length` bytes of the message, `from` bytes behind its start. */
static int put(const mmb__message_file *file, const unsigned char *bytes, uint64_t length,
               uint64_t from)
{
    uint64_t place = file->offset + from;
    return file->map != NULL
               ? mmb_map_put(file->map, place, bytes, length)
               : mmb__os_write_all(file->fd, false, bytes, (size_t)length, place, NULL);
}

/* Write the first 16 bytes. If they lie in two sectors, a power cut could leave only one of the two
 * words new. So the second word goes first, and only the first word makes the message valid. */
static int put_head(const mmb__message_file *file, const unsigned char *head)
{
    if (!mmb__head_is_split(file->offset)) {
        return put(file, head, MMB__HEAD, 0);
    }
    int error = put(file, head + MMB_WORD, MMB_WORD, MMB_WORD);
    if (error == 0) {
        error = wait_for_device(file);
    }
    return error != 0 ? error : put(file, head, MMB_WORD, 0);
}

/* Write the head: with this last write the message becomes valid. If the device fails to take
 * it, put the mark back, since the caller reports a failure then. */
static int publish(const mmb__message_file *file, const unsigned char *head)
{
    unsigned char before[MMB__HEAD];
    size_t got = 0;
    if (!file->durable) {
        return put_head(file, head);
    }
    int error = mmb__os_read_all(file->fd, before, sizeof before, file->offset, &got);
    if (error != 0 || got != sizeof before) {
        return error != 0 ? error : EIO;
    }
    error = put_head(file, head);
    if (error == 0) {
        error = wait_for_device(file);
    }
    if (error != 0) {
        (void)put(file, before, sizeof before, 0);
    }
    return error;
}

static int read_root(const mmb__message_file *file, const mmb__outcome *outcome, uint64_t *root)
{
    unsigned char bytes[MMB_WORD] = {0};
    size_t got = 0;
    int error = 0;
    if (!outcome->null_root) {
        error = mmb__os_read_all(file->fd, bytes, sizeof bytes,
                                 file->offset + mmb__set_aside(outcome->entries), &got);
    }
    *root = mmb__load64(bytes);
    return error;
}

int mmb__finish(const mmb__message_file *file, const mmb__outcome *outcome)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t root;
    int error = read_root(file, outcome, &root);
    if (error != 0) {
        return error;
    }
    encode_table(outcome, root, table);
    uint64_t bytes = mmb_table_bytes(mmb__outcome_entries(outcome));
    if (bytes > MMB__HEAD) {
        error = put(file, table + MMB__HEAD, bytes - MMB__HEAD, MMB__HEAD);
    }
    if (error == 0) {
        error = wait_for_device(file);
    }
    return error != 0 ? error : publish(file, table);
}

/* ---- the message of a map ---------------------------------------------------------------- */

/* Decide what to write. Return false if a used size is larger than the full size. */
static bool make_outcome(mmb__outcome *outcome, const mmb_building *b, const uint32_t *used_words,
                         bool has_far_pointers)
{
    outcome->entries = b->entries;
    outcome->count = 1; /* segment 0 always counts, since it holds the root pointer */
    outcome->has_far_pointers = has_far_pointers;
    outcome->null_root = b->count == 0 || used_words[0] == 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (used_words[i] > b->full[i]) {
            return false;
        }
        outcome->words[i] = b->full[i];
        if (used_words[i] > 0) {
            outcome->count = i + 1;
        }
    }
    uint32_t last = outcome->count - 1;
    outcome->words[last] = b->count > 0 && used_words[last] > 0 ? used_words[last] : 1;
    return true;
}

/* Turn the unused tails of all segments but the last into holes, where the file system can. */
static void give_tails_back(const mmb_building *b, const mmb__outcome *outcome,
                            const uint32_t *used_words)
{
    for (uint32_t i = 0; i + 1 < outcome->count; i++) {
        uint64_t length = (uint64_t)(outcome->words[i] - used_words[i]) * MMB_WORD;
        if (length >= WORTH_A_HOLE) {
            uint64_t used = (uint64_t)used_words[i] * MMB_WORD;
            (void)mmb_map_make_hole(b->region.map, mmb_message_start(b, i) + used, length);
        }
    }
}

static int finish_as(const mmb_building *b, const mmb__outcome *outcome, const uint32_t *used_words,
                     bool durable, uint64_t *bytes)
{
    mmb_map *map = b->region.map;
    mmb__message_file file = {map, mmb_map_fd(map), b->region.offset, durable};
    unsigned char before[MMB__HEAD];
    size_t got = 0;
    int error = mmb_map_poison(map);
    if (error == 0) {
        mmb_map_note_loss_at(map, UINT64_MAX, 0); /* from now on the head is no loss record */
        error = mmb__os_read_all(file.fd, before, sizeof before, file.offset, &got);
    }
    if (error == 0) {
        give_tails_back(b, outcome, used_words);
        error = mmb__finish(&file, outcome);
    }
    /* While the map is open, others store into it, and such a store may have been lost in the
     * message. */
    if (error == 0 && mmb_map_lost_from(map) < file.offset + mmb__outcome_bytes(outcome)) {
        (void)put(&file, before, got, 0);
        mmb_map_note_loss_at(map, file.offset, mmb__load64(before));
        error = mmb_map_poison(map) != 0 ? mmb_map_poison(map) : EIO;
    }
    if (error == 0 && bytes != NULL) {
        *bytes = mmb__outcome_bytes(outcome);
    }
    return error;
}

int mmb_message_finish(const mmb_building *b, const uint32_t *used_words, bool has_far_pointers,
                       bool durable, uint64_t *bytes)
{
    mmb__outcome outcome;
    if (!mmb_map_is_owner(b->region.map)) {
        return EPERM;
    }
    if (!make_outcome(&outcome, b, used_words, has_far_pointers)) {
        return EINVAL;
    }
    return finish_as(b, &outcome, used_words, durable, bytes);
}

int mmb_message_finish_file(const mmb_building *b, const uint32_t *used_words,
                            bool has_far_pointers, bool durable, uint64_t *bytes)
{
    mmb_map *map = b->region.map;
    mmb__outcome outcome;
    if (!mmb_map_is_owner(map)) {
        return EPERM;
    }
    if (!make_outcome(&outcome, b, used_words, has_far_pointers)) {
        return EINVAL;
    }
    mmb_map_seal(map);
    int error = mmb_map_poison(map);
    if (error == 0) {
        error = mmb_map_cut(map, b->region.offset + mmb__outcome_bytes(&outcome));
    }
    return error != 0 ? error : finish_as(b, &outcome, used_words, durable, bytes);
}
