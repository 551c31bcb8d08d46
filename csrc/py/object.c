/* object.c - makes and frees objects of the module's types. Their types live on the heap, so an
 * object holds a reference to its type. */
#include "state.h"

#include <time.h>

PyObject *mmbpy_new_object(PyTypeObject *type)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);
}

void mmbpy_free_object(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF(type);
}

void mmbpy_pause(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 50000};
    Py_BEGIN_ALLOW_THREADS
    nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS
}

/* The function of Python makes no exception only to forget it, which takes a microsecond. */
int mmbpy_has(const mmbpy_state *state, PyObject *object, const char *name)
{
    PyObject *answer =
        name == NULL ? NULL : PyObject_CallFunction(state->hasattr, "Os", object, name);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : answer == Py_True;
}
