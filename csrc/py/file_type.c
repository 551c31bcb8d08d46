/* file_type.c - `_core.File`: opens and locks a file, and defines the type. See file_type.h.
 *
 * Python code (`_output`) decides which file to open, and under which name. This file has the steps
 * that an interruption must not come between; file_end.c has those that end a file. */

#include "file_type.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- opening ------------------------------------------------------------------------ */

/* Take `fd`. If the system has given none, return the error in errno. */
static int accept_descriptor(mmbpy_file *self, int fd)
{
    struct stat status;
    if (fd < 0) {
        return errno;
    }
    if (fstat(fd, &status) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    self->device = status.st_dev;
    self->inode = status.st_ino;
    atomic_store(&self->fd, fd);
    return 0;
}

static bool may_be_opened(const mmbpy_file *self)
{
    if (atomic_load(&self->fd) < 0 && atomic_load(&self->phase) == MMBPY_FILE_OPEN) {
        return true;
    }
    PyErr_SetString(PyExc_ValueError, "the file was opened before");
    return false;
}

PyDoc_STRVAR(open_path_doc,
             "open_path($self, path, flags, mode=0o600, *, temporary=False)\n--\n\n"
             "Open path. If flags has O_EXCL, the file is made, and its name is removed if the\n"
             "file is not kept: a temporary name, or else the path itself.");

static PyObject *file_open_path(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", "flags", "mode", "temporary", NULL};
    mmbpy_file *self = (mmbpy_file *)object;
    PyObject *path, *encoded = NULL;
    int flags, mode = 0600, temporary = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oi|i$p:open_path", names, &path, &flags, &mode,
                                     &temporary) ||
        !may_be_opened(self) || !PyUnicode_FSConverter(path, &encoded)) {
        return NULL;
    }
    const char *name = PyBytes_AsString(encoded);
    char *kept = temporary ? strdup(name) : NULL;
    int error = temporary && kept == NULL ? ENOMEM : 0;
    while (error == 0) {
        Py_BEGIN_ALLOW_THREADS
        error = accept_descriptor(
            self, open(name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, (mode_t)mode));
        if (error == 0 && (flags & O_EXCL) != 0) {
            self->origin = temporary ? MMBPY_TEMPORARY : MMBPY_MADE;
            self->temporary = kept;
            kept = NULL;
        }
        Py_END_ALLOW_THREADS
        if (error != EINTR) {
            break;
        }
        if (PyErr_CheckSignals() < 0) {
            break;
        }
        error = 0;
    }
    free(kept);
    Py_DECREF(encoded);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(duplicate_doc, "duplicate($self, fd, /)\n--\n\n"
                            "Take a duplicate of the program's descriptor.");

static PyObject *file_duplicate(PyObject *object, PyObject *args)
{
    mmbpy_file *self = (mmbpy_file *)object;
    int fd;
    if (!PyArg_ParseTuple(args, "i:duplicate", &fd) || !may_be_opened(self)) {
        return NULL;
    }
    int error = accept_descriptor(self, fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    return mmbpy_none_or_raise(self->state, error, self->name);
}

PyDoc_STRVAR(lock_doc,
             "lock($self, shared=False, /)\n--\n\n"
             "Claim the file in this process and lock it. Return None if that is done.\n"
             "Otherwise return what is in the way: another File of this process, or False for\n"
             "a lock of others.");

static PyObject *file_lock(PyObject *object, PyObject *args)
{
    mmbpy_file *self = (mmbpy_file *)object;
    int shared = 0;
    if (!PyArg_ParseTuple(args, "|p:lock", &shared)) {
        return NULL;
    }
    PyObject *other = NULL;
    self->shared = shared != 0;
    int entered = mmbpy_file_enter_claim(self, &other);
    if (entered < 1) {
        return other; /* NULL with an exception is possible, too */
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    int fd = atomic_load(&self->fd);
    error = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 ? 0 : errno;
    self->locked = error == 0;
    Py_END_ALLOW_THREADS
    if (error == 0) {
        Py_RETURN_NONE;
    }
    mmbpy_file_drop_claim(self);
    if (error == EWOULDBLOCK) {
        Py_RETURN_FALSE;
    }
    return mmbpy_raise(self->state, error, self->name);
}

PyDoc_STRVAR(share_doc,
             "share($self, shared=True, /)\n--\n\n"
             "Let others lock the locked file as well, or no longer. Return False if others\n"
             "have a lock.");

static PyObject *file_share(PyObject *object, PyObject *args)
{
    mmbpy_file *self = (mmbpy_file *)object;
    int shared = 1;
    if (!PyArg_ParseTuple(args, "|p:share", &shared)) {
        return NULL;
    }
    int fd = atomic_load(&self->fd);
    int error = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 ? 0 : errno;
    if (error == EWOULDBLOCK) {
        Py_RETURN_FALSE;
    }
    if (error != 0) {
        return mmbpy_raise(self->state, error, self->name);
    }
    self->shared = shared != 0;
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(let_go_doc,
             "let_go($self, /)\n--\n\n"
             "Unlock and close the file, whatever its name is. Another file may be opened\n"
             "then.");

static PyObject *file_let_go(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_file_let_go((mmbpy_file *)object);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(settle_doc,
             "settle($self, /)\n--\n\n"
             "Take the name of the file that is replaced, unless that happens at the end. If\n"
             "it cannot be taken, go on with the file that has the name. Maps call this.");

static PyObject *file_settle(PyObject *object, PyObject *Py_UNUSED(unused))
{
    return mmbpy_file_settle((mmbpy_file *)object) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(build_in_target_doc,
             "build_in_target($self, /)\n--\n\n"
             "Go on with the file that was to be replaced, and remove the new one.");

static PyObject *file_build_in_target(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_file *self = (mmbpy_file *)object;
    if (self->target == NULL) {
        PyErr_SetString(PyExc_ValueError, "there is no file to be replaced");
        return NULL;
    }
    mmbpy_file_fall_back(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(is_at_doc, "is_at($self, path, follow=True, /)\n--\n\n"
                        "Return whether this file is the one at path now.");

static PyObject *file_is_at(PyObject *object, PyObject *args)
{
    mmbpy_file *self = (mmbpy_file *)object;
    PyObject *path = NULL;
    int follow = 1;
    if (!PyArg_ParseTuple(args, "O&|p:is_at", PyUnicode_FSConverter, &path, &follow)) {
        Py_XDECREF(path);
        return NULL;
    }
    bool is_there;
    Py_BEGIN_ALLOW_THREADS
    is_there = mmbpy_file_is_at(self, PyBytes_AsString(path), follow != 0);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return PyBool_FromLong(is_there);
}

/* ---- properties ------------------------------------------------------------------- */

static PyObject *file_fileno(PyObject *object, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLong(mmbpy_file_descriptor((mmbpy_file *)object));
}

static PyObject *file_get_ended(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(mmbpy_file_has_ended((mmbpy_file *)object));
}

static PyObject *file_get_made(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((mmbpy_file *)object)->origin != MMBPY_FOUND);
}

static PyObject *file_get_target(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *target = (PyObject *)((mmbpy_file *)object)->target;
    return Py_NewRef(target != NULL ? target : Py_None);
}

static int file_set_target(PyObject *object, PyObject *target, void *Py_UNUSED(closure))
{
    mmbpy_file *self = (mmbpy_file *)object;
    if (target == NULL || !PyObject_TypeCheck(target, self->state->file_type)) {
        PyErr_SetString(PyExc_TypeError, "target must be a File");
        return -1;
    }
    PyObject *old = (PyObject *)self->target;
    self->target = (mmbpy_file *)Py_NewRef(target);
    Py_XDECREF(old);
    return 0;
}

static PyObject *file_get_path(PyObject *object, void *Py_UNUSED(closure))
{
    const char *path = ((mmbpy_file *)object)->path;
    return path != NULL ? PyUnicode_DecodeFSDefault(path) : Py_NewRef(Py_None);
}

static int file_set_path(PyObject *object, PyObject *path, void *Py_UNUSED(closure))
{
    mmbpy_file *self = (mmbpy_file *)object;
    PyObject *encoded = NULL;
    if (path == NULL || !PyUnicode_FSConverter(path, &encoded)) {
        return -1;
    }
    char *copy = strdup(PyBytes_AsString(encoded));
    Py_DECREF(encoded);
    if (copy == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    free(self->path);
    self->path = copy;
    return 0;
}

/* ---- the type ----------------------------------------------------------------------- */

static PyObject *file_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"name", "mode", "atomic", NULL};
    mmbpy_state *state = mmbpy_state_of_type(type);
    PyObject *name;
    const char *mode;
    int atomic = 0;
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "Os|p:File", names, &name, &mode, &atomic)) {
        return NULL;
    }
    mmbpy_file *self = (mmbpy_file *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    atomic_store(&self->fd, -1);
    self->state = state;
    self->name = Py_NewRef(name);
    self->mode = mode[0];
    self->atomic = atomic != 0;
    self->owner = mmb_this_process();
    return (PyObject *)self;
}

static int file_traverse(PyObject *object, visitproc visit, void *arg)
{
    mmbpy_file *self = (mmbpy_file *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->name);
    Py_VISIT((PyObject *)self->target);
    return 0;
}

/* Clear references but the one to the target, which is locked: it is given back with the rest. */
static int file_clear(PyObject *object)
{
    Py_CLEAR(((mmbpy_file *)object)->name);
    return 0;
}

static void file_dealloc(PyObject *object)
{
    mmbpy_file *self = (mmbpy_file *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    mmbpy_file_give_back(self);
    file_clear(object);
    free(self->path);
    free(self->temporary);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(file_doc,
             "File(name, mode, atomic=False)\n--\n\n"
             "All that a builder holds of the file system: a descriptor, its lock, and a name\n"
             "that is removed unless the file is kept. When the object goes, it gives them\n"
             "back.");

PyDoc_STRVAR(copy_doc,
             "copy(source, target, offset, end, /)\n--\n\n"
             "Copy a range from one descriptor to the same place of another one, which has a\n"
             "hole there. Holes stay holes.");

static PyObject *copy(PyObject *module, PyObject *args)
{
    int source, target;
    unsigned long long offset, end;
    if (!PyArg_ParseTuple(args, "iiKK:copy", &source, &target, &offset, &end)) {
        return NULL;
    }
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = mmb_file_copy(source, target, offset, end);
    Py_END_ALLOW_THREADS
    return mmbpy_none_or_raise(PyModule_GetState(module), error, Py_None);
}

PyMethodDef mmbpy_file_functions[] = {
    {"copy", copy, METH_VARARGS, copy_doc},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef file_methods[] = {
    {"open_path", MMBPY_METHOD(file_open_path), METH_VARARGS | METH_KEYWORDS, open_path_doc},
    {"duplicate", file_duplicate, METH_VARARGS, duplicate_doc},
    {"lock", file_lock, METH_VARARGS, lock_doc},
    {"share", file_share, METH_VARARGS, share_doc},
    {"is_at", file_is_at, METH_VARARGS, is_at_doc},
    {"let_go", file_let_go, METH_NOARGS, let_go_doc},
    {"settle", file_settle, METH_NOARGS, settle_doc},
    {"build_in_target", file_build_in_target, METH_NOARGS, build_in_target_doc},
    {"fileno", file_fileno, METH_NOARGS, "fileno($self, /)\n--\n\nThe descriptor, or -1."},
    {"commit", mmbpy_file_commit, METH_VARARGS, mmbpy_commit_doc},
    {"keep", mmbpy_file_keep, METH_NOARGS, mmbpy_keep_doc},
    {"remove", mmbpy_file_remove, METH_NOARGS, mmbpy_remove_doc},
    {"roll_back", mmbpy_file_roll_back, METH_NOARGS, mmbpy_roll_back_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef file_properties[] = {
    {"ended", file_get_ended, NULL, "Whether it was committed, kept or removed.", NULL},
    {"path", file_get_path, file_set_path, "Where it is to be found; None: a descriptor.", NULL},
    {"made", file_get_made, NULL, "Whether it was not there before.", NULL},
    {"target", file_get_target, file_set_target, "The File that it is to replace, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef file_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(mmbpy_file, weakrefs), READONLY, NULL},
    /* None after the cycle collector has cleared it. */
    {"name", T_OBJECT, offsetof(mmbpy_file, name), READONLY, "The file as the program gave it."},
    {"atomic", T_BOOL, offsetof(mmbpy_file, atomic), READONLY,
     "Whether its end gives it its name."},
    {"shared", T_BOOL, offsetof(mmbpy_file, shared), READONLY, "Whether others may lock it, too."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot file_slots[] = {
    {Py_tp_doc, (void *)file_doc},   {Py_tp_new, file_new},         {Py_tp_traverse, file_traverse},
    {Py_tp_clear, file_clear},       {Py_tp_dealloc, file_dealloc}, {Py_tp_methods, file_methods},
    {Py_tp_getset, file_properties}, {Py_tp_members, file_members}, {0, NULL},
};

MMBPY_SPEC(file, "File", Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE)
