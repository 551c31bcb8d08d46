/* column_views.c - appends columns that refer to memory of the message. See column_add.h.
 *
 * A view of Text or Data has the number of a window, and 32 bits for the offset in it. Windows
 * begin a gigabyte apart and are nearly two gigabytes long, so that each string lies in one.
 *
 * A list of numbers is a place in one array of numbers, and this array is the whole message. If an
 * element is not stored as Arrow wants it, the column is copied instead. */
#include "column_add.h"

#include <errno.h>
#include <stdlib.h>

enum { INLINE = 12 };
#define STEP (1ull << 30)
#define MOST ((1ull << 31) - 1)

static uint64_t windows_of(uint64_t bytes)
{
    return bytes == 0 ? 0 : (bytes + STEP - 1) / STEP;
}

int mmb_columns_set_windows(mmb_columns *columns, const mmb_segment *segments, uint32_t count)
{
    uint64_t all = 0, next = 0;
    for (uint32_t i = 0; i < count; i++) {
        all += windows_of(segments[i].words * MMB_WORD);
    }
    columns->windows = calloc((size_t)all + 1, sizeof *columns->windows);
    if (columns->windows == NULL) {
        return ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = segments[i].words * MMB_WORD;
        for (uint64_t start = 0; start < bytes; start += STEP) {
            uint64_t size = bytes - start < MOST ? bytes - start : MOST;
            columns->windows[next++] = (mmb_window){segments[i].base + start, size};
        }
    }
    columns->window_count = (uint32_t)all;
    return 0;
}

/* Return the number of a window that has these bytes; the number of windows if none has them. */
static uint32_t window_at(const mmb_columns *columns, const unsigned char *start, uint64_t length)
{
    for (uint32_t i = 0; i < columns->window_count; i++) {
        const mmb_window *window = &columns->windows[i];
        if (start >= window->start && (uint64_t)(start - window->start) < window->size &&
            length <= window->size - (uint64_t)(start - window->start)) {
            return i;
        }
    }
    return columns->window_count;
}

static int add_view(const mmb__columns_context *s, mmb_column *column, const unsigned char *start,
                    uint64_t length)
{
    unsigned char view[16] = {0};
    int32_t size = (int32_t)length, number, offset;
    memcpy(view, &size, sizeof size);
    if (length <= INLINE) {
        if (length != 0) {
            memcpy(view + 4, start, (size_t)length);
        }
        return mmb_bytes_add(&column->values, view, sizeof view);
    }
    uint32_t window = window_at(s->columns, start, length);
    number = (int32_t)window;
    if (window < s->columns->window_count) {
        offset = (int32_t)(start - s->columns->windows[window].start);
    } else { /* the bytes are a default, which is not in the message */
        offset = (int32_t)column->own.size;
        int error =
            column->own.size > MOST - length ? ENOMEM : mmb_bytes_add(&column->own, start, length);
        if (error != 0) {
            return error;
        }
    }
    memcpy(view + 4, start, 4);
    memcpy(view + 8, &number, sizeof number);
    memcpy(view + 12, &offset, sizeof offset);
    return mmb_bytes_add(&column->values, view, sizeof view);
}

int mmb__add_views(const mmb__columns_context *s, mmb_column *column, const mmb_plan_field *field,
                   const mmb__pointers *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        const unsigned char *start;
        uint64_t length;
        int error = mmb__find_bytes(s, column, field, from, i, &start, &length);
        if (error == 0) {
            error = add_view(s, column, start, length);
        }
        if (error == 0) {
            error = mmb_column_add_valid(column, start != NULL);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

/* ---- lists of numbers ------------------------------------------------------------------------ */

/* Return the message as one array if its segments lie one after the other; otherwise return
 * nothing. */
static mmb_window area_of(const mmb_reading *reading)
{
    mmb_window area = {reading->count != 0 ? reading->segments[0].base : NULL, 0};
    for (uint32_t i = 0; i < reading->count; i++) {
        if (reading->segments[i].base != area.start + area.size) {
            return (mmb_window){NULL, 0};
        }
        area.size += reading->segments[i].words * MMB_WORD;
    }
    return area;
}

static uint64_t get64(const mmb_bytes *from, uint64_t index)
{
    uint64_t value;
    memcpy(&value, from->bytes + index * sizeof value, sizeof value);
    return value;
}

static void set64(mmb_bytes *to, uint64_t index, uint64_t value)
{
    memcpy(to->bytes + index * sizeof value, &value, sizeof value);
}

/* Copy the elements of all lists that the column has so far, so that it no longer refers to the
 * message. */
static int give_up(mmb_column *column)
{
    mmb_column *element = &column->children[0];
    const unsigned char *area = element->borrowed;
    uint32_t width = mmb_kind_bits(element->kind);
    int error = 0;
    element->borrowed = NULL;
    element->length = 0;
    for (uint64_t i = 0; error == 0 && i < column->length; i++) {
        uint64_t from = get64(&column->offsets, i), count = get64(&column->sizes, i);
        set64(&column->offsets, i, count != 0 ? element->length : 0);
        for (uint64_t k = from; error == 0 && k < from + count; k++) {
            error = mmb__add_plain(element, mmb_load_bits(area, k * width, width), true);
        }
    }
    return error;
}

/* Append a list: the index of its first element, and how many it has. */
static int add_list(const mmb__columns_context *s, mmb_column *column, const mmb_span *span)
{
    mmb_column *element = &column->children[0];
    mmb_window area = area_of(s->reading);
    uint32_t width = mmb_kind_bits(element->kind);
    uint64_t offset = 0, size = span->count;
    int error = 0;
    if (column->length == 0 && area.start != NULL && mmb__is_little_endian()) {
        element->borrowed = area.start;
        element->length = area.size * 8 / width;
    }
    if (size != 0) {
        bool inside = element->borrowed != NULL && span->step_bits == width &&
                      span->start >= area.start && (uint64_t)(span->start - area.start) < area.size;
        if (!inside && element->borrowed != NULL) {
            error = give_up(column);
        }
        offset = inside ? (uint64_t)(span->start - area.start) * 8 / width : element->length;
        error = error == 0 && !inside ? s->add_span(s, element, span) : error;
    }
    if (error == 0) {
        error = mmb_bytes_add(&column->offsets, &offset, sizeof offset);
    }
    return error == 0 ? mmb_bytes_add(&column->sizes, &size, sizeof size) : error;
}

int mmb__add_list_views(const mmb__columns_context *s, mmb_column *column,
                        const mmb__pointers *from)
{
    for (uint32_t i = 0; i < from->count; i++) {
        mmb_span span = {.is_null = true};
        int error = 0;
        if (from->there[i]) {
            error = mmb_read_span(s->reading, from->segment[i], from->word[i],
                                  column->children[0].kind, column->children[0].child_count, &span);
        }
        if (error == 0) {
            error = add_list(s, column, &span);
        }
        if (error == 0) {
            error = mmb_column_add_valid(column, !span.is_null);
        }
        if (error != 0) {
            return error;
        }
    }
    return 0;
}
