/* compat.h - Python.h, and what differs between its versions.
 *
 * The only file with preprocessor conditions on the Python version or the GIL.
 * There are two kinds of build: against the limited API of 3.11, which serves
 * every later version with the GIL, and a full one for free-threaded Pythons.
 */
#ifndef MMBPY_COMPAT_H
#define MMBPY_COMPAT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

/* A lock on one object, for the few places where several fields change together.
 * With the GIL there is nothing to do as long as the GIL is kept in between. */
#ifdef Py_GIL_DISABLED
#define MMBPY_HAS_GIL false
#define MMBPY_LOCK(object) Py_BEGIN_CRITICAL_SECTION(object);
#define MMBPY_UNLOCK() Py_END_CRITICAL_SECTION()
#else
#define MMBPY_HAS_GIL true
#define MMBPY_LOCK(object) {
#define MMBPY_UNLOCK() }
#endif

/* A list or tuple to go through: without a GIL a copy, since others may change a list
 * at any time; with it the list itself, whose items and length are to be asked for
 * again after anything that can run Python code. A new reference. */
#ifdef Py_GIL_DISABLED
#define MMBPY_SNAPSHOT(sequence) PySequence_Tuple(sequence)
#else
#define MMBPY_SNAPSHOT(sequence)                                                                   \
    (PyList_Check(sequence) ? Py_NewRef(sequence) : PySequence_Tuple(sequence))
#endif

/* The value of a key of a dict that others may change: 1 with a new reference, 0 if there is
 * none, -1 with an exception. */
#ifdef Py_GIL_DISABLED
#define MMBPY_DICT_GET(dict, key, value) PyDict_GetItemRef(dict, key, value)
#else
#define MMBPY_DICT_GET(dict, key, value)                                                           \
    ((*(value) = Py_XNewRef(PyDict_GetItemWithError(dict, key))) != NULL ? 1                       \
     : PyErr_Occurred()                                                  ? -1                      \
                                                                         : 0)
#endif

/* Up to 3.11, making an object can run the cycle collector, and with it any Python code, which
 * may give the GIL away. Between these it does not. */
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

/* The headers of 3.11 do not know this slot; an interpreter of 3.12 or later
 * does, whatever headers the module was compiled with. So the numbers are
 * spelled out, and the module chooses at run time whether to offer the slot. */
#define MMBPY_SLOT_MULTIPLE_INTERPRETERS 3
#define MMBPY_PER_INTERPRETER_GIL_SUPPORTED ((void *)2)
#define MMBPY_HAS_INTERPRETER_SLOT (Py_Version >= 0x030C0000)

/* A free-threaded interpreter turns its GIL on for a module without this slot. */
#ifdef Py_GIL_DISABLED
#define MMBPY_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define MMBPY_SLOT_GIL
#endif

#endif
