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
static uint32_t skipped_words(const mmb__plan *plan)
{
    return (uint32_t)(mmb__set_aside(plan->entries) / MMB_WORD) - 1;
}

static bool has_one_entry(const mmb__plan *plan)
{
    return plan->count == 1 && !plan->has_far_pointers &&
           plan->words[0] <= MMB_MAX_SEGMENT_WORDS - skipped_words(plan);
}

uint32_t mmb__plan_entries(const mmb__plan *plan)
{
    if (has_one_entry(plan)) {
        return 1;
    }
    return plan->entries < 2 ? 2 : plan->entries; /* two words are set aside even for one entry */
}

uint32_t mmb__plan_segments(const mmb__plan *plan)
{
    uint32_t segments = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        segments += plan->words[i] > 0 ? 1 : 0;
    }
    return segments;
}

uint64_t mmb__plan_bytes(const mmb__plan *plan)
{
    uint64_t bytes = mmb__set_aside(plan->entries);
    for (uint32_t i = 0; i < plan->count; i++) {
        bytes += (uint64_t)plan->words[i] * MMB_WORD;
    }
    return bytes;
}

/* Encode the whole finished table, padding included: at most MMB_HEAD_BYTES. */
static void encode_table(const mmb__plan *plan, uint64_t root, unsigned char *table)
{
    if (has_one_entry(plan)) {
        mmb__store32(table, 0);
        mmb__store32(table + 4, skipped_words(plan) + plan->words[0]);
        mmb__store64(table + 8, mmb__root_moved(root, skipped_words(plan)));
        return;
    }
    mmb__table_encode(table, mmb__plan_entries(plan), plan->words, plan->count);
}

/* ---- writing it ------------------------------------------------------------------------ */

static int wait_for_device(const mmb__target *target)
{
    if (!target->durable) {
        return 0;
    }
    if (target->map != NULL) {
        return mmb_map_flush(target->map, true);
    }
    return mmb__os_datasync(target->fd);
}

/* Write `length` bytes of the message, `from` bytes behind its start. */
static int put(const mmb__target *target, const unsigned char *bytes, uint64_t length,
               uint64_t from)
{
    uint64_t place = target->offset + from;
    return target->map != NULL
               ? mmb_map_put(target->map, place, bytes, length)
               : mmb__os_write_all(target->fd, false, bytes, (size_t)length, place, NULL);
}

/* Write the first 16 bytes. If they lie in two sectors, a power cut could leave only one of the two
 * words new. So the second word goes first, and only the first word makes the message valid. */
static int put_head(const mmb__target *target, const unsigned char *head)
{
    if (!mmb__head_is_split(target->offset)) {
        return put(target, head, MMB__HEAD, 0);
    }
    int error = put(target, head + MMB_WORD, MMB_WORD, MMB_WORD);
    if (error == 0) {
        error = wait_for_device(target);
    }
    return error != 0 ? error : put(target, head, MMB_WORD, 0);
}

/* Write the head: with this last write the message becomes valid. If the device fails to take
 * it, put the mark back, since the caller reports a failure then. */
static int publish(const mmb__target *target, const unsigned char *head)
{
    unsigned char before[MMB__HEAD];
    size_t got = 0;
    if (!target->durable) {
        return put_head(target, head);
    }
    int error = mmb__os_read_all(target->fd, before, sizeof before, target->offset, &got);
    if (error != 0 || got != sizeof before) {
        return error != 0 ? error : EIO;
    }
    error = put_head(target, head);
    if (error == 0) {
        error = wait_for_device(target);
    }
    if (error != 0) {
        (void)put(target, before, sizeof before, 0);
    }
    return error;
}

static int read_root(const mmb__target *target, const mmb__plan *plan, uint64_t *root)
{
    unsigned char bytes[MMB_WORD] = {0};
    size_t got = 0;
    int error = 0;
    if (!plan->null_root) {
        error = mmb__os_read_all(target->fd, bytes, sizeof bytes,
                                 target->offset + mmb__set_aside(plan->entries), &got);
    }
    *root = mmb__load64(bytes);
    return error;
}

int mmb__finish(const mmb__target *target, const mmb__plan *plan)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t root;
    int error = read_root(target, plan, &root);
    if (error != 0) {
        return error;
    }
    encode_table(plan, root, table);
    uint64_t bytes = mmb_table_bytes(mmb__plan_entries(plan));
    if (bytes > MMB__HEAD) {
        error = put(target, table + MMB__HEAD, bytes - MMB__HEAD, MMB__HEAD);
    }
    if (error == 0) {
        error = wait_for_device(target);
    }
    return error != 0 ? error : publish(target, table);
}

/* ---- the message of a map ---------------------------------------------------------------- */

/* Decide what to write. Return false if a used size is larger than the full size. */
static bool make_plan(mmb__plan *plan, const mmb_building *b, const uint32_t *used_words,
                      bool has_far_pointers)
{
    plan->entries = b->entries;
    plan->count = 1; /* segment 0 always counts, since it holds the root pointer */
    plan->has_far_pointers = has_far_pointers;
    plan->null_root = b->count == 0 || used_words[0] == 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (used_words[i] > b->full[i]) {
            return false;
        }
        plan->words[i] = b->full[i];
        if (used_words[i] > 0) {
            plan->count = i + 1;
        }
    }
    uint32_t last = plan->count - 1;
    plan->words[last] = b->count > 0 && used_words[last] > 0 ? used_words[last] : 1;
    return true;
}

/* Turn the unused tails of all segments but the last into holes, where the file system can. */
static void give_tails_back(const mmb_building *b, const mmb__plan *plan,
                            const uint32_t *used_words)
{
    for (uint32_t i = 0; i + 1 < plan->count; i++) {
        uint64_t length = (uint64_t)(plan->words[i] - used_words[i]) * MMB_WORD;
        if (length >= WORTH_A_HOLE) {
            uint64_t used = (uint64_t)used_words[i] * MMB_WORD;
            (void)mmb_map_make_hole(b->region.map, mmb_message_start(b, i) + used, length);
        }
    }
}

static int finish_planned(const mmb_building *b, const mmb__plan *plan, const uint32_t *used_words,
                          bool durable, uint64_t *bytes)
{
    mmb_map *map = b->region.map;
    mmb__target target = {map, mmb_map_fd(map), b->region.offset, durable};
    unsigned char before[MMB__HEAD];
    size_t got = 0;
    int error = mmb_map_poison(map);
    if (error == 0) {
        mmb_map_note_loss_at(map, UINT64_MAX, 0); /* from now on the head is no loss record */
        error = mmb__os_read_all(target.fd, before, sizeof before, target.offset, &got);
    }
    if (error == 0) {
        give_tails_back(b, plan, used_words);
        error = mmb__finish(&target, plan);
    }
    /* While the map is open, others store into it, and such a store may have been lost in the
     * message. */
    if (error == 0 && mmb_map_lost_from(map) < target.offset + mmb__plan_bytes(plan)) {
        (void)put(&target, before, got, 0);
        mmb_map_note_loss_at(map, target.offset, mmb__load64(before));
        error = mmb_map_poison(map) != 0 ? mmb_map_poison(map) : EIO;
    }
    if (error == 0 && bytes != NULL) {
        *bytes = mmb__plan_bytes(plan);
    }
    return error;
}

int mmb_message_finish(const mmb_building *b, const uint32_t *used_words, bool has_far_pointers,
                       bool durable, uint64_t *bytes)
{
    mmb__plan plan;
    if (!mmb_map_is_owner(b->region.map)) {
        return EPERM;
    }
    if (!make_plan(&plan, b, used_words, has_far_pointers)) {
        return EINVAL;
    }
    return finish_planned(b, &plan, used_words, durable, bytes);
}

int mmb_message_finish_file(const mmb_building *b, const uint32_t *used_words,
                            bool has_far_pointers, bool durable, uint64_t *bytes)
{
    mmb_map *map = b->region.map;
    mmb__plan plan;
    if (!mmb_map_is_owner(map)) {
        return EPERM;
    }
    if (!make_plan(&plan, b, used_words, has_far_pointers)) {
        return EINVAL;
    }
    mmb_map_seal(map);
    int error = mmb_map_poison(map);
    if (error == 0) {
        error = mmb_map_cut(map, b->region.offset + mmb__plan_bytes(&plan));
    }
    return error != 0 ? error : finish_planned(b, &plan, used_words, durable, bytes);
}
