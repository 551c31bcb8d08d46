/* compat.h - includes Python.h, and hides the differences between Python's versions.
 *
 * No other file has preprocessor conditions on the version of Python or on the GIL. There are two
 * kinds of builds: one against the limited API of 3.11, which serves every later version with the
 * GIL, and a full one for free-threaded Pythons. */
#ifndef MMBPY_COMPAT_H
#define MMBPY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

/* Cast a function that takes keywords, or its arguments as an array, for a table of methods. */
#define MMBPY_METHOD(function) (PyCFunction)(void (*)(void))(function)

/* A lock on one object, for the few places that change several fields together. With the GIL the
 * lock does nothing: the code inside must keep the GIL. */
#ifdef Py_GIL_DISABLED
#define MMBPY_HAS_GIL false
#define MMBPY_LOCK(object) Py_BEGIN_CRITICAL_SECTION(object);
#define MMBPY_UNLOCK() Py_END_CRITICAL_SECTION()
#else
#define MMBPY_HAS_GIL true
#define MMBPY_LOCK(object) {
#define MMBPY_UNLOCK() }
#endif

/* A lock of the module itself. Unlike the lock above, the thread keeps this one when the code
 * inside waits for another lock, as a change of a dict does. With the GIL it does nothing, either.
 */
#ifdef Py_GIL_DISABLED
typedef PyMutex mmbpy_mutex;
#define MMBPY_MUTEX_LOCK(mutex) PyMutex_Lock(mutex)
#define MMBPY_MUTEX_UNLOCK(mutex) PyMutex_Unlock(mutex)
#else
typedef char mmbpy_mutex;
#define MMBPY_MUTEX_LOCK(mutex) ((void)(mutex))
#define MMBPY_MUTEX_UNLOCK(mutex) ((void)(mutex))
#endif

/* Return a list or tuple to go through, as a new reference. Without a GIL it is a copy, since
 * other threads may change a list at any time. With the GIL it is the list itself: ask for its
 * length and its items again after anything that can run Python code. */
#ifdef Py_GIL_DISABLED
#define MMBPY_SNAPSHOT(sequence) PySequence_Tuple(sequence)
#else
#define MMBPY_SNAPSHOT(sequence)                                                                   \
    (PyList_Check(sequence) ? Py_NewRef(sequence) : PySequence_Tuple(sequence))
#endif

/* Get the value of a key from a dict that others may change. 1 with a new reference, 0 if the
 * key is not there, -1 with an exception. */
#ifdef Py_GIL_DISABLED
#define MMBPY_DICT_GET(dict, key, value) PyDict_GetItemRef(dict, key, value)
#else
#define MMBPY_DICT_GET(dict, key, value)                                                           \
    ((*(value) = Py_XNewRef(PyDict_GetItemWithError(dict, key))) != NULL ? 1                       \
     : PyErr_Occurred()                                                  ? -1                      \
                                                                         : 0)
#endif

/* Up to Python 3.11 the making of an object can run the cycle collector, and with it any Python
 * code, which may give the GIL away. Between these two macros the collector does not run. */
#ifdef Py_GIL_DISABLED
#define MMBPY_PAUSE_GC() {
#define MMBPY_RESUME_GC() }
#else
#define MMBPY_PAUSE_GC()                                                                           \
    {                                                                                              \
        int mmbpy_gc_was_on = PyGC_Disable();
#define MMBPY_RESUME_GC()                                                                          \
    if (mmbpy_gc_was_on) {                                                                         \
        PyGC_Enable();                                                                             \
    }                                                                                              \
    }
#endif

/* The headers of 3.11 do not have this slot, but an interpreter of 3.12 or later knows it,
 * whatever headers the module was compiled with. So we spell the numbers out, and the module
 * decides at run time whether to offer the slot. */
#define MMBPY_SLOT_MULTIPLE_INTERPRETERS 3
#define MMBPY_PER_INTERPRETER_GIL_SUPPORTED ((void *)2)
#define MMBPY_HAS_INTERPRETER_SLOT (Py_Version >= 0x030C0000)

/* Without this slot, a free-threaded interpreter turns its GIL on for the module. */
#ifdef Py_GIL_DISABLED
#define MMBPY_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define MMBPY_SLOT_GIL
#endif

#endif
