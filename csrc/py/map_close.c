/* map_close.c - closing a `_core.Map`.
 *
 * One thread closes, whoever comes first; it waits for the methods that are at
 * work in other threads, and looks for exports only when nobody can add one. */

#include "state.h"

#include <time.h>

void mmbpy_map_free(mmbpy_map *self)
{
    mmb_map *map = atomic_exchange(&self->map, NULL);
    if (map == NULL) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    mmb_map_free(map);
    Py_END_ALLOW_THREADS
}

static void pause_briefly(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 50000};
    nanosleep(&pause, NULL);
}

int mmbpy_map_begin_close(mmbpy_map *self, bool force, mmb_map **out)
{
    int expected = MMBPY_OPEN;
    if (!atomic_compare_exchange_strong(&self->phase, &expected, MMBPY_CLOSING)) {
        return 0;
    }
    mmb_map *map = atomic_load(&self->map);
    /* In a forked child the threads that were at work do not exist, and their
     * count would never fall. There the memory is kept until dealloc. */
    if (atomic_load(&self->busy) != 0 && mmb_map_is_owner(map)) {
        Py_BEGIN_ALLOW_THREADS
        while (atomic_load(&self->busy) != 0) {
            pause_briefly();
        }
        Py_END_ALLOW_THREADS
    }
    if (!force && atomic_load(&self->exports) != 0) {
        mmbpy_map_cancel_close(self);
        PyErr_SetString(PyExc_BufferError, "cannot close exported pointers exist");
        return -1;
    }
    *out = map;
    return 1;
}

void mmbpy_map_cancel_close(mmbpy_map *self)
{
    atomic_store(&self->phase, MMBPY_OPEN);
}

/* Freed when the last of closing and the exports is over: CLOSED is stored before
 * `exports` is looked at here, and `exports` is lowered before the phase is looked
 * at in mmbpy_map_release_export, so one of the two frees, or both try to, of
 * which only the first finds a map. */
static void free_if_unused(mmbpy_map *self)
{
    if (self->early_free && atomic_load(&self->exports) == 0) {
        mmbpy_map_free(self);
    }
}

void mmbpy_map_release_export(mmbpy_map *self)
{
    atomic_fetch_sub(&self->exports, 1);
    if (atomic_load(&self->phase) == MMBPY_CLOSED) {
        free_if_unused(self);
    }
}

void mmbpy_map_end_close(mmbpy_map *self, uint64_t used)
{
    mmb_map *map = atomic_load(&self->map);
    mmb_map_get_stats(map, &self->last_stats);
    self->last_used = used;
    self->early_free = !atomic_load(&self->segmented) && mmb_map_is_owner(map);
    if (!self->early_free || atomic_load(&self->exports) != 0) {
        Py_BEGIN_ALLOW_THREADS
        mmb_map_detach(map); /* on failure the memory stays as it is, sealed */
        Py_END_ALLOW_THREADS
    }
    atomic_store(&self->phase, MMBPY_CLOSED);
    free_if_unused(self);
}

/* What cutting does to a file whose map is poisoned: never make it longer, and
 * leave it alone if someone else has cut it. */
static int cut_file(mmb_map *map, uint64_t used)
{
    int poison = mmb_map_poison(map);
    if (poison == MMB_ETRUNCATED) {
        return poison;
    }
    mmb_stats stats;
    mmb_map_get_stats(map, &stats);
    int error = 0;
    if (poison == 0 || used < stats.backed) {
        error = mmb_map_cut(map, used);
    }
    return poison != 0 ? poison : error;
}

const char mmbpy_finish_doc[] =
    PyDoc_STR("_finish($self, /, size=None, *, force=False, cut=True)\n--\n\n"
              "Stop growing, cut the file to size (None: to what is used), let go of it.\n\n"
              "Returns True when done, False if the map was closed already, or the OSError\n"
              "that closing met: the map is closed then as well. What is raised instead\n"
              "leaves the map open: BufferError with live exports, unless force, which makes\n"
              "their memory a private snapshot. With cut=False the file keeps its length.\n"
              "In a forked child the file is never touched.");

PyObject *mmbpy_map_finish(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"size", "force", "cut", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = Py_None;
    int force = 0, cut = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$pp:_finish", names, &size, &force, &cut)) {
        return NULL;
    }
    uint64_t used = 0;
    if (size != Py_None) {
        if (!mmbpy_as_uint64(size, "size", &used)) {
            return NULL;
        }
        if (used > self->capacity && atomic_load(&self->phase) == MMBPY_OPEN) {
            return mmbpy_raise(self->state, MMB_ECAPACITY, self->name);
        }
    }
    mmb_map *map = NULL;
    int begun = mmbpy_map_begin_close(self, force != 0, &map);
    if (begun < 0) {
        return NULL;
    }
    if (begun == 0) {
        Py_RETURN_FALSE;
    }

    int error = 0;
    bool owner = mmb_map_is_owner(map);
    Py_BEGIN_ALLOW_THREADS
    mmb_map_seal(map);
    if (owner) {
        int find_error = 0;
        if (size == Py_None) {
            find_error = mmb_map_find_used(map, atomic_load(&self->said), &used);
        }
        if (find_error == 0 && cut) {
            error = cut_file(map, used);
        }
        if (error == 0) {
            error = mmb_map_poison(map) != 0 ? mmb_map_poison(map) : find_error;
        }
    }
    Py_END_ALLOW_THREADS
    mmbpy_map_end_close(self, used);
    if (error != 0) {
        return mmbpy_error(self->state, error, self->name);
    }
    Py_RETURN_TRUE;
}
