/* arrow_out.c - exports columns as arrays and schemas of the Arrow C data interface. */
#include "column.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- schemas ---------------------------------------------------------------------------- */

static void release_schema(mmb_arrow_schema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i] != NULL) {
            if (schema->children[i]->release != NULL) {
                schema->children[i]->release(schema->children[i]);
            }
            free(schema->children[i]);
        }
    }
    if (schema->dictionary != NULL) {
        if (schema->dictionary->release != NULL) {
            schema->dictionary->release(schema->dictionary);
        }
        free(schema->dictionary);
    }
    free((void *)(uintptr_t)schema->format);
    free((void *)(uintptr_t)schema->name);
    free(schema->children);
    schema->release = NULL;
}

static int export_schema(const mmb_column *column, mmb_arrow_schema *out);

static int export_schema_to_new(const mmb_column *column, mmb_arrow_schema **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ENOMEM : export_schema(column, *out);
}

static int export_schema(const mmb_column *column, mmb_arrow_schema *out)
{
    *out = (mmb_arrow_schema){.release = release_schema};
    out->format = strdup(column->format != NULL ? column->format : "+s");
    out->name = strdup(column->name != NULL ? column->name : "");
    out->flags = column->nullable ? MMB_ARROW_NULLABLE : 0;
    out->children = calloc((size_t)column->child_count + 1, sizeof(mmb_arrow_schema *));
    int error = out->format == NULL || out->name == NULL || out->children == NULL ? ENOMEM : 0;
    for (uint32_t i = 0; error == 0 && i < column->child_count; i++) {
        out->n_children = (int64_t)i + 1;
        error = export_schema_to_new(&column->children[i], &out->children[i]);
    }
    if (error == 0 && column->dictionary != NULL) {
        error = export_schema_to_new(column->dictionary, &out->dictionary);
    }
    if (error != 0) {
        release_schema(out);
    }
    return error;
}

int mmb_columns_schema(const mmb_columns *columns, mmb_arrow_schema *out)
{
    return export_schema(&columns->table, out);
}

/* ---- arrays ----------------------------------------------------------------------------- */

/* What an exported array keeps: a reference to the columns, and the pointers that it needs. */
typedef struct {
    mmb_columns *columns;
    const void **buffers; /* owned */
    int64_t *sizes;       /* owned; sizes of the windows that views refer to */
    mmb_arrow_array *children[];
} kept;

static void release_array(mmb_arrow_array *array)
{
    kept *own = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i] != NULL) {
            if (array->children[i]->release != NULL) {
                array->children[i]->release(array->children[i]);
            }
            free(array->children[i]);
        }
    }
    if (array->dictionary != NULL) {
        if (array->dictionary->release != NULL) {
            array->dictionary->release(array->dictionary);
        }
        free(array->dictionary);
    }
    mmb_columns_drop(own->columns);
    free((void *)own->buffers);
    free(own->sizes);
    free(own);
    array->release = NULL;
}

/* Return the most buffers that an array has. Views need one more for each window, and one for
 * their sizes. */
static int64_t most_buffers(const mmb_columns *columns, const mmb_column *column)
{
    return column->layout == MMB_LAY_VIEWS ? 4 + (int64_t)columns->window_count : 3;
}

static void set_windows(const mmb_columns *columns, const mmb_column *column, kept *own)
{
    uint32_t count = columns->window_count;
    for (uint32_t i = 0; i < count; i++) {
        own->buffers[2 + i] = columns->windows[i].start;
        own->sizes[i] = (int64_t)columns->windows[i].size;
    }
    own->buffers[2 + count] = column->own.bytes;
    own->sizes[count] = (int64_t)column->own.size;
    own->buffers[3 + count] = own->sizes;
}

static void set_buffers(const mmb_column *column, mmb_arrow_array *out, kept *own)
{
    const void *values = column->borrowed != NULL ? column->borrowed : column->values.bytes;
    own->buffers[0] = column->null_count != 0 ? column->valid.bytes : NULL;
    out->buffers = own->buffers;
    switch (column->layout) {
    case MMB_LAY_NULL:
        out->n_buffers = 0;
        break;
    case MMB_LAY_STRUCT:
        out->n_buffers = 1;
        break;
    case MMB_LAY_LIST:
        own->buffers[1] = column->offsets.bytes;
        out->n_buffers = 2;
        break;
    case MMB_LAY_LIST_VIEW:
        own->buffers[1] = column->offsets.bytes;
        own->buffers[2] = column->sizes.bytes;
        out->n_buffers = 3;
        break;
    case MMB_LAY_UNION: /* a union has no validity bits; its values may be null */
        own->buffers[0] = values;
        own->buffers[1] = column->offsets.bytes;
        out->n_buffers = 2;
        break;
    case MMB_LAY_VIEWS:
        own->buffers[1] = values;
        set_windows(own->columns, column, own);
        out->n_buffers = most_buffers(own->columns, column);
        break;
    case MMB_LAY_BYTES:
        own->buffers[1] = column->offsets.bytes;
        own->buffers[2] = values;
        out->n_buffers = 3;
        break;
    default:
        own->buffers[1] = values;
        out->n_buffers = 2;
        break;
    }
}

static int export_array(mmb_columns *columns, const mmb_column *column, mmb_arrow_array *out);

static int export_array_to_new(mmb_columns *columns, const mmb_column *column,
                               mmb_arrow_array **out)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? ENOMEM : export_array(columns, column, *out);
}

static int export_array(mmb_columns *columns, const mmb_column *column, mmb_arrow_array *out)
{
    kept *own = calloc(1, sizeof *own + (size_t)column->child_count * sizeof(mmb_arrow_array *));
    *out = (mmb_arrow_array){0};
    if (own == NULL) {
        return ENOMEM;
    }
    size_t buffers = (size_t)most_buffers(columns, column);
    own->buffers = calloc(buffers, sizeof *own->buffers);
    own->sizes = calloc(buffers, sizeof *own->sizes);
    if (own->buffers == NULL || own->sizes == NULL) {
        free((void *)own->buffers);
        free(own->sizes);
        free(own);
        return ENOMEM;
    }
    atomic_fetch_add(&columns->references, 1);
    own->columns = columns;
    *out = (mmb_arrow_array){
        .length = (int64_t)column->length,
        .null_count =
            (int64_t)(column->layout == MMB_LAY_NULL ? column->length : column->null_count),
        .children = own->children,
        .release = release_array,
        .private_data = own,
    };
    set_buffers(column, out, own);
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < column->child_count; i++) {
        out->n_children = (int64_t)i + 1;
        error = export_array_to_new(columns, &column->children[i], &own->children[i]);
    }
    if (error == 0 && column->dictionary != NULL) {
        error = export_array_to_new(columns, column->dictionary, &out->dictionary);
    }
    if (error != 0) {
        release_array(out);
    }
    return error;
}

int mmb_columns_array(mmb_columns *columns, mmb_arrow_array *out)
{
    return export_array(columns, &columns->table, out);
}

/* ---- streams of one batch ----------------------------------------------------------------- */

typedef struct {
    mmb_columns *columns;
    bool done;
} stream;

static int stream_schema(mmb_arrow_stream *self, mmb_arrow_schema *out)
{
    return mmb_columns_schema(((stream *)self->private_data)->columns, out);
}

static int stream_next(mmb_arrow_stream *self, mmb_arrow_array *out)
{
    stream *own = self->private_data;
    *out = (mmb_arrow_array){0}; /* a released array means the end */
    if (own->done) {
        return 0;
    }
    int error = mmb_columns_array(own->columns, out);
    own->done = error == 0;
    return error;
}

static const char *stream_error(mmb_arrow_stream *self)
{
    (void)self;
    return "there is not enough memory";
}

static void release_stream(mmb_arrow_stream *self)
{
    stream *own = self->private_data;
    mmb_columns_drop(own->columns);
    free(own);
    self->release = NULL;
}

int mmb_columns_stream(mmb_columns *columns, mmb_arrow_stream *out)
{
    stream *own = calloc(1, sizeof *own);
    if (own == NULL) {
        return ENOMEM;
    }
    atomic_fetch_add(&columns->references, 1);
    own->columns = columns;
    *out = (mmb_arrow_stream){stream_schema, stream_next, stream_error, release_stream, own};
    return 0;
}
