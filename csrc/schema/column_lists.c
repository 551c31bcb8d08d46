/* column_lists.c - appends the strings or lists of a batch of structs together. See column_add.h.
 *
 * First all pointers of the batch are followed, and so it is known how much there is. Then all of
 * it is appended; values that lie side by side are copied at once. */
#include "column_add.h"

enum { BATCH = MMB__COLUMN_BATCH };

/* Append the ends of lists or strings. The first of them begins at `end`. */
static int add_ends(mmb_column *column, uint64_t end, const uint64_t *lengths, uint32_t count)
{
    uint64_t zero = 0;
    int error = column->offsets.size == 0 ? mmb_bytes_add(&column->offsets, &zero, sizeof zero) : 0;
    error = error != 0 ? error : mmb_bytes_reserve(&column->offsets, count * sizeof end);
    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < count; i++) {
        end += lengths[i];
        memcpy(column->offsets.bytes + column->offsets.size, &end, sizeof end);
        column->offsets.size += sizeof end;
    }
    return 0;
}

static int add_valid(mmb_column *column, const bool *valid, uint32_t count)
{
    bool all = column->null_count == 0;
    int error = 0;
    for (uint32_t i = 0; all && i < count; i++) {
        all = valid[i];
    }
    if (all) {
        column->length += count;
        return 0;
    }
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = mmb_column_add_valid(column, valid[i]);
    }
    return error;
}

int mmb__find_bytes(const mmb__columns_context *s, const mmb_column *column,
                    const mmb_plan_field *field, const mmb__pointers *from, uint32_t i,
                    const unsigned char **start, uint64_t *length)
{
    *start = NULL;
    *length = 0;
    if (!from->there[i]) {
        return 0;
    }
    int error = mmb_read_bytes(s->reading, from->segment[i], from->word[i],
                               column->kind == MMB_TEXT, start, length);
    if (error == 0 && *start == NULL && field != NULL && field->default_start != NULL) {
        *start = field->default_start;
        *length = field->default_bytes;
    }
    return error;
}

/* Find the strings of a batch. `words` becomes true if the bytes behind each string, up to the end
 * of its last word, may be copied with it. */
static int find_strings(const mmb__columns_context *s, const mmb_column *column,
                        const mmb_plan_field *field, const mmb__pointers *from,
                        const unsigned char **starts, uint64_t *lengths, bool *words)
{
    int error = 0;
    *words = mmb_read_plain_strings(s->reading, from->segment, from->word, from->there, from->count,
                                    column->kind == MMB_TEXT, starts, lengths);
    for (uint32_t i = 0; !*words && error == 0 && i < from->count; i++) {
        error = mmb__find_bytes(s, column, field, from, i, &starts[i], &lengths[i]);
    }
    return error;
}

/* Copy strings, one behind the other. If `words` is true, whole words are copied: there is room for
 * them, and the next string overwrites what is too much. */
static void copy_strings(unsigned char *to, const unsigned char *const *starts,
                         const uint64_t *lengths, uint32_t count, bool words)
{
    for (uint32_t i = 0; i < count; to += lengths[i++]) {
        if (!words || lengths[i] > 32) {
            mmb__copy_bytes(to, starts[i], lengths[i]);
            continue;
        }
        for (uint64_t k = 0; k < lengths[i]; k += MMB_WORD) {
            memcpy(to + k, starts[i] + k, MMB_WORD);
        }
    }
}

int mmb__add_bytes(const mmb__columns_context *s, mmb_column *column, const mmb_plan_field *field,
                   const mmb__pointers *from)
{
    const unsigned char *starts[BATCH];
    uint64_t lengths[BATCH], total = 0, before = column->values.size;
    bool valid[BATCH], words;
    int error = find_strings(s, column, field, from, starts, lengths, &words);
    for (uint32_t i = 0; error == 0 && i < from->count; i++) {
        valid[i] = starts[i] != NULL;
        total += lengths[i];
    }
    error = error != 0 ? error : mmb_bytes_reserve(&column->values, total + MMB_WORD);
    if (error != 0) {
        return error;
    }
    copy_strings(column->values.bytes + before, starts, lengths, from->count, words);
    column->values.size += total;
    error = add_ends(column, before, lengths, from->count);
    return error != 0 ? error : add_valid(column, valid, from->count);
}

/* Return whether the numbers of lists are stored as the column stores them. */
static bool are_plain(const mmb_column *element, const mmb_span *spans, uint32_t count)
{
    uint32_t width = mmb_kind_bits(element->kind);
    bool plain = element->layout == MMB_LAY_NUMBERS && mmb__is_little_endian();
    for (uint32_t i = 0; plain && i < count; i++) {
        plain = spans[i].count == 0 || spans[i].step_bits == width;
    }
    return plain;
}

/* Append the numbers of several lists. Lists that lie side by side are copied at once. */
static int add_plain_spans(mmb_column *element, const mmb_span *spans, uint32_t count)
{
    uint32_t width = mmb_kind_bits(element->kind) / 8;
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < count;) {
        const unsigned char *start = spans[i].start;
        uint64_t bytes = 0;
        do {
            bytes += (uint64_t)spans[i].count * width;
            element->length += spans[i].count;
            i++;
        } while (i < count && spans[i].count != 0 && bytes != 0 && spans[i].start == start + bytes);
        error = mmb_bytes_add(&element->values, start, bytes);
    }
    return error;
}

static int add_fields(const mmb__columns_context *s, mmb_column *element, const mmb__batch *rows)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < element->child_count; i++) {
        error = s->add_field(s, &element->children[i], rows);
    }
    return error;
}

/* Append the structs of several lists, a batch at a time. */
static int add_struct_spans(const mmb__columns_context *s, mmb_column *element,
                            const mmb_span *spans, uint32_t count)
{
    mmb__batch rows = {.count = 0};
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        mmb_record next;
        if (spans[i].count == 0) { /* such a span has no address */
            continue;
        }
        mmb_span_record(&spans[i], 0, &next);
        for (uint64_t k = 0; error == 0 && k < spans[i].count; k++) {
            rows.records[rows.count] = next;
            rows.there[rows.count++] = true;
            next.data += spans[i].step_bits / 8;
            next.word += spans[i].step_bits / 64;
            if (rows.count == BATCH) {
                error = add_fields(s, element, &rows);
                element->length += rows.count;
                rows.count = 0;
            }
        }
    }
    element->length += rows.count;
    return error != 0 || rows.count == 0 ? error : add_fields(s, element, &rows);
}

static int add_spans(const mmb__columns_context *s, mmb_column *element, const mmb_span *spans,
                     uint32_t count)
{
    int error = 0;
    if (element->kind == MMB_STRUCT) {
        return add_struct_spans(s, element, spans, count);
    }
    if (!mmb_kind_is_pointer(element->kind) && are_plain(element, spans, count)) {
        return add_plain_spans(element, spans, count);
    }
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = spans[i].count != 0 ? s->add_span(s, element, &spans[i]) : 0;
    }
    return error;
}

/* Follow the pointers of a batch. */
static int read_spans(const mmb__columns_context *s, const mmb_column *element,
                      const mmb__pointers *from, mmb_span *spans)
{
    int error = 0;
    if (element->kind == MMB_STRUCT && mmb_read_struct_lists(s->reading, from->segment, from->word,
                                                             from->there, from->count, spans)) {
        return 0;
    }
    for (uint32_t i = 0; error == 0 && i < from->count; i++) {
        spans[i] = (mmb_span){.is_null = true};
        if (from->there[i]) {
            error = mmb_read_span(s->reading, from->segment[i], from->word[i], element->kind,
                                  element->child_count, &spans[i]);
        }
    }
    return error;
}

static int add_any_lists(const mmb__columns_context *s, mmb_column *column,
                         const mmb__pointers *from)
{
    mmb_column *element = &column->children[0];
    mmb_span spans[BATCH];
    uint64_t lengths[BATCH], before = element->length;
    bool valid[BATCH];
    int error = read_spans(s, element, from, spans);
    for (uint32_t i = 0; error == 0 && i < from->count; i++) {
        lengths[i] = spans[i].count;
        valid[i] = !spans[i].is_null;
    }
    error = error != 0 ? error : add_spans(s, element, spans, from->count);
    error = error != 0 ? error : add_ends(column, before, lengths, from->count);
    return error != 0 ? error : add_valid(column, valid, from->count);
}

/* Append lists of numbers that all are there and lie as the column stores them. Most lists are
 * such. If these are not, set `*done` to false, and do nothing. */
static int add_plain_lists(const mmb__columns_context *s, mmb_column *column,
                           const mmb__pointers *from, bool *done)
{
    mmb_column *element = &column->children[0];
    mmb_bytes *values = &element->values;
    const unsigned char *starts[BATCH];
    uint64_t lengths[BATCH], total = 0, before = element->length;
    bool valid[BATCH];
    uint32_t bits = mmb_kind_bits(element->kind);
    *done = element->layout == MMB_LAY_NUMBERS && element->null_count == 0 &&
            mmb__is_little_endian() &&
            mmb_read_plain_lists(s->reading, from->segment, from->word, from->there, from->count,
                                 bits, starts, lengths);
    if (!*done) {
        return 0;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        valid[i] = true;
        total += lengths[i];
    }
    int error = mmb_bytes_reserve(values, total * (bits / 8));
    if (error != 0) {
        return error;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        uint64_t bytes = lengths[i] * (bits / 8);
        mmb__copy_bytes(values->bytes + values->size, starts[i], bytes);
        values->size += bytes;
    }
    element->length += total;
    error = add_ends(column, before, lengths, from->count);
    return error != 0 ? error : add_valid(column, valid, from->count);
}

int mmb__add_lists(const mmb__columns_context *s, mmb_column *column, const mmb__pointers *from)
{
    bool done;
    int error = add_plain_lists(s, column, from, &done);
    return done ? error : add_any_lists(s, column, from);
}
