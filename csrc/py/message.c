/* message.c - functions of `_core` on message files: their table, verify, recover. */

#include "waiting.h"

#include <errno.h>

/* The C layer does not know the name of the function that helps here. */
static const char unfinished[] =
    "the message is unfinished: its builder did not close it, recover() may finish it";

PyDoc_STRVAR(table_entries_doc,
             "table_entries($module, capacity, segment_words, /)\n--\n\n"
             "Return the number of entries that the segment table for capacity bytes needs.\n\n"
             "ValueError if readers of streams accept fewer, or if the capacity does not even\n"
             "hold the table and a root.");

static PyObject *table_entries(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *capacity_object, *words_object;
    uint64_t capacity, words;
    if (!PyArg_ParseTuple(args, "OO:table_entries", &capacity_object, &words_object)) {
        return NULL;
    }
    if (!mmbpy_as_uint64(capacity_object, "capacity", &capacity)) {
        return NULL;
    }
    if (!mmbpy_as_uint64(words_object, "segment_words", &words)) {
        return NULL;
    }
    if (capacity == 0) {
        PyErr_SetString(PyExc_ValueError, "capacity must not be zero");
        return NULL;
    }
    if (words < 1 || words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_Format(PyExc_ValueError, "segment_words must be from 1 to %d",
                     (int)MMB_MAX_SEGMENT_WORDS);
        return NULL;
    }
    uint64_t entries;
    if (words == MMB_MAX_SEGMENT_WORDS) {
        entries = mmb_table_entries(capacity);
    } else {
        uint64_t bytes = words * MMB_WORD;
        entries = capacity / bytes + (capacity % bytes != 0);
        if (entries > MMB_MAX_SEGMENTS) {
            entries = 0;
        }
    }
    if (entries == 0) {
        PyErr_Format(PyExc_ValueError,
                     "a message of %llu bytes in segments of %llu words would need more than "
                     "%d segments, the most that readers accept",
                     (unsigned long long)capacity, (unsigned long long)words,
                     (int)MMB_MAX_SEGMENTS);
        return NULL;
    }
    if (capacity < mmb_table_set_aside((uint32_t)entries) + MMB_WORD) {
        PyErr_Format(PyExc_ValueError, "a capacity of %llu bytes has no room for a message",
                     (unsigned long long)capacity);
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(entries);
}

PyDoc_STRVAR(framing_doc,
             "framing($module, head, file_bytes, name, /)\n--\n\n"
             "Find where the segments of a finished message lie. Return a list of (start,\n"
             "length) in bytes, without empty segments at the end, and where the last segment\n"
             "ends.\n\n"
             "head is the message, or at least its first HEAD_BYTES. InvalidMessage with name\n"
             "if it is no message.");

static PyObject *framing(PyObject *module, PyObject *args)
{
    mmbpy_state *state = PyModule_GetState(module);
    Py_buffer head;
    PyObject *bytes_object, *name;
    uint64_t file_bytes;
    mmb_framing found;
    mmb_flaw flaw = {.reason = NULL};
    if (!PyArg_ParseTuple(args, "y*OO:framing", &head, &bytes_object, &name)) {
        return NULL;
    }
    if (!mmbpy_as_uint64(bytes_object, "file_bytes", &file_bytes)) {
        PyBuffer_Release(&head);
        return NULL;
    }
    uint64_t needed = file_bytes < MMB_HEAD_BYTES ? file_bytes : MMB_HEAD_BYTES;
    if ((uint64_t)head.len < needed) {
        PyBuffer_Release(&head);
        PyErr_SetString(PyExc_ValueError, "head is too short");
        return NULL;
    }
    int error = mmb_framing_parse(head.buf, file_bytes, &found, &flaw);
    PyBuffer_Release(&head);
    if (error != 0) {
        if (found.unfinished) {
            flaw.reason = unfinished;
        }
        return mmbpy_raise_invalid_in(state, &flaw, name);
    }
    while (found.count > 0 && found.words[found.count - 1] == 0) {
        found.count--;
    }
    PyObject *list = PyList_New((Py_ssize_t)found.count);
    for (uint32_t i = 0; list != NULL && i < found.count; i++) {
        PyObject *pair = Py_BuildValue("KK", (unsigned long long)found.start[i],
                                       (unsigned long long)found.words[i] * MMB_WORD);
        if (pair == NULL || PyList_SetItem(list, (Py_ssize_t)i, pair) < 0) {
            Py_CLEAR(list);
        }
    }
    return list == NULL ? NULL : Py_BuildValue("NK", list, (unsigned long long)found.file_bytes);
}

PyDoc_STRVAR(is_aligned_doc, "is_aligned($module, buffer, /)\n--\n\n"
                             "Return whether the memory of buffer begins at a multiple of a word.");

static PyObject *is_aligned(PyObject *Py_UNUSED(module), PyObject *object)
{
    Py_buffer buffer;
    if (PyObject_GetBuffer(object, &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    bool aligned = (uintptr_t)buffer.buf % MMB_WORD == 0;
    PyBuffer_Release(&buffer);
    return PyBool_FromLong(aligned);
}

/* ---- verify and recover ------------------------------------------------------------ */

static PyObject *report_or_raise(mmbpy_state *state, int error, const mmb_report *report,
                                 PyObject *name)
{
    if (error == EINTR && PyErr_Occurred()) {
        return NULL;
    }
    if (error == MMB_EMESSAGE) {
        return mmbpy_raise_invalid_in(state, &report->flaw, name);
    }
    if (error != 0) {
        return mmbpy_raise(state, error, name);
    }
    const mmb_totals *totals = &report->totals;
    return Py_BuildValue("KKKKKIIINKK", (unsigned long long)report->file_bytes,
                         (unsigned long long)report->trailing, (unsigned long long)totals->words,
                         (unsigned long long)totals->objects, (unsigned long long)totals->pointers,
                         totals->depth, report->segments, report->entries,
                         PyBool_FromLong(report->unfinished), (unsigned long long)totals->lost,
                         (unsigned long long)totals->lost_values);
}

PyDoc_STRVAR(verify_doc,
             "verify($module, message, name, progress=None, /)\n--\n\n"
             "Check every pointer of a message in a file, given by its descriptor, or in a\n"
             "buffer.\n\n"
             "progress is called now and then with the number of bytes that were checked.\n\n"
             "Return (file_bytes, trailing, words, objects, pointers, depth, segments,\n"
             "entries, unfinished, lost, lost_values). InvalidMessage, or OSError, with name.");

static PyObject *verify(PyObject *module, PyObject *args)
{
    PyObject *message, *name, *progress = Py_None;
    Py_buffer buffer = {.obj = NULL};
    mmb_report report;
    int fd = -1;
    if (!PyArg_ParseTuple(args, "OO|O:verify", &message, &name, &progress)) {
        return NULL;
    }
    bool in_file = PyLong_Check(message);
    if (in_file) {
        fd = (int)PyLong_AsLong(message);
        if (PyErr_Occurred()) {
            return NULL;
        }
    } else if (PyObject_GetBuffer(message, &buffer, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    mmbpy_waiting waiting = {progress, PyEval_SaveThread()};
    const mmb_interrupt interrupt = {mmbpy_is_asked, &waiting};
    int error = in_file ? mmb_verify(fd, 0, &interrupt, &report)
                        : mmb_verify_memory(buffer.buf, (uint64_t)buffer.len, &interrupt, &report);
    PyEval_RestoreThread(waiting.thread);
    if (!in_file) {
        PyBuffer_Release(&buffer);
    }
    if (error == MMB_EMESSAGE && report.unfinished) {
        report.flaw.reason = unfinished;
    }
    return report_or_raise(PyModule_GetState(module), error, &report, name);
}

PyDoc_STRVAR(recover_doc,
             "recover($module, fd, name, durable, progress=None, /)\n--\n\n"
             "Finish the message in fd, whose builder is gone. Return what verify does.");

static PyObject *recover(PyObject *module, PyObject *args)
{
    int fd, durable;
    PyObject *name, *progress = Py_None;
    mmb_report report;
    if (!PyArg_ParseTuple(args, "iOp|O:recover", &fd, &name, &durable, &progress)) {
        return NULL;
    }
    mmbpy_waiting waiting = {progress, PyEval_SaveThread()};
    const mmb_interrupt interrupt = {mmbpy_is_asked, &waiting};
    int error = mmb_recover(fd, 0, MMB_TO_END, durable != 0, &interrupt, &report);
    PyEval_RestoreThread(waiting.thread);
    return report_or_raise(PyModule_GetState(module), error, &report, name);
}

PyMethodDef mmbpy_message_functions[] = {
    {"table_entries", table_entries, METH_VARARGS, table_entries_doc},
    {"framing", framing, METH_VARARGS, framing_doc},
    {"is_aligned", is_aligned, METH_O, is_aligned_doc},
    {"verify", verify, METH_VARARGS, verify_doc},
    {"recover", recover, METH_VARARGS, recover_doc},
    {NULL, NULL, 0, NULL},
};
