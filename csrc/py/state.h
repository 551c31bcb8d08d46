/* state.h - shared by all files of csrc/py: module state, objects, helpers.
 *
 * Nothing here is shared by the whole process: each interpreter has a module of its own, and each
 * object points to the state of the module that made its type. */
#ifndef MMBPY_STATE_H
#define MMBPY_STATE_H

#include "compat.h"

#include <stdatomic.h>
#include <stdint.h>

#include "mmb_capnp.h"
#include "mmb_map.h"
#include "os/process.h"

/* All types of the module. `file` stands for the type mmbpy_file, its slots file_slots, its spec
 * mmbpy_file_spec, and its object file_type in the state. */
/* clang-format off */
#define MMBPY_TYPES(X)                                                                             \
    X(file) X(map) X(read_map) X(segment_view) X(segments) X(log_writer) X(log_build)              \
    X(log_reader) X(plan) X(stage) X(encoder) X(gate) X(usage) X(columns)
/* clang-format on */

/* All tables of functions: `log` stands for mmbpy_log_functions. */
#define MMBPY_FUNCTIONS(X)                                                                         \
    X(message) X(file) X(segments) X(column) X(list) X(arrow) X(log) X(roots) X(join)

#define X(what) extern PyType_Spec mmbpy_##what##_spec;
MMBPY_TYPES(X)
#undef X
#define X(what) extern PyMethodDef mmbpy_##what##_functions[];
MMBPY_FUNCTIONS(X)
#undef X

/* Define the spec of a type, which is _core.`called`. It has the flags `more` beside the default
 * ones. */
#define MMBPY_SPEC(what, called, more)                                                             \
    PyType_Spec mmbpy_##what##_spec = {.name = "mmapbuilder._core." called,                        \
                                       .basicsize = sizeof(mmbpy_##what),                          \
                                       .flags = Py_TPFLAGS_DEFAULT | (more),                       \
                                       .slots = what##_slots};

typedef struct {
#define X(what) PyTypeObject *what##_type;
    MMBPY_TYPES(X)
#undef X
    PyObject *capacity_error;  /* CapacityError(OSError, ValueError) */
    PyObject *invalid_message; /* InvalidMessage(ValueError) */
    PyObject *hasattr;         /* the function of Python */
    PyObject *claims;          /* table of the files that this process holds (file_claim.c) */
    mmbpy_mutex claims_lock;   /* a thread that reads or changes that table holds it */
} mmbpy_state;

/* ---- Map ------------------------------------------------------------------ */

typedef enum {
    MMBPY_NEW,  /* it was made but not opened, and behaves as closed */
    MMBPY_OPEN, /* in use */
    /* The map cannot be used any more and its memory is a snapshot, but the file is not finished.
     */
    MMBPY_SEALED,
    MMBPY_CLOSING, /* one thread opens or closes it; all others find it closed */
    MMBPY_CLOSED,  /* closed; no phase follows */
} mmbpy_phase;

/* One map as a Python object.
 *
 * Any thread may call any method at any time, with or without a GIL. `phase` and `busy` keep the
 * mmb_map alive while a method works:
 *
 * - A method adds to `busy`, then checks that `phase` is OPEN (or SEALED, if the method only looks
 *   at the map). If it is not, the method subtracts from `busy` again, and reports a closed
 *   builder.
 * - A closer moves `phase` from OPEN to CLOSING, which only one thread can do. Then it waits until
 *   `busy` counts no method.
 *
 * Both are sequentially consistent, so either the method sees the new phase, or the closer sees the
 * method. No Python code may run between hold and leave: it could call close, which would wait for
 * itself forever. */
typedef struct {
    PyObject_HEAD PyObject *weakrefs;
    PyObject *name;     /* for error texts; __init__ sets it once */
    mmbpy_state *state; /* state of the module that made the type; __new__ sets it once */
    /* __init__ sets it once. It outlives the mmb_map, which hands its descriptor back to it. */
    struct mmbpy_file *file;

    /* __init__ sets it before `phase` becomes OPEN. An atomic exchange takes it out, so that it
     * is freed only once. */
    _Atomic(mmb_map *) map;
    uint64_t capacity; /* in bytes; __init__ sets it once */
    uint64_t owner;    /* mmb_this_process() of the process that opened it; __init__ sets it once */
    /* A message that __init__ has begun, until `Segments` takes it over, once. */
    mmb_building *building;

    /* True if anything may have an address in the map's memory. Then the memory stays mapped as
     * long as the object lives, even after close. To count buffers would not be enough:
     * numpy.ndarray(..., buffer=) releases its buffer at once, and keeps only a reference. It is
     * set before the first address is told; the closer reads it. */
    _Atomic bool exposed;
    /* True if anything but a memoryview had a buffer. Such an object may keep the address after it
     * has released the buffer. */
    _Atomic bool lent;
    /* How many buffers are handed out and not released. All segment views together count as one. */
    _Atomic long exports;

    _Atomic int phase; /* an mmbpy_phase */
    /* pid << 32 | how many methods of that process are at work on `map` now. A forked child
     * begins with none, since it does not have the threads that were at work. */
    _Atomic uint64_t busy;

    /* The closer writes these before `phase` becomes CLOSED; others read them afterwards. */
    mmb_stats last_stats;
    _Atomic uint64_t last_used;
    int last_error;
} mmbpy_map;

/* mmbpy_map_init opens the map: it is its __init__. mmbpy_map_raise_open says why there is no map,
 * or no memory for it. (map_open.c) */
int mmbpy_map_init(PyObject *self, PyObject *args, PyObject *kwargs);
void mmbpy_map_raise_open(mmbpy_map *self, int error, mmb_limit limit, unsigned long long bytes);

/* These decide who may use the map, and when (map_phase.c). mmbpy_map_hold begins to use the
 * map, whatever its state. It returns NULL without an exception if the map is closed. */
mmb_map *mmbpy_map_hold(mmbpy_map *self);

/* Begin to use the map for a call that may fail: arm the fault handler, and raise the error that
 * poisoned the map. Return NULL with an exception if the map is closed or poisoned. */
mmb_map *mmbpy_map_enter(mmbpy_map *self);

/* End the use that hold or enter began. If the GIL was given up, call this before taking it
 * again: at the end of the interpreter a thread stays there forever, and a closer would wait for
 * it. */
void mmbpy_map_leave(mmbpy_map *self);

/* Return false once close or discard has begun, and cannot be taken back. */
bool mmbpy_map_is_open(const mmbpy_map *self);

/* Return false in a forked child, which must not finish the file. */
bool mmbpy_map_is_owner(const mmbpy_map *self);

/* Take the right to close. Return true with the map, which now belongs to this caller alone;
 * false if it is closed already. After true, call either mmbpy_map_end_close or
 * mmbpy_map_seal. */
bool mmbpy_map_begin_close(mmbpy_map *self, mmb_map **out);

/* The closer calls this between begin and end. Return true if nothing in this process has the
 * memory of the map, or can get it. */
bool mmbpy_map_is_unexposed(const mmbpy_map *self);

/* Note that segment views of the map will be handed out. */
void mmbpy_map_pin(mmbpy_map *self);

/* End the close. Free the map, or turn memory that is exposed into a private snapshot. If no
 * buffer is left, and the content is worth nothing (`error`, or `dropped`), turn it into zeros,
 * so that it holds nothing of the file. `used` is for stats; `error` is what the close met, or
 * 0. */
void mmbpy_map_end_close(mmbpy_map *self, uint64_t used, int error, bool dropped);

/* Return what the close met, for a caller that asks again after an interruption: None or an
 * exception. */
PyObject *mmbpy_map_outcome(mmbpy_map *self);

/* Seal the map, and leave the rest of the close to the next closer. */
void mmbpy_map_seal(mmbpy_map *self);

/* Wait until no thread is closing. */
void mmbpy_map_wait_closed(mmbpy_map *self);

/* Return the counters and the size of the content: as they are now, or as they were when the map
 * was closed. A map that is poisoned still tells. Return 0, or -1 with an exception. */
int mmbpy_map_look(mmbpy_map *self, mmb_stats *stats, uint64_t *used);

/* Unmap and free what is left, when nothing can refer to it any more. */
void mmbpy_map_free(mmbpy_map *self);

/* The method `_finish`: it closes, but does not rename files. */
extern const char mmbpy_finish_doc[];
PyObject *mmbpy_map_finish(PyObject *self, PyObject *args, PyObject *kwargs);

/* The methods of Map that use it: write, seek, reserve and others. (map_methods.c) */
PyObject *mmbpy_map_write(PyObject *self, PyObject *data);
PyObject *mmbpy_map_tell(PyObject *self, PyObject *unused);
PyObject *mmbpy_map_seek(PyObject *self, PyObject *args);
PyObject *mmbpy_map_truncate(PyObject *self, PyObject *args);
PyObject *mmbpy_map_reserve(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *mmbpy_map_allocate(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *mmbpy_map_allocate_zeros(PyObject *self, PyObject *args);
PyObject *mmbpy_map_flush(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *mmbpy_map_get_descriptor(PyObject *self, void *unused);
PyObject *mmbpy_map_get_size(PyObject *self, void *unused);

/* The methods that read the content. (map_read.c) */
PyObject *mmbpy_map_read(PyObject *self, PyObject *args);
PyObject *mmbpy_map_readinto(PyObject *self, PyObject *buffer);
PyObject *mmbpy_map_readline(PyObject *self, PyObject *args);
PyObject *mmbpy_map_peek(PyObject *self, PyObject *args);
PyObject *mmbpy_map_getvalue(PyObject *self, PyObject *unused);

/* Raise an error of the C layers that `length` bytes at `start` have met. Return NULL. */
PyObject *mmbpy_map_raise_at(mmbpy_map *self, int error, uint64_t start, uint64_t length);

/* Find where the content ends. Return 0, or -1 with an exception. */
int mmbpy_map_find_size(mmbpy_map *self, uint64_t *size);

/* Indexes and slices. (map_items.c) */
Py_ssize_t mmbpy_map_length(PyObject *self);
int mmbpy_map_bool(PyObject *self);
PyObject *mmbpy_map_subscript(PyObject *self, PyObject *key);
int mmbpy_map_ass_subscript(PyObject *self, PyObject *key, PyObject *value);

/* Return view[start:stop:step] of a memoryview, for a range that is in bounds. A `stop` below
 * zero, with a negative step, means that the range reaches to the first byte. */
PyObject *mmbpy_slice_of(PyObject *view, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step);

/* ---- errors --------------------------------------------------------------- */

/* Make an OSError of an error of the C layers (an errno or an MMB_E value), with the file's
 * name; make an InvalidMessage of a flaw, with the file's name or None. New references. */
PyObject *mmbpy_error(mmbpy_state *state, int error, PyObject *name);
PyObject *mmbpy_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name);

/* These functions raise such errors. All of them return NULL. */
PyObject *mmbpy_raise(mmbpy_state *state, int error, PyObject *name);
PyObject *mmbpy_raise_invalid(mmbpy_state *state, const mmb_flaw *flaw);
PyObject *mmbpy_raise_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name);
PyObject *mmbpy_raise_capacity(mmbpy_state *state, PyObject *text, PyObject *name);
PyObject *mmbpy_raise_text(int error, PyObject *text, PyObject *name); /* takes `text` over */
PyObject *mmbpy_raise_closed(void);

/* Return None if `error` is 0, or NULL with such an error; return 0 or -1 in the same way. */
PyObject *mmbpy_none_or_raise(mmbpy_state *state, int error, PyObject *name);
int mmbpy_zero_or_raise(mmbpy_state *state, int error, PyObject *name);

/* Make or raise an error of a map. That of a capacity that is used up says how large it is. */
PyObject *mmbpy_map_error(const mmbpy_map *map, int error);
PyObject *mmbpy_map_raise(const mmbpy_map *map, int error);

int mmbpy_add_errors(PyObject *module, mmbpy_state *state);

/* Forget the exception that is set, if it is of the kind that was expected. Return whether none is
 * left. Nothing else forgets an exception that code of Python may have raised: an interruption, or
 * an error of memory, must reach the caller. */
bool mmbpy_forget(PyObject *kind);

/* Do that for an exception by which an object refuses a buffer as we have asked for it. */
bool mmbpy_forget_refusal(void);

/* Take an int (or an object with __index__, but no bool) that is not negative. Return false with
 * TypeError or ValueError. A number that is too large becomes UINT64_MAX. */
bool mmbpy_as_uint64(PyObject *object, const char *what, uint64_t *out);

/* ---- objects (object.c) ---------------------------------------------------- */

/* Make an object of a type of the module, all zero; NULL with an exception. */
PyObject *mmbpy_new_object(PyTypeObject *type);

/* Free the object at the end of its dealloc. */
void mmbpy_free_object(PyObject *object);

/* Let other threads run for a moment. */
void mmbpy_pause(void);

/* Find whether an object has an attribute. Return 1, 0, or -1 with an exception.
 * (PyObject_HasAttr would forget any exception.) A name that is NULL stands for a failure. */
int mmbpy_has(const mmbpy_state *state, PyObject *object, const char *name);

/* Return the state of the module that made `type` or a base of it; NULL with an exception if no
 * base does, or if there is no memory to find out. */
mmbpy_state *mmbpy_state_of_type(PyTypeObject *type);

#endif
