/* Python functions for events of the ring and for packed columns. */
#include "module.h"

#include "codec.h"
#include "py_encoding.h"
#include "py_packer.h"
#include "ring.h"

PyObject *refuse_value(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

PyObject *lack_memory(void)
{
    PyErr_SetString(PyExc_MemoryError, "this machine has no more memory");
    return NULL;
}

static PyObject *no_header(void) { return refuse_value("an event names a header that is not there"); }

/* ---- the ring ---- */

PyDoc_STRVAR(take_records_doc,
             "take_records(ring, at, count, event_bytes)\n--\n\n"
             "Take the events of `count` records at byte `at`, up to the first record that is not fully written.\n"
             "Return their bytes, how many events there are, and how many records were used.");

static PyObject *py_take_records(PyObject *module, PyObject *args)
{
    PyObject *ring;
    Py_ssize_t at, count, event_bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onnn", &ring, &at, &count, &event_bytes))
        return NULL;
    Py_buffer buffer;
    if (!get_items(ring, &buffer, 8, -1, false))
        return NULL;
    PyObject *out = NULL;
    u64 used = 0, events = 0;
    if (event_bytes <= 0 || event_bytes % 8 != 0 || event_bytes > 4096 || at < 0 || at % 8 != 0 || count < 0 ||
        at > buffer.len || count > (buffer.len - at) / (event_bytes + (Py_ssize_t)RECORD_HEAD))
        refuse_value("the records are not all in the ring");
    else
        out = PyBytes_FromStringAndSize(NULL, count * event_bytes);
    if (out != NULL)
        used = take_records((const u8 *)buffer.buf + at, (u64)count, (u64)event_bytes, (u8 *)PyBytes_AsString(out),
                            &events);
    PyBuffer_Release(&buffer);
    if (out == NULL)
        return NULL;
    return Py_BuildValue("NKK", out, (unsigned long long)events, (unsigned long long)used);
}

PyDoc_STRVAR(find_outside_doc,
             "find_outside(events, first_ns, last_ns)\n--\n\n"
             "Return a byte for each event: whether it came before first_ns or after last_ns of its point; None if no\n"
             "event did.");

static PyObject *py_find_outside(PyObject *module, PyObject *args)
{
    PyObject *rows, *first, *last, *flags = NULL;
    Py_buffer events, from, until;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &rows, &first, &last) ||
        !get_items(rows, &events, sizeof(struct map_event), -1, false))
        return NULL;
    if (get_items(first, &from, 8, -1, false)) {
        Py_ssize_t points = items_of(&from, 8), count = items_of(&events, sizeof(struct map_event));
        if (get_items(last, &until, 8, points, false)) {
            struct watched watched = {from.buf, until.buf, (u64)points};
            u32 outside = NONE;
            if (count >= NONE || (flags = PyBytes_FromStringAndSize(NULL, count)) == NULL)
                refuse_value("too many events");
            else
                outside = find_outside(events.buf, (u32)count, &watched, (u8 *)PyBytes_AsString(flags));
            if (flags != NULL && (outside == NONE || outside == 0))
                Py_CLEAR(flags);
            if (outside == NONE && !PyErr_Occurred())
                refuse_value("an event names a point that is not there");
            PyBuffer_Release(&until);
        }
        PyBuffer_Release(&from);
    }
    PyBuffer_Release(&events);
    if (flags == NULL && !PyErr_Occurred())
        Py_RETURN_NONE;
    return flags;
}

/* ---- columns ---- */

/* Get the buffers of a list of columns of numbers. Return how many; -1 with an exception set, and none is kept. */
static Py_ssize_t get_columns(PyObject *list, Py_buffer *buffers, struct column *columns, Py_ssize_t rows)
{
    Py_ssize_t count = PyList_Size(list), n = 0;
    if (count > MOST_COLUMNS)
        refuse_value("too many columns");
    for (; !PyErr_Occurred() && n < count; n++) {
        if (PyObject_GetBuffer(PyList_GetItem(list, n), &buffers[n], PyBUF_C_CONTIGUOUS) < 0)
            break;
        Py_ssize_t bytes = buffers[n].itemsize;
        columns[n] = (struct column){buffers[n].buf, (u32)bytes};
        if ((bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) && buffers[n].len == bytes * rows &&
            (uintptr_t)buffers[n].buf % (uintptr_t)bytes == 0)
            continue;
        refuse_value("a column is not of numbers, one a row");
    }
    if (!PyErr_Occurred())
        return count;
    for (; n > 0; n--)
        PyBuffer_Release(&buffers[n - 1]);
    return -1;
}

PyDoc_STRVAR(distinct_doc,
             "distinct_rows(columns, rows, multiplier)\n--\n\n"
             "Number the distinct combinations of values in order of appearance: return the first row of each\n"
             "combination (int64), and the combination of each row (int32).");

static PyObject *py_distinct_rows(PyObject *module, PyObject *args)
{
    PyObject *list;
    Py_ssize_t rows;
    unsigned long long multiplier;
    Py_buffer buffers[MOST_COLUMNS];
    struct column columns[MOST_COLUMNS];
    (void)module;
    if (!PyArg_ParseTuple(args, "OnK", &list, &rows, &multiplier))
        return NULL;
    if (!PyList_Check(list) || rows < 0 || rows >= INT32_MAX)
        return refuse_value("a list of columns and their length are needed");
    Py_ssize_t count = get_columns(list, buffers, columns, rows);
    if (count < 0)
        return NULL;
    PyObject *first = PyByteArray_FromStringAndSize(NULL, rows * 8);
    PyObject *number = PyByteArray_FromStringAndSize(NULL, rows * 4);
    u32 distinct = NONE;
    if (first != NULL && number != NULL)
        distinct = distinct_rows(columns, (u32)count, (u32)rows, multiplier, (i64 *)(void *)PyByteArray_AsString(first),
                                 (i32 *)(void *)PyByteArray_AsString(number));
    for (Py_ssize_t n = 0; n < count; n++)
        PyBuffer_Release(&buffers[n]);
    if (distinct != NONE && PyByteArray_Resize(first, (Py_ssize_t)distinct * 8) == 0)
        return Py_BuildValue("NN", first, number);
    Py_XDECREF(first);
    Py_XDECREF(number);
    return PyErr_Occurred() ? NULL : lack_memory();
}

/* Return a number of 64 bits for each event: joined halves, or times from steps. */
static PyObject *from_halves(PyObject *args, bool (*write)(const struct halves *, u64 *))
{
    PyObject *low, *high, *number, *out = NULL;
    Py_buffer lows, highs, numbers;
    if (!PyArg_ParseTuple(args, "OOO", &low, &high, &number) || !get_items(low, &lows, 4, -1, false))
        return NULL;
    Py_ssize_t rows = items_of(&lows, 4);
    if (get_items(high, &highs, 4, -1, false)) {
        if (get_items(number, &numbers, 2, rows, false)) {
            struct halves halves = {lows.buf, highs.buf, numbers.buf, (u64)rows, (u64)items_of(&highs, 4)};
            out = PyByteArray_FromStringAndSize(NULL, rows * 8);
            if (out != NULL && !write(&halves, (u64 *)(void *)PyByteArray_AsString(out))) {
                Py_CLEAR(out);
                no_header();
            }
            PyBuffer_Release(&numbers);
        }
        PyBuffer_Release(&highs);
    }
    PyBuffer_Release(&lows);
    return out;
}

PyDoc_STRVAR(join_doc, "join_halves(low, high, number)\n--\n\nThe numbers low | high[number] << 32, as uint64.");

static PyObject *py_join_halves(PyObject *module, PyObject *args)
{
    (void)module;
    return from_halves(args, join_halves);
}

PyDoc_STRVAR(sum_doc, "sum_steps(low, high, number)\n--\n\nThe time of each event (uint64), summed from zigzag steps.");

static PyObject *py_sum_steps(PyObject *module, PyObject *args)
{
    (void)module;
    return from_halves(args, sum_steps);
}

PyDoc_STRVAR(gather_doc, "gather(values, number)\n--\n\nvalues[number] as bytes; number: uint16.");

static PyObject *py_gather(PyObject *module, PyObject *args)
{
    PyObject *list, *number, *out = NULL;
    Py_buffer values, numbers;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &list, &number) || PyObject_GetBuffer(list, &values, PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    Py_ssize_t bytes = values.itemsize;
    struct column column = {values.buf, (u32)bytes};
    if ((bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) || (uintptr_t)values.buf % (uintptr_t)bytes != 0)
        refuse_value("values are numbers");
    else if (get_items(number, &numbers, 2, -1, false)) {
        Py_ssize_t rows = items_of(&numbers, 2);
        u64 length = (u64)(values.len / bytes);
        out = PyByteArray_FromStringAndSize(NULL, rows * bytes);
        if (out != NULL && !gather(&column, length, numbers.buf, (u64)rows, PyByteArray_AsString(out))) {
            Py_CLEAR(out);
            no_header();
        }
        PyBuffer_Release(&numbers);
    }
    PyBuffer_Release(&values);
    return out;
}

PyDoc_STRVAR(new_packer_doc, "new_packer(is_classic)\n--\n\nReturn a packer of events of the ring.");
PyDoc_STRVAR(pack_events_doc, "pack_events(packer, events)\n--\n\nAdd events to the batch, which must have room.");
PyDoc_STRVAR(numbered_doc,
             "numbered(packer, stacks, types)\n--\n\n"
             "Return the digests of stacks and the addresses of types with these numbers or higher ones.");
PyDoc_STRVAR(take_packed_doc,
             "take_packed(packer, stack_ids, type_ids)\n--\n\n"
             "Return the columns of the batch as bytes, in the order of packed_schema (the header as numbers and a\n"
             "tuple of columns), and begin the next batch. stack_ids: uint32, type_ids: int32, by number.");
PyDoc_STRVAR(packed_rows_doc, "packed_rows(packer)\n--\n\nReturn how many events the batch has.");
PyDoc_STRVAR(seen_maps_doc,
             "seen_maps(packer, first)\n--\n\n"
             "Return the maps on the heap that were in a finished batch, from number `first` on: their addresses\n"
             "(uint64), the numbers of their types (uint32), a byte each whether the map had entries when first\n"
             "seen; and how many maps there are in all.");

PyMethodDef codec_methods[] = {
    {"take_records", py_take_records, METH_VARARGS, take_records_doc},
    {"find_outside", py_find_outside, METH_VARARGS, find_outside_doc},
    {"new_packer", py_new_packer, METH_VARARGS, new_packer_doc},
    {"pack_events", py_pack_events, METH_VARARGS, pack_events_doc},
    {"numbered", py_numbered, METH_VARARGS, numbered_doc},
    {"take_packed", py_take_packed, METH_VARARGS, take_packed_doc},
    {"packed_rows", py_packed_rows, METH_VARARGS, packed_rows_doc},
    {"seen_maps", py_seen_maps, METH_VARARGS, seen_maps_doc},
    {"distinct_rows", py_distinct_rows, METH_VARARGS, distinct_doc},
    {"join_halves", py_join_halves, METH_VARARGS, join_doc},
    {"sum_steps", py_sum_steps, METH_VARARGS, sum_doc},
    {"gather", py_gather, METH_VARARGS, gather_doc},
    {"new_encoder", py_new_encoder, METH_VARARGS, "new_encoder()\n--\n\nReturn an encoder for one file."},
    {"encode_batch", py_encode_batch, METH_VARARGS, ENCODE_BATCH_DOC},
    {"new_decoder", py_new_decoder, METH_VARARGS, "new_decoder()\n--\n\nReturn a decoder for one file."},
    {"decode_batch", py_decode_batch, METH_VARARGS, DECODE_BATCH_DOC},
    {NULL, NULL, 0, NULL},
};
