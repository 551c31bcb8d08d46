/* journal.c - the journal of finishing as bytes, and how far it was followed. */
#include "journal.h"

#define MAGIC 0x316E616C50626D6Du /* "mmbPlan1" */

uint64_t mmb__journal_bytes(uint32_t entries)
{
    return 24 + (uint64_t)entries * 8;
}

/* FNV-1a: the checksum is against bytes that never reached the disk, not against
 * someone who means harm, from whom the walk protects. */
static uint64_t checksum(const unsigned char *bytes, uint64_t length)
{
    uint64_t sum = 0xCBF29CE484222325u;
    for (uint64_t i = 0; i < length; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001B3u;
    }
    return sum;
}

void mmb__journal_encode(unsigned char *to, const mmb__plan *plan)
{
    mmb__store64(to, MAGIC);
    mmb__store32(to + 8, plan->entries);
    mmb__store32(to + 12, plan->count);
    for (uint32_t i = 0; i < plan->entries; i++) {
        mmb__store32(to + 16 + i * 8, i < plan->count ? plan->before[i] : 0);
        mmb__store32(to + 20 + i * 8, i < plan->count ? plan->after[i] : 0);
    }
    uint64_t length = mmb__journal_bytes(plan->entries) - 8;
    mmb__store64(to + length, checksum(to, length));
}

bool mmb__journal_decode(const unsigned char *from, uint32_t entries, mmb__plan *plan)
{
    uint64_t length = mmb__journal_bytes(entries) - 8;
    if (mmb__load64(from) != MAGIC || mmb__load32(from + 8) != entries ||
        mmb__load64(from + length) != checksum(from, length)) {
        return false;
    }
    plan->entries = entries;
    plan->count = mmb__load32(from + 12);
    if (plan->count == 0 || plan->count > entries) {
        return false;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        plan->before[i] = mmb__load32(from + 16 + i * 8);
        plan->after[i] = mmb__load32(from + 20 + i * 8);
        if (plan->before[i] > MMB_MAX_SEGMENT_WORDS || plan->after[i] > plan->before[i]) {
            return false;
        }
    }
    return plan->after[0] != 0 && plan->after[plan->count - 1] == plan->before[plan->count - 1];
}

uint64_t mmb__plan_end(const mmb__plan *plan, const uint32_t *words)
{
    uint64_t end = mmb_table_bytes(plan->entries);
    for (uint32_t i = 0; i < plan->count; i++) {
        end += (uint64_t)words[i] * MMB_WORD;
    }
    return end;
}

bool mmb__plan_reached(mmb__plan *plan, uint64_t file_bytes)
{
    uint64_t end = mmb__plan_end(plan, plan->before);
    uint32_t collapsed = plan->count; /* from this one on */
    while (end > file_bytes && collapsed > 0) {
        collapsed--;
        end -= (uint64_t)(plan->before[collapsed] - plan->after[collapsed]) * MMB_WORD;
    }
    for (uint32_t i = 0; i < collapsed; i++) {
        plan->after[i] = plan->before[i];
    }
    return end == file_bytes;
}
