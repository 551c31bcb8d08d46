/* gate_type.c - `_core.Gate`: one call at a time.
 *
 * Calls of one object that must not run at the same time go through a *gate*. It lets one thread
 * in, with everything that this thread calls. Other threads wait. The thread inside cannot wait for
 * itself. A signal handler, a generator or a finalizer runs in the middle of other code: if it
 * comes to the same gate, it gets a RuntimeError.
 *
 * C code enters and leaves the gate, around the call. So an interruption (KeyboardInterrupt) comes
 * before, inside or after, and never leaves a gate closed that no thread is in.
 *
 * A gate is no lock of the system: a forked child would find it locked by a thread that the child
 * does not have. Instead the child takes over what another thread of its parent held. */

#include "state.h"

#include <pthread.h>
#include <time.h>

typedef struct {
    PyObject_HEAD
        /* The process and the thread that are inside, as self_here returns them; 0: no thread. A
         * compare-and-swap enters, a store leaves. seq_cst. */
        _Atomic uint64_t inside;
    const char *call; /* like the next one it belongs to the thread that is inside */
    PyObject *name;   /* keeps `call` alive */
} mmbpy_gate;

/* ---- threads and processes ---------------------------------------------------- */

/* These are the only two statics that change: how often this process was forked (the child
 * counts, where no other thread runs yet), and the number for the next thread that asks for one. */
static _Atomic uint32_t forks;
static _Atomic uint32_t next_thread = 1;

/* Return a number that no other thread of this process ever had, nor one that a child has
 * inherited. The ids of threads that the system gives are used again. */
static _Thread_local uint32_t this_thread;

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

static uint64_t self_here(void)
{
    while (this_thread == 0) { /* after 2^32 threads the counter is 0 once */
        this_thread = atomic_fetch_add(&next_thread, 1);
    }
    return (uint64_t)atomic_load(&forks) << 32 | this_thread;
}

/* Return true for this thread, also in a child that it has forked: its calls go on there. */
static bool is_this_thread(uint64_t inside)
{
    return (uint32_t)inside == this_thread;
}

/* Return true if no thread is inside, or only one that a forked child does not have. */
static bool is_nobody_here(uint64_t inside, uint64_t self)
{
    return inside == 0 || (inside >> 32 != self >> 32 && !is_this_thread(inside));
}

/* ---- entering and leaving ------------------------------------------------------ */

/* Return whether the interpreter ends. Threads never return from that: one may stay inside
 * forever. */
static bool interpreter_ends(void)
{
    PyObject *ask = PySys_GetObject("is_finalizing");
    PyObject *answer = ask != NULL ? PyObject_CallNoArgs(ask) : NULL;
    bool ends = answer == NULL || PyObject_IsTrue(answer) != 0;
    Py_XDECREF(answer);
    PyErr_Clear();
    return ends;
}

/* Let other threads run. Return -1 with an exception if it is no use to wait any longer. */
static int wait_a_little(const char *call, long *nanoseconds)
{
    const long longest = 1000000;
    const struct timespec pause = {.tv_nsec = *nanoseconds};
    Py_BEGIN_ALLOW_THREADS
    nanosleep(&pause, NULL);
    Py_END_ALLOW_THREADS
    if (*nanoseconds < longest) {
        *nanoseconds += *nanoseconds / 2;
    }
    if (interpreter_ends()) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s() waits for a call of the same builder in a thread that the end of the "
                     "interpreter has stopped",
                     call);
        return -1;
    }
    return PyErr_CheckSignals();
}

static int enter(mmbpy_gate *self, const char *call)
{
    uint64_t me = self_here();
    long nanoseconds = 20000;
    for (;;) {
        uint64_t seen = atomic_load(&self->inside);
        if (is_nobody_here(seen, me)) {
            if (atomic_compare_exchange_strong(&self->inside, &seen, me)) {
                return 0;
            }
        } else if (is_this_thread(seen)) {
            PyErr_Format(PyExc_RuntimeError,
                         "%s() called while %s() of the same builder is at work in this thread",
                         call, self->call);
            return -1;
        } else if (wait_a_little(call, &nanoseconds) < 0) {
            return -1;
        }
    }
}

PyDoc_STRVAR(run_doc,
             "run($self, name, function, /, *args, **kwargs)\n--\n\n"
             "Call function when no other thread is inside, and return its result.\n\n"
             "Errors use name for the call. RuntimeError if this thread is inside already.");

static PyObject *gate_run(PyObject *object, PyObject *args, PyObject *kwargs)
{
    mmbpy_gate *self = (mmbpy_gate *)object;
    Py_ssize_t count = PyTuple_Size(args);
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError, "run() needs a name and a function");
        return NULL;
    }
    PyObject *name = PyTuple_GetItem(args, 0);
    const char *call = PyUnicode_AsUTF8AndSize(name, NULL);
    PyObject *rest = call != NULL ? PyTuple_GetSlice(args, 2, count) : NULL;
    if (rest == NULL) {
        return NULL;
    }
    if (enter(self, call) < 0) {
        Py_DECREF(rest);
        return NULL;
    }
    /* In a forked child, a thread of the parent may have left this. */
    PyObject *left = self->name;
    self->name = Py_NewRef(name);
    self->call = call;
    Py_XDECREF(left);

    PyObject *result = PyObject_Call(PyTuple_GetItem(args, 1), rest, kwargs);

    Py_CLEAR(self->name);
    atomic_store(&self->inside, 0);
    Py_DECREF(rest);
    return result;
}

/* ---- the type ----------------------------------------------------------------- */

static void gate_dealloc(PyObject *object)
{
    Py_XDECREF(((mmbpy_gate *)object)->name);
    mmbpy_free_object(object);
}

static PyObject *gate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Gate", names)) {
        return NULL;
    }
    pthread_once(&once, watch_forks);
    return mmbpy_new_object(type);
}

PyDoc_STRVAR(gate_doc, "Gate()\n--\n\n"
                       "Lets one thread in at a time; see run.");

static PyMethodDef gate_methods[] = {
    {"run", MMBPY_METHOD(gate_run), METH_VARARGS | METH_KEYWORDS, run_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot gate_slots[] = {
    {Py_tp_doc, (void *)gate_doc},
    {Py_tp_new, gate_new},
    {Py_tp_dealloc, gate_dealloc},
    {Py_tp_methods, gate_methods},
    {0, NULL},
};

MMBPY_SPEC(gate, "Gate", Py_TPFLAGS_IMMUTABLETYPE)
