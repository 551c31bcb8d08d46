/* column.c - makes columns, lets them grow, and frees them. See column.h. */
#include "column.h"

#include "blocks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

mmb_columns *mmb_columns_new(void)
{
    mmb_columns *columns = calloc(1, sizeof *columns);
    if (columns != NULL) {
        columns->table.layout = MMB_LAY_STRUCT;
        atomic_store(&columns->references, 1);
    }
    return columns;
}

static void give_back(const mmb_bytes *bytes)
{
    mmb__block_give_back(bytes->bytes, bytes->room);
}

static void clear(mmb_column *column)
{
    for (uint32_t i = 0; i < column->child_count; i++) {
        clear(&column->children[i]);
    }
    if (column->dictionary != NULL) {
        clear(column->dictionary);
    }
    free(column->name);
    free(column->format);
    free(column->conditions);
    free(column->children);
    free((void *)column->names);
    give_back(&column->valid);
    give_back(&column->offsets);
    give_back(&column->sizes);
    give_back(&column->own);
    give_back(&column->values);
    free(column->dictionary);
}

void mmb_columns_drop(mmb_columns *columns)
{
    if (columns == NULL || atomic_fetch_sub(&columns->references, 1) != 1) {
        return;
    }
    clear(&columns->table);
    free(columns->windows);
    if (columns->let_go != NULL) {
        columns->let_go(columns->keeper);
    }
    free(columns);
}

int mmb_column_add_children(mmb_column *column, uint32_t count)
{
    column->children = calloc((size_t)count + 1, sizeof *column->children);
    column->child_count = column->children == NULL ? 0 : count;
    return column->children == NULL ? ENOMEM : 0;
}

int mmb_bytes_reserve(mmb_bytes *bytes, uint64_t more)
{
    return more <= bytes->room - bytes->size
               ? 0
               : mmb__block_grow(&bytes->bytes, &bytes->room, bytes->size + more);
}

int mmb_bytes_add(mmb_bytes *bytes, const void *from, uint64_t size)
{
    int error = mmb_bytes_reserve(bytes, size);
    if (error == 0 && size != 0) {
        memcpy(bytes->bytes + bytes->size, from, (size_t)size);
        bytes->size += size;
    }
    return error;
}

static void set_bit(unsigned char *bits, uint64_t index)
{
    bits[index / 8] = (unsigned char)(bits[index / 8] | 1u << (index % 8));
}

/* Provide bits for `length` values. Bits that were not there yet become ones. */
static int have_valid_bits(mmb_column *column, uint64_t length)
{
    mmb_bytes *valid = &column->valid;
    uint64_t size = (length + 7) / 8;
    if (size <= valid->size) {
        return 0;
    }
    int error = mmb_bytes_reserve(valid, size - valid->size);
    if (error != 0) {
        return error;
    }
    bool first = valid->size == 0;
    memset(valid->bytes + valid->size, 0, (size_t)(size - valid->size));
    valid->size = size;
    for (uint64_t i = 0; first && i < column->length; i++) {
        set_bit(valid->bytes, i);
    }
    return 0;
}

int mmb_column_add_valid(mmb_column *column, bool valid)
{
    if (valid && column->null_count == 0) {
        column->length++;
        return 0;
    }
    int error = have_valid_bits(column, column->length + 1);
    if (error != 0) {
        return error;
    }
    if (valid) {
        set_bit(column->valid.bytes, column->length);
    } else {
        column->null_count++;
    }
    column->length++;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------- */

static int add_name(mmb_column *names, const char *name, uint32_t number)
{
    char text[16];
    if (name == NULL) { /* the schema has no name for this number */
        snprintf(text, sizeof text, "@%u", (unsigned)number);
        name = text;
    }
    int error = mmb_bytes_add(&names->values, name, strlen(name));
    int32_t end = (int32_t)names->values.size;
    if (error == 0) {
        error = mmb_bytes_add(&names->offsets, &end, sizeof end);
    }
    names->length++;
    return error;
}

static int make_dictionary(mmb_column *column)
{
    uint32_t most = 0;
    for (uint64_t i = 0; i < column->length; i++) {
        int32_t value;
        memcpy(&value, column->values.bytes + i * sizeof value, sizeof value);
        most = (uint32_t)value > most ? (uint32_t)value : most;
    }
    uint32_t count =
        column->length != 0 && most >= column->name_count ? most + 1 : column->name_count;
    mmb_column *names = column->dictionary = calloc(1, sizeof *names);
    int32_t zero = 0;
    if (names == NULL) {
        return ENOMEM;
    }
    names->layout = MMB_LAY_BYTES;
    names->format = strdup("u");
    int error = names->format == NULL ? ENOMEM : mmb_bytes_add(&names->offsets, &zero, sizeof zero);
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = add_name(names, i < column->name_count ? column->names[i] : NULL, i);
    }
    return error == 0 ? mmb_bytes_reserve(&names->values, 1) : error;
}

int mmb_column_finish(mmb_column *column)
{
    int error = 0;
    if (column->layout == MMB_LAY_BYTES || column->layout == MMB_LAY_LIST) {
        uint64_t zero = 0;
        if (column->offsets.size == 0) {
            error = mmb_bytes_add(&column->offsets, &zero, sizeof zero);
        }
    } else if (column->layout == MMB_LAY_NAMES) {
        error = make_dictionary(column);
    }
    if (error == 0 && column->borrowed == NULL) {
        error = mmb_bytes_reserve(&column->values, 1); /* a buffer must not be NULL */
    }
    if (error == 0 && column->layout >= MMB_LAY_UNION) {
        error = mmb_bytes_reserve(&column->offsets, 1);
        error = error != 0 ? error : mmb_bytes_reserve(&column->sizes, 1);
        error = error != 0 ? error : mmb_bytes_reserve(&column->own, 1);
    }
    for (uint32_t i = 0; error == 0 && i < column->child_count; i++) {
        error = mmb_column_finish(&column->children[i]);
    }
    return error;
}
