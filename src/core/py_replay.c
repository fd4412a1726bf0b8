/* Python functions that apply events, and headers read from memory, to a world. */
#include "module.h"

#include "batch.h"

/* Check a batch against a world: once, or at each use if its memory may change. False with an exception set. */
static bool hold(struct batch_object *batch, PyObject *world)
{
    if (batch->world == world && !batch->may_change)
        return true;
    if (batch->world != NULL && batch->world != world) {
        PyErr_SetString(PyExc_ValueError, "the batch belongs to another World");
        return false;
    }
    const char *lacking = lacking_in(&batch->batch, ((struct world_object *)world)->world);
    if (lacking != NULL) {
        PyErr_SetString(PyExc_IndexError, lacking);
        return false;
    }
    if (batch->world == NULL) {
        Py_INCREF(world);
        batch->world = world;
    }
    return true;
}

PyDoc_STRVAR(apply_doc, "apply(world, batch, end)\n--\n\nApply the events from batch.row up to row `end`.");

static PyObject *py_apply(PyObject *module, PyObject *args)
{
    PyObject *world, *object;
    Py_ssize_t end;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOn", &world, &object, &end))
        return NULL;
    struct world *w = world_of(world);
    struct batch_object *batch = w ? batch_of(object) : NULL;
    if (batch == NULL || !hold(batch, world))
        return NULL;
    if (end < 0 || (u64)end > batch->batch.length)
        return PyErr_Format(PyExc_IndexError, "row %zd: there are %zd", end, (Py_ssize_t)batch->batch.length);
    struct world_object *owner = (struct world_object *)world;
    bool is_done;
    owner->is_busy = true;
    Py_BEGIN_ALLOW_THREADS is_done = apply(w, &batch->batch, (u64)end);
    Py_END_ALLOW_THREADS owner->is_busy = false;
    if (!is_done)
        return no_memory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(judge_doc, "judge(world, headers, died)\n--\n\nMark the maps that were dead when their headers were read, "
                        "and settle the last operation\n"
                        "of the others. headers: a Batch of headers as events; died: one byte a header.");

static PyObject *py_judge(PyObject *module, PyObject *args)
{
    PyObject *world, *object, *column;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &world, &object, &column))
        return NULL;
    struct world *w = world_of(world);
    struct batch_object *batch = w ? batch_of(object) : NULL;
    Py_buffer died;
    if (batch == NULL || !hold(batch, world) || !get_items(column, &died, 1, (Py_ssize_t)batch->batch.length, false))
        return NULL;
    bool is_done = judge_headers(w, &batch->batch, died.buf);
    PyBuffer_Release(&died);
    if (!is_done)
        return no_memory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    note_maps_doc,
    "note_maps(world, batch, lo, hi, is_touched)\n--\n\nSet the byte of each known map with an event in lo to hi.");

static PyObject *py_note_maps(PyObject *module, PyObject *args)
{
    PyObject *world, *object, *column;
    Py_ssize_t lo, hi;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOnnO", &world, &object, &lo, &hi, &column))
        return NULL;
    struct world *w = world_of(world);
    struct batch_object *batch = w ? batch_of(object) : NULL;
    Py_buffer touched;
    if (batch == NULL || !hold(batch, world) || !get_items(column, &touched, 1, -1, true))
        return NULL;
    bool fits = lo >= 0 && lo <= hi && (u64)hi <= batch->batch.length && (u64)touched.len >= w->map_count;
    if (fits)
        note_maps(w, &batch->batch, (u64)lo, (u64)hi, touched.buf);
    PyBuffer_Release(&touched);
    if (!fits)
        return PyErr_Format(PyExc_IndexError, "rows %zd to %zd of a batch, or fewer bytes than maps", lo, hi);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(find_doc, "find(world, key)\n--\n\nReturn the newest map with a key (places.py), None if there is none.");

static PyObject *py_find(PyObject *module, PyObject *args)
{
    PyObject *world;
    unsigned long long key;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &world, &key))
        return NULL;
    struct world *w = world_of(world);
    if (w == NULL)
        return NULL;
    u32 m = find(w, key);
    if (m == NONE)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(m);
}

/* Parse a World and one of its maps; NULL with an exception set. */
static struct world *world_and_map(PyObject *args, u32 *m)
{
    PyObject *world;
    Py_ssize_t number;
    if (!PyArg_ParseTuple(args, "On", &world, &number))
        return NULL;
    struct world *w = world_of(world);
    if (w == NULL || (*m = map_of(w, number)) == NONE)
        return NULL;
    return w;
}

PyDoc_STRVAR(drop_live_doc, "drop_live(world, m)\n--\n\nTake every live entry of a map out of the live counters.");

static PyObject *py_drop_live(PyObject *module, PyObject *args)
{
    u32 m;
    (void)module;
    struct world *w = world_and_map(args, &m);
    if (w == NULL)
        return NULL;
    drop_live(w, m);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    add_live_doc,
    "add_live(world, m, stack, n)\n--\n\nAdd n (or subtract -n) to the live entries of map m that a stack inserted.");

static PyObject *py_add_live(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, stack;
    long long n;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnnL", &world, &number, &stack, &n))
        return NULL;
    struct world *w = world_of(world);
    u32 m = w ? map_of(w, number) : NONE;
    if (m == NONE)
        return NULL;
    if (stack < 0 || stack >= w->stack_count)
        return PyErr_Format(PyExc_IndexError, "stack %zd: there are %u", stack, w->stack_count);
    add_live(w, m, (u32)stack, n);
    Py_RETURN_NONE;
}

/* Parse a World, one of its maps and a count of entries; NULL with an exception set. */
static struct world *world_map_and_count(PyObject *args, u32 *m, u64 *count)
{
    PyObject *world;
    Py_ssize_t number;
    unsigned long long entries;
    if (!PyArg_ParseTuple(args, "OnK", &world, &number, &entries))
        return NULL;
    *count = entries;
    struct world *w = world_of(world);
    if (w == NULL || (*m = map_of(w, number)) == NONE)
        return NULL;
    return w;
}

PyDoc_STRVAR(settle_doc, "settle(world, m, count)\n--\n\nCount the pending operation of a map that is not modelled: "
                         "the count in the next header shows what it did.");

static PyObject *py_settle(PyObject *module, PyObject *args)
{
    u32 m;
    u64 count;
    (void)module;
    struct world *w = world_map_and_count(args, &m, &count);
    if (w == NULL)
        return NULL;
    settle(w, m, count);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(settle_doubt_doc, "settle_doubt(world, m, count)\n--\n\nDo the operation in doubt of a map, as the count "
                               "in its next header shows what it was.");

static PyObject *py_settle_doubt(PyObject *module, PyObject *args)
{
    u32 m;
    u64 count;
    (void)module;
    struct world *w = world_map_and_count(args, &m, &count);
    if (w == NULL)
        return NULL;
    if (!(w->is_swiss ? swiss_has_room(w, m) : classic_has_room(w, m)))
        return no_memory();
    settle_doubt(w, m, count);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(presume_all_doc, "presume_all(world)\n--\n\nCount each operation in doubt as what it most likely was.");

static PyObject *py_presume_all(PyObject *module, PyObject *world)
{
    (void)module;
    struct world *w = world_of(world);
    if (w == NULL)
        return NULL;
    presume_all(w);
    Py_RETURN_NONE;
}

PyMethodDef replay_methods[] = {
    {"apply", py_apply, METH_VARARGS, apply_doc},
    {"judge", py_judge, METH_VARARGS, judge_doc},
    {"note_maps", py_note_maps, METH_VARARGS, note_maps_doc},
    {"find", py_find, METH_VARARGS, find_doc},
    {"drop_live", py_drop_live, METH_VARARGS, drop_live_doc},
    {"add_live", py_add_live, METH_VARARGS, add_live_doc},
    {"settle", py_settle, METH_VARARGS, settle_doc},
    {"settle_doubt", py_settle_doubt, METH_VARARGS, settle_doubt_doc},
    {"presume_all", py_presume_all, METH_O, presume_all_doc},
    {NULL, NULL, 0, NULL},
};
