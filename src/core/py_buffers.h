/* The buffers of one call from Python: taken one by one, released together. */
#ifndef MAPPROBE_PY_BUFFERS_H
#define MAPPROBE_PY_BUFFERS_H

#include "module.h"

enum { MOST_BUFFERS = 12 };

struct buffers {
    Py_buffer of[MOST_BUFFERS];
    int count;
};

static inline void release(struct buffers *b)
{
    while (b->count > 0)
        PyBuffer_Release(&b->of[--b->count]);
}

/* Take one more buffer of `length` items, -1: any number; NULL with an exception set. */
static inline void *take(struct buffers *b, PyObject *object, Py_ssize_t item_bytes, Py_ssize_t length,
                         bool is_writable)
{
    if (!get_items(object, &b->of[b->count], item_bytes, length, is_writable))
        return NULL;
    static u64 nothing; /* stands for the memory of an empty buffer, as NULL means an error */
    void *start = b->of[b->count++].buf;
    return start != NULL ? start : &nothing;
}

static inline Py_ssize_t items_at(const struct buffers *b, int number, Py_ssize_t item_bytes)
{
    return items_of(&b->of[number], item_bytes);
}

static inline PyObject *refuse(struct buffers *b, const char *why)
{
    release(b);
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

static inline PyObject *lack(struct buffers *b)
{
    release(b);
    return NULL;
}

#endif
