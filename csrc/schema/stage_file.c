/* stage_file.c - moves rows of a stage from memory to a file. See stage_file.h. */
#include "stage_file.h"

#include "os/os.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEPT_WORDS = 1 << 24 }; /* 128 MiB */

static _Atomic uint64_t kept_limit;

void mmb_stage_set_limits(uint64_t kept, uint64_t section)
{
    atomic_store(&kept_limit, kept);
    mmb_stage_set_most_words(section);
}

void mmb_stage_use_file(mmb_stage *stage)
{
    uint64_t kept = atomic_load(&kept_limit);
    stage->kept = kept == 0 ? KEPT_WORDS : kept;
    stage->most_section = mmb_stage_most_words();
}

int mmb_stage_set_file(mmb_stage *stage, int fd)
{
    mmb_stage_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        close(fd);
        return ENOMEM;
    }
    file->fd = fd;
    file->section_count = 1;
    stage->file = file;
    return 0;
}

/* Return how many pointers of the first `words` words of rows in memory lead into the heap. */
static uint64_t count_pointers(const mmb_stage *stage, uint64_t words)
{
    uint64_t step = (uint64_t)stage->data_words + stage->pointer_words, found = 0;
    for (uint64_t row = 0; stage->pointer_words != 0 && row < words; row += step) {
        const unsigned char *at = stage->rows.bytes + (row + stage->data_words) * MMB_WORD;
        for (uint32_t i = 0; i < stage->pointer_words; i++, at += MMB_WORD) {
            found += mmb_stage_is_relative(mmb__load64(at)) ? 1 : 0;
        }
    }
    return found;
}

mmb_stage_section mmb_stage_section_at(const mmb_stage *stage, uint32_t number)
{
    mmb_stage_section section = {0};
    if (stage->file != NULL) {
        section = stage->file->sections[number];
    }
    if (number + 1 == mmb_stage_section_count(stage)) {
        section.words += stage->heap.words;
        section.pointers += count_pointers(stage, stage->rows.words);
    }
    return section;
}

static int write_words(mmb_stage_file *file, const unsigned char *from, uint64_t words)
{
    size_t bytes = (size_t)(words * MMB_WORD);
    int error = bytes == 0 ? 0 : mmb__os_write_all(file->fd, false, from, bytes, file->end, NULL);
    file->end += error == 0 ? bytes : 0;
    return error;
}

static int have_piece(mmb_stage_file *file)
{
    if (file->piece_count < file->piece_room) {
        return 0;
    }
    uint32_t room = file->piece_room * 2 + 16;
    mmb_stage_piece *grown = realloc(file->pieces, room * sizeof *grown);
    if (grown == NULL) {
        return ENOMEM;
    }
    file->pieces = grown;
    file->piece_room = room;
    return 0;
}

static void drop(mmb_stage_part *part, uint64_t words)
{
    part->words -= words;
    if (words != 0 && part->words != 0) {
        memmove(part->bytes, part->bytes + words * MMB_WORD, (size_t)(part->words * MMB_WORD));
    }
}

/* Write the first words of the rows and of the heap as a piece, and take them out of memory. */
static int move_piece(mmb_stage *stage, uint64_t row_words, uint64_t heap_words)
{
    mmb_stage_file *file = stage->file;
    mmb_stage_section *section = &file->sections[file->section_count - 1];
    mmb_stage_piece piece = {file->end, row_words, heap_words, file->section_count - 1};
    if (row_words + heap_words == 0) {
        return 0;
    }
    mmb_stage_shift(stage, section->words);
    int error = have_piece(file);
    if (error == 0) {
        error = write_words(file, stage->rows.bytes, row_words);
    }
    if (error == 0) {
        error = write_words(file, stage->heap.bytes, heap_words);
    }
    if (error != 0) {
        return error;
    }
    file->pieces[file->piece_count++] = piece;
    file->row_words += row_words;
    section->words += heap_words;
    section->pointers += count_pointers(stage, row_words);
    drop(&stage->rows, row_words);
    drop(&stage->heap, heap_words);
    stage->shift += heap_words - row_words; /* this has brought the rows closer to the heap */
    return 0;
}

static int begin_section(mmb_stage_file *file)
{
    if (file->section_count == MMB_MAX_SEGMENTS) {
        return MMB_ECAPACITY;
    }
    file->section_count++; /* the file was allocated with zeros */
    return 0;
}

int mmb_stage_move(mmb_stage *stage)
{
    mmb_stage_file *file = stage->file;
    const mmb_stage_section now = mmb_stage_section_at(stage, file->section_count - 1);
    const mmb_stage_section *before = &file->sections[file->section_count - 1];
    bool is_first = before->words + stage->last_heap + stage->last_rows == 0;
    int error = 0;
    if (now.words + now.pointers > stage->most_section && !is_first) {
        /* The rows that were added last are large: a section begins with them. */
        error = move_piece(stage, stage->last_rows, stage->last_heap);
        if (error == 0) {
            error = begin_section(file);
        }
    }
    if (error == 0) {
        error = move_piece(stage, stage->rows.words, stage->heap.words);
    }
    const mmb_stage_section *last = &file->sections[file->section_count - 1];
    /* What may be in memory when it is moved next must fit, too. */
    if (error == 0 && last->words + last->pointers + 2 * stage->kept > stage->most_section) {
        error = begin_section(file);
    }
    stage->shift = file->sections[file->section_count - 1].words;
    stage->last_rows = stage->last_heap = 0;
    return error;
}
