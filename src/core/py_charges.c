/* Python functions for charges. */
#include "module.h"

#include "charges.h"

#include <stdlib.h>

enum { SKIP, HELD, CHARGED_TO, ROWS, COLUMNS };

static void release_all(Py_buffer *buffers, int count)
{
    for (int n = 0; n < count; n++)
        PyBuffer_Release(&buffers[n]);
}

/* Get the arrays of charge_maps; false with an exception set. */
static bool get_columns(PyObject *const *arrays, Py_buffer *buffers)
{
    const Py_ssize_t item_bytes[COLUMNS] = {1, HOLDINGS * sizeof(i64), sizeof(u32), sizeof(struct charge_row)};
    for (int n = 0; n < COLUMNS; n++)
        if (!get_items(arrays[n], &buffers[n], item_bytes[n], -1, n != SKIP)) {
            release_all(buffers, n);
            return false;
        }
    return true;
}

/* Take the arrays; false with an exception set if they are too small for the maps and stacks of the world. */
static bool set_charging(struct charging *c, const Py_buffer *buffers, const struct world *w, Py_ssize_t first)
{
    *c = (struct charging){
        .skip = buffers[SKIP].buf,
        .maps = (u64)buffers[SKIP].len,
        .holdings = buffers[HELD].buf,
        .stride = (u64)items_of(&buffers[HELD], HOLDINGS * sizeof(i64)),
        .charged_to = buffers[CHARGED_TO].buf,
        .rows = buffers[ROWS].buf,
        .room = (u64)items_of(&buffers[ROWS], sizeof(struct charge_row)),
    };
    bool fits = c->maps <= w->map_count && c->stride >= c->maps && first >= 0 &&
                (u64)items_of(&buffers[CHARGED_TO], sizeof(u32)) >= c->maps && c->room >= w->stack_count;
    if (!fits)
        PyErr_Format(PyExc_IndexError, "arrays for %zd maps from %zd on: there are %u, and %u stacks",
                     buffers[SKIP].len, first, w->map_count, w->stack_count);
    return fits;
}

PyDoc_STRVAR(
    charge_maps_doc,
    "charge_maps(world, skip, first, holdings, charged_to, rows)\n--\n\n"
    "Charge the maps from `first` on, without those that `skip` (a byte each) marks, until `rows` is full. Return\n"
    "the first map that was not charged, and how many rows were written: for each map that several stacks are\n"
    "charged for, one row a stack. holdings: int64, HOLDINGS rows with a column for each map, or more;\n"
    "charged_to: uint32 for each map, the stack that is charged for all of it, 2**32 - 1 for several or none.");

static PyObject *py_charge_maps(PyObject *module, PyObject *args)
{
    PyObject *world, *arrays[COLUMNS];
    Py_ssize_t first;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOnOOO", &world, &arrays[SKIP], &first, &arrays[HELD], &arrays[CHARGED_TO],
                          &arrays[ROWS]))
        return NULL;
    struct world *w = world_of(world);
    Py_buffer buffers[COLUMNS];
    if (w == NULL || !get_columns(arrays, buffers))
        return NULL;
    struct charging charging;
    bool fits = set_charging(&charging, buffers, w, first), is_done = true;
    if (fits) {
        struct world_object *owner = (struct world_object *)world;
        owner->is_busy = true;
        Py_BEGIN_ALLOW_THREADS is_done = charge_maps(w, &charging, (u64)first);
        Py_END_ALLOW_THREADS owner->is_busy = false;
    }
    release_all(buffers, COLUMNS);
    if (!fits)
        return NULL;
    if (!is_done)
        return no_memory();
    return Py_BuildValue("nn", (Py_ssize_t)charging.next, (Py_ssize_t)charging.written);
}

PyDoc_STRVAR(
    apportion_doc,
    "apportion(total, weights, out)\n--\n\n"
    "Split a total over weights (int64) into `out` (int64, zeros), by largest remainder, ties to the lowest index.");

static PyObject *py_apportion(PyObject *module, PyObject *args)
{
    PyObject *arrays[2];
    unsigned long long total;
    Py_buffer weights, out;
    (void)module;
    if (!PyArg_ParseTuple(args, "KOO", &total, &arrays[0], &arrays[1]) ||
        !get_items(arrays[0], &weights, sizeof(u64), -1, false))
        return NULL;
    Py_ssize_t n = items_of(&weights, sizeof(u64));
    if (!get_items(arrays[1], &out, sizeof(u64), n, true)) {
        PyBuffer_Release(&weights);
        return NULL;
    }
    u64 *remainders = calloc((size_t)n + 1, sizeof *remainders);
    if (remainders != NULL)
        apportion(total, weights.buf, (u64)n, out.buf, remainders);
    free(remainders);
    PyBuffer_Release(&weights);
    PyBuffer_Release(&out);
    if (remainders == NULL)
        return no_memory();
    Py_RETURN_NONE;
}

PyMethodDef charges_methods[] = {
    {"charge_maps", py_charge_maps, METH_VARARGS, charge_maps_doc},
    {"apportion", py_apportion, METH_VARARGS, apportion_doc},
    {NULL, NULL, 0, NULL},
};
