/* rows_out.c - the methods of a plan that read rows: of one message, and of many in a row. */

#include "column_args.h"
#include "roots.h"
#include "row_reader.h"

const char mmbpy_plan_read_doc[] =
    "read($self, segments, type, segment, word, start, stop, style, row_class, fields,\n     "
    "trusted, /)\n--\n\n"
    "Read what the pointer at a place leads to, as dicts (style 0), tuples (1) or\n"
    "objects (2). Of a list read the elements from start to stop.\n\n"
    "Return the value, and the names of fields that are set but left out, or None.";

PyObject *mmbpy_plan_read(PyObject *object, PyObject *args)
{
    PyObject *tuple, *class, *fields, *result = NULL;
    unsigned int type, segment;
    unsigned long long word;
    long long start, stop;
    int style, trusted;
    mmbpy_memory memory = {0};
    mmbpy_row_reader r;
    if (!PyArg_ParseTuple(args, "O!IIKLLiOOp:read", &PyTuple_Type, &tuple, &type, &segment, &word,
                          &start, &stop, &style, &class, &fields, &trusted) ||
        !mmbpy_row_reader_start(&r, object, style, class, fields)) {
        return NULL;
    }
    if (type >= r.plan->type_count) {
        PyErr_SetString(PyExc_ValueError, "there is no such type");
        return NULL;
    }
    if (mmbpy_memory_get(tuple, false, &memory)) {
        mmb_reading_start(&r.reading, memory.segments, memory.count, trusted != 0);
        mmb_reading_use_defaults(&r.reading, r.plan);
        /* The new objects have no cycles, and all of them are in use. A collector that looks at
         * them again and again would take most of the time, so it is turned off. If code of a
         * class runs, the collector stays on. */
        bool collects = r.style != MMBPY_AS_OBJECT && PyGC_Disable() != 0;
        PyObject *value =
            mmbpy_row_reader_target(&r, &r.plan->types[type], segment, word, start, stop);
        if (collects) {
            PyGC_Enable();
        }
        result = mmbpy_row_reader_end(&r, value);
    }
    mmbpy_memory_release(&memory);
    return result;
}

/* ---- the roots of many messages ------------------------------------------------------------ */

/* Append the root of the next message to the list. Return false with an exception on an error. */
static bool read_root(mmbpy_row_reader *r, const unsigned char *frame, uint64_t left,
                      mmb_segment *segments, uint64_t *bytes, PyObject *list)
{
    uint32_t count;
    const char *reason;
    if (mmb_frame_segments(frame, left, segments, &count, bytes, &reason) != 0) {
        return mmbpy_row_reader_fail(r, 0, 0, reason) != NULL;
    }
    mmb_reading_go_on(&r->reading, segments, count);
    mmb_reading_use_defaults(&r->reading, r->plan);
    PyObject *row = mmbpy_row_reader_root(r);
    bool good = row != NULL && PyList_Append(list, row) == 0;
    Py_XDECREF(row);
    return good;
}

const char mmbpy_plan_read_roots_doc[] =
    "read_roots($self, frames, count, first, name, style, row_class, fields, /)\n--\n\n"
    "Read the roots of count messages that lie back to back, as dicts (style 0),\n"
    "tuples (1) or objects (2). first and name are for errors.\n\n"
    "Return a list, and the names of fields that are set but left out, or None.";

PyObject *mmbpy_plan_read_roots(PyObject *object, PyObject *args)
{
    mmb_segment segments[MMB_MAX_SEGMENTS];
    PyObject *name, *class, *fields;
    Py_buffer frames;
    unsigned long long count, first;
    int style;
    mmbpy_row_reader r;
    if (!PyArg_ParseTuple(args, "y*KKOiOO:read_roots", &frames, &count, &first, &name, &style,
                          &class, &fields)) {
        return NULL;
    }
    if (!mmbpy_row_reader_start(&r, object, style, class, fields)) {
        PyBuffer_Release(&frames);
        return NULL;
    }
    const unsigned char *bytes = frames.buf;
    uint64_t place = 0, size = 0;
    mmb_reading_start(&r.reading, segments, 0, false);
    PyObject *list = PyList_New(0);
    bool good = list != NULL;
    bool collects = r.style != MMBPY_AS_OBJECT && PyGC_Disable() != 0; /* as for one message */
    for (uint64_t i = 0; good && i < count; i++, place += size) {
        good = read_root(&r, bytes + place, (uint64_t)frames.len - place, segments, &size, list);
        if (!good && PyErr_ExceptionMatches(r.state->invalid_message)) {
            PyErr_Clear();
            mmbpy_raise_in_log(r.state, &r.reading.flaw, name, first + i);
        }
    }
    if (collects) {
        PyGC_Enable();
    }
    PyBuffer_Release(&frames);
    if (!good) {
        Py_CLEAR(list);
    }
    return mmbpy_row_reader_end(&r, list);
}
