/* Events of the ring, and columns, as Python hands them over. */
#include "module.h"

#include "codec.h"
#include "packer.h"

#include <string.h>

#define PACKER "mapprobe.packer"

static PyObject *refuse(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

static PyObject *lack_memory(void)
{
    PyErr_SetString(PyExc_MemoryError, "this machine has no more memory");
    return NULL;
}

static PyObject *no_header(void) { return refuse("an event names a header that is not there"); }

/* ---- the ring ---- */

PyDoc_STRVAR(take_records_doc,
             "take_records(ring, at, count, event_bytes)\n--\n\n"
             "The events of `count` records at byte `at` that are fully written: bytes, and how many records were used.");

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
        refuse("the records are not all in the ring");
    else
        out = PyBytes_FromStringAndSize(NULL, count * event_bytes);
    if (out != NULL)
        used = take_records((const u8 *)buffer.buf + at, (u64)count, (u64)event_bytes, (u8 *)PyBytes_AsString(out), &events);
    PyBuffer_Release(&buffer);
    if (out == NULL)
        return NULL;
    return Py_BuildValue("NKK", out, (unsigned long long)events, (unsigned long long)used);
}

PyDoc_STRVAR(find_outside_doc,
             "find_outside(events, first_ns, last_ns)\n--\n\n"
             "None, or a byte for each event: whether it came before first_ns or after last_ns of its point.");

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
                refuse("too many events");
            else
                outside = find_outside(events.buf, (u32)count, &watched, (u8 *)PyBytes_AsString(flags));
            if (flags != NULL && (outside == NONE || outside == 0))
                Py_CLEAR(flags);
            if (outside == NONE && !PyErr_Occurred())
                refuse("an event names a point that is not there");
            PyBuffer_Release(&until);
        }
        PyBuffer_Release(&from);
    }
    PyBuffer_Release(&events);
    if (flags == NULL && !PyErr_Occurred())
        Py_RETURN_NONE;
    return flags;
}

/* ---- the packer ---- */

static void free_packer(PyObject *capsule) { packer_free(PyCapsule_GetPointer(capsule, PACKER)); }

static struct packer *packer_of(PyObject *args)
{
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "O", &capsule))
        return NULL;
    return PyCapsule_GetPointer(capsule, PACKER);
}

PyDoc_STRVAR(new_packer_doc, "new_packer(is_classic)\n--\n\nWhat packs events of the ring.");

static PyObject *py_new_packer(PyObject *module, PyObject *args)
{
    int is_classic;
    (void)module;
    if (!PyArg_ParseTuple(args, "p", &is_classic))
        return NULL;
    struct packer *p = packer_new(is_classic);
    if (p == NULL)
        return lack_memory();
    PyObject *capsule = PyCapsule_New(p, PACKER, free_packer);
    if (capsule == NULL)
        packer_free(p);
    return capsule;
}

PyDoc_STRVAR(pack_events_doc, "pack_events(packer, events)\n--\n\nTake events into the batch, which has to have room.");

static PyObject *py_pack_events(PyObject *module, PyObject *args)
{
    PyObject *capsule, *rows;
    Py_buffer events;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &capsule, &rows))
        return NULL;
    struct packer *p = PyCapsule_GetPointer(capsule, PACKER);
    if (p == NULL || !get_items(rows, &events, sizeof(struct map_event), -1, false))
        return NULL;
    Py_ssize_t count = items_of(&events, sizeof(struct map_event));
    bool has_room = (u64)count <= PACKED_ROWS - p->rows;
    bool is_done = has_room && packer_add(p, events.buf, (u32)count);
    PyBuffer_Release(&events);
    if (!has_room)
        return refuse("the batch has no room for these events");
    if (!is_done)
        return lack_memory();
    Py_RETURN_NONE;
}

static PyObject *words_from(const u64 *words, u32 count, Py_ssize_t from)
{
    if (from < 0 || from > count)
        from = count;
    return PyBytes_FromStringAndSize((const char *)(words + from), (Py_ssize_t)(count - from) * 8);
}

PyDoc_STRVAR(numbered_doc, "numbered(packer, stacks, types)\n--\n\n"
                           "The digests of stacks and the addresses of types that were numbered, from these numbers on.");

static PyObject *py_numbered(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    Py_ssize_t stacks, types;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onn", &capsule, &stacks, &types))
        return NULL;
    struct packer *p = PyCapsule_GetPointer(capsule, PACKER);
    if (p == NULL)
        return NULL;
    return Py_BuildValue("NN", words_from(p->stacks.words, p->stacks.count, stacks),
                         words_from(p->types.words, p->types.count, types));
}

static PyObject *copied(const void *column, u32 rows, u32 item_bytes)
{
    return PyBytes_FromStringAndSize(column, (Py_ssize_t)rows * item_bytes);
}

static PyObject *stack_column(const struct packer *p, const u32 *stack_ids)
{
    PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p->rows * 4);
    if (column == NULL)
        return NULL;
    u32 *out = (u32 *)(void *)PyBytes_AsString(column);
    for (u32 row = 0; row < p->rows; row++)
        out[row] = stack_ids[p->columns->stack[row]];
    return column;
}

static PyObject *header_columns(const struct packer *p, const i32 *type_ids)
{
    PyObject *columns = PyTuple_New(HEADER_COLUMNS);
    for (Py_ssize_t n = 0; columns != NULL && n < HEADER_COLUMNS; n++) {
        PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p->headers * header_column_bytes((enum header_column)n));
        if (column == NULL || PyTuple_SetItem(columns, n, column) < 0) {
            Py_CLEAR(columns);
            break;
        }
        write_header_column(p, (enum header_column)n, type_ids, PyBytes_AsString(column));
    }
    return columns;
}

static PyObject *taken(const struct packer *p, const u32 *stack_ids, const i32 *type_ids)
{
    const struct packed_columns *c = p->columns;
    u32 rows = p->rows;
    return Py_BuildValue("NNNNNNNNNNNNN", copied(c->step, rows, 4), copied(c->number, rows, 2),
                         header_columns(p, type_ids), copied(c->kind, rows, 1), copied(c->point, rows, 1),
                         copied(c->hash, rows, 8), copied(c->count, rows, 4), copied(c->overflow_count, rows, 2),
                         copied(c->evacuated, rows, 4), copied(c->goid, rows, 4), copied(c->tid, rows, 4),
                         stack_column(p, stack_ids), copied(c->depth, rows, 4));
}

PyDoc_STRVAR(take_packed_doc,
             "take_packed(packer, stack_ids, type_ids)\n--\n\n"
             "The columns of the batch as bytes, in the order of packed_schema (of the header: numbers, then a tuple), and\n"
             "begin the next. stack_ids: uint32, type_ids: int32, by number.");

static PyObject *py_take_packed(PyObject *module, PyObject *args)
{
    PyObject *capsule, *stack_ids, *type_ids, *columns = NULL;
    Py_buffer stacks, types;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &stack_ids, &type_ids))
        return NULL;
    struct packer *p = PyCapsule_GetPointer(capsule, PACKER);
    if (p == NULL || !get_items(stack_ids, &stacks, 4, p->stacks.count, false))
        return NULL;
    if (get_items(type_ids, &types, 4, p->types.count, false)) {
        columns = taken(p, stacks.buf, types.buf);
        PyBuffer_Release(&types);
    }
    PyBuffer_Release(&stacks);
    if (columns != NULL)
        packer_next(p);
    return columns;
}

PyDoc_STRVAR(packed_rows_doc, "packed_rows(packer)\n--\n\nHow many events the batch has.");

static PyObject *py_packed_rows(PyObject *module, PyObject *args)
{
    (void)module;
    struct packer *p = packer_of(args);
    return p ? PyLong_FromUnsignedLong(p->rows) : NULL;
}

PyDoc_STRVAR(seen_maps_doc,
             "seen_maps(packer, first)\n--\n\n"
             "Of the maps that were in a batch, from number `first` on, those on the heap: their addresses (uint64), the\n"
             "numbers of their types (uint32), a byte whether each was filled at first sight; and how many maps there are.");

static PyObject *py_seen_maps(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    Py_ssize_t first;
    (void)module;
    if (!PyArg_ParseTuple(args, "On", &capsule, &first))
        return NULL;
    const struct packer *p = PyCapsule_GetPointer(capsule, PACKER);
    if (p == NULL)
        return NULL;
    if (first < 0 || first > p->map_count)
        return refuse("there are not so many maps");
    u32 count = 0, end = (u32)first;
    for (; end < p->map_count && p->maps[end].is_known; end++)
        count += p->maps[end].stack_offset == 0;
    PyObject *addrs = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * 8);
    PyObject *types = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * 4);
    PyObject *filled = PyBytes_FromStringAndSize(NULL, count);
    if (addrs != NULL && types != NULL && filled != NULL) {
        char *addr = PyBytes_AsString(addrs), *type = PyBytes_AsString(types), *flag = PyBytes_AsString(filled);
        for (const struct seen_map *map = p->maps + first; map < p->maps + end; map++) {
            if (map->stack_offset != 0)
                continue;
            memcpy(addr, &map->addr, 8);
            memcpy(type, &map->type, 4);
            *flag++ = (char)map->is_filled;
            addr += 8;
            type += 4;
        }
    }
    return Py_BuildValue("NNNI", addrs, types, filled, end);
}

/* ---- columns ---- */

/* Get the buffers of a list of columns of numbers; how many there are, -1 with an exception set: all are released. */
static Py_ssize_t get_columns(PyObject *list, Py_buffer *buffers, struct column *columns, Py_ssize_t rows)
{
    Py_ssize_t count = PyList_Size(list), n = 0;
    if (count > MOST_COLUMNS)
        refuse("so many columns are not looked at together");
    for (; !PyErr_Occurred() && n < count; n++) {
        if (PyObject_GetBuffer(PyList_GetItem(list, n), &buffers[n], PyBUF_C_CONTIGUOUS) < 0)
            break;
        Py_ssize_t bytes = buffers[n].itemsize;
        columns[n] = (struct column){buffers[n].buf, (u32)bytes};
        if ((bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8) && buffers[n].len == bytes * rows &&
            (uintptr_t)buffers[n].buf % (uintptr_t)bytes == 0)
            continue;
        refuse("a column is not of numbers, one a row");
    }
    if (!PyErr_Occurred())
        return count;
    for (; n > 0; n--)
        PyBuffer_Release(&buffers[n - 1]);
    return -1;
}

PyDoc_STRVAR(distinct_doc,
             "distinct_rows(columns, rows, multiplier)\n--\n\n"
             "The first row of each distinct combination in order of appearance (int64), and which one each row is (int32).");

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
        return refuse("a list of columns and their length are needed");
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

/* Write whole numbers, or times, of an event each. */
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

PyDoc_STRVAR(join_doc, "join_halves(low, high, number)\n--\n\nThe numbers whose high half is high[number], as uint64.");

static PyObject *py_join_halves(PyObject *module, PyObject *args)
{
    (void)module;
    return from_halves(args, join_halves);
}

PyDoc_STRVAR(sum_doc, "sum_steps(low, high, number)\n--\n\nThe time of each event (uint64), from the steps in zigzag.");

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
        refuse("values are numbers");
    else if (get_items(number, &numbers, 2, -1, false)) {
        Py_ssize_t rows = items_of(&numbers, 2);
        out = PyByteArray_FromStringAndSize(NULL, rows * bytes);
        if (out != NULL && !gather(&column, (u64)(values.len / bytes), numbers.buf, (u64)rows, PyByteArray_AsString(out))) {
            Py_CLEAR(out);
            no_header();
        }
        PyBuffer_Release(&numbers);
    }
    PyBuffer_Release(&values);
    return out;
}

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
    {NULL, NULL, 0, NULL},
};
