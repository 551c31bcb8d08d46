/* image.h - what a file held at some moment, and the moments that it went through. */
#ifndef MMB_TESTS_IMAGE_H
#define MMB_TESTS_IMAGE_H

#include "message.h"

typedef struct {
    unsigned char *bytes;
    uint64_t size;
    bool synced; /* all of it had reached the device */
} image;

enum { MAX_IMAGES = 1200 };

typedef struct {
    int fd;
    int count;
    image images[MAX_IMAGES];
} history;

static inline image image_take(int fd)
{
    image i = {.size = file_size(fd)};
    i.bytes = malloc(i.size + 1);
    CHECK(i.bytes != NULL && pread(fd, i.bytes, i.size, 0) == (ssize_t)i.size);
    return i;
}

static inline void image_put(int fd, const image *i)
{
    CHECK(ftruncate(fd, 0) == 0);
    CHECK(ftruncate(fd, (off_t)i->size) == 0);
    CHECK(pwrite(fd, i->bytes, i->size, 0) == (ssize_t)i->size);
}

static inline bool image_equal(const image *a, const image *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static inline void history_clear(history *h)
{
    for (int i = 0; i < h->count; i++) {
        free(h->images[i].bytes);
    }
    h->count = 0;
}

/* Remember the present state, if it is new. For trace(). */
static inline void history_visit(void *context, bool synced)
{
    history *h = context;
    image now = image_take(h->fd);
    if (h->count > 0 && image_equal(&now, &h->images[h->count - 1])) {
        free(now.bytes);
    } else {
        CHECK(h->count < MAX_IMAGES);
        h->images[h->count++] = now;
    }
    if (synced) {
        h->images[h->count - 1].synced = true;
    }
}

#endif
