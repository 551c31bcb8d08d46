/* arrow.h - the Arrow C data interface. It is a published binary interface, so we must not change
 * it.
 *
 * https://arrow.apache.org/docs/format/CDataInterface.html describes it. The names are our own, so
 * that other headers with these structs can be included beside this one. An array or a schema is
 * released by its own `release`, which then sets itself to NULL. Any thread may call it. */
#ifndef MMB_ARROW_H
#define MMB_ARROW_H

#include <stdint.h>

enum {
    MMB_ARROW_DICTIONARY_ORDERED = 1,
    MMB_ARROW_NULLABLE = 2,
};

typedef struct mmb_arrow_schema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct mmb_arrow_schema **children;
    struct mmb_arrow_schema *dictionary;
    void (*release)(struct mmb_arrow_schema *);
    void *private_data;
} mmb_arrow_schema;

typedef struct mmb_arrow_array {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct mmb_arrow_array **children;
    struct mmb_arrow_array *dictionary;
    void (*release)(struct mmb_arrow_array *);
    void *private_data;
} mmb_arrow_array;

typedef struct mmb_arrow_stream {
    int (*get_schema)(struct mmb_arrow_stream *, mmb_arrow_schema *out);
    int (*get_next)(struct mmb_arrow_stream *, mmb_arrow_array *out);
    const char *(*get_last_error)(struct mmb_arrow_stream *);
    void (*release)(struct mmb_arrow_stream *);
    void *private_data;
} mmb_arrow_stream;

#endif
