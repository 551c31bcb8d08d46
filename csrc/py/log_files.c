/* log_files.c - functions of `_core` for the files of a log: which writers work on them. */

#include "state.h"

#include "mmb_log.h"

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

PyMethodDef mmbpy_log_functions[] = {
    {"log_enter_gate", enter_gate, METH_VARARGS, enter_gate_doc},
    {"log_leave_gate", leave_gate, METH_VARARGS, leave_gate_doc},
    {"log_has_writers", has_writers, METH_VARARGS, has_writers_doc},
    {NULL, NULL, 0, NULL},
};
