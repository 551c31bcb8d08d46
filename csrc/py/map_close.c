/* map_close.c - closes a `_core.Map`: the method cuts its file and lets go of it.
 *
 * map_phase.c decides which thread may close, and when. */

#include "state.h"

/* Cut the file of a poisoned map. Never make it longer, and do not touch it if another program has
 * truncated it. */
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
    PyDoc_STR("_finish($self, /, size=None, *, cut=True)\n--\n\n"
              "Stop growing, cut the file to size (None: to the used size), and let go of it.\n\n"
              "Return None, or the OSError that closing met. The map is closed then, too, and\n"
              "each later call returns the same. If an exception is raised, the map stays open.\n"
              "The memory of living views becomes a private snapshot. With cut=False the file\n"
              "keeps its length. In a forked child the file is never touched.");

PyObject *mmbpy_map_outcome(mmbpy_map *self)
{
    if (self->last_error != 0) {
        return mmbpy_map_error(self, self->last_error);
    }
    Py_RETURN_NONE;
}

PyObject *mmbpy_map_finish(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"size", "cut", NULL};
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject *size = Py_None;
    int cut = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$p:_finish", names, &size, &cut)) {
        return NULL;
    }
    uint64_t used = 0;
    if (size != Py_None) {
        if (!mmbpy_as_uint64(size, "size", &used)) {
            return NULL;
        }
        if (used > self->capacity && mmbpy_map_is_open(self)) {
            return mmbpy_map_raise_at(self, MMB_ECAPACITY, 0, used);
        }
    }
    mmb_map *map = NULL;
    bool owner = mmbpy_map_is_owner(self);
    if (!mmbpy_map_begin_close(self, &map)) {
        mmbpy_map_wait_closed(self);
        return mmbpy_map_outcome(self);
    }

    int error = 0;
    Py_BEGIN_ALLOW_THREADS
    mmb_map_seal(map);
    if (owner) {
        int find_error = 0;
        if (size == Py_None) {
            find_error = mmb_map_size(map, &used);
        }
        if (find_error == 0 && cut) {
            /* The kernel cuts a file faster if it is not mapped. If there can be no snapshot, the
             * memory stays as it is, sealed. If only memoryviews showed it, and all of them are
             * released, nobody should use it any more. */
            if (mmbpy_map_is_unexposed(self)) {
                mmb_map_unmap(map);
            } else {
                bool lazily = atomic_load(&self->exports) == 0 && !atomic_load(&self->lent);
                (void)mmb_map_snapshot(map, used, lazily);
            }
            error = cut_file(map, used);
        }
        if (error == 0) {
            error = mmb_map_poison(map) != 0 ? mmb_map_poison(map) : find_error;
        }
    }
    Py_END_ALLOW_THREADS
    mmbpy_map_end_close(self, used, error, cut == 0);
    return mmbpy_map_outcome(self);
}
