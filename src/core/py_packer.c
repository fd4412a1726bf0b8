/* Python functions that pack events of the ring into columns. */
#include "py_packer.h"

#include "packer.h"

#include <string.h>

#define PACKER "mapprobe.packer"

static void free_packer(PyObject *capsule) { packer_free(PyCapsule_GetPointer(capsule, PACKER)); }

static struct packer *packer_of(PyObject *args)
{
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "O", &capsule))
        return NULL;
    return PyCapsule_GetPointer(capsule, PACKER);
}

PyObject *py_new_packer(PyObject *module, PyObject *args)
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

PyObject *py_pack_events(PyObject *module, PyObject *args)
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
        return refuse_value("the batch has no room for these events");
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

PyObject *py_numbered(PyObject *module, PyObject *args)
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
        u32 item_bytes = header_column_bytes((enum header_column)n);
        PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p->headers * item_bytes);
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

PyObject *py_take_packed(PyObject *module, PyObject *args)
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

PyObject *py_packed_rows(PyObject *module, PyObject *args)
{
    (void)module;
    struct packer *p = packer_of(args);
    return p ? PyLong_FromUnsignedLong(p->rows) : NULL;
}

PyObject *py_seen_maps(PyObject *module, PyObject *args)
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
        return refuse_value("there are fewer maps");
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
