/* log_files.c - functions of `_core` for the files of a log: which writers work on them, and
 * which bytes of them are good. */

#include "state.h"

#include "mmb_log.h"

#include <errno.h>

/* ---- several writers ------------------------------------------------------------------- */

PyDoc_STRVAR(enter_gate_doc,
             "log_enter_gate($module, fd, to_index=False, /)\n--\n\n"
             "Wait until no other process opens or closes the log fd, and keep others from it.\n"
             "Return False if files cannot be held here.\n\n"
             "With to_index, which is for processes that only read, do not wait: return False\n"
             "if the gate is taken or a writer is at work.");

static PyObject *enter_gate(PyObject *Py_UNUSED(module), PyObject *args)
{
    int fd, to_index = 0, error;
    if (!PyArg_ParseTuple(args, "i|p:log_enter_gate", &fd, &to_index)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = to_index ? mmb_log_enter_gate_to_index(fd) : mmb_log_enter_gate(fd, true);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(error == 0);
}

PyDoc_STRVAR(leave_gate_doc, "log_leave_gate($module, fd, /)\n--\n\n"
                             "Let others open the log.");

static PyObject *leave_gate(PyObject *Py_UNUSED(module), PyObject *args)
{
    int fd;
    if (!PyArg_ParseTuple(args, "i:log_leave_gate", &fd)) {
        return NULL;
    }
    mmb_log_leave_gate(fd);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(has_writers_doc, "log_has_writers($module, fd, /)\n--\n\n"
                              "Return whether writers that share the log fd are at work on it.");

static PyObject *has_writers(PyObject *Py_UNUSED(module), PyObject *args)
{
    int fd;
    if (!PyArg_ParseTuple(args, "i:log_has_writers", &fd)) {
        return NULL;
    }
    return PyBool_FromLong(mmb_log_has_writers(fd));
}

/* ---- after the machine has gone down ------------------------------------------------------ */

/* The file that a view shows. */
typedef struct {
    mmb_log_identity identity;
    mmb_view view;
} seen;

static int look_at(int fd, seen *out)
{
    int error = mmb_log_identify(fd, &out->identity);
    return error != 0 ? error : mmb_view_map(fd, out->identity.size, &out->view);
}

/* Find the good messages. Return 0, ENODATA if nothing has to be checked, or another errno. */
static int trust(int fd, int index_fd, mmb_places *places, bool *unchecked)
{
    seen data = {0}, index = {0};
    int error = look_at(fd, &data);
    error = error != 0 ? error : look_at(index_fd, &index);
    if (error == 0 &&
        !mmb_index_is_from_earlier_boot(index.view.base, index.identity.size, &data.identity)) {
        error = ENODATA;
    }
    if (error == 0) {
        error = mmb_log_trust(index.view.base, index.identity.size, data.view.base,
                              data.identity.size, places, unchecked);
    }
    mmb_view_unmap(&data.view);
    mmb_view_unmap(&index.view);
    return error;
}

PyDoc_STRVAR(
    trust_doc,
    "log_trust($module, fd, index_fd, /)\n--\n\n"
    "How much of the log fd is good, by its index, if the machine was started again since\n"
    "it was written: (messages, where they end, whether some have no checksum). None if\n"
    "it was not, or the index does not say.");

static PyObject *log_trust(PyObject *module, PyObject *args)
{
    int fd, index_fd, error;
    mmb_places places = {0};
    bool unchecked = false;
    if (!PyArg_ParseTuple(args, "ii:log_trust", &fd, &index_fd)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    error = trust(fd, index_fd, &places, &unchecked);
    Py_END_ALLOW_THREADS
    uint64_t count = places.count, end = places.end;
    mmb_places_clear(&places);
    if (error == ENODATA) {
        Py_RETURN_NONE;
    }
    if (error != 0) {
        return mmbpy_raise(PyModule_GetState(module), error, Py_None);
    }
    return Py_BuildValue("KKN", (unsigned long long)count, (unsigned long long)end,
                         PyBool_FromLong(unchecked));
}

PyMethodDef mmbpy_log_functions[] = {
    {"log_enter_gate", enter_gate, METH_VARARGS, enter_gate_doc},
    {"log_leave_gate", leave_gate, METH_VARARGS, leave_gate_doc},
    {"log_has_writers", has_writers, METH_VARARGS, has_writers_doc},
    {"log_trust", log_trust, METH_VARARGS, trust_doc},
    {NULL, NULL, 0, NULL},
};
