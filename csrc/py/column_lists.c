/* column_lists.c - writes columns of Text and Data from lists of Python's strings.
 *
 * The code goes through the strings twice: it checks all of them before it writes the first. It
 * writes them from the memory of their objects, some at a time, so that nothing is copied twice and
 * nothing large is allocated. Most of the time goes into waiting for this memory. So the objects
 * are only read; their references are not even counted while their list cannot change. */

#include "column_args.h"

#include <math.h>
#include <string.h>

/* The number of strings that are written at a time. */
enum { BATCH = 256 };

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

static inline bool is_str(PyObject *item)
{
    return Py_IS_TYPE(item, &PyUnicode_Type) || PyUnicode_Check(item);
}

/* Return true if getting the bytes of an object runs no code of others. Such code might change
 * the list. All other objects go through the buffer protocol. */
static bool is_plain(PyObject *item)
{
    return is_str(item) || PyBytes_Check(item) || item == Py_None ||
           Py_IS_TYPE(item, &PyFloat_Type);
}

/* Find the bytes of a plain str, as most objects in such a list are. Return false without an
 * exception if the object is none, or has no UTF-8, or there is no memory; get_plain then says what
 * is wrong. No code of Python runs. */
static inline bool get_str(PyObject *item, mmb_string_ref *out)
{
    Py_ssize_t length;
    if (!Py_IS_TYPE(item, &PyUnicode_Type)) {
        return false;
    }
    out->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(item, &length);
    out->length = (uint64_t)length;
    out->skip = false;
    if (out->bytes == NULL) {
        PyErr_Clear();
    }
    return out->bytes != NULL;
}

/* Find the bytes of a plain object; `bytes` becomes NULL if the string is missing. The bytes
 * stay as long as the object does. */
static bool get_plain(uint64_t index, PyObject *item, mmb_string_ref *out)
{
    Py_ssize_t length = 0;
    *out = (mmb_string_ref){.bytes = NULL};
    if (is_str(item)) {
        out->bytes = (const unsigned char *)PyUnicode_AsUTF8AndSize(item, &length);
        if (out->bytes == NULL) {
            if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                PyErr_Format(PyExc_ValueError, "row %llu: %A has surrogates, which UTF-8 has not",
                             (unsigned long long)index, item);
            }
            return false;
        }
    } else if (PyBytes_Check(item)) {
        out->bytes = (const unsigned char *)PyBytes_AsString(item);
        length = PyBytes_Size(item);
    } else if (!is_missing(item)) {
        raise_no_string(index, item);
        return false;
    }
    out->length = (uint64_t)length;
    return true;
}

/* If the bytes do not lie side by side, replace the exception that is set by one that says so. */
static void explain_strides(uint64_t index, PyObject *item)
{
    Py_buffer strided;
    if (!mmbpy_forget_refusal() || PyObject_GetBuffer(item, &strided, PyBUF_STRIDED_RO) < 0) {
        return; /* the exception is nearly the same as before */
    }
    PyBuffer_Release(&strided);
    PyErr_Format(PyExc_ValueError,
                 "row %llu: the bytes do not lie side by side: copy them, as with "
                 "np.ascontiguousarray()",
                 (unsigned long long)index);
}

/* Find the bytes of any other object. The view holds them, and the caller releases it. */
static bool get_buffer(const mmbpy_state *state, uint64_t index, PyObject *item, bool text,
                       Py_buffer *view, mmb_string_ref *out)
{
    *out = (mmb_string_ref){.bytes = NULL};
    if (is_missing(item)) {
        return true; /* a subclass of float, such as numpy.float64 */
    }
    if (!PyObject_CheckBuffer(item)) {
        raise_no_string(index, item);
        return false;
    }
    if (PyObject_GetBuffer(item, view, PyBUF_ND) < 0) {
        explain_strides(index, item);
        return false;
    }
    int is_string = mmbpy_is_string(state, item, view, text);
    if (is_string == 0) {
        raise_no_string(index, item);
    }
    if (is_string != 1) {
        return false;
    }
    /* A pointer that is not NULL says that the string is there, even if it has no bytes. */
    out->bytes = view->buf != NULL ? view->buf : (const void *)"";
    out->length = (uint64_t)view->len;
    return true;
}

/* The items of a list or a tuple. Python code that runs meanwhile may change the list. */
typedef struct {
    const mmbpy_state *state;
    PyObject *sequence; /* owned */
    uint64_t count;
    bool is_list;
} items;

static bool items_start(items *in, PyObject *module, PyObject *values)
{
    in->state = PyModule_GetState(module);
    in->sequence = MMBPY_SNAPSHOT(values);
    if (in->sequence == NULL) {
        return false;
    }
    in->is_list = PyList_Check(in->sequence);
    in->count = (uint64_t)(in->is_list ? PyList_Size(in->sequence) : PyTuple_Size(in->sequence));
    return true;
}

/* Return an item, borrowed from the list. Raise IndexError if the list has become shorter. */
static inline PyObject *items_get(const items *in, uint64_t index)
{
    return in->is_list ? PyList_GetItem(in->sequence, (Py_ssize_t)index)
                       : PyTuple_GetItem(in->sequence, (Py_ssize_t)index);
}

/* ---- checking --------------------------------------------------------------------- */

/* Check a string of which nothing is known yet, and add the words that it takes. */
static bool measure_ref(uint64_t index, const mmb_string_ref *ref, bool text, uint64_t *words,
                        uint64_t *found)
{
    const uint64_t ends[2] = {0, ref->length};
    const mmb_strings one = {.bytes = ref->bytes,
                             .size = ref->length,
                             .offsets = (const unsigned char *)ends,
                             .width = sizeof *ends,
                             .count = 1};
    uint64_t own_words, own, bad;
    const char *reason = mmb_strings_measure(&one, NULL, text, &own_words, &own, &bad);
    if (reason != NULL) {
        PyErr_Format(PyExc_ValueError, "row %llu: %s", (unsigned long long)index, reason);
        return false;
    }
    *words += own_words;
    *found += own;
    return true;
}

/* Check one object, and add the words that it takes. `*others` becomes true if it is not plain. */
static bool measure_item(const mmbpy_state *state, uint64_t index, PyObject *item, bool text,
                         uint64_t *words, uint64_t *found, bool *others)
{
    mmb_string_ref ref;
    if (!is_plain(item)) {
        Py_buffer view = {0};
        *others = true;
        Py_INCREF(item);
        bool good = get_buffer(state, index, item, text, &view, &ref) &&
                    (ref.bytes == NULL || measure_ref(index, &ref, text, words, found));
        PyBuffer_Release(&view);
        Py_DECREF(item);
        return good;
    }
    if (!get_plain(index, item, &ref)) {
        return false;
    }
    if (ref.bytes == NULL) {
        return true;
    }
    bool is_good = !text || is_str(item); /* a str is always UTF-8 */
    if (!is_good || ref.length >= MMB_MAX_SEGMENT_WORDS) {
        return measure_ref(index, &ref, text, words, found);
    }
    *words += mmb_string_words(ref.length, text);
    *found += 1;
    return true;
}

PyDoc_STRVAR(measure_list_doc,
             "measure_list($module, values, text, /)\n--\n\n"
             "Check str and bytes-like objects. None and NaN are missing strings.\n\n"
             "Return what measure_strings does, and whether an object is neither str nor\n"
             "bytes.");

static PyObject *measure_list(PyObject *module, PyObject *args)
{
    PyObject *values;
    int text;
    items in;
    if (!PyArg_ParseTuple(args, "Op:measure_list", &values, &text) ||
        !items_start(&in, module, values)) {
        return NULL;
    }
    uint64_t words = 0, found = 0;
    bool good = true, others = false;
    for (uint64_t i = 0; good && i < in.count; i++) {
        PyObject *item = items_get(&in, i);
        mmb_string_ref ref;
        if (item != NULL && get_str(item, &ref) && ref.length < MMB_MAX_SEGMENT_WORDS) {
            words += mmb_string_words(ref.length, text != 0);
            found += 1;
            continue;
        }
        good = item != NULL && measure_item(in.state, i, item, text != 0, &words, &found, &others);
    }
    Py_DECREF(in.sequence);
    if (!good) {
        return NULL;
    }
    return Py_BuildValue("KKO", (unsigned long long)words, (unsigned long long)found,
                         others ? Py_True : Py_False);
}

/* ---- writing ---------------------------------------------------------------------- */

/* Strings that are written together. They are plain objects, which no code can take from their list
 * before they are written; or one other object, which is held. */
typedef struct {
    mmb_string_ref refs[BATCH];
    uint64_t count;
    PyObject *held; /* owned, or NULL */
    Py_buffer view; /* buffer of the held object */
} batch;

static void batch_release(batch *these)
{
    PyBuffer_Release(&these->view);
    Py_CLEAR(these->held);
    these->count = 0;
}

/* Take strings from `first` on, at most `left` of them. */
static bool batch_take(batch *these, const items *in, uint64_t first, uint64_t left,
                       const unsigned char *mask)
{
    uint64_t most = left < BATCH ? left : BATCH;
    these->count = 0;
    while (these->count < most && these->held == NULL) {
        uint64_t i = these->count, index = first + i;
        PyObject *item = items_get(in, index);
        if (item == NULL) {
            return false;
        }
        if (mask != NULL && mask[i] == 0) {
            these->refs[i] = (mmb_string_ref){.skip = true};
        } else if (get_str(item, &these->refs[i])) {
            these->count++;
            continue;
        } else if (is_plain(item)) {
            if (!get_plain(index, item, &these->refs[i])) {
                return false;
            }
        } else if (i != 0) {
            break; /* it comes next time, since it may run any code */
        } else {
            these->held = Py_NewRef(item);
            if (!get_buffer(in->state, index, item, false, &these->view, &these->refs[i])) {
                return false;
            }
        }
        these->count++;
    }
    return true;
}

/* Do the work of write_list. Return false with an exception on an error. */
static bool write_items(mmbpy_state *state, const mmbpy_memory *memory, const mmb_pointers *all,
                        const items *in, uint64_t start, const unsigned char *mask, bool text,
                        uint64_t *next, mmb_room *room)
{
    batch *these = PyMem_Malloc(sizeof *these);
    bool good = true;
    if (these == NULL) {
        PyErr_NoMemory();
        return false;
    }
    these->held = NULL;
    these->view.obj = NULL;
    while (good && *next < all->count) {
        mmb_pointers pointers = *all;
        pointers.word += *next * pointers.stride;
        pointers.count -= *next;
        good = batch_take(these, in, start + *next, pointers.count,
                          mask != NULL ? mask + *next : NULL);
        uint64_t written = 0, taken = these->count;
        mmb_flaw flaw = {0};
        if (good && mmb_string_refs_write(memory->segments, memory->count, &pointers, these->refs,
                                          taken, text, &written, room, &flaw) != 0) {
            mmbpy_raise_invalid(state, &flaw);
            good = false;
        }
        batch_release(these);
        *next += written;
        if (written < taken) {
            break; /* the room is full */
        }
    }
    PyMem_Free(these);
    return good;
}

PyDoc_STRVAR(
    write_list_doc,
    "write_list($module, segments, pointers, values, start, mask, text, next, room, /)\n--\n\n"
    "Do as write_strings does, for a list that measure_list has checked. Its item\n"
    "number start is for the first pointer.");

static PyObject *write_list(PyObject *module, PyObject *args)
{
    PyObject *tuple, *pointers_tuple, *values, *mask_object, *room_tuple;
    PyObject *result = NULL;
    int text;
    unsigned long long start, next_row;
    mmbpy_memory memory = {0};
    mmb_pointers pointers;
    mmb_room room;
    Py_buffer mask = {0};
    items in;
    if (!PyArg_ParseTuple(args, "O!O!OKOpKO!:write_list", &PyTuple_Type, &tuple, &PyTuple_Type,
                          &pointers_tuple, &values, &start, &mask_object, &text, &next_row,
                          &PyTuple_Type, &room_tuple) ||
        !items_start(&in, module, values)) {
        return NULL;
    }
    if (mmbpy_memory_get(tuple, true, &memory) && mmbpy_pointers_get(pointers_tuple, &pointers) &&
        mmbpy_room_get(room_tuple, &room) && mmbpy_mask_get(mask_object, pointers.count, &mask)) {
        uint64_t next = next_row;
        if (start > in.count || pointers.count > in.count - start) {
            PyErr_SetString(PyExc_IndexError, "the list has become shorter");
        } else if (write_items(PyModule_GetState(module), &memory, &pointers, &in, start, mask.buf,
                               text != 0, &next, &room)) {
            result = Py_BuildValue("KKK", (unsigned long long)next, (unsigned long long)room.word,
                                   (unsigned long long)room.words);
        }
    }
    PyBuffer_Release(&mask);
    mmbpy_memory_release(&memory);
    Py_DECREF(in.sequence);
    return result;
}

PyMethodDef mmbpy_list_functions[] = {
    {"measure_list", measure_list, METH_VARARGS, measure_list_doc},
    {"write_list", write_list, METH_VARARGS, write_list_doc},
    {NULL, NULL, 0, NULL},
};
