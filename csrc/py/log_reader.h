/* log_reader.h - shared by the files of `_core.LogReader`. */
#ifndef MMBPY_LOG_READER_H
#define MMBPY_LOG_READER_H

#include "state.h"

#include "mmb_log.h"

/* A file that outgrows its mapping is mapped again; each mapping is four times as large as the
 * last. */
enum { MAX_VIEWS = 24 };

/* When the index is replaced, the new one is mapped as well, as often as this. */
enum { MAX_INDEXES = 8 };

/* An index that is mapped, as long as the reader lives. */
typedef struct {
    mmb_view view;
    uint64_t device, inode;
    unsigned char *header; /* mapped again, to wait for news; NULL before the first wait */
} mmbpy_log_index;

/* The object's lock guards all fields below `name`. */
typedef struct {
    PyObject_HEAD PyObject *name; /* for error texts; __new__ sets it once */
    mmbpy_state *state;
    mmb_view data[MAX_VIEWS]; /* the last is in use; views may refer to earlier ones */
    uint32_t views;
    mmbpy_log_index indexes[MAX_INDEXES]; /* the last is in use; a thread may wait in another */
    uint32_t index_count;
    uint64_t index_bytes;  /* size of the file of the last index at the last look */
    mmb_log_identity seen; /* the file of the log at the last look */
    mmb_places places;     /* they may still refer to an earlier index */
    mmb_tail tail;
    uint64_t file_bytes;
    bool went_down; /* the machine did, with messages that the device did not have */
    bool unchecked; /* then: no checksum has told that some of the messages are good */
} mmbpy_log_reader;

/* Return the log's file in memory. */
static inline const unsigned char *mmbpy_log_data(const mmbpy_log_reader *self)
{
    return self->data[self->views - 1].base;
}

/* Take over what the index knows and the reader does not. Return false if the index is of no
 * use. (log_look.c) */
bool mmbpy_log_take_over(mmbpy_log_reader *self);

/* Return the index in use; NULL if none is mapped. */
static inline mmbpy_log_index *mmbpy_log_index_of(mmbpy_log_reader *self)
{
    return self->index_count > 0 ? &self->indexes[self->index_count - 1] : NULL;
}

/* Return whether `index` is mapped, and is `file`. */
static inline bool mmbpy_log_is_index(const mmbpy_log_index *index, const mmb_log_identity *file)
{
    return index != NULL && file->device == index->device && file->inode == index->inode;
}

/* Find where message `number` lies. Return -1 with IndexError or InvalidMessage. The caller does
 * not hold the lock. (log_reader.c) */
int mmbpy_log_find(mmbpy_log_reader *self, uint64_t number, uint64_t *start, uint64_t *bytes);

/* Look for news in the files `fd` and `index_fd`; -1 if there is no index. Return 0, an errno, or
 * MMB_EMESSAGE with the reason. The caller holds the lock. */
int mmbpy_log_look(mmbpy_log_reader *self, int fd, int index_fd, const char **reason);

#endif
