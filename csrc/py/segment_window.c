/* segment_window.c - hands a segment to pycapnp. See segment_window.h. */

#include "segment_window.h"

/* The words that are handed out when the file has no room. A program that goes on building for a
 * while then does not come back for every object. */
#define SPARE_WORDS ((uint64_t)1 << 17)

bool mmbpy_segment_words(PyObject *asked, uint64_t *words)
{
    if (!mmbpy_as_uint64(asked, "min_words", words)) {
        return false;
    }
    if (*words > MMB_MAX_SEGMENT_WORDS) {
        PyErr_Format(PyExc_ValueError, "a segment has %d words at most",
                     (int)MMB_MAX_SEGMENT_WORDS);
        return false;
    }
    *words = *words > 0 ? *words : 1;
    return true;
}

PyObject *mmbpy_segment_window(mmbpy_state *state, PyObject **spare)
{
    PyObject *window = mmbpy_window_new(state);
    if (window == NULL) {
        window = *spare;
        *spare = NULL;
    }
    if (*spare == NULL) {
        *spare = mmbpy_window_new(state);
    }
    PyErr_Clear();
    return window;
}

PyObject *mmbpy_segment_in_no_file(PyObject *window, uint64_t words)
{
    uint64_t more = words > SPARE_WORDS ? words : SPARE_WORDS;
    if (!mmbpy_window_show_memory(window, (Py_ssize_t)(more * MMB_WORD)) &&
        !mmbpy_window_show_memory(window, (Py_ssize_t)(words * MMB_WORD))) {
        Py_CLEAR(window);
    }
    return window;
}

PyObject *mmbpy_segment_view(PyObject *window)
{
    if (window == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *view = PyMemoryView_FromObject(window);
    if (view == NULL) {
        PyErr_Clear();
        return window;
    }
    Py_DECREF(window);
    return view;
}
