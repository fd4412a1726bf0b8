/* Python functions for sizes of the Go allocator. `rules` is an array of five int64, as for a World (rules.py). */
#include "module.h"

#include "sizes.h"

#include <string.h>

#define MOST_HINT ((i64)1 << 48) /* the bytes that Go can allocate: no map has more entries */
enum { MOST_LOG2 = 47 };

/* Arguments of a function: the rules of a release, the size of a bucket, whether it has pointers, and a number. */
struct question {
    struct rules rules;
    i64 size;
    int has_pointers;
    long long n; /* log2, depth or entries */
};

static bool take_rules(struct rules *rules, PyObject *object)
{
    Py_buffer buffer;
    if (!get_items(object, &buffer, sizeof(i64), sizeof *rules / sizeof(i64), false))
        return false;
    memcpy(rules, buffer.buf, sizeof *rules);
    PyBuffer_Release(&buffer);
    return true;
}

/* Check that an argument is in a range; false with an exception set. */
static bool is_within(long long n, long long most)
{
    if (n >= 0 && n <= most)
        return true;
    PyErr_Format(PyExc_ValueError, "%lld is not within 0 and %lld", n, most);
    return false;
}

/* Take (rules, bytes, has_pointers, n), n at most `most`; false with an exception set. */
static bool take_question(struct question *q, PyObject *args, long long most)
{
    PyObject *rules;
    long long size;
    if (!PyArg_ParseTuple(args, "OLpL", &rules, &size, &q->has_pointers, &q->n) || !is_within(q->n, most))
        return false;
    q->size = size;
    return take_rules(&q->rules, rules);
}

PyDoc_STRVAR(charged_bytes_doc,
             "charged_bytes(rules, size, has_pointers)\n--\n\nReturn what an object of `size` bytes is charged.");

static PyObject *py_charged_bytes(PyObject *module, PyObject *args)
{
    PyObject *array;
    long long size;
    int has_pointers;
    struct rules rules;
    (void)module;
    if (!PyArg_ParseTuple(args, "OLp", &array, &size, &has_pointers) || !take_rules(&rules, array))
        return NULL;
    return PyLong_FromLongLong(charged_bytes(&rules, size, has_pointers));
}

#define SIZE(name, most, says)                                                                                         \
    PyDoc_STRVAR(name##_doc, says);                                                                                    \
    static PyObject *py_##name(PyObject *module, PyObject *args)                                                       \
    {                                                                                                                  \
        struct question q;                                                                                             \
        (void)module;                                                                                                  \
        if (!take_question(&q, args, most))                                                                            \
            return NULL;                                                                                               \
        return PyLong_FromLongLong(name(&q.rules, q.size, q.has_pointers, q.n));                                       \
    }
SIZE(array_buckets, MOST_LOG2,
     "array_buckets(rules, bucket_bytes, has_pointers, log2)\n--\n\nReturn how many buckets a classic array has.")
SIZE(array_bytes, MOST_LOG2,
     "array_bytes(rules, bucket_bytes, has_pointers, log2)\n--\n\nReturn the bytes of a classic array.")
SIZE(table_bytes, MOST_LOG2,
     "table_bytes(rules, group_bytes, has_pointers, log2_groups)\n--\n\nReturn the bytes of a Swiss table.")
SIZE(fresh_classic_bytes, MOST_HINT,
     "fresh_classic_bytes(rules, bucket_bytes, has_pointers, entries)\n--\n\n"
     "Return the bytes of a fresh classic map made for its entries.")
SIZE(fresh_swiss_bytes, MOST_HINT,
     "fresh_swiss_bytes(rules, group_bytes, has_pointers, entries)\n--\n\n"
     "Return the bytes of a fresh Swiss map made for its entries.")

PyDoc_STRVAR(directory_bytes_doc, "directory_bytes(rules, depth)\n--\n\nReturn what a Swiss directory is charged.");

static PyObject *py_directory_bytes(PyObject *module, PyObject *args)
{
    PyObject *array;
    long long depth;
    struct rules rules;
    (void)module;
    if (!PyArg_ParseTuple(args, "OL", &array, &depth) || !is_within(depth, MOST_LOG2) || !take_rules(&rules, array))
        return NULL;
    return PyLong_FromLongLong(directory_bytes(&rules, (u32)depth));
}

PyDoc_STRVAR(over_load_factor_doc, "over_load_factor(rules, count, log2)\n--\n\n"
                                   "True if `count` entries are too many for 2**log2 classic buckets.");

static PyObject *py_over_load_factor(PyObject *module, PyObject *args)
{
    PyObject *array;
    long long count, log2;
    struct rules rules;
    (void)module;
    if (!PyArg_ParseTuple(args, "OLL", &array, &count, &log2) || !is_within(count, INT64_MAX) ||
        !is_within(log2, MOST_LOG2) || !take_rules(&rules, array))
        return NULL;
    return PyBool_FromLong(over_load_factor(&rules, (u64)count, (u32)log2));
}

PyDoc_STRVAR(classic_log2_doc,
             "classic_log2(rules, hint, bucket_bytes)\n--\n\nReturn B of a classic map made for `hint` entries.");

static PyObject *py_classic_log2(PyObject *module, PyObject *args)
{
    PyObject *array;
    long long hint, bucket_bytes;
    struct rules rules;
    (void)module;
    if (!PyArg_ParseTuple(args, "OLL", &array, &hint, &bucket_bytes) || !take_rules(&rules, array))
        return NULL;
    return PyLong_FromUnsignedLong(classic_log2(&rules, hint, bucket_bytes));
}

PyDoc_STRVAR(initial_depth_doc, "initial_depth(hint, group_bytes)\n--\n\n"
                                "Return the depth of a Swiss map made for `hint` entries, -1: it starts small.");

static PyObject *py_initial_depth(PyObject *module, PyObject *args)
{
    long long hint, group_bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "LL", &hint, &group_bytes))
        return NULL;
    return PyLong_FromLong(initial_depth(hint, group_bytes));
}

PyDoc_STRVAR(initial_groups_log2_doc,
             "initial_groups_log2(hint, depth)\n--\n\n"
             "Return log2 of the groups in each table of a Swiss map made for `hint` entries.");

static PyObject *py_initial_groups_log2(PyObject *module, PyObject *args)
{
    long long hint, depth;
    (void)module;
    if (!PyArg_ParseTuple(args, "LL", &hint, &depth) || !is_within(hint, MOST_HINT) || !is_within(depth, MOST_LOG2))
        return NULL;
    return PyLong_FromUnsignedLong(initial_groups_log2(hint, (u32)depth));
}

PyDoc_STRVAR(size_classes_doc, "size_classes()\n--\n\nReturn the sizes of small objects [bytes].");

static PyObject *py_size_classes(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *found = PyList_New(SIZE_CLASSES);
    for (int n = 0; found != NULL && n < SIZE_CLASSES; n++)
        if (PyList_SetItem(found, n, PyLong_FromUnsignedLong(size_classes[n])) < 0)
            Py_CLEAR(found);
    return found;
}

PyMethodDef sizes_methods[] = {
    {"charged_bytes", py_charged_bytes, METH_VARARGS, charged_bytes_doc},
    {"array_buckets", py_array_buckets, METH_VARARGS, array_buckets_doc},
    {"array_bytes", py_array_bytes, METH_VARARGS, array_bytes_doc},
    {"table_bytes", py_table_bytes, METH_VARARGS, table_bytes_doc},
    {"directory_bytes", py_directory_bytes, METH_VARARGS, directory_bytes_doc},
    {"fresh_classic_bytes", py_fresh_classic_bytes, METH_VARARGS, fresh_classic_bytes_doc},
    {"fresh_swiss_bytes", py_fresh_swiss_bytes, METH_VARARGS, fresh_swiss_bytes_doc},
    {"over_load_factor", py_over_load_factor, METH_VARARGS, over_load_factor_doc},
    {"classic_log2", py_classic_log2, METH_VARARGS, classic_log2_doc},
    {"initial_depth", py_initial_depth, METH_VARARGS, initial_depth_doc},
    {"initial_groups_log2", py_initial_groups_log2, METH_VARARGS, initial_groups_log2_doc},
    {"size_classes", py_size_classes, METH_NOARGS, size_classes_doc},
    {NULL, NULL, 0, NULL},
};
