/* log_look.c - `_core.LogReader`: looks at the files of a log, and maps them. */

#include "log_reader.h"

#include <errno.h>

/* Map all of [0, bytes). */
static int map_data(mmbpy_log_reader *self, int fd, uint64_t bytes)
{
    if (self->views > 0 && bytes <= self->data[self->views - 1].length) {
        return 0;
    }
    if (self->views == MAX_VIEWS) {
        return ENOMEM;
    }
    int error = mmb_view_map(fd, bytes, &self->data[self->views]);
    self->views += error == 0 ? 1 : 0;
    return error;
}

bool mmbpy_log_take_over(mmbpy_log_reader *self)
{
    const unsigned char *index = mmbpy_log_index_of(self)->view.base;
    uint64_t count, end, start = 0, bytes = 0;
    if (!mmb_index_check(index, self->index_bytes, &self->seen, &count, &end) ||
        count < self->places.count) {
        return false;
    }
    mmb_places known = {.index = index, .indexed = count, .count = count, .end = end};
    if ((count != 0 &&
         mmb_places_find(&known, mmbpy_log_data(self), count - 1, &start, &bytes) != 0) ||
        start + bytes != end) {
        return false; /* the index belongs to another log */
    }
    mmb_places_clear(&self->places);
    self->places = known;
    return true;
}

/* Map the index `fd`, which is `file`. An earlier one stays mapped. Return false if that is not
 * possible: then the reader goes on without an index. */
static bool map_index(mmbpy_log_reader *self, int fd, const mmb_log_identity *file)
{
    if (self->index_count == MAX_INDEXES) {
        return false;
    }
    mmbpy_log_index *new = &self->indexes[self->index_count];
    if (mmb_view_map(fd, file->size, &new->view) != 0) {
        return false;
    }
    new->device = file->device;
    new->inode = file->inode;
    self->index_count++;
    return true;
}

/* Look at the file `fd` of the index; -1 if there is none. Map it if it is not mapped yet: it may
 * have taken the place of another. Return whether the index can be read. */
static bool find_index(mmbpy_log_reader *self, int fd)
{
    mmb_log_identity file;
    if (fd < 0 || mmb_log_identify(fd, &file) != 0 || file.size < MMB_INDEX_HEADER) {
        return false;
    }
    if (!mmbpy_log_is_index(mmbpy_log_index_of(self), &file) && !map_index(self, fd, &file)) {
        return false;
    }
    self->index_bytes = file.size;
    return file.size <= mmbpy_log_index_of(self)->view.length;
}

/* Take only the messages that survived when the machine went down. Return 0 or ENOMEM. */
static int look_at_what_is_left(mmbpy_log_reader *self)
{
    mmb_places_clear(&self->places);
    self->file_bytes = self->seen.size;
    return mmb_log_trust(mmbpy_log_index_of(self)->view.base, self->index_bytes,
                         mmbpy_log_data(self), self->seen.size, &self->places, &self->tail,
                         &self->unchecked);
}

int mmbpy_log_look(mmbpy_log_reader *self, int fd, int index_fd, const char **reason)
{
    int error = mmb_log_identify(fd, &self->seen);
    error = error != 0 ? error : map_data(self, fd, self->seen.size);
    if (error != 0) {
        return error;
    }
    bool found = find_index(self, index_fd);
    self->went_down = found && mmb_index_is_from_earlier_boot(mmbpy_log_index_of(self)->view.base,
                                                              self->index_bytes, &self->seen);
    if (self->went_down) {
        return look_at_what_is_left(self);
    }
    if (found) {
        (void)mmbpy_log_take_over(self);
    }
    error = mmb_log_hop(fd, &self->places, &self->tail, &self->file_bytes, reason);
    return error != 0 ? error : map_data(self, fd, self->file_bytes);
}
