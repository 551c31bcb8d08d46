/* state.h - what the files of the glue share: module state, objects, helpers.
 *
 * Nothing here is process-wide: each interpreter has a module of its own, and
 * each object points to the state of the module that made its type.
 */
#ifndef MMBPY_STATE_H
#define MMBPY_STATE_H

#include "compat.h"

#include <stdatomic.h>
#include <stdint.h>

#include "mmb_capnp.h"
#include "mmb_map.h"

typedef struct {
    PyTypeObject *file_type;
    PyTypeObject *map_type;
    PyTypeObject *window_type;
    PyTypeObject *read_map_type;
    PyTypeObject *segments_type;
    PyTypeObject *log_reader_type;
    PyTypeObject *log_writer_type;
    PyTypeObject *log_build_type;
    PyTypeObject *plan_type;
    PyTypeObject *stage_type;
    PyTypeObject *encoder_type;
    PyTypeObject *gate_type;
    PyTypeObject *columns_type;
    PyTypeObject *usage_type;
    PyObject *capacity_error;  /* CapacityError(OSError, ValueError) */
    PyObject *invalid_message; /* InvalidMessage(ValueError) */
    PyObject *claims;          /* the files that are held in this process (file_claim.c) */
} mmbpy_state;

/* ---- Map ------------------------------------------------------------------ */

typedef enum {
    MMBPY_NEW,     /* made, not opened: behaves as closed */
    MMBPY_OPEN,    /* in use */
    MMBPY_SEALED,  /* of no use any more, its memory a snapshot, but the file is not finished */
    MMBPY_CLOSING, /* one thread is opening or closing it; everyone else finds it closed */
    MMBPY_CLOSED,  /* for good */
} mmbpy_phase;

/* One map as a Python object.
 *
 * Any thread may call any method at any time, with or without a GIL. What keeps
 * the mmb_map alive under a method is `phase` and `busy`, used like this:
 *
 *   a method    adds to `busy`, then looks whether `phase` is OPEN; if not it
 *               takes itself off again and reports a closed builder;
 *   a closer    moves `phase` from OPEN to CLOSING, which one thread only can do,
 *               then waits until `busy` counts nobody.
 *
 * Both are sequentially consistent, so either the method sees the new phase or the
 * closer sees the method. No Python code may run between hold and leave: it
 * could call close, which would wait for itself for ever. */
typedef struct {
    PyObject_HEAD PyObject *weakrefs;
    PyObject *name;     /* for error texts; set once by __init__ */
    mmbpy_state *state; /* of the module that made the type; set once by __new__ */
    /* Set once by __init__. It outlives the mmb_map, which hands its descriptor back to it. */
    struct mmbpy_file *file;

    /* Set by __init__ before `phase` becomes OPEN; taken out with an atomic
     * exchange by whoever frees it, so that this happens once. */
    _Atomic(mmb_map *) map;
    uint64_t capacity; /* bytes; set once by __init__ */
    uint64_t owner;    /* mmb_this_process() of the one that opened it; set once by __init__ */
    /* A message that was begun by __init__, until `Segments` takes it over, once. */
    mmb_building *building;

    /* Somebody may have an address in its memory, which stays mapped as long as the object lives
     * then, closed or not. Counting buffers would not do: numpy.ndarray(..., buffer=) releases
     * its own at once, and only keeps a reference. Set before the first address is told; read
     * by the closer. */
    _Atomic bool exposed;
    /* Buffers handed out and not released, and one more for windows, which nobody counts. */
    _Atomic long exports;

    _Atomic int phase; /* an mmbpy_phase */
    /* pid << 32 | methods of that process at work on `map` right now: a forked child
     * begins with none, since the threads that were at work are not there */
    _Atomic uint64_t busy;

    /* Written by the closer before `phase` becomes CLOSED, read afterwards. */
    mmb_stats last_stats;
    _Atomic uint64_t last_used;
    int last_error;
} mmbpy_map;

/* Opening (map_open.c): its __init__; and why there is no map, or no memory of it. */
int mmbpy_map_init(PyObject *self, PyObject *args, PyObject *kwargs);
void mmbpy_map_raise_open(mmbpy_map *self, int error, mmb_limit limit, unsigned long long bytes);

/* Who may use it, and when (map_phase.c). First: start to use the map, whatever its
 * state; NULL, without an exception, if it is closed. */
mmb_map *mmbpy_map_hold(mmbpy_map *self);

/* The same for calls that may fail: arms the fault handler and raises what poisoned
 * the map. NULL with an exception set if the map is closed or poisoned. */
mmb_map *mmbpy_map_enter(mmbpy_map *self);

/* The end of either. Where the GIL was given up, before it is asked for again: a thread that
 * comes to that at the end of the interpreter stays there, and would be waited for. */
void mmbpy_map_leave(mmbpy_map *self);

/* False once close or discard has begun for good. */
bool mmbpy_map_is_open(const mmbpy_map *self);

/* False in a forked child, which must not finish the file. */
bool mmbpy_map_is_owner(const mmbpy_map *self);

/* Take the right to close: true with the map for this caller alone; false if it is
 * closed already. After true, exactly one of the two calls below must follow. */
bool mmbpy_map_begin_close(mmbpy_map *self, mmb_map **out);

/* For the closer, between begin and end: nobody has the memory of the map, or will have, in
 * this process. */
bool mmbpy_map_is_unexposed(const mmbpy_map *self);

/* Windows of the map are going to be handed out. */
void mmbpy_map_pin(mmbpy_map *self);

/* Done: free the map or, if its memory is exposed, turn that into a private snapshot; into zeros
 * where there is no buffer any more and the content is worth nothing (`error`, or `dropped`),
 * so that nothing of the file is held on to. `used` is for
 * stats, `error` what closing met, or 0. */
void mmbpy_map_end_close(mmbpy_map *self, uint64_t used, int error, bool dropped);

/* What closing met, for whoever asks again after an interruption: None or an exception. */
PyObject *mmbpy_map_outcome(mmbpy_map *self);

/* Done in part: seal the map, and leave the rest to whoever begins to close it next. */
void mmbpy_map_seal(mmbpy_map *self);

/* Not done after all: the map is open again. */
void mmbpy_map_cancel_close(mmbpy_map *self);

/* Wait for whoever is closing, so that `last_stats` and `last_used` can be read. */
void mmbpy_map_wait_closed(mmbpy_map *self);

/* Unmap and free what is left, when nobody can refer to it any more. */
void mmbpy_map_free(mmbpy_map *self);

/* The method `_finish`: all of closing but the renaming of files. */
extern const char mmbpy_finish_doc[];
PyObject *mmbpy_map_finish(PyObject *self, PyObject *args, PyObject *kwargs);

/* Methods of Map that are plain use: write, seek, reserve, ... (map_methods.c) */
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

/* Reading the content. (map_read.c) */
PyObject *mmbpy_map_read(PyObject *self, PyObject *args);
PyObject *mmbpy_map_readinto(PyObject *self, PyObject *buffer);
PyObject *mmbpy_map_readline(PyObject *self, PyObject *args);
PyObject *mmbpy_map_peek(PyObject *self, PyObject *args);
PyObject *mmbpy_map_getvalue(PyObject *self, PyObject *unused);

/* Raise an error of the C layers that `length` bytes at `start` have met. Returns NULL. */
PyObject *mmbpy_map_raise_at(mmbpy_map *self, int error, uint64_t start, uint64_t length);

/* Where the content ends: 0, or -1 with an exception set. */
int mmbpy_map_find_size(mmbpy_map *self, uint64_t *size);

/* Indexing and slicing. (map_items.c) */
Py_ssize_t mmbpy_map_length(PyObject *self);
int mmbpy_map_bool(PyObject *self);
PyObject *mmbpy_map_subscript(PyObject *self, PyObject *key);
int mmbpy_map_ass_subscript(PyObject *self, PyObject *key, PyObject *value);

/* view[start:stop:step] of a memoryview, for a range that is in bounds. A `stop` below zero,
 * with a negative step, reaches to the first byte. */
PyObject *mmbpy_slice_of(PyObject *view, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t step);

/* ---- Window --------------------------------------------------------------- */

/* A writable memoryview of `length` bytes at `start` that keeps `map` alive. */
PyObject *mmbpy_window_of_map(mmbpy_state *state, mmbpy_map *map, unsigned char *start,
                              Py_ssize_t length);

/* The map whose memory such a view shows: a new reference, or NULL, without an exception, if it
 * is a view of something else. */
mmbpy_map *mmbpy_window_map(mmbpy_state *state, PyObject *view);

/* A window of nothing, for where making an object later could fail; and what it is to show,
 * once: a part of a map, which never fails, or zeroed memory of its own, in no file. False if
 * there is no memory. */
PyObject *mmbpy_window_new(mmbpy_state *state);
void mmbpy_window_show_map(PyObject *window, mmbpy_map *map, unsigned char *start,
                           Py_ssize_t length);
bool mmbpy_window_show_memory(PyObject *window, Py_ssize_t length);

/* ---- errors --------------------------------------------------------------- */

/* An error of the C layers (an errno or an MMB_E value) as an OSError with the
 * file's name, and a flaw as an InvalidMessage, with the file's name or None: new
 * references. */
PyObject *mmbpy_error(mmbpy_state *state, int error, PyObject *name);
PyObject *mmbpy_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name);

/* The same, raised. All of these return NULL. */
PyObject *mmbpy_raise(mmbpy_state *state, int error, PyObject *name);
PyObject *mmbpy_raise_invalid(mmbpy_state *state, const mmb_flaw *flaw);
PyObject *mmbpy_raise_invalid_in(mmbpy_state *state, const mmb_flaw *flaw, PyObject *name);
PyObject *mmbpy_raise_capacity(mmbpy_state *state, PyObject *text, PyObject *name); /* likewise */
PyObject *mmbpy_raise_text(int error, PyObject *text, PyObject *name); /* steals `text` */
PyObject *mmbpy_raise_closed(void);

/* Likewise for an error of a map; that of a capacity that is used up says how large it is. */
PyObject *mmbpy_map_error(const mmbpy_map *map, int error);
PyObject *mmbpy_map_raise(const mmbpy_map *map, int error);

int mmbpy_add_errors(PyObject *module, mmbpy_state *state);

/* An int (or an object with __index__, but no bool) that is not negative.
 * False with TypeError or ValueError set; what is too large becomes UINT64_MAX. */
bool mmbpy_as_uint64(PyObject *object, const char *what, uint64_t *out);

/* ---- what each file adds to the module ------------------------------------ */

extern PyType_Spec mmbpy_file_spec;
extern PyType_Spec mmbpy_map_spec;
extern PyType_Spec mmbpy_window_spec;
extern PyType_Spec mmbpy_read_map_spec;
extern PyType_Spec mmbpy_segments_spec;
extern PyType_Spec mmbpy_log_reader_spec;
extern PyType_Spec mmbpy_log_writer_spec;
extern PyType_Spec mmbpy_log_build_spec;
extern PyMethodDef mmbpy_log_functions[];
extern PyMethodDef mmbpy_roots_functions[];
extern PyType_Spec mmbpy_gate_spec;
extern PyMethodDef mmbpy_message_functions[];
extern PyMethodDef mmbpy_file_functions[];
extern PyMethodDef mmbpy_segments_functions[];

/* The state of the module that made `type` or a base of it. */
mmbpy_state *mmbpy_state_of_type(PyTypeObject *type);

#endif
