/* waiting.c - asks the interpreter now and then while C works. See waiting.h. */

#include "waiting.h"

bool mmbpy_is_asked(void *context, uint64_t words)
{
    mmbpy_waiting *waiting = context;
    PyEval_RestoreThread(waiting->thread);
    bool raised = PyErr_CheckSignals() != 0;
    if (!raised && waiting->progress != Py_None) {
        PyObject *answer =
            PyObject_CallFunction(waiting->progress, "K", (unsigned long long)words * MMB_WORD);
        raised = answer == NULL;
        Py_XDECREF(answer);
    }
    waiting->thread = PyEval_SaveThread();
    return raised;
}
