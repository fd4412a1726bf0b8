/* Python functions for operations on the models of single maps, for tests. */
#include "py_model.h"

/* Check that a stack exists in a world; false with an exception set. */
static bool set_stack(struct target *t, Py_ssize_t stack)
{
    if (stack < 0 || (u64)stack >= t->w->stack_count) {
        PyErr_Format(PyExc_IndexError, "stack %zd: there are %u", stack, t->w->stack_count);
        return false;
    }
    t->stack = (u32)stack;
    return true;
}

/* Make room for one operation; false with an exception set. */
static bool has_room(const struct target *t)
{
    if (FAMILY_OF(t->w, has_room)(t->w, t->m))
        return true;
    no_memory();
    return false;
}

PyDoc_STRVAR(create_doc, "create(world, m, hint, bucket_bytes, has_pointers, stack)\n--\n\n"
                         "Make map m a fresh map for `hint` entries; if m is map_count, add a map.");

static PyObject *py_create(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, stack;
    long long hint;
    unsigned int bucket_bytes;
    int has_pointers;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnLIpn", &world, &number, &hint, &bucket_bytes, &has_pointers, &stack))
        return NULL;
    t.w = world_of(world);
    if (t.w == NULL || !set_stack(&t, stack))
        return NULL;
    bool is_new = number >= 0 && (u64)number == t.w->map_count;
    if (!is_new && !find_map(&t, world, number))
        return NULL;
    t.m = (u32)number;
    if (!FAMILY_OF(t.w, has_room_to_create)(t.w, t.m, hint, bucket_bytes))
        return no_memory();
    if (is_new) {
        add_map(t.w);
        t.w->maps[t.m] = (struct map){.type = -1, .state = MODELLED};
        t.w->facts[t.m] = (struct fact){0};
    } else {
        FAMILY_OF(t.w, forget)(t.w, t.m);
    }
    FAMILY_OF(t.w, create)(t.w, t.m, hint, bucket_bytes, has_pointers, t.stack);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    insert_doc,
    "insert(world, m, hash, key_type, stack, prunes)\n--\n\n"
    "Assign to a key. Return 1 if the key is new, else 0, plus twice the number of growths; None if splits without\n"
    "end took all room. prunes: whether a Swiss insert prunes tombstones.");

static PyObject *py_insert(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, stack;
    unsigned long long hash, key_type;
    int prunes;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnKKnp", &world, &number, &hash, &key_type, &stack, &prunes) ||
        !find_map(&t, world, number) || !set_stack(&t, stack) || !has_room(&t))
        return NULL;
    u32 done;
    if (t.w->is_swiss) {
        done = swiss_insert(t.w, t.m, hash, key_type, t.stack, prunes);
    } else {
        classic_begin_insert(t.w, t.m, hash, t.stack);
        done = classic_insert_evacuated(t.w, t.m, hash, key_type, t.stack);
    }
    if (done == NO_ROOM)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(done);
}

PyDoc_STRVAR(delete_doc, "delete(world, m, hash, key_type, stack)\n--\n\n"
                         "Delete a key; return the stack that inserted its entry, None if the map lacks the key.");

static PyObject *py_delete(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, stack;
    unsigned long long hash, key_type;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnKKn", &world, &number, &hash, &key_type, &stack) || !find_map(&t, world, number) ||
        !set_stack(&t, stack) || !has_room(&t))
        return NULL;
    u32 inserted_by = FAMILY_OF(t.w, delete)(t.w, t.m, hash, key_type, t.stack);
    if (inserted_by == NONE)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLong(inserted_by);
}

PyDoc_STRVAR(holds_doc, "holds(world, m, hash, key_type)\n--\n\nTrue if a key is there.");

static PyObject *py_holds(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number;
    unsigned long long hash, key_type;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnKK", &world, &number, &hash, &key_type) || !find_map(&t, world, number))
        return NULL;
    return PyBool_FromLong(FAMILY_OF(t.w, holds)(t.w, t.m, hash, key_type));
}

PyDoc_STRVAR(prefetch_doc,
             "prefetch(world, m, hash)\n--\n\nAsk for the memory that an operation on a key would touch.");

static PyObject *py_prefetch(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number;
    unsigned long long hash;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "OnK", &world, &number, &hash) || !find_map(&t, world, number))
        return NULL;
    FAMILY_OF(t.w, prefetch_first)(t.w, t.m, hash);
    FAMILY_OF(t.w, prefetch_second)(t.w, t.m, hash);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(clear_doc, "clear(world, m, stack)\n--\n\nEmpty a map.");

static PyObject *py_clear(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, stack;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onn", &world, &number, &stack) || !find_map(&t, world, number) ||
        !set_stack(&t, stack) || !has_room(&t))
        return NULL;
    FAMILY_OF(t.w, clear)(t.w, t.m, t.stack);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(forget_doc, "forget(world, m)\n--\n\nGive back all that a map holds.");

static PyObject *py_forget(PyObject *module, PyObject *args)
{
    struct target t;
    (void)module;
    if (!take_map(&t, args))
        return NULL;
    FAMILY_OF(t.w, forget)(t.w, t.m);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(clone_doc, "clone(world, original, m, stack)\n--\n\nFill the fresh map m as maps.Clone does.");

static PyObject *py_clone(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number, original, stack;
    struct target t, of;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onnn", &world, &original, &number, &stack) || !find_map(&of, world, original) ||
        !find_map(&t, world, number) || !set_stack(&t, stack))
        return NULL;
    if (t.m == of.m || t.w->maps[t.m].count != 0 || (t.w->is_swiss && t.w->maps[t.m].array != NONE))
        return PyErr_Format(PyExc_ValueError, "map %zd is not fresh", number);
    if (!FAMILY_OF(t.w, has_room_to_clone)(t.w, of.m, t.m))
        return no_memory();
    FAMILY_OF(t.w, clone)(t.w, of.m, t.m, t.stack);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_iterator_flags_doc, "set_iterator_flags(world, m, flags)\n--\n\n"
                                     "Take the iterator flags from the flags of a classic header.");

static PyObject *py_set_iterator_flags(PyObject *module, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number;
    unsigned char flags;
    struct target t;
    (void)module;
    if (!PyArg_ParseTuple(args, "Onb", &world, &number, &flags) || !find_map(&t, world, number))
        return NULL;
    if (t.w->is_swiss)
        return PyErr_Format(PyExc_ValueError, "Swiss maps have no iterator flags");
    classic_set_iterator_flags(t.w, t.m, flags);
    Py_RETURN_NONE;
}

PyMethodDef model_methods[] = {
    {"create", py_create, METH_VARARGS, create_doc},
    {"insert", py_insert, METH_VARARGS, insert_doc},
    {"delete", py_delete, METH_VARARGS, delete_doc},
    {"holds", py_holds, METH_VARARGS, holds_doc},
    {"prefetch", py_prefetch, METH_VARARGS, prefetch_doc},
    {"clear", py_clear, METH_VARARGS, clear_doc},
    {"forget", py_forget, METH_VARARGS, forget_doc},
    {"clone", py_clone, METH_VARARGS, clone_doc},
    {"set_iterator_flags", py_set_iterator_flags, METH_VARARGS, set_iterator_flags_doc},
    {NULL, NULL, 0, NULL},
};
