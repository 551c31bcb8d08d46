/* collapse.c - which tails of segments to take out of a file, and doing it.
 *
 * A segment is followed by the next where its full size ends, so a large object that
 * did not fit leaves up to 4 GiB of nothing in between. On disk that is a hole, but
 * the length of the file shows it, and copying the file may fill it. Some file
 * systems can take blocks out of a file; what follows moves down. */
#include "collapse.h"

#include <errno.h>

/* Before it moves anything the file system writes back all dirty pages that follow,
 * and drops them from the cache: a tail must be this part of what follows at least. */
#define WORTH_PART 64u

/* End of the blocks that can be taken away before the end of segment `index`. */
static uint64_t high_of(const mmb__plan *plan, uint32_t index, uint64_t unit)
{
    uint64_t end = mmb_table_bytes(plan->entries);
    for (uint32_t i = 0; i <= index; i++) {
        end += (uint64_t)plan->before[i] * MMB_WORD;
    }
    return end / unit * unit;
}

void mmb__collapse_plan(const mmb_map *map, mmb__plan *plan, const uint32_t *used_words)
{
    uint64_t unit = mmb_map_collapse_unit(map);
    uint64_t file_end = mmb__plan_end(plan, plan->before);
    uint64_t start = mmb_table_bytes(plan->entries);

    if (unit == 0 || unit % MMB_WORD != 0) {
        return;
    }
    for (uint32_t i = 0; i + 1 < plan->count; i++) {
        uint64_t used_end = start + (uint64_t)used_words[i] * MMB_WORD;
        uint64_t low = (used_end + unit - 1) / unit * unit;
        start += (uint64_t)plan->before[i] * MMB_WORD;
        uint64_t high = start / unit * unit;
        if (high > low && high - low >= (file_end - high) / WORTH_PART) {
            plan->after[i] -= (uint32_t)((high - low) / MMB_WORD);
        }
    }
}

/* Errors that say "not here" and leave the file as it was. */
static bool is_refusal(int error)
{
    return error == EOPNOTSUPP || error == EINVAL || error == ENOSYS || error == ENOSPC;
}

int mmb__collapse_run(mmb_map *map, mmb__plan *plan)
{
    uint64_t unit = mmb_map_collapse_unit(map);
    bool refused = false;

    for (uint32_t i = plan->count; i-- > 0;) {
        if (refused) { /* the journal allows for no gaps in the order */
            plan->after[i] = plan->before[i];
            continue;
        }
        if (plan->after[i] == plan->before[i]) {
            continue;
        }
        uint64_t length = (uint64_t)(plan->before[i] - plan->after[i]) * MMB_WORD;
        int error = mmb_map_collapse(map, high_of(plan, i, unit) - length, length);
        if (error != 0 && !is_refusal(error)) {
            return error;
        }
        if (error != 0) {
            refused = true;
            plan->after[i] = plan->before[i];
        }
    }
    return 0;
}
