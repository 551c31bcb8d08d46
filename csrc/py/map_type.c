/* map_type.c - `_core.Map`: one growing file as a Python object.
 *
 * This file has the buffer protocol, the properties, and the type itself. map_open.c opens the map,
 * and map_close.c closes it. map_phase.c decides who may use it and when it goes. map_methods.c and
 * map_items.c have the methods that use it. */

#include "file_type.h"
#include "state.h"

#include <stdlib.h>

#include <errno.h>

/* ---- making it ------------------------------------------------------------ */

static PyObject *map_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    mmbpy_state *state = mmbpy_state_of_type(type);
    if (state == NULL) {
        return NULL;
    }
    mmbpy_map *self = (mmbpy_map *)mmbpy_new_object(type);
    if (self == NULL) {
        return NULL;
    }
    self->state = state;
    self->name = Py_NewRef(Py_None);
    return (PyObject *)self;
}

/* ---- the buffer protocol -------------------------------------------------- */

static int map_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_map *map = mmbpy_map_enter(self);
    if (map == NULL) {
        view->obj = NULL;
        return -1;
    }
    unsigned char *base = NULL;
    int error = mmb_map_memory(map, &base);
    if (error != 0) {
        mmbpy_map_leave(self);
        mmb_limit limit = error == ENOMEM ? MMB_LIMIT_SPACE : MMB_LIMIT_NONE;
        mmbpy_map_raise_open(self, error, limit, self->capacity);
        view->obj = NULL;
        return -1;
    }
    /* This comes before leaving: a closer that waits for us must see it. */
    atomic_store(&self->exposed, true);
    if (flags != PyBUF_FULL_RO) { /* what a memoryview asks for, and hardly anything else does */
        atomic_store(&self->lent, true);
    }
    atomic_fetch_add(&self->exports, 1);
    mmbpy_map_leave(self);
    int result = PyBuffer_FillInfo(view, object, base, (Py_ssize_t)self->capacity, 0, flags);
    if (result < 0) {
        atomic_fetch_sub(&self->exports, 1);
    }
    return result;
}

static void map_releasebuffer(PyObject *object, Py_buffer *Py_UNUSED(view))
{
    atomic_fetch_sub(&((mmbpy_map *)object)->exports, 1);
}

/* ---- properties ----------------------------------------------------------- */

PyDoc_STRVAR(is_owner_doc, "_is_owner($self, /)\n--\n\n"
                           "False in a forked child, which must not finish the file.");

static PyObject *map_is_owner(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_map *self = (mmbpy_map *)object;
    return PyBool_FromLong(!mmbpy_map_is_open(self) || mmbpy_map_is_owner(self));
}

PyDoc_STRVAR(stats_doc,
             "_stats($self, /)\n--\n\n"
             "(growths, faults, backed, used, prefaulted): the numbers so far, or those at\n"
             "close.");

static PyObject *map_stats(PyObject *object, PyObject *Py_UNUSED(unused))
{
    mmbpy_map *self = (mmbpy_map *)object;
    mmb_stats stats;
    uint64_t used = 0;
    if (mmbpy_map_look(self, &stats, &used) < 0) {
        return NULL;
    }
    return Py_BuildValue("KKKKK", (unsigned long long)stats.growths,
                         (unsigned long long)stats.faults, (unsigned long long)stats.backed,
                         (unsigned long long)used, (unsigned long long)stats.prefaulted);
}

static PyObject *map_get_closed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!mmbpy_map_is_open((mmbpy_map *)object));
}

static PyObject *map_reduce(PyObject *object, PyObject *Py_UNUSED(unused))
{
    PyObject *name = PyType_GetName(Py_TYPE(object));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "cannot pickle '%U' object", name);
    }
    Py_XDECREF(name);
    return NULL;
}

/* ---- the type ------------------------------------------------------------- */

static int map_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((mmbpy_map *)object)->name);
    Py_VISIT((PyObject *)((mmbpy_map *)object)->file);
    return 0;
}

/* Clear references but the one to the file: the map must give it its descriptor back. */
static int map_clear(PyObject *object)
{
    Py_CLEAR(((mmbpy_map *)object)->name);
    return 0;
}

/* Free the object. Nothing refers to the map now, so no one writes through it. A map that was
 * not closed is let go of, and its file stays as it is. */
static void map_dealloc(PyObject *object)
{
    mmbpy_map *self = (mmbpy_map *)object;
    PyObject_GC_UnTrack(object);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(object);
    }
    mmbpy_map_free(self);
    free(self->building);
    map_clear(object);
    Py_XDECREF((PyObject *)self->file); /* this closes the descriptor */
    mmbpy_free_object(object);
}

static PyObject *answer_true(PyObject *object, PyObject *Py_UNUSED(unused))
{
    if (mmbpy_map_enter((mmbpy_map *)object) == NULL) {
        return NULL;
    }
    mmbpy_map_leave((mmbpy_map *)object);
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(
    map_doc,
    "Map(file, capacity, *, max_growth=67108864, prefault=False, writeback=False,\n"
    "    declared=0, size_hint=0, content=False, first=b'', entries=0,\n"
    "    durable=False)\n--\n\n"
    "A file mapped over capacity bytes of address space, growing as it is written.\n\n"
    "file is a File, whose descriptor the map borrows until it ends; declared is the\n"
    "least that its content holds. It is only mapped when a buffer or a segment is\n"
    "asked for. size_hint is how large the file may well become.\n"
    "With content the file is nothing but content, all of it declared.\n"
    "A file that replaces another one takes its name when nothing else can fail: when it\n"
    "has first, its first bytes, or with entries the mark of a message with a table of so\n"
    "many, which with durable is on the device.");

PyDoc_STRVAR(write_doc,
             "write($self, data, /)\n--\n\n"
             "Write bytes at the cursor, grow the file as needed, and return how many were\n"
             "written.\n\n"
             "A write takes all bytes or none: after OSError (ENOSPC) or CapacityError no byte\n"
             "was taken. There are two exceptions, in which a part may have been stored: a\n"
             "write of 64 KiB or less into a hole of the file, and any write if the file\n"
             "system has no fallocate. The cursor stays in each case. Writes of several\n"
             "threads never overlap.");
PyDoc_STRVAR(tell_doc, "tell($self, /)\n--\n\n"
                       "Return the cursor, in bytes from the start.");
PyDoc_STRVAR(seek_doc,
             "seek($self, offset, whence=0, /)\n--\n\n"
             "Move the cursor: from the start (0), from where it is (1), or from size (2).\n\n"
             "Return the new position. ValueError if it is before the start. A position beyond\n"
             "the capacity is an error only for a call that then writes there.");
PyDoc_STRVAR(truncate_doc,
             "truncate($self, size=None, /)\n--\n\n"
             "Declare that the content ends at size bytes (None: at the cursor).\n\n"
             "Bytes beyond it read as zeros afterwards. The file itself is cut at close. Zero\n"
             "bytes at the end that were stored through a view count if this declares them.\n"
             "CapacityError if size is more than the capacity.");
PyDoc_STRVAR(reserve_doc,
             "reserve($self, /, end)\n--\n\n"
             "Back bytes 0 to end with disk blocks now.\n\n"
             "Afterwards the kernel can read into a view of them (readinto, recv_into,\n"
             "preadv), although it cannot grow the file by itself, and no store there finds\n"
             "the disk full. After OSError (ENOSPC) or CapacityError nothing is lost.");
PyDoc_STRVAR(allocate_doc,
             "allocate($self, /, n, align=8)\n--\n\n"
             "Reserve the next n bytes at the cursor and return a memoryview of them.\n\n"
             "They start at a multiple of align, a power of two, and count as used.");
PyDoc_STRVAR(allocate_zeros_doc, "_allocate_zeros($self, n, align, /)\n--\n\n"
                                 "Do as allocate does, and turn old content into zeros.");
PyDoc_STRVAR(flush_doc,
             "flush($self, /, durable=False, size=None)\n--\n\n"
             "Push what was stored to the file. With durable wait for the device, too.\n\n"
             "Afterwards others see a file of at least size bytes. If an earlier store failed,\n"
             "this raises its OSError, since a store cannot raise. flush(offset, size), as an\n"
             "mmap has it, waits until the device has these bytes; ValueError if they reach\n"
             "beyond the capacity.");
PyDoc_STRVAR(read_doc,
             "read($self, size=-1, /)\n--\n\n"
             "Read up to size bytes of the content at the cursor; -1 or None means all that\n"
             "follow.");
PyDoc_STRVAR(readinto_doc,
             "readinto($self, buffer, /)\n--\n\n"
             "Read content at the cursor into buffer, as much as fits; return how many bytes.");
PyDoc_STRVAR(readline_doc,
             "readline($self, size=-1, /)\n--\n\n"
             "Read content at the cursor up to the end of the line, but at most size bytes.");
PyDoc_STRVAR(peek_doc,
             "peek($self, size=0, /)\n--\n\n"
             "Return the next bytes of the content without moving the cursor: at most size of\n"
             "them, or up to 8 KiB if size is 0.");
PyDoc_STRVAR(getvalue_doc, "getvalue($self, /)\n--\n\n"
                           "Return the whole content as bytes. The cursor stays.");
PyDoc_STRVAR(bytes_doc, "__bytes__($self, /)\n--\n\n"
                        "Return the whole content.");
PyDoc_STRVAR(readable_doc, "readable($self, /)\n--\n\n"
                           "Return True.");
PyDoc_STRVAR(writable_doc, "writable($self, /)\n--\n\n"
                           "Return True.");
PyDoc_STRVAR(seekable_doc, "seekable($self, /)\n--\n\n"
                           "Return True.");
PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\n"
                         "Raise TypeError: a map belongs to one process.");

static PyMethodDef map_methods[] = {
    {"write", mmbpy_map_write, METH_O, write_doc},
    {"tell", mmbpy_map_tell, METH_NOARGS, tell_doc},
    {"seek", mmbpy_map_seek, METH_VARARGS, seek_doc},
    {"truncate", mmbpy_map_truncate, METH_VARARGS, truncate_doc},
    {"reserve", MMBPY_METHOD(mmbpy_map_reserve), METH_VARARGS | METH_KEYWORDS, reserve_doc},
    {"allocate", MMBPY_METHOD(mmbpy_map_allocate), METH_VARARGS | METH_KEYWORDS, allocate_doc},
    {"_allocate_zeros", mmbpy_map_allocate_zeros, METH_VARARGS, allocate_zeros_doc},
    {"flush", MMBPY_METHOD(mmbpy_map_flush), METH_VARARGS | METH_KEYWORDS, flush_doc},
    {"read", mmbpy_map_read, METH_VARARGS, read_doc},
    {"readinto", mmbpy_map_readinto, METH_O, readinto_doc},
    {"readline", mmbpy_map_readline, METH_VARARGS, readline_doc},
    {"peek", mmbpy_map_peek, METH_VARARGS, peek_doc},
    {"getvalue", mmbpy_map_getvalue, METH_NOARGS, getvalue_doc},
    {"__bytes__", mmbpy_map_getvalue, METH_NOARGS, bytes_doc},
    {"readable", answer_true, METH_NOARGS, readable_doc},
    {"writable", answer_true, METH_NOARGS, writable_doc},
    {"seekable", answer_true, METH_NOARGS, seekable_doc},
    {"_finish", MMBPY_METHOD(mmbpy_map_finish), METH_VARARGS | METH_KEYWORDS, mmbpy_finish_doc},
    {"_is_owner", map_is_owner, METH_NOARGS, is_owner_doc},
    {"_stats", map_stats, METH_NOARGS, stats_doc},
    {"__reduce__", map_reduce, METH_NOARGS, reduce_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef map_properties[] = {
    {"size", mmbpy_map_get_size, NULL,
     "The size of the content in bytes. It is what calls have declared, zeros included. If stores\n"
     "through a view reach further, it is the end of their last non-zero byte, rounded up to 16.",
     NULL},
    {"descriptor", mmbpy_map_get_descriptor, NULL,
     "The builder's own file descriptor. Use it to look at the file and to tell others of it:\n"
     "os.fstat, fcntl.flock, a memfd's seals, sending it to another process. Never write through\n"
     "it or move its offset: such bytes are neither counted nor at the cursor, and may be cut\n"
     "off. To write, call write; this is why there is no fileno.",
     NULL},
    {"closed", map_get_closed, NULL, "Whether close or discard was called.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef map_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(mmbpy_map, weakrefs), READONLY, NULL},
    /* None after the cycle collector has cleared it. */
    {"name", T_OBJECT, offsetof(mmbpy_map, name), READONLY, "The file as it was given."},
    {"capacity", T_ULONGLONG, offsetof(mmbpy_map, capacity), READONLY,
     "Bytes that the map can hold."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot map_slots[] = {
    {Py_tp_doc, (void *)map_doc},
    {Py_tp_new, map_new},
    {Py_tp_init, mmbpy_map_init},
    {Py_tp_traverse, map_traverse},
    {Py_tp_clear, map_clear},
    {Py_tp_dealloc, map_dealloc},
    {Py_tp_methods, map_methods},
    {Py_tp_getset, map_properties},
    {Py_tp_members, map_members},
    {Py_bf_getbuffer, map_getbuffer},
    {Py_bf_releasebuffer, map_releasebuffer},
    {Py_nb_bool, mmbpy_map_bool},
    {Py_mp_length, mmbpy_map_length},
    {Py_mp_subscript, mmbpy_map_subscript},
    {Py_mp_ass_subscript, mmbpy_map_ass_subscript},
    {0, NULL},
};

MMBPY_SPEC(map, "Map", Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE)
