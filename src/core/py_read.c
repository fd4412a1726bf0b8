/* Python functions that read the memory of a process in C. */
#define _GNU_SOURCE /* for pread at offsets of 64 bits */
#include "py_buffers.h"
#include "walk.h"

#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_BUCKETS (INT64_C(1) << 47)

#define TOLD_BYTES (UINT64_C(1) << 24) /* bytes after which Python is told how much was read */

/* Where memory is read from: the file of the descriptor, if there is one; if the file gives fewer bytes than asked for,
 * or there is none, the Python function `read`. told: a Python function that is told how many bytes the file gave. */
struct reading {
    PyObject *read, *told;
    int descriptor;
    u64 untold;
};

static bool tell(struct reading *r)
{
    if (r->untold == 0)
        return true;
    PyObject *done = PyObject_CallFunction(r->told, "K", (unsigned long long)r->untold);
    r->untold = 0;
    Py_XDECREF(done);
    return done != NULL;
}

static bool read_by_python(struct reading *r, u64 addr, u64 length, u8 *to, u64 *got)
{
    PyObject *view = PyMemoryView_FromMemory((char *)to, (Py_ssize_t)length, PyBUF_WRITE);
    if (view == NULL)
        return false;
    PyObject *read = PyObject_CallFunction(r->read, "KO", (unsigned long long)addr, view);
    PyObject *released = read != NULL ? PyObject_CallMethod(view, "release", NULL) : NULL;
    Py_DECREF(view);
    if (released != NULL)
        *got = PyLong_AsUnsignedLongLong(read);
    Py_XDECREF(released);
    Py_XDECREF(read);
    return released != NULL && !PyErr_Occurred();
}

static bool read_memory(void *context, u64 addr, u64 length, u8 *to, u64 *got)
{
    struct reading *r = context;
    ssize_t there = 0;
    if (r->descriptor >= 0 && addr >= LOWEST_ADDR && addr < HIGHEST_ADDR) {
        Py_BEGIN_ALLOW_THREADS there = pread(r->descriptor, to, length, (off_t)addr);
        Py_END_ALLOW_THREADS
    }
    const u64 first = there > 0 ? (u64)there : 0;
    r->untold += first;
    if (r->untold >= TOLD_BYTES && !tell(r))
        return false;
    u64 more = 0;
    if (first < length && !read_by_python(r, addr + first, length - first, to + first, &more))
        return false;
    *got = first + more;
    return true;
}

/* Parse the argument `source`: a function that reads, a descriptor, a function that is told, the buffer of runs and the
 * longest gap. False with an exception set. */
static bool take_source(struct buffers *b, PyObject *of, struct source *source, struct reading *reading)
{
    PyObject *buffer;
    unsigned long long gap;
    *reading = (struct reading){.descriptor = -1};
    if (!PyArg_ParseTuple(of, "OiOOK", &reading->read, &reading->descriptor, &reading->told, &buffer, &gap))
        return false;
    u8 *bytes = take(b, buffer, 8, -1, true);
    if (bytes == NULL)
        return false;
    *source = (struct source){read_memory, reading, bytes, 8 * (u64)items_at(b, b->count - 1, 8), gap};
    if (source->room >= 8 && gap <= HIGHEST_ADDR)
        return true;
    PyErr_SetString(PyExc_ValueError, "a buffer of at least one word is needed");
    return false;
}

/* Release the buffers, and tell Python of the last bytes that were read; false with an exception set. */
static bool finish(struct buffers *b, struct reading *reading)
{
    release(b);
    return tell(reading);
}

static PyObject *fail(struct buffers *b)
{
    release(b);
    return PyErr_Occurred() ? NULL : PyErr_NoMemory();
}

PyDoc_STRVAR(read_words_doc, "read_words(source, addrs, found, known)\n--\n\n"
                             "Read words at addresses into the rows of found; set known for those that could be read.");

static PyObject *py_read_words(PyObject *module, PyObject *args)
{
    PyObject *of, *in, *words, *known;
    struct reading reading;
    struct source source;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOO", &of, &in, &words, &known))
        return NULL;
    const u64 *addrs = take_source(&b, of, &source, &reading) ? take(&b, in, 8, -1, false) : NULL;
    const Py_ssize_t count = addrs ? items_at(&b, 1, 8) : 0;
    struct words_found found = {.width = 0};
    found.known = addrs ? take(&b, known, 1, count, true) : NULL;
    found.words = found.known ? take(&b, words, 8, -1, true) : NULL;
    if (found.words == NULL)
        return lack(&b);
    found.width = count ? (u64)(items_at(&b, 3, 8) / count) : 0;
    if (found.width != 0 && !read_words(&source, addrs, (u64)count, &found))
        return fail(&b);
    return finish(&b, &reading) ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(read_blocks_doc, "read_blocks(source, addrs, block_bytes, found)\n--\n\n"
                              "Read blocks of memory into `found`, one after the other, with zeros for holes.");

static PyObject *py_read_blocks(PyObject *module, PyObject *args)
{
    PyObject *of, *in, *out;
    Py_ssize_t bytes;
    struct reading reading;
    struct source source;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOnO", &of, &in, &bytes, &out))
        return NULL;
    const u64 *addrs = take_source(&b, of, &source, &reading) ? take(&b, in, 8, -1, false) : NULL;
    const Py_ssize_t count = addrs ? items_at(&b, 1, 8) : 0;
    u8 *found = addrs ? take(&b, out, 8, -1, true) : NULL;
    if (found == NULL)
        return lack(&b);
    if (bytes < 8 || count > items_at(&b, 2, 1) / bytes)
        return refuse(&b, "room for every block is needed");
    if (!read_blocks(&source, addrs, (u64)count, (u64)bytes, found))
        return fail(&b);
    return finish(&b, &reading) ? Py_NewRef(Py_None) : NULL;
}

/* Parse arrays of buckets: addresses, numbers of buckets, bytes of a bucket; false with an exception set. */
static bool take_arrays(struct buffers *b, PyObject *of, const struct source *source, struct bucket_arrays *arrays)
{
    PyObject *addrs, *buckets, *sizes;
    if (!PyArg_ParseTuple(of, "OOO", &addrs, &buckets, &sizes))
        return false;
    arrays->addrs = take(b, addrs, 8, -1, false);
    const Py_ssize_t count = arrays->addrs ? items_at(b, b->count - 1, 8) : 0;
    arrays->buckets = arrays->addrs ? take(b, buckets, 8, count, false) : NULL;
    arrays->sizes = arrays->buckets ? take(b, sizes, 8, count, false) : NULL;
    arrays->count = (u64)count;
    if (arrays->sizes == NULL)
        return false;
    for (Py_ssize_t n = 0; n < count; n++) {
        const i64 size = arrays->sizes[n], buckets_of = arrays->buckets[n];
        const bool is_fit = size >= 8 && size % 8 == 0 && (u64)size <= source->room;
        if (!is_fit || buckets_of < 1 || buckets_of > MOST_BUCKETS / size) {
            PyErr_SetString(PyExc_ValueError, "an array has no bucket, or too many, or too large ones");
            return false;
        }
    }
    return true;
}

/* Parse the columns of sums: five of numbers and one of flags, a row for each array; false with an exception set. */
static bool take_sums(struct buffers *b, PyObject *of, u64 count, void *sums[6])
{
    PyObject *out[6];
    if (!PyArg_ParseTuple(of, "OOOOOO", &out[0], &out[1], &out[2], &out[3], &out[4], &out[5]))
        return false;
    for (int n = 0; n < 6; n++)
        if ((sums[n] = take(b, out[n], n < 5 ? 8 : 1, (Py_ssize_t)count, true)) == NULL)
            return false;
    return true;
}

PyDoc_STRVAR(sum_groups_doc, "sum_groups(source, arrays, no_bucket, sums)\n--\n\n"
                             "Write for each array of Swiss groups (live, dead, empty, first, digest, is_legal).\n"
                             "arrays: (addresses, numbers of groups, bytes of a group).");

static PyObject *py_sum_groups(PyObject *module, PyObject *args)
{
    PyObject *of, *in, *out;
    long long no_bucket;
    struct reading reading;
    struct source source;
    struct bucket_arrays arrays;
    void *sums[6];
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOLO", &of, &in, &no_bucket, &out))
        return NULL;
    if (!take_source(&b, of, &source, &reading) || !take_arrays(&b, in, &source, &arrays) ||
        !take_sums(&b, out, arrays.count, sums))
        return lack(&b);
    struct group_sums s = {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], no_bucket};
    if (!sum_groups(&source, &arrays, &s))
        return fail(&b);
    return finish(&b, &reading) ? Py_NewRef(Py_None) : NULL;
}

PyDoc_STRVAR(sum_buckets_doc,
             "sum_buckets(source, arrays, is_old, no_bucket, sums)\n--\n\n"
             "Write for each array of classic buckets (live, buckets, empty, first, digest, is_wrong). Return the\n"
             "addresses of their overflow buckets, after the row of the array of each.");

static PyObject *py_sum_buckets(PyObject *module, PyObject *args)
{
    PyObject *of, *in, *old, *out, *found = NULL;
    long long no_bucket;
    struct reading reading;
    struct source source;
    struct bucket_arrays arrays;
    void *sums[6];
    struct links links = {.count = 0};
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOLO", &of, &in, &old, &no_bucket, &out))
        return NULL;
    if (!take_source(&b, of, &source, &reading) || !take_arrays(&b, in, &source, &arrays) ||
        !take_sums(&b, out, arrays.count, sums))
        return lack(&b);
    const u8 *is_old = take(&b, old, 1, (Py_ssize_t)arrays.count, false);
    if (is_old == NULL)
        return lack(&b);
    struct bucket_sums s = {is_old, sums[0], sums[1], sums[2], sums[3], sums[4], sums[5], &links, no_bucket};
    if (sum_buckets(&source, &arrays, &s))
        found =
            Py_BuildValue("(NN)", PyBytes_FromStringAndSize((const char *)links.rows, (Py_ssize_t)(8 * links.count)),
                          PyBytes_FromStringAndSize((const char *)links.addrs, (Py_ssize_t)(8 * links.count)));
    free(links.rows);
    free(links.addrs);
    if (found == NULL)
        return fail(&b);
    if (finish(&b, &reading))
        return found;
    Py_DECREF(found);
    return NULL;
}

PyMethodDef read_methods[] = {
    {"read_words", py_read_words, METH_VARARGS, read_words_doc},
    {"read_blocks", py_read_blocks, METH_VARARGS, read_blocks_doc},
    {"sum_groups", py_sum_groups, METH_VARARGS, sum_groups_doc},
    {"sum_buckets", py_sum_buckets, METH_VARARGS, sum_buckets_doc},
    {NULL, NULL, 0, NULL},
};
