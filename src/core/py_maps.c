/* Python functions for single maps: their buckets and bytes in the model, and maps that were read from memory. */
#include "control.h"
#include "py_model.h"

PyDoc_STRVAR(count_buckets_doc, "count_buckets(world, m)\n--\n\nReturn how many buckets list_buckets lists.");

static PyObject *py_count_buckets(PyObject *module, PyObject *args)
{
    struct target t;
    (void)module;
    if (!take_map(&t, args))
        return NULL;
    return PyLong_FromUnsignedLongLong(count_buckets(t.w, t.m));
}

PyDoc_STRVAR(list_buckets_doc,
             "list_buckets(world, m, buckets, parts)\n--\n\n"
             "Write the numbers and parts of a map's buckets, in the model's order, into two arrays of count_buckets\n"
             "uint32; return how many there are.");

static PyObject *py_list_buckets(PyObject *module, PyObject *args)
{
    PyObject *world, *bucket_array, *part_array;
    Py_ssize_t number;
    Py_buffer buckets, parts;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnOO", &world, &number, &bucket_array, &part_array) || !find_map(&t, world, number))
        return NULL;
    Py_ssize_t count = (Py_ssize_t)count_buckets(t.w, t.m);
    if (!get_items(bucket_array, &buckets, sizeof(u32), count, true))
        return NULL;
    if (!get_items(part_array, &parts, sizeof(u32), count, true)) {
        PyBuffer_Release(&buckets);
        return NULL;
    }
    u64 listed = list_buckets(t.w, t.m, buckets.buf, parts.buf);
    PyBuffer_Release(&buckets);
    PyBuffer_Release(&parts);
    return PyLong_FromUnsignedLongLong(listed);
}

PyDoc_STRVAR(match_byte_doc, "match_byte(control, byte)\n--\n\nReturn the mask of the slots with this control byte.");

static PyObject *py_match_byte(PyObject *module, PyObject *args)
{
    unsigned long long control;
    unsigned char byte;
    (void)module;
    if (!PyArg_ParseTuple(args, "Kb", &control, &byte))
        return NULL;
    return PyLong_FromUnsignedLong(match_byte(control, byte));
}

PyDoc_STRVAR(with_byte_doc,
             "with_byte(control, slot, byte)\n--\n\nReturn the word with another control byte of a slot.");

static PyObject *py_with_byte(PyObject *module, PyObject *args)
{
    unsigned long long control;
    unsigned char slot, byte;
    (void)module;
    if (!PyArg_ParseTuple(args, "Kbb", &control, &slot, &byte))
        return NULL;
    if (slot >= SLOTS)
        return PyErr_Format(PyExc_IndexError, "slot %d: there are %d", slot, SLOTS);
    return PyLong_FromUnsignedLongLong(with_byte(control, slot, byte));
}

/* Take the words of a header from a tuple; false with an exception set. */
static bool take_header(struct header_words *h, PyObject *tuple)
{
    unsigned long long count;
    int array_is_nil, is_growing;
    unsigned int overflow_count, directory_length, evacuated;
    if (!PyArg_ParseTuple(tuple, "KppbbIII", &count, &array_is_nil, &is_growing, &h->flags, &h->log2, &overflow_count,
                          &directory_length, &evacuated))
        return false;
    h->count = count;
    h->array_is_nil = array_is_nil;
    h->is_growing = is_growing;
    h->overflow_count = overflow_count;
    h->directory_length = directory_length;
    h->evacuated = evacuated;
    return true;
}

#define HEADER_DOC                                                                                                     \
    "header: count, array_is_nil, is_growing, flags, log2_size, overflow_count, directory_length, evacuated"

PyDoc_STRVAR(agrees_doc,
             "agrees(world, m, header)\n--\n\n"
             "True if a header that was read before an operation agrees with the model of a map.\n\n" HEADER_DOC ".");

static PyObject *py_agrees(PyObject *module, PyObject *args)
{
    PyObject *world, *tuple;
    Py_ssize_t number;
    struct header_words h;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnO!", &world, &number, &PyTuple_Type, &tuple) || !find_map(&t, world, number) ||
        !take_header(&h, tuple))
        return NULL;
    return PyBool_FromLong(FAMILY_OF(t.w, agrees)(t.w, t.m, &h));
}

PyDoc_STRVAR(allocated_bytes_doc,
             "allocated_bytes(world, m)\n--\n\nReturn the bytes that the allocator charges for a map's buckets.");

static PyObject *py_allocated_bytes(PyObject *module, PyObject *args)
{
    struct target t;
    (void)module;
    if (!take_map(&t, args))
        return NULL;
    return PyLong_FromLongLong(FAMILY_OF(t.w, allocated_bytes)(t.w, t.m));
}

PyDoc_STRVAR(needed_bytes_doc,
             "needed_bytes(world, m)\n--\n\nReturn what a fresh map for its entries would be charged.");

static PyObject *py_needed_bytes(PyObject *module, PyObject *args)
{
    struct target t;
    (void)module;
    if (!take_map(&t, args))
        return NULL;
    return PyLong_FromLongLong(FAMILY_OF(t.w, needed_bytes)(t.w, t.m));
}

PyDoc_STRVAR(live_slots_doc, "live_slots(world, control)\n--\n\nReturn the mask of the live slots: bit s for slot s.");

static PyObject *py_live_slots(PyObject *module, PyObject *args)
{
    PyObject *world;
    unsigned long long control;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &world, &control))
        return NULL;
    struct world *w = world_of(world);
    return w ? PyLong_FromUnsignedLong(live_slots(w, control)) : NULL;
}

/* The columns of the buckets that were read. */
enum { CONTROL, PART, HOME, HASHES, KEY_TYPES, COLUMNS };

/* Get the columns; false with an exception set. */
static bool get_read_buckets(PyObject *const *columns, Py_buffer *buffers, struct read_buckets *read)
{
    const Py_ssize_t item_bytes[COLUMNS] = {sizeof(u64), sizeof(u32), sizeof(u32), sizeof(u64), sizeof(u64)};
    Py_ssize_t length = -1;
    for (int n = 0; n < COLUMNS; n++) {
        if (!get_items(columns[n], &buffers[n], item_bytes[n], n < HASHES ? length : SLOTS * length, false)) {
            while (n-- > 0)
                PyBuffer_Release(&buffers[n]);
            return false;
        }
        if (n == CONTROL)
            length = items_of(&buffers[n], item_bytes[n]);
    }
    *read = (struct read_buckets){
        .length = (u64)length,
        .control = buffers[CONTROL].buf,
        .part = buffers[PART].buf,
        .home = buffers[HOME].buf,
        .hashes = buffers[HASHES].buf,
        .key_types = buffers[KEY_TYPES].buf,
    };
    return true;
}

PyDoc_STRVAR(resume_doc,
             "resume(world, m, header, control, part, home, hashes, key_types)\n--\n\n"
             "Set a map to the state that a header and buckets show; buckets are in the model's order. False: they\n"
             "contradict each other, and the map is empty now.\n\n" HEADER_DOC "; hashes\n"
             "and key_types: eight a bucket.");

static PyObject *py_resume(PyObject *module, PyObject *args)
{
    PyObject *world, *tuple, *columns[COLUMNS];
    Py_ssize_t number;
    Py_buffer buffers[COLUMNS];
    struct read_buckets read;
    struct header_words h;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnO!OOOOO", &world, &number, &PyTuple_Type, &tuple, &columns[CONTROL], &columns[PART],
                          &columns[HOME], &columns[HASHES], &columns[KEY_TYPES]) ||
        !find_map(&t, world, number) || !take_header(&h, tuple) || !get_read_buckets(columns, buffers, &read))
        return NULL;
    bool has_no_memory = false;
    bool is_resumed = FAMILY_OF(t.w, resume)(t.w, t.m, &h, &read, &has_no_memory);
    for (int n = 0; n < COLUMNS; n++)
        PyBuffer_Release(&buffers[n]);
    return has_no_memory ? no_memory() : PyBool_FromLong(is_resumed);
}

PyMethodDef maps_methods[] = {
    {"count_buckets", py_count_buckets, METH_VARARGS, count_buckets_doc},
    {"list_buckets", py_list_buckets, METH_VARARGS, list_buckets_doc},
    {"agrees", py_agrees, METH_VARARGS, agrees_doc},
    {"allocated_bytes", py_allocated_bytes, METH_VARARGS, allocated_bytes_doc},
    {"needed_bytes", py_needed_bytes, METH_VARARGS, needed_bytes_doc},
    {"live_slots", py_live_slots, METH_VARARGS, live_slots_doc},
    {"match_byte", py_match_byte, METH_VARARGS, match_byte_doc},
    {"with_byte", py_with_byte, METH_VARARGS, with_byte_doc},
    {"resume", py_resume, METH_VARARGS, resume_doc},
    {NULL, NULL, 0, NULL},
};
