/* arrow_describe.c - describes columns of Arrow, so that a schema can be written for them. */

#include "arrow_take.h"
#include "arrow_values.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_NESTED = 64 };

static bool damaged(const char *what)
{
    PyErr_Format(PyExc_ValueError, "the Arrow data is damaged: %s", what);
    return false;
}

/* An array, and which of its values belong to something. If a struct or a list of fixed size is
 * null, its children still have values in memory, but these belong to nothing. */
typedef struct {
    const mmb_arrow_array *array;
    unsigned char *there; /* one byte for each value; owned; NULL: all are there */
} part;

/* Return whether the first buffer of an array of this format says which values are there. */
static bool has_validity(const char *format)
{
    return strncmp(format, "+u", 2) != 0 && strcmp(format, "+r") != 0 && strcmp(format, "n") != 0;
}

static bool is_valid(const char *format, const mmb_arrow_array *array, int64_t index)
{
    const unsigned char *valid =
        has_validity(format) && array->n_buffers > 0 && array->buffers != NULL ? array->buffers[0]
                                                                               : NULL;
    int64_t at = array->offset + index;
    return strcmp(format, "n") != 0 && (valid == NULL || (valid[at / 8] >> (at % 8) & 1) != 0);
}

static bool count_nulls(const char *format, const part *p, uint64_t *nulls)
{
    const mmb_arrow_array *array = p->array;
    if (array->length < 0 || array->offset < 0 || array->length > INT64_MAX / 2 ||
        array->offset > INT64_MAX / 2) {
        return damaged("a length is negative");
    }
    for (int64_t i = 0; i < array->length; i++) {
        bool there = p->there == NULL || p->there[i] != 0;
        *nulls += there && !is_valid(format, array, i) ? 1 : 0;
    }
    return true;
}

/* Return how many values of a child belong to one struct or one list of fixed size; 0 for other
 * formats. */
static int64_t width_of(const char *format)
{
    return strcmp(format, "+s") == 0        ? 1
           : strncmp(format, "+w:", 3) == 0 ? strtol(format + 3, NULL, 10)
                                            : 0;
}

/* Mark the values of a child that belong to something. */
static bool mark_child(const char *format, const part *p, const mmb_arrow_array *child, part *out)
{
    int64_t width = width_of(format);
    *out = (part){.array = child};
    if (width <= 0 || child->length <= 0 || child->length > INT64_MAX / 2) {
        return true;
    }
    out->there = PyMem_Calloc((size_t)child->length, 1);
    if (out->there == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (int64_t i = 0; i < p->array->length; i++) {
        bool there = (p->there == NULL || p->there[i] != 0) && is_valid(format, p->array, i);
        int64_t first = p->array->offset + i;
        if (first >= child->length / width) {
            break; /* the child is too short; the code that takes the values reports it */
        }
        if (there) {
            memset(out->there + first * width, 1, (size_t)width);
        }
    }
    return true;
}

static bool add_strings(const char *format, const mmb_arrow_array *array, PyObject *names)
{
    for (int64_t i = 0; i < array->length; i++) {
        const unsigned char *start;
        uint64_t length;
        mmb_refusal refusal;
        if (!mmb_arrow_string_at(format, array, (uint64_t)i, &start, &length, &refusal)) {
            return damaged(refusal.text);
        }
        PyObject *name = start == NULL
                             ? Py_NewRef(Py_None)
                             : PyUnicode_DecodeUTF8((const char *)start, (Py_ssize_t)length, NULL);
        bool good = name != NULL && PyDict_SetItem(names, name, Py_None) == 0;
        Py_XDECREF(name);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* Return the strings of dictionaries, each once, in the order in which they appear; None if the
 * dictionaries have no strings. A new reference. */
static PyObject *strings_of(const mmb_arrow_schema *schema, const part *parts, uint32_t count)
{
    if (strcmp(schema->format, "u") != 0 && strcmp(schema->format, "U") != 0 &&
        strcmp(schema->format, "vu") != 0) {
        return Py_NewRef(Py_None);
    }
    PyObject *names = PyDict_New();
    for (uint32_t i = 0; names != NULL && i < count; i++) {
        if (!add_strings(schema->format, parts[i].array, names)) {
            Py_CLEAR(names);
        }
    }
    PyObject *list = names == NULL ? NULL : PyDict_Keys(names);
    Py_XDECREF(names);
    return list;
}

static PyObject *describe(const mmb_arrow_schema *schema, const part *parts, uint32_t count,
                          bool is_known, bool is_dictionary, unsigned depth);

static void free_parts(part *parts, uint32_t count)
{
    for (uint32_t i = 0; parts != NULL && i < count; i++) {
        PyMem_Free(parts[i].there);
    }
    PyMem_Free(parts);
}

/* Return the array of a child, or of the dictionary for -1; NULL if there is none. */
static const mmb_arrow_array *child_of(const mmb_arrow_array *array, int64_t child)
{
    return child < 0                                              ? array->dictionary
           : child < array->n_children && array->children != NULL ? array->children[child]
                                                                  : NULL;
}

/* Describe a child, or the dictionary for -1. */
static PyObject *describe_child(const mmb_arrow_schema *schema, const part *parts, uint32_t count,
                                bool is_known, int64_t child, unsigned depth)
{
    const mmb_arrow_schema *inner = child < 0                  ? schema->dictionary
                                    : schema->children != NULL ? schema->children[child]
                                                               : NULL;
    part *found = PyMem_Calloc((size_t)count + 1, sizeof *found);
    bool good = inner != NULL && found != NULL;
    if (found == NULL) {
        PyErr_NoMemory();
    } else if (inner == NULL) {
        damaged("a child is missing");
    }
    for (uint32_t i = 0; good && i < count; i++) {
        const mmb_arrow_array *array = child_of(parts[i].array, child);
        good = array != NULL
                   ? mark_child(child < 0 ? "" : schema->format, &parts[i], array, &found[i])
                   : damaged("an array has fewer children than its schema");
    }
    PyObject *described =
        good ? describe(inner, found, count, is_known, child < 0, depth + 1) : NULL;
    free_parts(found, count);
    return described;
}

static PyObject *describe_children(const mmb_arrow_schema *schema, const part *parts,
                                   uint32_t count, bool is_known, unsigned depth)
{
    PyObject *children = PyList_New(0);
    for (int64_t i = 0; children != NULL && i < schema->n_children; i++) {
        PyObject *child = describe_child(schema, parts, count, is_known, i, depth);
        if (child == NULL || PyList_Append(children, child) < 0) {
            Py_CLEAR(children);
        }
        Py_XDECREF(child);
    }
    return children;
}

static PyObject *describe(const mmb_arrow_schema *schema, const part *parts, uint32_t count,
                          bool is_known, bool is_dictionary, unsigned depth)
{
    uint64_t nulls = 0;
    if (schema->format == NULL || schema->release == NULL || depth > MOST_NESTED) {
        damaged(depth > MOST_NESTED ? "it nests too deeply" : "a type is missing");
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!count_nulls(schema->format, &parts[i], &nulls)) {
            return NULL;
        }
    }
    PyObject *children = describe_children(schema, parts, count, is_known, depth);
    PyObject *strings = children == NULL ? NULL
                        : is_dictionary  ? strings_of(schema, parts, count)
                                         : Py_NewRef(Py_None);
    PyObject *dictionary = strings == NULL ? NULL
                           : schema->dictionary == NULL
                               ? Py_NewRef(Py_None)
                               : describe_child(schema, parts, count, is_known, -1, depth);
    PyObject *described =
        dictionary == NULL
            ? NULL
            : Py_BuildValue("(ssiLOOO)", schema->format, schema->name != NULL ? schema->name : "",
                            (schema->flags & MMB_ARROW_NULLABLE) != 0,
                            is_known ? (long long)nulls : -1ll, children, dictionary, strings);
    Py_XDECREF(strings);
    Py_XDECREF(children);
    Py_XDECREF(dictionary);
    return described;
}

PyDoc_STRVAR(describe_arrow_doc,
             "describe_arrow($module, given, /)\n--\n\n"
             "Describe a capsule arrow_array_stream, a tuple of capsules arrow_schema and\n"
             "arrow_array, or a capsule arrow_schema.\n\n"
             "Return (format, name, nullable, nulls, children, dictionary or None, strings).\n"
             "nulls is -1 if there are no values. strings are those of a dictionary, or None.\n"
             "The values of a stream are used up.");

static PyObject *describe_arrow(PyObject *Py_UNUSED(module), PyObject *given)
{
    mmbpy_arrow arrow = {0};
    PyObject *described = NULL;
    if (PyCapsule_IsValid(given, "arrow_schema")) {
        const mmb_arrow_schema *schema = PyCapsule_GetPointer(given, "arrow_schema");
        return describe(schema, NULL, 0, false, false, 0);
    }
    if (mmbpy_arrow_take(given, &arrow)) {
        part *parts = PyMem_Calloc((size_t)arrow.count + 1, sizeof *parts);
        for (uint32_t i = 0; parts != NULL && i < arrow.count; i++) {
            parts[i].array = &arrow.arrays[i];
        }
        described = parts == NULL ? PyErr_NoMemory()
                                  : describe(&arrow.schema, parts, arrow.count, true, false, 0);
        free_parts(parts, arrow.count);
    }
    mmbpy_arrow_release(&arrow);
    return described;
}

PyMethodDef mmbpy_arrow_functions[] = {
    {"describe_arrow", describe_arrow, METH_O, describe_arrow_doc},
    {NULL, NULL, 0, NULL},
};
