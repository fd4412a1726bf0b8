/* Python functions that encode packed batches for a file, and decode them. */
#include "py_encoding.h"

#include "encoding.h"
#include "py_packer.h"

#define ENCODER "mapprobe.encoder"
#define DECODER "mapprobe.decoder"

struct packed_column {
    size_t place;
    u32 item_bytes;
}; /* where struct packed has the pointer to the column */

#define COLUMN(name) {offsetof(struct packed, name), sizeof *((struct packed *)0)->name}

/* In the order of packed_schema, without the hash. */
static const struct packed_column own_columns[] = {
    COLUMN(step),      COLUMN(number), COLUMN(kind), COLUMN(point),    COLUMN(count), COLUMN(overflow_count),
    COLUMN(evacuated), COLUMN(goid),   COLUMN(tid),  COLUMN(stack_id), COLUMN(depth),
};
static const struct packed_column header_columns[] = {
    COLUMN(map_addr),   COLUMN(stack_offset),   COLUMN(type_id),    COLUMN(key_type),  COLUMN(seed),
    COLUMN(array_addr), COLUMN(old_array_addr), COLUMN(flags),      COLUMN(log2_size), COLUMN(directory_length),
    COLUMN(clear_seq),  COLUMN(step_high),      COLUMN(count_high), COLUMN(goid_high),
};

#define OWN_COLUMNS (sizeof own_columns / sizeof *own_columns)
#define COMMON_COLUMNS (sizeof header_columns / sizeof *header_columns)

static void set_pointer(struct packed *batch, const struct packed_column *column, const void *memory)
{
    memcpy((u8 *)batch + column->place, &memory, sizeof memory);
}

/* ---- encoding ---- */

static void free_encoder(PyObject *capsule) { encoder_free(PyCapsule_GetPointer(capsule, ENCODER)); }

PyObject *py_new_encoder(PyObject *module, PyObject *args)
{
    (void)module;
    if (!PyArg_ParseTuple(args, ""))
        return NULL;
    struct encoder *e = encoder_new();
    if (e == NULL)
        return lack_memory();
    PyObject *capsule = PyCapsule_New(e, ENCODER, free_encoder);
    if (capsule == NULL)
        encoder_free(e);
    return capsule;
}

/* Get columns of one length, -1: the length of the first. Return how many buffers have to be released now. */
static size_t get_packed(PyObject *list, const struct packed_column *columns, size_t count, Py_buffer *buffers,
                         struct packed *batch)
{
    Py_ssize_t rows = -1;
    if (!PyList_Check(list) || (size_t)PyList_Size(list) != count) {
        refuse_value("a packed batch has other columns");
        return 0;
    }
    for (size_t n = 0; n < count; n++) {
        Py_ssize_t item_bytes = columns[n].item_bytes;
        if (!get_items(PyList_GetItem(list, (Py_ssize_t)n), &buffers[n], item_bytes, rows, false))
            return n;
        rows = items_of(&buffers[n], item_bytes);
        set_pointer(batch, &columns[n], buffers[n].buf);
    }
    if (rows >= NONE)
        refuse_value("a batch has too many rows");
    if (columns == own_columns)
        batch->rows = (u32)rows;
    else
        batch->headers = (u32)rows;
    return count;
}

PyObject *py_encode_batch(PyObject *module, PyObject *args)
{
    PyObject *capsule, *own, *headers;
    Py_buffer buffers[OWN_COLUMNS + COMMON_COLUMNS];
    struct packed batch = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &own, &headers))
        return NULL;
    struct encoder *e = PyCapsule_GetPointer(capsule, ENCODER);
    if (e == NULL)
        return NULL;
    size_t count = get_packed(own, own_columns, OWN_COLUMNS, buffers, &batch);
    if (!PyErr_Occurred())
        count += get_packed(headers, header_columns, COMMON_COLUMNS, buffers + count, &batch);
    const u8 *bytes = NULL;
    u64 length = 0;
    bool is_full = false;
    const char *wrong = PyErr_Occurred() ? NULL : encode(e, &batch, &is_full, &bytes, &length);
    while (count > 0)
        PyBuffer_Release(&buffers[--count]);
    if (wrong != NULL)
        return refuse_value(wrong);
    if (PyErr_Occurred())
        return NULL;
    return Py_BuildValue("Ny#", PyBool_FromLong(is_full), (const char *)bytes, (Py_ssize_t)length);
}

/* ---- decoding ---- */

static void free_decoder(PyObject *capsule) { decoder_free(PyCapsule_GetPointer(capsule, DECODER)); }

PyObject *py_new_decoder(PyObject *module, PyObject *args)
{
    (void)module;
    if (!PyArg_ParseTuple(args, ""))
        return NULL;
    struct decoder *d = decoder_new();
    if (d == NULL)
        return lack_memory();
    PyObject *capsule = PyCapsule_New(d, DECODER, free_decoder);
    if (capsule == NULL)
        decoder_free(d);
    return capsule;
}

/* Allocate columns for a batch, as byte arrays; NULL with an exception set. */
static PyObject *new_columns(const struct packed_column *columns, size_t count, u32 rows, struct packed *batch)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t n = 0; tuple != NULL && n < count; n++) {
        PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)rows * columns[n].item_bytes);
        if (column == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)n, column) < 0)
            Py_CLEAR(tuple);
        else
            set_pointer(batch, &columns[n], PyBytes_AsString(column));
    }
    return tuple;
}

PyObject *py_decode_batch(PyObject *module, PyObject *args)
{
    PyObject *capsule, *encoded, *own = NULL, *headers = NULL;
    Py_ssize_t rows;
    int is_full;
    Py_buffer bytes;
    struct packed batch = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OnpO", &capsule, &rows, &is_full, &encoded))
        return NULL;
    struct decoder *d = PyCapsule_GetPointer(capsule, DECODER);
    if (d == NULL || !get_items(encoded, &bytes, 1, -1, false))
        return NULL;
    batch.rows = rows < 0 || rows > MOST_VALUES ? MOST_VALUES + 1 : (u32)rows;
    const char *wrong = decode_begin(d, batch.rows, is_full, bytes.buf, (u64)bytes.len, &batch.headers);
    PyBuffer_Release(&bytes);
    if (wrong == NULL) {
        own = new_columns(own_columns, OWN_COLUMNS, batch.rows, &batch);
        headers = own ? new_columns(header_columns, COMMON_COLUMNS, batch.headers, &batch) : NULL;
        wrong = headers ? decode(d, &batch) : NULL;
    }
    if (wrong == NULL && headers != NULL)
        return Py_BuildValue("NN", own, headers);
    Py_XDECREF(own);
    Py_XDECREF(headers);
    return wrong ? refuse_value(wrong) : NULL;
}
