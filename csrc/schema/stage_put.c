/* stage_put.c - puts a stage into a message. See stage.h.
 *
 * First the heap is copied, a section into a room. Then the rows are stored, with pointers that
 * lead there. The pieces in the file of the stage are read some bytes at a time. */
#include "stage.h"

#include "os/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Words of the buffer for what is read from the file. A row has fewer. */
enum { BUFFER_WORDS = 1 << 17 };

static unsigned char *address(const mmb_segment *segments, uint32_t segment, uint64_t word)
{
    /* Segments are declared constant, for callers that only read them. */
    return (unsigned char *)(uintptr_t)segments[segment].base + word * MMB_WORD;
}

static int refuse(mmb_flaw *flaw, uint32_t segment, uint64_t word, const char *reason)
{
    *flaw = (mmb_flaw){.segment = segment, .word = word, .reason = reason};
    return MMB_EMESSAGE;
}

static bool is_inside(const mmb_segment *segments, uint32_t count, uint32_t segment, uint64_t word,
                      uint64_t words)
{
    uint64_t limit = segment < count ? segments[segment].words : 0;
    return word <= limit && words <= limit - word;
}

static bool room_is_inside(const mmb_segment *segments, uint32_t count, const mmb_room *room)
{
    return is_inside(segments, count, room->segment, room->word, room->words);
}

static uint64_t far_pointer(uint32_t segment, uint64_t word)
{
    return word << 3 | MMB__FAR | (uint64_t)segment << 32;
}

static uint64_t words_of_row(const mmb_stage *stage)
{
    return (uint64_t)stage->data_words + stage->pointer_words;
}

static int copy(const mmb_stage *stage, unsigned char *to, const unsigned char *from,
                uint64_t words)
{
    size_t bytes = (size_t)(words * MMB_WORD);
    if (bytes == 0) {
        return 0;
    }
    if (stage->copy != NULL) {
        return stage->copy(stage->context, to, from, bytes);
    }
    memcpy(to, from, bytes);
    return 0;
}

static int read_words(const mmb_stage *stage, unsigned char *to, uint64_t words, uint64_t offset)
{
    size_t got, bytes = (size_t)(words * MMB_WORD);
    int error = mmb__os_read_all(stage->file->fd, to, bytes, offset, &got);
    return error == 0 && got != bytes ? EIO : error;
}

/* ---- the heap ------------------------------------------------------------------------- */

/* Copy the heap of a piece from the file to its place in a message. */
static int copy_piece(const mmb_stage *stage, const mmb_stage_piece *piece, unsigned char *buffer,
                      unsigned char *to)
{
    int error = 0;
    for (uint64_t done = 0; error == 0 && done < piece->heap_words; done += BUFFER_WORDS) {
        uint64_t left = piece->heap_words - done;
        uint64_t some = left < BUFFER_WORDS ? left : BUFFER_WORDS;
        error =
            read_words(stage, buffer, some, piece->offset + (piece->row_words + done) * MMB_WORD);
        if (error == 0) {
            error = copy(stage, to + done * MMB_WORD, buffer, some);
        }
    }
    return error;
}

/* Copy the heap into the rooms. */
static int copy_heap(const mmb_stage *stage, const mmb_segment *segments, const mmb_room *rooms,
                     unsigned char *buffer)
{
    const mmb_stage_file *file = stage->file;
    uint32_t section = 0, pieces = file == NULL ? 0 : file->piece_count;
    uint64_t word = rooms[0].word;
    for (uint32_t i = 0; i <= pieces; i++) {
        bool is_piece = i < pieces;
        uint32_t next = is_piece ? file->pieces[i].section : mmb_stage_section_count(stage) - 1;
        uint64_t words = is_piece ? file->pieces[i].heap_words : stage->heap.words;
        if (next != section) {
            section = next;
            word = rooms[section].word;
        }
        if (words != 0) {
            unsigned char *to = address(segments, rooms[section].segment, word);
            int error = is_piece ? copy_piece(stage, &file->pieces[i], buffer, to)
                                 : copy(stage, to, stage->heap.bytes, words);
            if (error != 0) {
                return error;
            }
            word += words;
        }
    }
    return 0;
}

static uint64_t section_with_pads(const mmb_stage *stage, uint32_t number)
{
    mmb_stage_section section = mmb_stage_section_at(stage, number);
    return section.words + section.pointers;
}

static int check_rooms(const mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       uint32_t segment, const mmb_room *rooms, mmb_flaw *flaw)
{
    for (uint32_t i = 0; i < mmb_stage_section_count(stage); i++) {
        uint64_t words = segment == rooms[i].segment ? mmb_stage_section_words(stage, i)
                                                     : section_with_pads(stage, i);
        if (words != 0 && (!room_is_inside(segments, count, &rooms[i]) || rooms[i].words < words)) {
            return refuse(flaw, segment, rooms[i].word, "the room for the rows is out of bounds");
        }
    }
    return 0;
}

/* ---- the rows ------------------------------------------------------------------------- */

/* Rows on their way into structs of a message. */
typedef struct {
    const mmb_stage *stage;
    const mmb_segment *segments;
    const mmb_object *target;
    const mmb_room *room; /* of the section that the present rows lead into */
    uint64_t row;         /* number of the next row */
    uint64_t pad;         /* word of the room for the next landing pad */
} row_writer;

/* Return a pointer of the rows, written at their word `from`, changed for word `word` of the
 * target's segment. If the room is in another segment, the pointer gets a landing pad there. */
static uint64_t relocated(row_writer *w, uint64_t pointer, uint64_t from, uint64_t word)
{
    const mmb_room *room = w->room;
    if (!mmb_stage_is_relative(pointer)) {
        return pointer;
    }
    if (w->target->segment == room->segment) {
        return mmb_stage_moved(pointer, room->word + from - word);
    }
    mmb__store64(address(w->segments, room->segment, w->pad),
                 mmb_stage_moved(pointer, room->word + from - w->pad));
    return far_pointer(room->segment, w->pad++);
}

/* Store the data section of a row, or only what was written of it. */
static void put_data(const mmb_stage *stage, const unsigned char *from, unsigned char *to)
{
    if (stage->mask == NULL && stage->data_words != 0) {
        memcpy(to, from, (size_t)stage->data_words * MMB_WORD);
    }
    for (uint32_t i = 0; stage->mask != NULL && i < stage->data_words; i++) {
        uint64_t mask = stage->mask[i];
        if (mask != 0) {
            uint64_t old = mmb__load64(to + i * MMB_WORD);
            uint64_t new = mmb__load64(from + i * MMB_WORD);
            mmb__store64(to + i * MMB_WORD, (old & ~mask) | (new &mask));
        }
    }
}

/* Store `count` rows. Their pointers are written as if their section began `first` words before
 * the first of them. */
static void put_some(row_writer *w, const unsigned char *rows, uint64_t count, uint64_t first)
{
    const mmb_stage *stage = w->stage;
    uint64_t words = (uint64_t)w->target->data_words + w->target->pointer_words;
    uint64_t step = words_of_row(stage);
    uint32_t segment = w->target->segment;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t word = w->target->word + w->row++ * words;
        const unsigned char *row = rows + i * step * MMB_WORD;
        put_data(stage, row, address(w->segments, segment, word));
        word += w->target->data_words;
        for (uint32_t k = 0; k < stage->pointer_words; k++) {
            if (stage->mask != NULL && stage->mask[stage->data_words + k] == 0) {
                continue;
            }
            uint64_t from = i * step + stage->data_words + k;
            uint64_t pointer = mmb__load64(rows + from * MMB_WORD);
            mmb__store64(address(w->segments, segment, word + k),
                         relocated(w, pointer, first + from, word + k));
        }
    }
}

/* Read the rows of all pieces, and drop them. What cannot be read is found so before the first row
 * of a list is replaced; afterwards it is mostly in the memory of the system. */
static int try_rows(const mmb_stage *stage, unsigned char *buffer)
{
    const mmb_stage_file *file = stage->file;
    int error = 0;
    for (uint32_t i = 0; file != NULL && i < file->piece_count; i++) {
        const mmb_stage_piece *piece = &file->pieces[i];
        for (uint64_t done = 0; error == 0 && done < piece->row_words; done += BUFFER_WORDS) {
            uint64_t left = piece->row_words - done;
            error = read_words(stage, buffer, left < BUFFER_WORDS ? left : BUFFER_WORDS,
                               piece->offset + done * MMB_WORD);
        }
    }
    return error;
}

static int put_piece(row_writer *w, const mmb_stage_piece *piece, unsigned char *buffer)
{
    uint64_t step = words_of_row(w->stage);
    uint64_t most = step == 0 ? 0 : BUFFER_WORDS / step * step;
    int error = 0;
    for (uint64_t done = 0; error == 0 && done < piece->row_words; done += most) {
        uint64_t left = piece->row_words - done;
        uint64_t some = left < most ? left : most;
        error = read_words(w->stage, buffer, some, piece->offset + done * MMB_WORD);
        if (error == 0) {
            put_some(w, buffer, some / step, done);
        }
    }
    return error;
}

static void enter_section(row_writer *w, const mmb_room *rooms, uint32_t number)
{
    if (w->room != &rooms[number]) {
        w->room = &rooms[number];
        w->pad = w->room->word + mmb_stage_section_words(w->stage, number);
    }
}

static int put_all(mmb_stage *stage, const mmb_segment *segments, const mmb_object *target,
                   const mmb_room *rooms, bool replaces, unsigned char *buffer)
{
    const mmb_stage_file *file = stage->file;
    row_writer w = {.stage = stage, .segments = segments, .target = target};
    uint32_t last = mmb_stage_section_count(stage) - 1;
    int error = copy_heap(stage, segments, rooms, buffer);
    if (error == 0 && replaces) {
        error = try_rows(stage, buffer);
    }
    for (uint32_t i = 0; error == 0 && file != NULL && i < file->piece_count; i++) {
        enter_section(&w, rooms, file->pieces[i].section);
        error = put_piece(&w, &file->pieces[i], buffer);
    }
    if (error == 0) {
        mmb_stage_shift(stage, file == NULL ? 0 : file->sections[last].words);
        enter_section(&w, rooms, last);
        put_some(&w, stage->rows.bytes, stage->count - w.row, 0);
    }
    return error;
}

/* Put the rows into structs. `replaces` says that something leads to these already. */
static int put_rows(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                    const mmb_object *target, const mmb_room *rooms, bool replaces, mmb_flaw *flaw)
{
    uint64_t words = (uint64_t)target->data_words + target->pointer_words;
    uint64_t elements = target->kind == MMB_TO_LIST ? target->elements : 1;
    uint32_t segment = target->segment;
    if (elements != stage->count) {
        return refuse(flaw, segment, target->word, "the list has another length than the rows");
    }
    if (target->data_words < stage->data_words || target->pointer_words < stage->pointer_words) {
        return refuse(flaw, segment, target->word,
                      "the structs were made by an older schema, and are too small");
    }
    if (!is_inside(segments, count, segment, target->word, words * elements)) {
        return refuse(flaw, segment, target->word, "the structs are out of bounds");
    }
    int error = check_rooms(stage, segments, count, segment, rooms, flaw);
    if (error != 0) {
        return error;
    }
    unsigned char *buffer = NULL;
    if (stage->file != NULL && (buffer = malloc((size_t)BUFFER_WORDS * MMB_WORD)) == NULL) {
        return ENOMEM;
    }
    error = put_all(stage, segments, target, rooms, replaces, buffer);
    free(buffer);
    return error;
}

int mmb_stage_put_rows(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       const mmb_object *target, const mmb_room *rooms, mmb_flaw *flaw)
{
    return put_rows(stage, segments, count, target, rooms, true, flaw);
}

int mmb_stage_put_pointer(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                          uint32_t segment, uint64_t word, const mmb_room *room, mmb_flaw *flaw)
{
    mmb_object target = {
        .kind = MMB_TO_STRUCT, .segment = segment, .word = (uint32_t)word, .pointer_words = 1};
    if (!is_inside(segments, count, segment, word, 1) ||
        mmb__load64(address(segments, segment, word)) != 0) {
        return refuse(flaw, segment, word, "the pointer was set meanwhile");
    }
    return mmb_stage_put_rows(stage, segments, count, &target, room, flaw);
}

/* ---- new lists ------------------------------------------------------------------------ */

/* Words before the elements: the tag of a list of structs. */
static uint64_t tag_words(const mmb_stage *stage)
{
    return stage->is_pointer_list ? 0 : 1;
}

uint64_t mmb_stage_list_words(const mmb_stage *stage)
{
    uint64_t words = mmb_stage_list_head(stage);
    for (uint32_t i = 0; i < mmb_stage_section_count(stage); i++) {
        words += mmb_stage_section_words(stage, i);
    }
    return words;
}

/* Let the null pointer at `word` of `segment` lead to the list at the start of a room. If that is
 * another segment, a landing pad is written at word `pad`. */
static void lead_to_list(const mmb_stage *stage, const mmb_segment *segments, uint32_t segment,
                         uint64_t word, const mmb_room *room, uint64_t pad)
{
    uint64_t size = stage->is_pointer_list ? MMB__POINTERS | stage->count << 3
                                           : MMB__COMPOSITE | mmb_stage_row_words(stage) << 3;
    uint64_t list = MMB__LIST | size << 32;
    uint64_t value;
    if (segment == room->segment) {
        value = mmb_stage_moved(list, room->word - word - 1);
    } else {
        mmb__store64(address(segments, room->segment, pad),
                     mmb_stage_moved(list, room->word - pad - 1));
        value = far_pointer(room->segment, pad);
    }
    mmb__store64(address(segments, segment, word), value);
}

/* Copy rows and heap, which are both in memory, to the start of a room. */
static int copy_both(mmb_stage *stage, unsigned char *to)
{
    uint64_t rows = stage->rows.words;
    mmb_stage_shift(stage, rows);
    int error = copy(stage, to, stage->rows.bytes, rows);
    return error != 0 ? error
                      : copy(stage, to + rows * MMB_WORD, stage->heap.bytes, stage->heap.words);
}

/* Put the rows behind the tag of a room, and their heap into other rooms, or behind the rows. */
static int put_elements(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                        const mmb_room *room, const mmb_room *rooms, mmb_flaw *flaw)
{
    uint64_t start = room->word + tag_words(stage), rows = mmb_stage_row_words(stage);
    if (rooms == NULL && stage->file == NULL) {
        return copy_both(stage, address(segments, room->segment, start));
    }
    mmb_object target = {.kind = MMB_TO_LIST,
                         .segment = room->segment,
                         .word = (uint32_t)start,
                         .elements = (uint32_t)stage->count,
                         .data_words = (uint16_t)stage->data_words,
                         .pointer_words = (uint16_t)stage->pointer_words};
    if (rooms != NULL) {
        return put_rows(stage, segments, count, &target, rooms, false, flaw);
    }
    mmb_room behind[MMB_MAX_SEGMENTS];
    uint64_t word = start + rows;
    for (uint32_t i = 0; i < mmb_stage_section_count(stage); i++) {
        uint64_t words = mmb_stage_section_words(stage, i);
        behind[i] = (mmb_room){.segment = room->segment, .word = (uint32_t)word, .words = words};
        word += words;
    }
    return put_rows(stage, segments, count, &target, behind, false, flaw);
}

int mmb_stage_put_list(mmb_stage *stage, const mmb_segment *segments, uint32_t count,
                       uint32_t segment, uint64_t word, const mmb_room *room, const mmb_room *rooms,
                       mmb_flaw *flaw)
{
    uint64_t words = rooms == NULL ? mmb_stage_list_words(stage) : mmb_stage_list_head(stage);
    if (!room_is_inside(segments, count, room) || room->words < words ||
        !is_inside(segments, count, segment, word, 1)) {
        return refuse(flaw, segment, word, "the room for the list is out of bounds");
    }
    if (mmb__load64(address(segments, segment, word)) != 0) {
        return refuse(flaw, segment, word, "the list was set meanwhile");
    }
    int error = put_elements(stage, segments, count, room, rooms, flaw);
    if (error != 0) {
        return error;
    }
    if (!stage->is_pointer_list) {
        mmb__store64(address(segments, room->segment, room->word),
                     mmb_stage_tag(stage->count, stage->data_words, stage->pointer_words));
    }
    /* The landing pad is the last of the words. */
    lead_to_list(stage, segments, segment, word, room, room->word + words - 1);
    return 0;
}
