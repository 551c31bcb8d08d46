/* read_map_type.c - `_core.ReadMap`: a file mapped for reading.
 *
 * Its buffer keeps the mapping, and no descriptor. Python's own mmap keeps a duplicate of the
 * descriptor as long as an array lives; this type lets a program read any number of files at once.
 */

#include "state.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef struct {
    PyObject_HEAD void *base; /* __new__ sets it and the next one once */
    Py_ssize_t length;        /* bytes; not zero */
} mmbpy_read_map;

/* Map `length` bytes of `fd`. Return ESTALE if the file has become shorter. */
static int map_file(int fd, size_t length, void **base)
{
    struct stat now;
    *base = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    if (*base == MAP_FAILED && errno == EPERM) {
        /* Before Linux 6.7 the kernel refuses a shared mapping of a file that is sealed against
         * writing if the descriptor is open for writing. A private mapping is the same, since
         * nothing can change the file. */
        *base = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (*base == MAP_FAILED) {
        return errno;
    }
    int error = fstat(fd, &now) != 0 ? errno : (uint64_t)now.st_size < length ? ESTALE : 0;
    if (error != 0) {
        munmap(*base, length);
    }
    return error;
}

static PyObject *read_map_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"", "", "", NULL};
    mmbpy_state *state = mmbpy_state_of_type(type);
    int fd, error;
    Py_ssize_t length;
    PyObject *name;
    void *base = NULL;
    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "inO:ReadMap", names, &fd, &length, &name)) {
        return NULL;
    }
    if (length <= 0) {
        PyErr_SetString(PyExc_ValueError, "there is nothing to map");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = map_file(fd, (size_t)length, &base);
    Py_END_ALLOW_THREADS
    if (error == ESTALE) {
        const mmb_flaw flaw = {.segment = MMB_IN_TABLE,
                               .reason = "the file became shorter while it was opened"};
        return mmbpy_raise_invalid_in(state, &flaw, name);
    }
    if (error != 0) {
        return mmbpy_raise(state, error, name);
    }
    mmbpy_read_map *self = (mmbpy_read_map *)mmbpy_new_object(type);
    if (self == NULL) {
        munmap(base, (size_t)length);
        return NULL;
    }
    self->base = base;
    self->length = length;
    return (PyObject *)self;
}

static int read_map_getbuffer(PyObject *object, Py_buffer *view, int flags)
{
    mmbpy_read_map *self = (mmbpy_read_map *)object;
    return PyBuffer_FillInfo(view, object, self->base, self->length, 1, flags);
}

static void read_map_dealloc(PyObject *object)
{
    mmbpy_read_map *self = (mmbpy_read_map *)object;
    munmap(self->base, (size_t)self->length);
    mmbpy_free_object(object);
}

PyDoc_STRVAR(read_map_doc,
             "ReadMap(fd, length, name, /)\n--\n\n"
             "The first length bytes of a file as read-only memory. The descriptor may be\n"
             "closed. InvalidMessage or OSError with name.");

static PyType_Slot read_map_slots[] = {
    {Py_tp_doc, (void *)read_map_doc},
    {Py_tp_new, read_map_new},
    {Py_tp_dealloc, read_map_dealloc},
    {Py_bf_getbuffer, read_map_getbuffer},
    {0, NULL},
};

MMBPY_SPEC(read_map, "ReadMap", Py_TPFLAGS_IMMUTABLETYPE)
