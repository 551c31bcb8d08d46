/* roots.c - reads one field of the roots of many messages. See roots.h. */
#include "roots.h"

#include <errno.h>

/* A *visitor* goes from message to message. It is large, since any message may have many
 * segments. */
typedef struct {
    mmb_roots *roots;
    uint64_t place; /* offset of the next frame in bytes */
    uint64_t number;
    mmb_segment segments[MMB_MAX_SEGMENTS];
    mmb_reading reading;
    const mmb_plan *plan;
} visitor;

int mmb_frame_segments(const unsigned char *frames, uint64_t left, mmb_segment *segments,
                       uint32_t *count, uint64_t *bytes, const char **reason)
{
    *reason = "the messages end too early";
    if (left == 0 || mmb_frame_measure(frames, left, bytes, reason) != 0 || *bytes > left) {
        return MMB_EMESSAGE;
    }
    *count = mmb__load32(frames) + 1;
    const unsigned char *start = frames + mmb_table_bytes(*count);
    for (uint32_t i = 0; i < *count; i++) {
        uint32_t words = mmb__load32(frames + 4 + (size_t)i * 4);
        segments[i] = (mmb_segment){.base = start, .words = words};
        start += (uint64_t)words * MMB_WORD;
    }
    return 0;
}

/* Find the segments of the frame at v->place. */
static int next_segments(visitor *v)
{
    uint64_t size;
    uint32_t count;
    const char *reason;
    if (mmb_frame_segments(v->roots->frames + v->place, v->roots->bytes - v->place, v->segments,
                           &count, &size, &reason) != 0) {
        return mmb_reading_fail(&v->reading, 0, 0, reason);
    }
    v->place += size;
    mmb_reading_start(&v->reading, v->segments, count, false);
    mmb_reading_use_defaults(&v->reading, v->plan);
    return 0;
}

/* Find the root of the next message. */
static int next_root(visitor *v, mmb_record *out)
{
    bool is_null;
    int error = next_segments(v);
    if (error != 0 || mmb_read_plain_root(&v->segments[0], out)) {
        return error;
    }
    return mmb_read_struct(&v->reading, 0, 0, out, &is_null);
}

static const mmb_plan_struct *struct_of(const mmb_plan *plan, uint32_t type)
{
    return &plan->structs[plan->types[type].refers_to];
}

/* Go along the way to the struct that has the value. `*present` becomes false if the way is cut
 * off; then the record is empty, or belongs to another member of a union. */
static int go(visitor *v, const mmb_way *way, mmb_record *record, bool *present)
{
    const mmb_plan *plan = way->plan;
    const mmb_plan_struct *around = struct_of(plan, 0);
    uint32_t steps = way->tag ? way->length : way->length - 1;
    *present = true;
    for (uint32_t i = 0; i < way->length; i++) {
        const mmb_plan_field *field = &plan->fields[way->fields[i]];
        bool is_null = false;
        uint64_t word;
        if (field->tag != MMB_NONE && mmb_record_tag(record, around) != field->tag) {
            *present = false;
            return 0;
        }
        if (i == steps) {
            return 0;
        }
        around = struct_of(plan, field->type);
        if (plan->types[field->type].kind == MMB_GROUP) {
            continue;
        }
        bool there = mmb_record_pointer(record, field->offset, &word);
        uint32_t segment = record->segment;
        if (!mmb_read_default(&v->reading, field, there, &segment, &word)) {
            *record = (mmb_record){0};
            *present = false;
            return 0;
        }
        int error = mmb_read_struct(&v->reading, segment, word, record, &is_null);
        if (error != 0 || is_null) {
            *present = false;
            return error;
        }
    }
    return 0;
}

/* The end of a way: where the bits of its value are. */
typedef struct {
    uint64_t offset;
    uint64_t xor_default; /* the bits are XORed with these */
    uint32_t bits;
} slot;

static slot slot_of(const mmb_way *way)
{
    const mmb_plan *plan = way->plan;
    if (way->tag) {
        uint32_t type = way->length == 0 ? 0 : plan->fields[way->fields[way->length - 1]].type;
        return (slot){.offset = struct_of(plan, type)->tag_offset, .bits = 16};
    }
    const mmb_plan_field *field = &plan->fields[way->fields[way->length - 1]];
    return (slot){.offset = field->offset,
                  .xor_default = field->default_bits,
                  .bits = mmb_kind_bits(plan->types[field->type].kind)};
}

static int note_error(visitor *v, int error)
{
    v->roots->bad = v->number;
    v->roots->flaw = v->reading.flaw;
    return error;
}

int mmb_roots_numbers(mmb_roots *roots, const mmb_way *way, uint32_t bytes, unsigned char *values,
                      unsigned char *present)
{
    const slot where = slot_of(way);
    visitor v = {.roots = roots, .plan = way->plan};
    for (; v.number < roots->count; v.number++) {
        mmb_record record;
        bool there = false;
        int error = next_root(&v, &record);
        error = error != 0 ? error : go(&v, way, &record, &there);
        if (error != 0) {
            return note_error(&v, error);
        }
        uint64_t bits = there ? mmb_record_bits(&record, where.offset, where.bits) : 0;
        mmb_store_native(values + v.number * bytes, bits ^ where.xor_default, bytes);
        if (present != NULL) {
            present[v.number] = there;
        }
    }
    return 0;
}

/* Find the string of the next message. `*start` becomes NULL if there is none. */
static int next_string(visitor *v, const mmb_way *way, const unsigned char **start,
                       uint64_t *length)
{
    const mmb_plan_field *field = &way->plan->fields[way->fields[way->length - 1]];
    bool text = way->plan->types[field->type].kind == MMB_TEXT;
    mmb_record record;
    uint64_t word;
    bool present = false;
    *start = NULL;
    *length = 0;
    int error = next_root(v, &record);
    error = error != 0 ? error : go(v, way, &record, &present);
    if (error == 0 && present && mmb_record_pointer(&record, field->offset, &word)) {
        error = mmb_read_bytes(&v->reading, record.segment, word, text, start, length);
    }
    return error;
}

int mmb_roots_strings(mmb_roots *roots, const mmb_way *way, mmb_take_string *take, void *context)
{
    visitor v = {.roots = roots, .plan = way->plan};
    for (; v.number < roots->count; v.number++) {
        const unsigned char *start;
        uint64_t length;
        int error = next_string(&v, way, &start, &length);
        if (error != 0) {
            return note_error(&v, error);
        }
        if (!take(context, v.number, start, length)) {
            return ECANCELED;
        }
    }
    return 0;
}
