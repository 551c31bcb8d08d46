/* file_claim.c - knows which files this process holds, and which `_core.File` holds each.
 *
 * flock tells builders apart only if each opened the file itself: builders that share a descriptor
 * share its lock. So each module has a table of the files that are held. It leads from (device,
 * inode) to a weak reference. A claim counts while its file object lives and has not ended, so no
 * claim can be left behind. */

#include "file_type.h"

/* Return the file that holds `key`, as a new reference; NULL if no file holds it. */
static mmbpy_file *holder_of(mmbpy_state *state, PyObject *key)
{
    PyObject *reference = PyDict_GetItemWithError(state->claims, key);
    PyObject *other = reference != NULL ? PyObject_CallNoArgs(reference) : NULL;
    if (other == Py_None) {
        Py_CLEAR(other);
    }
    return (mmbpy_file *)other;
}

static bool is_in_the_way(const mmbpy_file *self, const mmbpy_file *other)
{
    if (other == self || atomic_load(&other->phase) == MMBPY_FILE_ENDED) {
        return false;
    }
    if (self->shared && other->shared && self->path != NULL && other->path != NULL) {
        return false; /* each has its own lock, and flock lets both have the file */
    }
    /* A claim of another process was inherited by a fork. flock knows whether its builder is
     * still at work, unless our descriptor was inherited as well. */
    return mmbpy_file_is_owner(other) || self->path == NULL;
}

/* Enter `self` into the table. Return 1; or 0, and in *other the file that is in the way; or -1
 * with an exception. */
int mmbpy_file_enter_claim(mmbpy_file *self, PyObject **other)
{
    PyObject *reference = PyWeakref_NewRef((PyObject *)self, NULL);
    PyObject *claim = reference == NULL ? NULL
                                        : Py_BuildValue("((KK)N)", (unsigned long long)self->device,
                                                        (unsigned long long)self->inode, reference);
    if (claim == NULL) {
        return -1;
    }
    PyObject *key = PyTuple_GetItem(claim, 0);
    int result = 1;
    mmbpy_file *holder;
    MMBPY_MUTEX_LOCK(&self->state->claims_lock);
    holder = holder_of(self->state, key);
    if (PyErr_Occurred()) {
        result = -1;
    } else if (holder != NULL && is_in_the_way(self, holder)) {
        result = 0;
    } else if (PyDict_SetItem(self->state->claims, key, PyTuple_GetItem(claim, 1)) < 0) {
        result = -1;
    }
    MMBPY_MUTEX_UNLOCK(&self->state->claims_lock);
    if (result == 1) {
        self->claim = claim;
    } else {
        Py_DECREF(claim);
    }
    if (result == 0) {
        *other = (PyObject *)holder;
    } else {
        Py_XDECREF((PyObject *)holder);
    }
    return result;
}

void mmbpy_file_drop_claim(mmbpy_file *self)
{
    PyObject *claim = self->claim, *claims = self->state->claims;
    if (claim == NULL) {
        return;
    }
    self->claim = NULL;
    if (claims == NULL) { /* the module was cleared */
        Py_DECREF(claim);
        return;
    }
    PyObject *type, *value, *traceback; /* an exception may be set, since a failure may lead here */
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *key = PyTuple_GetItem(claim, 0);
    MMBPY_MUTEX_LOCK(&self->state->claims_lock);
    if (PyDict_GetItemWithError(claims, key) == PyTuple_GetItem(claim, 1)) {
        PyDict_DelItem(claims, key);
    }
    MMBPY_MUTEX_UNLOCK(&self->state->claims_lock);
    PyErr_Restore(type, value, traceback);
    Py_DECREF(claim);
}
