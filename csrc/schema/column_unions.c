/* column_unions.c - appends unions of a message as dense unions of Arrow. See column_add.h.
 *
 * Each row has a code, which is its tag, and the index of its value among the values of that
 * member. */
#include "column_add.h"

static uint32_t member_of(const mmb_column *column, uint64_t tag)
{
    for (uint32_t i = 0; i < column->child_count; i++) {
        if (column->children[i].code == tag) {
            return i;
        }
    }
    return MMB_NONE;
}

/* Append the code of a member, and the index that its next value will have. */
static int add_code(const mmb__columns_context *s, mmb_column *column, uint32_t member,
                    uint32_t before, const mmb_record *record)
{
    uint64_t place = column->children[member].length + before;
    unsigned char code = (unsigned char)column->children[member].code;
    int32_t offset = (int32_t)place;
    if (place > INT32_MAX) {
        return mmb_reading_fail(s->reading, record->segment, record->word,
                                "more values than a dense union of Arrow can have");
    }
    int error = mmb_bytes_add(&column->values, &code, 1);
    return error == 0 ? mmb_bytes_add(&column->offsets, &offset, sizeof offset) : error;
}

/* Append the rows of one member in their order. */
static int add_member(const mmb__columns_context *s, mmb_column *child, const mmb__batch *rows,
                      const uint32_t *members, uint32_t member, const bool *there)
{
    mmb__batch inner = {.count = 0};
    for (uint32_t i = 0; i < rows->count; i++) {
        if (members[i] == member) {
            inner.records[inner.count] = rows->records[i];
            inner.there[inner.count++] = rows->there[i] && (there == NULL || there[i]);
        }
    }
    return inner.count == 0 ? 0 : s->add_field(s, child, &inner);
}

int mmb__add_union(const mmb__columns_context *s, mmb_column *column, const mmb__batch *rows,
                   const bool *there)
{
    uint32_t members[MMB__COLUMN_BATCH];
    uint32_t counts[256] = {0};
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < rows->count; i++) {
        const mmb_record *record = &rows->records[i];
        bool is_there = rows->there[i] && (there == NULL || there[i]);
        /* A null counts as one of the first member. */
        uint64_t tag =
            is_there ? mmb_record_bits(record, column->tag_offset, 16) : column->children[0].code;
        members[i] = member_of(column, tag);
        if (members[i] == MMB_NONE) {
            return mmb_reading_fail(s->reading, record->segment, record->word,
                                    "a union has a member that the schema does not know: "
                                    "unions=\"members\" shows its number");
        }
        error = add_code(s, column, members[i], counts[members[i]]++, record);
    }
    for (uint32_t k = 0; error == 0 && k < column->child_count; k++) {
        if (counts[k] != 0) {
            error = add_member(s, &column->children[k], rows, members, k, there);
        }
    }
    column->length += rows->count;
    return error;
}
