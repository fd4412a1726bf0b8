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
    "Encode a packed batch without its hashes; return whether it can be read without earlier batches, and bytes.\n"    \
    "own, headers: lists of columns in the order of packed_schema; own has the numbers of headers, not the hash."
#define DECODE_BATCH_DOC                                                                                               \
    "decode_batch(decoder, rows, is_full, encoded)\n--\n\n"                                                            \
    "Return the columns that encode_batch took, as two tuples. ValueError: this batch or an earlier one is damaged;\n" \
    "then only a full batch can be read."

#endif
