/* map_open.c - opens a `_core.Map`. */

#include "file_type.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>

#define DEFAULT_MAX_GROWTH ((uint64_t)64 << 20)

void mmbpy_map_raise_open(mmbpy_map *self, int error, mmb_limit limit, unsigned long long bytes)
{
    PyObject *text;
    switch (limit) {
    case MMB_LIMIT_FSIZE:
        text = PyUnicode_FromFormat("RLIMIT_FSIZE (ulimit -f) is below the capacity of %llu bytes: "
                                    "raise it, or open with a smaller capacity=",
                                    bytes);
        break;
    case MMB_LIMIT_AS:
        text = PyUnicode_FromFormat(
            "RLIMIT_AS (ulimit -v) leaves no room for the capacity of %llu bytes: "
            "raise it, or open with a smaller capacity=",
            bytes);
        break;
    case MMB_LIMIT_SPACE:
        text = PyUnicode_FromFormat("the address space has no room for a capacity of %llu bytes: "
                                    "open with a smaller capacity=",
                                    bytes);
        break;
    case MMB_LIMIT_MAPS:
        text = PyUnicode_FromFormat("this process holds %d maps already, the most it can",
                                    MMB_MAX_MAPS);
        break;
    default:
        if (error == MMB_ECAPACITY) {
            text = PyUnicode_FromFormat(
                "the file is larger already than the capacity of %llu bytes: open it "
                "with a larger capacity=",
                bytes);
            mmbpy_raise_capacity(self->state, text, self->name);
            return;
        }
        if (error == EOPNOTSUPP) {
            text = PyUnicode_FromString("a file of huge pages (hugetlbfs) cannot grow");
        } else if (error == EPERM) {
            text = PyUnicode_FromString("the file is sealed against writing or resizing");
        } else {
            mmbpy_raise(self->state, error, self->name);
            return;
        }
    }
    mmbpy_raise_text(error, text, self->name);
}

static int map_file(mmbpy_map *self, const mmb_options *options, mmb_map **map)
{
    int fd = mmbpy_file_descriptor(self->file);
    mmb_limit limit = MMB_LIMIT_NONE;
    int error;
    if (options->capacity > (uint64_t)PY_SSIZE_T_MAX - MMB_GRANULE) {
        error = ENOMEM;
        limit = MMB_LIMIT_SPACE;
    } else {
        Py_BEGIN_ALLOW_THREADS
        error = mmb_map_open(fd, options, map, &limit);
        Py_END_ALLOW_THREADS
    }
    if (error != 0) {
        mmbpy_map_raise_open(self, error, limit, options->capacity);
        return -1;
    }
    return 0;
}

/* What a file contains before anyone can find it. */
typedef struct {
    Py_buffer bytes;  /* its first bytes; may be empty */
    uint32_t entries; /* entries in the table of its message; 0: it is no message */
    bool durable;
} beginning;

/* Begin a message; `Segments` goes on with it. The caller has released the GIL. */
static int begin_message(mmbpy_map *self, mmb_map *map, const beginning *with)
{
    mmb_region region = {.map = map, .offset = 0, .capacity = mmb_map_capacity(map)};
    if (self->building == NULL) {
        self->building = calloc(1, sizeof *self->building);
        mmbpy_map_pin(self);
    }
    return self->building == NULL
               ? ENOMEM
               : mmb_message_begin(self->building, &region, with->entries, with->durable);
}

static int begin(mmbpy_map *self, mmb_map *map, const beginning *with)
{
    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    if (with->entries > 0) {
        error = begin_message(self, map, with);
    } else if (with->bytes.len > 0) {
        error = mmb_map_append(map, with->bytes.buf, (uint64_t)with->bytes.len);
    }
    Py_END_ALLOW_THREADS
    return mmbpy_zero_or_raise(self->state, error, self->name);
}

/* Map the file and write its beginning. When nothing else can fail, let the file take its name.
 * If it cannot take it, do the same with the file that has the name. */
static int open_map(mmbpy_map *self, mmb_options *options, const beginning *with)
{
    mmb_map *map = NULL;
    int settled = 0;
    while (settled == 0) {
        options->replace = mmbpy_file_is_emptied(self->file);
        if (map_file(self, options, &map) < 0) {
            return -1;
        }
        settled = begin(self, map, with) < 0 ? -1 : mmbpy_file_settle(self->file);
        if (settled != 1) {
            Py_BEGIN_ALLOW_THREADS
            mmb_map_free(map);
            Py_END_ALLOW_THREADS
        }
    }
    if (settled < 0) {
        return -1;
    }
    mmbpy_file_lend(self->file);
    self->capacity = options->capacity;
    atomic_store(&self->map, map);
    return 0;
}

/* Take the arguments that are numbers. Return false with an exception on an error. */
static bool take_numbers(PyObject *capacity, PyObject *max_growth, PyObject *size_hint,
                         PyObject *declared, mmb_options *options, uint64_t *declared_size)
{
    if (!mmbpy_as_uint64(capacity, "capacity", &options->capacity) ||
        (max_growth && !mmbpy_as_uint64(max_growth, "max_growth", &options->max_growth)) ||
        (size_hint && !mmbpy_as_uint64(size_hint, "size_hint", &options->size_hint)) ||
        (declared && !mmbpy_as_uint64(declared, "declared", declared_size))) {
        return false;
    }
    if (options->capacity == 0 || options->max_growth == 0) {
        PyErr_Format(PyExc_ValueError, "%s must not be zero",
                     options->capacity == 0 ? "capacity" : "max_growth");
        return false;
    }
    return true;
}

/* Take the right to open the map, which is given once, and the file. */
static bool take_file(mmbpy_map *self, PyObject *file)
{
    int expected = MMBPY_NEW;
    if (!atomic_compare_exchange_strong(&self->phase, &expected, MMBPY_CLOSING)) {
        PyErr_SetString(PyExc_RuntimeError, "the map has been opened before");
        return false;
    }
    self->owner = mmb_this_process();
    self->file = (mmbpy_file *)Py_NewRef(file);
    PyObject *old_name = self->name;
    self->name = Py_NewRef(mmbpy_file_name(self->file));
    Py_DECREF(old_name);
    return true;
}

int mmbpy_map_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"file",      "capacity", "max_growth", "prefault",
                            "writeback", "declared", "size_hint",  "content",
                            "first",     "entries",  "durable",    NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *file, *capacity, *max_growth = NULL, *declared = NULL, *size_hint = NULL;
    int prefault = 0, writeback = 0, content = 0, durable = 0, result = -1;
    beginning with = {.entries = 0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|$OppOOpy*Ip:Map", names,
                                     self->state->file_type, &file, &capacity, &max_growth,
                                     &prefault, &writeback, &declared, &size_hint, &content,
                                     &with.bytes, &with.entries, &durable)) {
        return -1;
    }
    with.durable = durable != 0;
    mmb_options options = {.max_growth = DEFAULT_MAX_GROWTH,
                           .prefault = prefault != 0,
                           .writeback = writeback != 0,
                           .is_content = content != 0,
                           .is_shared = ((mmbpy_file *)file)->path == NULL};
    uint64_t declared_size = 0;
    if (take_numbers(capacity, max_growth, size_hint, declared, &options, &declared_size) &&
        take_file(self, file)) {
        result = open_map(self, &options, &with);
        if (result == 0) {
            mmb_map_declare(atomic_load(&self->map), declared_size);
        }
        atomic_store(&self->phase, result == 0 ? MMBPY_OPEN : MMBPY_CLOSED);
    }
    if (with.bytes.obj != NULL) {
        PyBuffer_Release(&with.bytes);
    }
    return result;
}
