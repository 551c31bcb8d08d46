/* file_end.c - the endings of a file: `commit`, `keep`, `remove` and `roll_back`.
 *
 * Each ending is one step, whatever it has to do: when it returns or raises, the file has ended.
 * The first thread that ends a file does the work. Other threads wait for it and do nothing. */

#include "file_type.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool mmbpy_file_is_owner(const mmbpy_file *self)
{
    return self->owner == mmb_this_process();
}

/* ---- descriptor and lock ------------------------------------------------------ */

/* Unlock the file. To close the descriptor is not enough, since the program's own descriptor
 * shares the lock. A forked child shares it too, but must not give it up. */
static void unlock(mmbpy_file *self)
{
    int fd = atomic_load(&self->fd);
    if (self->locked && fd >= 0 && mmbpy_file_is_owner(self)) {
        flock(fd, LOCK_UN);
    }
    self->locked = false;
}

static void close_descriptor(mmbpy_file *self)
{
    int fd = atomic_exchange(&self->fd, -1);
    if (fd >= 0) {
        close(fd);
    }
}

/* Unlock, drop the claim, and close, in this order. If the claim ended before the lock, another
 * user of the descriptor could take the lock, and we would give it up. If the claim ended after
 * the close, the inode could belong to another file. */
static void unlock_and_close(mmbpy_file *self)
{
    Py_BEGIN_ALLOW_THREADS
    unlock(self);
    Py_END_ALLOW_THREADS
    mmbpy_file_drop_claim(self);
    Py_BEGIN_ALLOW_THREADS
    close_descriptor(self);
    Py_END_ALLOW_THREADS
}

void mmbpy_file_let_go(mmbpy_file *self)
{
    unlock_and_close(self);
    self->origin = MMBPY_FOUND;
    free(self->temporary);
    self->temporary = NULL;
}

int mmbpy_file_descriptor(const mmbpy_file *self)
{
    return atomic_load(&self->fd);
}

PyObject *mmbpy_file_name(const mmbpy_file *self)
{
    return self->name;
}

bool mmbpy_file_has_ended(const mmbpy_file *self)
{
    return atomic_load(&self->phase) == MMBPY_FILE_ENDED;
}

bool mmbpy_file_is_emptied(const mmbpy_file *self)
{
    return self->mode == 'w' && self->origin == MMBPY_FOUND;
}

void mmbpy_file_take_back(mmbpy_file *self, int fd)
{
    if (fd < 0) {
        return;
    }
    int old = atomic_exchange(&self->fd, fd);
    if (old >= 0) {
        close(old); /* `fd` has the same lock */
    }
    if (mmbpy_file_has_ended(self)) {
        unlock_and_close(self);
    }
}

/* ---- names ---------------------------------------------------------------------- */

/* Return whether the file is the one at `path`. */
bool mmbpy_file_is_at(const mmbpy_file *self, const char *path, bool follow)
{
    struct stat there;
    int error = follow ? stat(path, &there) : lstat(path, &there);
    return error == 0 && there.st_dev == self->device && there.st_ino == self->inode;
}

static int unlink_if_ours(const mmbpy_file *self, const char *path)
{
    if (!mmbpy_file_is_owner(self) || !mmbpy_file_is_at(self, path, false)) {
        return 0;
    }
    return unlink(path) == 0 ? 0 : errno;
}

static void forget_temporary(mmbpy_file *self)
{
    self->origin = MMBPY_MADE;
    free(self->temporary);
    self->temporary = NULL;
}

static int remove_temporary(mmbpy_file *self)
{
    if (self->origin != MMBPY_TEMPORARY) {
        return 0;
    }
    int error = unlink_if_ours(self, self->temporary);
    self->origin = MMBPY_FOUND;
    return error;
}

static int rename_without_replacing(const char *from, const char *to)
{
    if (linkat(AT_FDCWD, from, AT_FDCWD, to, 0) == 0) {
        return unlink(from) == 0 ? 0 : errno;
    }
    if (errno == EEXIST) {
        return errno;
    }
    /* There are no hard links here: claim the name with an empty file, then replace that file. */
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return errno;
    }
    close(fd);
    return rename(from, to) == 0 ? 0 : errno;
}

/* Return 0 if the temporary name leads to the file, ESTALE if it was taken away, or the error that
 * kept the system from telling. */
static int find_temporary(const mmbpy_file *self)
{
    struct stat there;
    if (lstat(self->temporary, &there) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? ESTALE : errno;
    }
    return there.st_dev == self->device && there.st_ino == self->inode ? 0 : ESTALE;
}

/* Rename the file from its temporary name to its path. Return ESTALE if the temporary name was
 * taken away. */
static int take_name(mmbpy_file *self)
{
    if (self->origin != MMBPY_TEMPORARY) {
        return 0;
    }
    int error = find_temporary(self);
    if (error != 0) {
        return error;
    }
    if (self->mode == 'x') {
        error = rename_without_replacing(self->temporary, self->path);
    } else if (rename(self->temporary, self->path) != 0) {
        error = errno;
    }
    if (error == 0) {
        forget_temporary(self);
    }
    return error;
}

static void release_target(mmbpy_file *self)
{
    mmbpy_file *target = self->target;
    self->target = NULL;
    if (target != NULL) {
        mmbpy_file_let_go(target);
        atomic_store(&target->phase, MMBPY_FILE_ENDED);
        Py_DECREF((PyObject *)target);
    }
}

void mmbpy_file_fall_back(mmbpy_file *self)
{
    mmbpy_file *old = self->target;
    Py_BEGIN_ALLOW_THREADS
    remove_temporary(self);
    Py_END_ALLOW_THREADS
    mmbpy_file_let_go(self);
    self->device = old->device;
    self->inode = old->inode;
    self->locked = old->locked;
    old->locked = false;
    /* The target keeps its claim until the end. */
    atomic_store(&self->fd, atomic_exchange(&old->fd, -1));
}

int mmbpy_file_settle(mmbpy_file *self)
{
    int error;
    if (self->origin != MMBPY_TEMPORARY || self->atomic) {
        return 1;
    }
    Py_BEGIN_ALLOW_THREADS
    error = take_name(self);
    Py_END_ALLOW_THREADS
    if (error == 0) {
        release_target(self);
        return 1;
    }
    if (self->target->shared) { /* the lock is shared, so the target itself must not change */
        mmbpy_raise(self->state, error, self->name);
        return -1;
    }
    mmbpy_file_fall_back(self);
    return 0;
}

void mmbpy_file_lend(mmbpy_file *self)
{
    self->lent = true;
    int fd = atomic_exchange(&self->fd, -1);
    if (fd >= 0) {
        close(fd); /* the lock stays, since the map's duplicate has it as well */
    }
}

/* ---- the endings ---------------------------------------------------------------- */

typedef struct {
    int error;        /* an errno; 0 if there is none */
    const char *text; /* says more than the system does; may be NULL */
    bool temporary;   /* the error concerns the temporary name */
} failure;

/* Return true to the thread that is to end the file. All others get false when it has ended. */
static bool begin_ending(mmbpy_file *self)
{
    int seen = MMBPY_FILE_OPEN;
    while (!atomic_compare_exchange_strong(&self->phase, &seen, MMBPY_FILE_ENDING)) {
        if (seen == MMBPY_FILE_ENDED) {
            return false;
        }
        if (!mmbpy_file_is_owner(self)) { /* the thread that was ending it is not in this child */
            return true;
        }
        mmbpy_pause();
        seen = MMBPY_FILE_OPEN;
    }
    return true;
}

/* Do what all endings have in common. */
static void end(mmbpy_file *self)
{
    mmbpy_file_let_go(self);
    release_target(self);
    atomic_store(&self->phase, MMBPY_FILE_ENDED);
}

static int sync_descriptor(int fd)
{
    return fsync(fd) == 0 ? 0 : errno;
}

/* Give the file its name, and wait until the device has the name and the content. */
static failure publish_durably(mmbpy_file *self)
{
    int fd = atomic_load(&self->fd);
    if (fd < 0) {
        return (failure){EBADF, "the program has closed the descriptor", false};
    }
    int error = sync_descriptor(fd);
    if (error != 0 || self->path == NULL || self->origin == MMBPY_FOUND) {
        return (failure){.error = error};
    }
    /* Open the directory first: if that fails, the target must not have been replaced. */
    const char *slash = strrchr(self->path, '/');
    char *name = strndup(self->path, slash > self->path ? (size_t)(slash - self->path) : 1);
    if (name == NULL) {
        return (failure){.error = ENOMEM};
    }
    int directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = directory < 0 ? errno : take_name(self);
    free(name);
    if (directory < 0) {
        return (failure){.error = error};
    }
    if (error == 0) {
        error = sync_descriptor(directory);
    }
    close(directory);
    return (failure){.error = error};
}

static failure publish(mmbpy_file *self, bool durable)
{
    failure met = {.error = 0};
    if (durable) {
        met = publish_durably(self);
    } else {
        met.error = take_name(self);
    }
    if (met.error == ESTALE && self->origin == MMBPY_TEMPORARY) {
        met = (failure){ENOENT, "the temporary file was taken away", true};
    }
    return met;
}

static PyObject *raise_failure(mmbpy_file *self, failure met, PyObject *temporary)
{
    if (met.text == NULL) {
        return mmbpy_raise(self->state, met.error, self->name);
    }
    PyObject *name = met.temporary && temporary != NULL ? temporary : self->name;
    return mmbpy_raise_text(met.error, PyUnicode_FromString(met.text), name);
}

const char mmbpy_commit_doc[] =
    PyDoc_STR("commit($self, error, durable, /)\n--\n\n"
              "Give the finished file its name, with durable also on the device, and let go of\n"
              "it.\n\n"
              "If error is not None, the file is kept as it is, a temporary file is removed,\n"
              "and the error is raised. In a forked child the file is only let go of. Whatever\n"
              "is raised, the file has ended. A second call does nothing.");

PyObject *mmbpy_file_commit(PyObject *object, PyObject *args)
{
    mmbpy_file *self = (mmbpy_file *)object;
    PyObject *error;
    int durable;
    if (!PyArg_ParseTuple(args, "Op:commit", &error, &durable)) {
        return NULL;
    }
    if (!begin_ending(self)) {
        Py_RETURN_NONE;
    }
    failure met = {.error = 0};
    PyObject *temporary = NULL;
    Py_BEGIN_ALLOW_THREADS
    if (error == Py_None && mmbpy_file_is_owner(self)) {
        met = publish(self, durable != 0);
    }
    Py_END_ALLOW_THREADS
    if (met.temporary) {
        temporary = PyUnicode_DecodeFSDefault(self->temporary);
    }
    Py_BEGIN_ALLOW_THREADS
    remove_temporary(self); /* an error here is less important than the one that is raised */
    Py_END_ALLOW_THREADS
    end(self);
    if (error != Py_None) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    } else if (met.error != 0) {
        raise_failure(self, met, temporary);
    }
    Py_XDECREF(temporary);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Do what an ending may do to a name, and then what all endings have in common. */
static PyObject *end_by(PyObject *object, int (*remove_name)(mmbpy_file *))
{
    mmbpy_file *self = (mmbpy_file *)object;
    if (!begin_ending(self)) {
        Py_RETURN_NONE;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = remove_name(self);
    Py_END_ALLOW_THREADS
    end(self);
    return mmbpy_none_or_raise(self->state, error, self->name);
}

const char mmbpy_keep_doc[] =
    PyDoc_STR("keep($self, /)\n--\n\n"
              "Leave the file as it is, remove a temporary one, and let go of it.");

PyObject *mmbpy_file_keep(PyObject *object, PyObject *Py_UNUSED(unused))
{
    return end_by(object, remove_temporary);
}

static int remove_file(mmbpy_file *self)
{
    if (!mmbpy_file_is_owner(self)) {
        return 0;
    }
    if (self->origin == MMBPY_TEMPORARY) {
        return remove_temporary(self);
    }
    if (self->mode == 'r') {
        return 0;
    }
    if (self->path != NULL) {
        return unlink_if_ours(self, self->path);
    }
    int fd = atomic_load(&self->fd);
    return fd < 0 || ftruncate(fd, 0) == 0 ? 0 : errno;
}

const char mmbpy_remove_doc[] =
    PyDoc_STR("remove($self, /)\n--\n\n"
              "Remove the file if it has a name, empty it if it was given as a\n"
              "descriptor, and let go of it. In mode 'r+' it is left as it is.");

PyObject *mmbpy_file_remove(PyObject *object, PyObject *Py_UNUSED(unused))
{
    return end_by(object, remove_file);
}

/* Return whether others have found and locked the file already. */
static bool is_locked_by_others(const mmbpy_file *self)
{
    int fd = atomic_load(&self->fd);
    return !self->locked && fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

/* Remove the file if this object made it. */
static void unmake(mmbpy_file *self)
{
    if (self->origin == MMBPY_FOUND || !mmbpy_file_is_owner(self) || is_locked_by_others(self)) {
        return;
    }
    if (self->origin == MMBPY_TEMPORARY) {
        unlink_if_ours(self, self->temporary);
    } else if (self->origin == MMBPY_MADE) {
        unlink_if_ours(self, self->path);
    }
}

const char mmbpy_roll_back_doc[] =
    PyDoc_STR("roll_back($self, /)\n--\n\n"
              "Leave things as they were before the file was opened.");

PyObject *mmbpy_file_roll_back(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_file *self = (mmbpy_file *)object;
    if (begin_ending(self)) {
        Py_BEGIN_ALLOW_THREADS
        unmake(self);
        Py_END_ALLOW_THREADS
        end(self);
    }
    Py_RETURN_NONE;
}

/* Give back what no ending gave back. This happens if an interruption came between two steps of
 * a builder. A file that was lent may have content, so it is kept. */
void mmbpy_file_give_back(mmbpy_file *self)
{
    if (atomic_load(&self->phase) == MMBPY_FILE_ENDED) {
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    if (self->lent) {
        remove_temporary(self);
    } else {
        unmake(self);
    }
    Py_END_ALLOW_THREADS
    end(self);
}
