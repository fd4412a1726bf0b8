/* Functions of py_encoding.c, which py_codec.c lists. */
#ifndef MAPPROBE_PY_ENCODING_H
#define MAPPROBE_PY_ENCODING_H

#include "module.h"

PyObject *py_new_encoder(PyObject *module, PyObject *args);
PyObject *py_encode_batch(PyObject *module, PyObject *args);
PyObject *py_new_decoder(PyObject *module, PyObject *args);
PyObject *py_decode_batch(PyObject *module, PyObject *args);

#define ENCODE_BATCH_DOC                                                                                               \
    "encode_batch(encoder, own, headers)\n--\n\n"                                                                      \
    "A packed batch in the bytes of a file, less its hashes: whether it can be read by itself, and the bytes. own,\n"  \
    "headers: lists of columns in the order of packed_schema, own with the numbers of headers, without the hash."
#define DECODE_BATCH_DOC                                                                                               \
    "decode_batch(decoder, rows, is_full, encoded)\n--\n\n"                                                            \
    "The two tuples of columns that encode_batch had as lists. ValueError: it is damaged, or one before it was;\n"     \
    "then only a full one can be read."

#endif
