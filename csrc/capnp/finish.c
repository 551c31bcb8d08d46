/* finish.c - the order of writes that turns an unfinished file into a message.
 *
 * Each step is a single write or truncation after which mmb_recover still knows all
 * sizes (layout.h has the states), and with which no reader accepts the file before
 * the last. A durable finish waits for the device between any two steps of which
 * the order matters. */
#include "finish.h"

#include "collapse.h"
#include "source.h"

#include "os/os.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* ---- steps -------------------------------------------------------------------- */

static int cut(const mmb__target *target, uint64_t size)
{
    if (target->map != NULL) {
        return mmb_map_cut(target->map, size);
    }
    return mmb__os_truncate(target->fd, size);
}

static int sync_step(const mmb__target *target)
{
    if (!target->durable) {
        return 0;
    }
    if (target->map != NULL) {
        return mmb_map_flush(target->map, true);
    }
    return mmb__os_datasync(target->fd);
}

/* Within a page, as all our writes to the table are, the kernel is not interrupted
 * half-way by a signal. */
static int put(const mmb__target *target, const void *bytes, uint64_t length, uint64_t offset)
{
    return mmb__os_write_all(target->fd, bytes, (size_t)length, offset, NULL);
}

/* The last write: from now on the file is a message. If it cannot be made durable
 * the mark comes back, for the caller is going to report a failure. */
static int publish(const mmb__target *target, const unsigned char *table, uint64_t table_bytes)
{
    uint64_t length = table_bytes < MMB__PUBLISH_BYTES ? table_bytes : MMB__PUBLISH_BYTES;
    unsigned char before[MMB__PUBLISH_BYTES];
    size_t got;

    int error = mmb__os_read_all(target->fd, before, (size_t)length, 0, &got);
    if (error != 0 || got != length) {
        return error != 0 ? error : EIO;
    }
    error = put(target, table, length, 0);
    if (error == 0) {
        error = sync_step(target);
    }
    if (error != 0) {
        (void)put(target, before, length, 0);
    }
    return error;
}

/* True if the slots that the last write does not cover are right already. */
static bool rest_is_right(const mmb__target *target, const unsigned char *table, uint64_t bytes)
{
    unsigned char present[MMB_HEAD_BYTES];
    size_t got;
    if (bytes <= MMB__PUBLISH_BYTES) {
        return true;
    }
    size_t rest = (size_t)bytes - MMB__PUBLISH_BYTES;
    return mmb__os_read_all(target->fd, present, rest, MMB__PUBLISH_BYTES, &got) == 0 &&
           got == rest && memcmp(present, table + MMB__PUBLISH_BYTES, rest) == 0;
}

/* ---- the two ways ---------------------------------------------------------------- */

/* building -> planned */
static int write_plan(const mmb__target *target, const mmb__plan *plan)
{
    unsigned char journal[MMB__JOURNAL_ROOM];
    unsigned char slot[4];
    uint64_t bytes = mmb__journal_bytes(plan->entries);
    uint64_t end = mmb__plan_end(plan, plan->before);

    mmb__journal_encode(journal, plan);
    int error = cut(target, end + bytes);
    if (error == 0) {
        error = put(target, journal, bytes, end);
    }
    if (error == 0) {
        mmb__store32(slot, plan->before[0] << 3 | MMB__PLANNED);
        error = put(target, slot, sizeof slot, mmb__slot_place(2));
    }
    return error != 0 ? error : sync_step(target);
}

/* planned -> staged */
static int write_stage(const mmb__target *target, const mmb__plan *plan)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t bytes = mmb_table_bytes(plan->entries);
    uint64_t from = mmb__slot_place(2);

    mmb__table_encode(table, plan->entries, plan->after, plan->count);
    mmb__store32(table + from, plan->after[0] << 3 | MMB__PLANNED);
    mmb__store32(table + mmb__slot_place(3), (plan->count > 1 ? plan->after[1] : 0) | MMB__STAGED);
    int error = put(target, table + from, bytes - from, from);
    return error != 0 ? error : sync_step(target);
}

/* staged or building, with the rest of the table right -> finished */
int mmb__finish_staged(const mmb__target *target, const mmb__plan *plan)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t bytes = mmb_table_bytes(plan->entries);

    mmb__table_encode(table, plan->entries, plan->after, plan->count);
    int error = cut(target, mmb__plan_end(plan, plan->after));
    if (error == 0) {
        error = sync_step(target);
    }
    return error != 0 ? error : publish(target, table, bytes);
}

int mmb__finish(const mmb__target *target, mmb__plan *plan, bool is_planned)
{
    unsigned char table[MMB_HEAD_BYTES];
    uint64_t bytes = mmb_table_bytes(plan->entries);
    bool collapses = memcmp(plan->before, plan->after, plan->count * sizeof *plan->after) != 0;
    int error = 0;

    if (target->null_root) {
        static const unsigned char null_pointer[MMB_WORD];
        error = put(target, null_pointer, MMB_WORD, bytes);
        if (error != 0) {
            return error;
        }
    }
    mmb__table_encode(table, plan->entries, plan->after, plan->count);
    if (!is_planned && !collapses && rest_is_right(target, table, bytes)) {
        return mmb__finish_staged(target, plan);
    }
    if (!is_planned) {
        error = write_plan(target, plan);
        if (error == 0 && target->map != NULL && collapses) {
            error = mmb__collapse_run(target->map, plan);
        }
    }
    if (error == 0) {
        error = write_stage(target, plan);
    }
    return error != 0 ? error : mmb__finish_staged(target, plan);
}

/* ---- the message of a map ---------------------------------------------------------- */

/* Lay out the segments; false if the sizes contradict each other. */
static bool make_plan(mmb__plan *plan, uint32_t entries, const uint32_t *full_words,
                      const uint32_t *used_words, uint32_t count)
{
    plan->entries = entries;
    plan->count = 1; /* the root pointer's segment is there in any case */
    if (entries == 0 || entries > MMB_MAX_SEGMENTS || count > entries) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (full_words[i] == 0 || full_words[i] > MMB_MAX_SEGMENT_WORDS ||
            used_words[i] > full_words[i]) {
            return false;
        }
        plan->before[i] = full_words[i];
        if (used_words[i] > 0) {
            plan->count = i + 1;
        }
    }
    uint32_t last = plan->count - 1;
    plan->before[last] = count > 0 && used_words[last] > 0 ? used_words[last] : 1;
    memcpy(plan->after, plan->before, plan->count * sizeof *plan->after);
    return true;
}

/* MMB_ETRUNCATED if the file of a sealed map has been cut by someone else. */
static int check_length(const mmb_map *map)
{
    mmb_stats stats;
    struct stat now;
    mmb_map_get_stats(map, &stats);
    if (fstat(mmb_map_fd(map), &now) != 0) {
        return errno;
    }
    return (uint64_t)now.st_size < stats.backed ? MMB_ETRUNCATED : 0;
}

int mmb_message_finish(mmb_map *map, uint32_t entries, const uint32_t *full_words,
                       const uint32_t *used_words, uint32_t count, bool durable,
                       uint64_t *file_bytes)
{
    mmb__plan plan;
    if (!mmb_map_is_owner(map)) {
        return EPERM;
    }
    if (!make_plan(&plan, entries, full_words, used_words, count)) {
        return EINVAL;
    }
    mmb_map_seal(map);
    int error = mmb_map_poison(map);
    if (error == 0) {
        error = check_length(map);
    }
    if (error != 0) {
        return error;
    }
    if (!durable && count > 1) {
        mmb__collapse_plan(map, &plan, used_words);
    }
    mmb__target target = {map, mmb_map_fd(map), durable, count == 0};
    error = mmb__finish(&target, &plan, false);
    if (error == 0 && file_bytes != NULL) {
        *file_bytes = mmb__plan_end(&plan, plan.after);
    }
    return error;
}
