/* Functions of py_packer.c, which py_codec.c lists, and functions for errors in both files. */
#ifndef MAPPROBE_PY_PACKER_H
#define MAPPROBE_PY_PACKER_H

#include "module.h"

/* Raise ValueError. Returns NULL. */
PyObject *refuse_value(const char *why);
/* Raise MemoryError. Returns NULL. */
PyObject *lack_memory(void);

PyObject *py_new_packer(PyObject *module, PyObject *args);
PyObject *py_pack_events(PyObject *module, PyObject *args);
PyObject *py_numbered(PyObject *module, PyObject *args);
PyObject *py_take_packed(PyObject *module, PyObject *args);
PyObject *py_packed_rows(PyObject *module, PyObject *args);
PyObject *py_seen_maps(PyObject *module, PyObject *args);

#endif
