/* log_seek.c - finds a message of a log by a number in it, if the messages are in the order of this
 * number. */

#include "log_columns.h"
#include "log_reader.h"
#include "numbers_out.h"

typedef struct {
    mmbpy_state *state;
    mmbpy_log_reader *log;
    PyObject *name; /* name of the log, for errors; borrowed */
    mmb_way way;
    mmb_type_kind kind;
} seeker;

static bool is_number(mmb_type_kind kind)
{
    return kind >= MMB_INT8 && kind <= MMB_FLOAT64;
}

/* Read the number in a message. Set `*there` if the message has the field. Return false with an
 * exception. */
static bool read_number(const seeker *s, uint64_t message, uint64_t *bits, bool *there)
{
    unsigned char stored[sizeof *bits], present = 0;
    uint64_t start, bytes;
    if (mmbpy_log_find(s->log, message, &start, &bytes) < 0) {
        return false;
    }
    const unsigned char *data;
    MMBPY_LOCK((PyObject *)s->log)
    data = mmbpy_log_data(s->log); /* this stays mapped as long as the object lives */
    MMBPY_UNLOCK()
    mmb_roots roots = {.frames = data + start, .bytes = bytes, .count = 1};
    if (mmb_roots_numbers(&roots, &s->way, sizeof stored, stored, &present) != 0) {
        mmbpy_raise_in_log(s->state, &roots.flaw, s->name, message);
        return false;
    }
    memcpy(bits, stored, sizeof *bits);
    *there = present != 0;
    return true;
}

/* Return 1 if the number in a message is less than `key`, 0 if it is not, 2 if the message does not
 * have the field, and -1 with an exception. Comparing may run any code. */
static int is_less(const seeker *s, uint64_t message, PyObject *key)
{
    uint64_t bits;
    bool there;
    if (!read_number(s, message, &bits, &there)) {
        return -1;
    }
    if (!there) {
        return 2;
    }
    PyObject *number = mmbpy_number_of(s->kind, bits);
    int less = number != NULL ? PyObject_RichCompareBool(number, key, Py_LT) : -1;
    Py_XDECREF(number);
    return less;
}

/* Bisect the messages start, start + step, ... of which there are `count`. */
static PyObject *bisect(const seeker *s, uint64_t start, uint64_t step, uint64_t count,
                        PyObject *key)
{
    uint64_t low = 0, high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int less = is_less(s, start + middle * step, key);
        if (less < 0) {
            return NULL;
        }
        if (less == 2) {
            Py_RETURN_NONE;
        }
        low = less == 1 ? middle + 1 : low;
        high = less == 1 ? high : middle;
    }
    return PyLong_FromUnsignedLongLong(low);
}

const char mmbpy_roots_seek_doc[] =
    "roots_seek($module, plan, fields, log, start, step, count, key, name, /)\n--\n\n"
    "Return how many of the messages start, start + step, ..., of which there are count, come\n"
    "before the first whose number in a field is key or more. log is their LogReader.\n\n"
    "None if the field is no number, or one of the messages that are looked at does not have\n"
    "it. fields are as for roots_numbers.";

PyObject *mmbpy_roots_seek(PyObject *module, PyObject *args)
{
    seeker s = {.state = PyModule_GetState(module)};
    PyObject *plan, *fields, *log, *key, *found = NULL;
    unsigned long long start, step, count;
    if (!PyArg_ParseTuple(args, "O!O!O!KKKOO:roots_seek", s.state->plan_type, &plan, &PyTuple_Type,
                          &fields, s.state->log_reader_type, &log, &start, &step, &count, &key,
                          &s.name)) {
        return NULL;
    }
    s.log = (mmbpy_log_reader *)log;
    if (mmbpy_take_way((mmbpy_plan *)plan, fields, false, &s.way)) {
        const mmb_plan *types = s.way.plan;
        s.kind = types->types[types->fields[s.way.fields[s.way.length - 1]].type].kind;
        found = is_number(s.kind) ? bisect(&s, start, step, count, key) : Py_NewRef(Py_None);
    }
    mmbpy_free_way(&s.way);
    return found;
}
