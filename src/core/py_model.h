/* Taking the arguments of Python functions for single maps. */
#ifndef MAPPROBE_PY_MODEL_H
#define MAPPROBE_PY_MODEL_H

#include "module.h"

/* The function `name` of the family of a world's maps. */
#define FAMILY_OF(w, name) ((w)->is_swiss ? swiss_##name : classic_##name)

/* A map of a world, and the stack that does an operation on it. */
struct target {
    struct world *w;
    u32 m;
    u32 stack;
};

/* Find a map of a world; false with an exception set. */
static inline bool find_map(struct target *t, PyObject *world, Py_ssize_t number)
{
    t->w = world_of(world);
    t->m = t->w ? map_of(t->w, number) : NONE;
    return t->m != NONE;
}

/* Take (world, m); false with an exception set. */
static inline bool take_map(struct target *t, PyObject *args)
{
    PyObject *world;
    Py_ssize_t number;
    return PyArg_ParseTuple(args, "On", &world, &number) && find_map(t, world, number);
}

#endif
