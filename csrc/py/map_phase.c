/* map_phase.c - decides who may use the map of a `_core.Map`, and when it goes away.
 *
 * The whole protocol on `phase` and `busy` stands here; state.h says what they mean. All of it is
 * sequentially consistent, and the same with and without a GIL: a method gives the GIL away while
 * it works, so the GIL never was a lock here. */

#include "file_type.h"
#include "state.h"

bool mmbpy_map_is_owner(const mmbpy_map *self)
{
    return self->owner == mmb_this_process();
}

bool mmbpy_map_is_open(const mmbpy_map *self)
{
    return atomic_load(&self->phase) == MMBPY_OPEN;
}

/* ---- use ------------------------------------------------------------------ */

/* Return the value of `busy` while no method of this process is at work. */
static uint64_t busy_of_nobody(void)
{
    return mmb_this_process() >> 32 << 32;
}

/* Return true if `busy` counts methods of the process that forked this one. */
static bool is_inherited(uint64_t busy, uint64_t nobody)
{
    return busy >> 32 != nobody >> 32;
}

static void count_in(mmbpy_map *self)
{
    uint64_t nobody = busy_of_nobody(), seen = atomic_load(&self->busy), next;
    do {
        next = (is_inherited(seen, nobody) ? nobody : seen) + 1;
    } while (!atomic_compare_exchange_weak(&self->busy, &seen, next));
}

static bool is_busy(const mmbpy_map *self)
{
    uint64_t nobody = busy_of_nobody(), seen = atomic_load(&self->busy);
    return !is_inherited(seen, nobody) && seen != nobody;
}

/* Begin to use the map if it is open, or, for a look at it, if it is `sealed`. */
static mmb_map *hold(mmbpy_map *self, bool sealed)
{
    count_in(self);
    int phase = atomic_load(&self->phase);
    if (phase == MMBPY_OPEN || (sealed && phase == MMBPY_SEALED)) {
        return atomic_load(&self->map);
    }
    mmbpy_map_leave(self);
    return NULL;
}

mmb_map *mmbpy_map_hold(mmbpy_map *self)
{
    return hold(self, false);
}

mmb_map *mmbpy_map_enter(mmbpy_map *self)
{
    mmb_map *map = mmbpy_map_hold(self);
    if (map == NULL) {
        mmbpy_raise_closed();
        return NULL;
    }
    int error = mmb_install_handler();
    if (error == 0) {
        error = mmb_map_poison(map);
    }
    if (error == 0) {
        mmb_map_resume_helper(map);
        return map;
    }
    mmbpy_map_leave(self);
    mmbpy_map_raise(self, error);
    return NULL;
}

void mmbpy_map_leave(mmbpy_map *self)
{
    atomic_fetch_sub(&self->busy, 1);
}

/* ---- closing -------------------------------------------------------------- */

/* Wait for the methods of this process that are at work. */
static void wait_for_methods(mmbpy_map *self)
{
    while (is_busy(self)) {
        mmbpy_pause();
    }
}

bool mmbpy_map_begin_close(mmbpy_map *self, mmb_map **out)
{
    int phase = atomic_load(&self->phase);
    do {
        if (phase != MMBPY_OPEN && phase != MMBPY_SEALED) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&self->phase, &phase, MMBPY_CLOSING));
    wait_for_methods(self);
    *out = atomic_load(&self->map);
    return true;
}

void mmbpy_map_seal(mmbpy_map *self)
{
    mmb_map *map = atomic_load(&self->map);
    Py_BEGIN_ALLOW_THREADS
    mmb_map_seal(map);
    Py_END_ALLOW_THREADS
    atomic_store(&self->phase, MMBPY_SEALED);
}

void mmbpy_map_wait_closed(mmbpy_map *self)
{
    while (atomic_load(&self->phase) == MMBPY_CLOSING && mmbpy_map_is_owner(self)) {
        mmbpy_pause();
    }
}

int mmbpy_map_look(mmbpy_map *self, mmb_stats *stats, uint64_t *used)
{
    mmb_map *map = hold(self, true);
    while (map == NULL) {
        mmbpy_map_wait_closed(self);
        if (atomic_load(&self->phase) != MMBPY_SEALED) {
            *stats = self->last_stats;
            *used = self->last_used;
            return 0;
        }
        map = hold(self, true);
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_map_size(map, used);
    mmb_map_get_stats(map, stats);
    mmbpy_map_leave(self);
    Py_END_ALLOW_THREADS
    return mmbpy_zero_or_raise(self->state, error, self->name);
}

/* ---- the end of the memory ------------------------------------------------ */

void mmbpy_map_free(mmbpy_map *self)
{
    mmb_map *map = atomic_exchange(&self->map, NULL);
    if (map == NULL) {
        return;
    }
    /* A map that was never closed still has its descriptor. */
    int fd;
    Py_BEGIN_ALLOW_THREADS
    if (atomic_load(&self->phase) != MMBPY_CLOSED) {
        mmb_map_unmap(map);
    }
    fd = mmb_map_take_fd(map);
    mmb_map_free(map);
    Py_END_ALLOW_THREADS
    mmbpy_file_take_back(self->file, fd);
}

bool mmbpy_map_is_unexposed(const mmbpy_map *self)
{
    return !atomic_load(&self->exposed);
}

void mmbpy_map_pin(mmbpy_map *self)
{
    atomic_store(&self->exposed, true);
    atomic_fetch_add(&self->exports, 1);
}

void mmbpy_map_end_close(mmbpy_map *self, uint64_t used, int error, bool dropped)
{
    mmb_map *map = atomic_load(&self->map);
    mmb_map_get_stats(map, &self->last_stats);
    self->last_used = used;
    self->last_error = error;
    bool unexposed = mmbpy_map_is_unexposed(self);
    Py_BEGIN_ALLOW_THREADS
    if (unexposed) {
        mmb_map_unmap(map);
    } else if ((error != 0 || dropped) && atomic_load(&self->exports) == 0) {
        mmb_map_clear(map);
    } else {
        mmb_map_detach(map); /* if this fails, the memory stays as it is, sealed */
    }
    Py_END_ALLOW_THREADS
    mmbpy_file_take_back(self->file, mmb_map_take_fd(map));
    atomic_store(&self->phase, MMBPY_CLOSED);
    if (unexposed) {
        mmbpy_map_free(self);
    }
}
