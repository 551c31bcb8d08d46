/* column_lists.c - columns of Text and Data from lists of Python's strings.
 *
 * The strings are gone through twice: all are checked before the first is laid. They are
 * laid from where they are, a few at a time, so that nothing is copied twice and nothing
 * large is allocated. */

#include "column_args.h"

#include <math.h>
#include <string.h>

/* Strings whose memory is held at a time. */
enum { HELD = 256 };

static bool is_missing(PyObject *item)
{
    return item == Py_None || (PyFloat_Check(item) && isnan(PyFloat_AsDouble(item)));
}

static void raise_no_string(uint64_t index, PyObject *item)
{
    PyObject *name = PyType_GetName(Py_TYPE(item));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError, "row %llu: str, bytes or None is required, not %U",
                     (unsigned long long)index, name);
    }
    Py_XDECREF(name);
}

/* Where the bytes of a string are: `bytes` is NULL if it is missing. They stay as long
 * as `item` and `view` are held; the view is to be released. */
static bool get_slice(uint64_t index, PyObject *item, Py_buffer *view, mmb_slice *out)
{
    *out = (mmb_slice){.bytes = NULL};
    if (PyUnicode_Check(item)) {
        Py_ssize_t length;
        out->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(item, &length);
        out->length = (uint64_t)length;
        return out->bytes != NULL;
    }
    if (is_missing(item)) {
        return true;
    }
    if (!PyObject_CheckBuffer(item)) {
        raise_no_string(index, item);
        return false;
    }
    if (PyObject_GetBuffer(item, view, PyBUF_SIMPLE) < 0) {
        return false;
    }
    /* Something must be there, even if it has no bytes. */
    out->bytes = view->buf != NULL ? view->buf : (const void *)"";
    out->length = (uint64_t)view->len;
    return true;
}

/* Goes through a list or tuple, which Python code that runs meanwhile may change. */
typedef struct {
    PyObject *sequence; /* owned */
    uint64_t count;
    bool is_list;
} items;

static bool items_start(items *in, PyObject *values)
{
    in->sequence = MMBPY_SNAPSHOT(values);
    if (in->sequence == NULL) {
        return false;
    }
    in->is_list = PyList_Check(in->sequence);
    in->count = (uint64_t)(in->is_list ? PyList_Size(in->sequence) : PyTuple_Size(in->sequence));
    return true;
}

/* A new reference; IndexError if the list has become shorter. */
static inline PyObject *items_get(const items *in, uint64_t index)
{
    PyObject *item = in->is_list ? PyList_GetItem(in->sequence, (Py_ssize_t)index)
                                 : PyTuple_GetItem(in->sequence, (Py_ssize_t)index);
    Py_XINCREF(item);
    return item;
}

/* ---- checking --------------------------------------------------------------------- */

/* Check one string and add what it takes. */
static bool measure_item(uint64_t index, PyObject *item, bool text, uint64_t *words,
                         uint64_t *found)
{
    Py_buffer view = {0};
    mmb_slice slice;
    if (!get_slice(index, item, &view, &slice)) {
        return false;
    }
    const uint64_t ends[2] = {0, slice.length};
    const mmb_strings one = {.bytes = slice.bytes,
                             .size = slice.length,
                             .offsets = (const unsigned char *)ends,
                             .width = sizeof *ends,
                             .count = 1};
    const char *reason = NULL;
    uint64_t own_words = 0, own = 0, bad;
    if (view.obj == NULL && slice.length < MMB_MAX_SEGMENT_WORDS) {
        /* A str, UTF-8 by its make: there is nothing to look at. */
        own = slice.bytes != NULL ? 1 : 0;
        own_words = own * ((slice.length + (text ? MMB_WORD : MMB_WORD - 1)) / MMB_WORD);
    } else {
        reason = mmb_strings_measure(&one, NULL, text, &own_words, &own, &bad);
    }
    PyBuffer_Release(&view);
    if (reason != NULL) {
        PyErr_Format(PyExc_ValueError, "row %llu: %s", (unsigned long long)index, reason);
        return false;
    }
    *words += own_words;
    *found += own;
    return true;
}

PyDoc_STRVAR(measure_list_doc,
             "measure_list($module, values, text, /)\n--\n\n"
             "Check str and bytes-like objects; returns what measure_strings does. None and\n"
             "NaN are missing strings.");

static PyObject *measure_list(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *values;
    int text;
    items in;
    if (!PyArg_ParseTuple(args, "Op:measure_list", &values, &text) || !items_start(&in, values)) {
        return NULL;
    }
    uint64_t words = 0, found = 0;
    bool good = true;
    for (uint64_t i = 0; good && i < in.count; i++) {
        PyObject *item = items_get(&in, i);
        good = item != NULL && measure_item(i, item, text != 0, &words, &found);
        Py_XDECREF(item);
    }
    Py_DECREF(in.sequence);
    if (!good) {
        return NULL;
    }
    return Py_BuildValue("KK", (unsigned long long)words, (unsigned long long)found);
}

/* ---- laying ----------------------------------------------------------------------- */

/* Strings that are held while they are laid. */
typedef struct {
    mmb_slice slices[HELD];
    PyObject *objects[HELD];
    Py_buffer views[HELD];
    uint64_t count;
} handful;

static void let_go(handful *hand)
{
    for (uint64_t i = 0; i < hand->count; i++) {
        PyBuffer_Release(&hand->views[i]);
        Py_DECREF(hand->objects[i]);
    }
    hand->count = 0;
}

/* Take up to HELD strings, `first` and those after it, `left` at the most. */
static bool take(handful *hand, const items *in, uint64_t first, uint64_t left,
                 const unsigned char *wanted)
{
    for (uint64_t i = 0; i < HELD && i < left; i++) {
        PyObject *item = items_get(in, first + i);
        if (item == NULL) {
            return false;
        }
        hand->objects[i] = item;
        hand->views[i] = (Py_buffer){0};
        hand->count = i + 1;
        if (wanted != NULL && wanted[i] == 0) {
            hand->slices[i] = (mmb_slice){.skip = true};
        } else if (!get_slice(first + i, item, &hand->views[i], &hand->slices[i])) {
            return false;
        }
    }
    return true;
}

/* The work of lay_list. False with an exception. */
static bool lay_items(mmbpy_state *state, const mmbpy_memory *memory, const mmb_pointers *all,
                      const items *in, uint64_t start, const unsigned char *wanted, bool text,
                      uint64_t *next, mmb_block *block)
{
    handful *hand = PyMem_Malloc(sizeof *hand);
    bool good = true;
    if (hand == NULL) {
        PyErr_NoMemory();
        return false;
    }
    hand->count = 0;
    while (good && *next < all->count) {
        mmb_pointers pointers = *all;
        pointers.word += *next * pointers.stride;
        pointers.count -= *next;
        good =
            take(hand, in, start + *next, pointers.count, wanted != NULL ? wanted + *next : NULL);
        uint64_t laid = 0, held = hand->count;
        mmb_flaw flaw = {0};
        if (good && mmb_slices_lay(memory->segments, memory->count, &pointers, hand->slices, held,
                                   text, &laid, block, &flaw) != 0) {
            mmbpy_raise_invalid(state, &flaw);
            good = false;
        }
        let_go(hand);
        *next += laid;
        if (laid < held) {
            break; /* the block is full */
        }
    }
    PyMem_Free(hand);
    return good;
}

PyDoc_STRVAR(lay_list_doc,
             "lay_list($module, segments, pointers, values, start, wanted, text, next, block, /)\n"
             "--\n\n"
             "As lay_strings, for a list that measure_list has checked: its number start is\n"
             "for the first pointer.");

static PyObject *lay_list(PyObject *module, PyObject *args)
{
    PyObject *tuple, *pointers_tuple, *values, *wanted_object, *block_tuple;
    PyObject *result = NULL;
    int text;
    unsigned long long start, next_row;
    mmbpy_memory memory = {0};
    mmb_pointers pointers;
    mmb_block block;
    Py_buffer wanted = {0};
    items in;
    if (!PyArg_ParseTuple(args, "O!O!OKOpKO!:lay_list", &PyTuple_Type, &tuple, &PyTuple_Type,
                          &pointers_tuple, &values, &start, &wanted_object, &text, &next_row,
                          &PyTuple_Type, &block_tuple) ||
        !items_start(&in, values)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, true, &memory) && mmbpy_pointers_get(pointers_tuple, &pointers) &&
        mmbpy_block_get(block_tuple, &block) &&
        mmbpy_wanted_get(wanted_object, pointers.count, &wanted)) {
        uint64_t next = next_row;
        if (start > in.count || pointers.count > in.count - start) {
            PyErr_SetString(PyExc_IndexError, "the list has become shorter");
        } else if (lay_items(PyModule_GetState(module), &memory, &pointers, &in, start, wanted.buf,
                             text != 0, &next, &block)) {
            result = Py_BuildValue("KKK", (unsigned long long)next, (unsigned long long)block.word,
                                   (unsigned long long)block.words);
        }
    }
    PyBuffer_Release(&wanted);
    mmbpy_memory_release(&memory);
    Py_DECREF(in.sequence);
    return result;
}

PyMethodDef mmbpy_list_functions[] = {
    {"measure_list", measure_list, METH_VARARGS, measure_list_doc},
    {"lay_list", lay_list, METH_VARARGS, lay_list_doc},
    {NULL, NULL, 0, NULL},
};
