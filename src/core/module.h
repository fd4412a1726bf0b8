/* Declarations that the files which Python calls (py_*.c) share. Arrays come in by the buffer protocol; their length
 * and item size are checked before C uses them. */
#ifndef MAPPROBE_MODULE_H
#define MAPPROBE_MODULE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "batch.h"

struct world_object {
    PyObject_HEAD struct world *world;
    bool is_busy; /* a thread works on the world in C, without the interpreter's lock */
};

struct batch_object {
    PyObject_HEAD struct batch batch;
    PyObject *world; /* the World against which the batch was checked; NULL: none yet */
    Py_buffer buffers[24];
    int buffer_count;
    bool may_change; /* one of the buffers is writable elsewhere: check the batch at each use */
};

/* The world of an argument, which must be a World that no other thread works on; NULL with an exception set. */
struct world *world_of(PyObject *object);
struct batch_object *batch_of(PyObject *object);
/* Map number m of a world; NONE with an exception set if it does not exist. */
u32 map_of(const struct world *w, Py_ssize_t m);

/* Get a buffer of contiguous items; false with an exception set. length: the number of items that is required, -1: any.
 * is_writable: C will write to the buffer. Release it by PyBuffer_Release. */
bool get_items(PyObject *object, Py_buffer *buffer, Py_ssize_t item_bytes, Py_ssize_t length, bool is_writable);
static inline Py_ssize_t items_of(const Py_buffer *buffer, Py_ssize_t item_bytes) { return buffer->len / item_bytes; }

/* Raise MemoryError: the maps of a world need more memory than the machine has. Returns NULL. */
PyObject *no_memory(void);

/* Add a type to the module; false with an exception set. */
bool add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec);
/* The end of a tp_dealloc: free the memory of an object. */
void free_object(PyObject *self);

/* Types and functions of the module, one array a file; false with an exception set. */
bool add_world_types(PyObject *module); /* py_world.c */
bool add_batch_type(PyObject *module); /* py_batch.c */
extern PyMethodDef world_methods[]; /* py_layouts.c: layouts, codes */
extern PyMethodDef replay_methods[]; /* py_replay.c */
extern PyMethodDef model_methods[]; /* py_model.c */
extern PyMethodDef maps_methods[]; /* py_maps.c */
extern PyMethodDef sizes_methods[]; /* py_sizes.c */
extern PyMethodDef charges_methods[]; /* py_charges.c */
extern PyMethodDef codec_methods[]; /* py_codec.c */
extern PyMethodDef walk_methods[]; /* py_walk.c */
extern PyMethodDef read_methods[]; /* py_read.c */

#endif
