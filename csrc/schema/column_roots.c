/* column_roots.c - reads the roots of many messages into columns. See column_roots.h.
 *
 * Nearly all messages have one segment. Such messages are taken in batches, and the columns of a
 * batch are filled one after the other. A message of several segments is taken alone. */
#include "column_roots.h"

#include "column_add.h"

#include <string.h>

enum { BATCH = MMB__COLUMN_BATCH };

typedef struct {
    mmb_columns *columns;
    mmb_roots *roots;
    const mmb_plan *plan;
    mmb_reading reading;
    mmb_segment segments[MMB_MAX_SEGMENTS]; /* segments of the messages in the batch */
    uint64_t first;                         /* number of the first message */
    mmb__batch rows;
} gatherer;

static int note(gatherer *g, uint64_t number, int error)
{
    g->roots->bad = number;
    g->roots->flaw = g->reading.flaw;
    return error;
}

static int find_root(gatherer *g, uint32_t segment)
{
    mmb_record *root = &g->rows.records[segment];
    bool is_null;
    g->rows.there[segment] = true;
    if (mmb_read_plain_root(&g->segments[segment], root)) {
        root->segment = segment;
        return 0;
    }
    return mmb_read_struct(&g->reading, segment, 0, root, &is_null);
}

/* Append the roots in the batch. It has one message for each segment if `separate` is true, and
 * only one if not. */
static int add_batch(gatherer *g, uint32_t segments, bool separate)
{
    uint32_t messages = separate ? segments : 1;
    if (segments == 0) {
        return 0;
    }
    mmb_reading_go_on(&g->reading, g->segments, segments);
    g->reading.separate = separate;
    mmb_reading_use_defaults(&g->reading, g->plan);
    for (uint32_t i = 0; i < messages; i++) {
        int error = find_root(g, i);
        if (error != 0) {
            g->reading.flaw.segment = separate ? 0 : g->reading.flaw.segment;
            return note(g, g->first + i, error);
        }
    }
    g->rows.count = messages;
    int error = mmb_columns_add(&g->reading, g->plan, g->columns, &g->rows);
    if (error != 0) {
        bool known = separate && (g->reading.flaw.segment & MMB_DEFAULTS) == 0;
        uint64_t number = g->first + (known ? g->reading.flaw.segment : 0);
        g->reading.flaw.segment = separate ? 0 : g->reading.flaw.segment;
        return note(g, number, error);
    }
    g->first += messages;
    return 0;
}

/* Put a message with any table into the batch, or append it. */
static int add_any_message(gatherer *g, const unsigned char *frame, uint64_t left, uint32_t *filled,
                           uint64_t *bytes)
{
    mmb_segment segments[MMB_MAX_SEGMENTS];
    uint32_t count;
    const char *reason;
    int error = mmb_frame_segments(frame, left, segments, &count, bytes, &reason);
    if (error != 0 || count > 1 || *filled == BATCH) {
        int earlier = add_batch(g, *filled, true);
        *filled = 0;
        if (earlier != 0) {
            return earlier;
        }
    }
    if (error != 0) {
        mmb_reading_fail(&g->reading, 0, 0, reason);
        return note(g, g->first, error);
    }
    memcpy(g->segments + *filled, segments, count * sizeof *segments);
    if (count > 1) {
        return add_batch(g, count, false);
    }
    ++*filled;
    return 0;
}

/* Put the next message into the batch. `*filled` segments are taken already. */
static int add_message(gatherer *g, const unsigned char *frame, uint64_t left, uint32_t *filled,
                       uint64_t *bytes)
{
    uint64_t header = left >= MMB_WORD ? mmb__load64(frame) : 0, words = header >> 32;
    if ((uint32_t)header != 0 || words == 0 || words > MMB_MAX_SEGMENT_WORDS ||
        words > left / MMB_WORD - 1 || *filled == BATCH) {
        return add_any_message(g, frame, left, filled, bytes);
    }
    g->segments[(*filled)++] = (mmb_segment){.base = frame + MMB_WORD, .words = words};
    *bytes = (1 + words) * MMB_WORD;
    return 0;
}

int mmb_columns_read_roots(mmb_roots *roots, const mmb_plan *plan, mmb_columns *columns)
{
    gatherer g = {.columns = columns, .roots = roots, .plan = plan};
    mmb_reading_start(&g.reading, g.segments, 0, false);
    uint64_t place = 0;
    uint32_t filled = 0;
    int error = 0;
    for (uint64_t i = 0; error == 0 && i < roots->count; i++) {
        uint64_t bytes = 0;
        error = add_message(&g, roots->frames + place, roots->bytes - place, &filled, &bytes);
        place += bytes;
    }
    error = error != 0 ? error : add_batch(&g, filled, true);
    return error != 0 ? error : mmb_column_finish(&columns->table);
}
