/* The Python type Batch: columns of packed events, whose memory belongs to Python. */
#include "module.h"

#include <stdlib.h>

static PyTypeObject *batch_type; /* one in a process */

struct batch_object *batch_of(PyObject *object)
{
    if (PyObject_TypeCheck(object, batch_type))
        return (struct batch_object *)object;
    PyErr_SetString(PyExc_TypeError, "a Batch is needed");
    return NULL;
}

static char batch_doc[] =
    ("Batch(own, common)\n--\n\n"
     "Packed events to be applied to a World.\n\n"
     "own, one row an event: time_step u32, header u16 or u32, kind u8, point u8, hash u64, count u32,\n"
     "overflow_count u16, evacuated u32, goid u32, stack_id u32, depth u32. common, one row a header: map_addr\n"
     "u64, stack_offset u32, type_id i32, key_type u64, seed u64, array_addr u64, old_array_addr u64, flags u8,\n"
     "log2_size u8, directory_length u32, time_step_high u32, count_high u32, goid_high u32.");

/* The columns, in the order of the tuples: core.py has the same. */
enum {
    OWN_STEP,
    OWN_NUMBER,
    OWN_KIND,
    OWN_POINT,
    OWN_HASH,
    OWN_COUNT,
    OWN_OVERFLOW_COUNT,
    OWN_EVACUATED,
    OWN_GOID,
    OWN_STACK_ID,
    OWN_DEPTH,
    OWN_COLUMNS
};
enum {
    COMMON_MAP_ADDR,
    COMMON_STACK_OFFSET,
    COMMON_TYPE_ID,
    COMMON_KEY_TYPE,
    COMMON_SEED,
    COMMON_ARRAY_ADDR,
    COMMON_OLD_ARRAY_ADDR,
    COMMON_FLAGS,
    COMMON_LOG2_SIZE,
    COMMON_DIRECTORY_LENGTH,
    COMMON_STEP_HIGH,
    COMMON_COUNT_HIGH,
    COMMON_GOID_HIGH,
    COMMON_COLUMNS
};
static const Py_ssize_t own_bytes[OWN_COLUMNS] = {4, 2, 1, 1, 8, 4, 2, 4, 4, 4, 4};
static const Py_ssize_t common_bytes[COMMON_COLUMNS] = {8, 4, 4, 8, 8, 8, 8, 1, 1, 4, 4, 4, 4};

/* Add the buffers of a tuple of columns to those of the batch; false with an exception set. */
static bool get_columns(struct batch_object *self, PyObject *columns, const Py_ssize_t *bytes, Py_ssize_t count)
{
    if (!PyTuple_Check(columns) || PyTuple_Size(columns) != count) {
        PyErr_SetString(PyExc_TypeError, "a tuple of all columns is needed");
        return false;
    }
    Py_ssize_t length = -1;
    for (Py_ssize_t n = 0; n < count; n++) {
        Py_buffer *buffer = &self->buffers[self->buffer_count];
        PyObject *column = PyTuple_GetItem(columns, n);
        bool is_number = bytes == own_bytes && n == OWN_NUMBER;
        if (!get_items(column, buffer, bytes[n], is_number ? -1 : length, false))
            return false;
        self->buffer_count++;
        self->may_change |= !buffer->readonly;
        if (length < 0)
            length = items_of(buffer, bytes[n]);
        if (is_number && buffer->len != 2 * length && (buffer->len != 4 * length || (uintptr_t)buffer->buf % 4 != 0)) {
            PyErr_SetString(PyExc_ValueError, "columns of one length are needed");
            return false;
        }
    }
    return true;
}

static void set_columns(struct batch *b, const Py_buffer *own)
{
    b->length = (u64)items_of(&own[OWN_STEP], 4);
    b->step = own[OWN_STEP].buf;
    if (own[OWN_NUMBER].len == (Py_ssize_t)(4 * b->length) && b->length != 0)
        b->wide_number = own[OWN_NUMBER].buf;
    else
        b->number = own[OWN_NUMBER].buf;
    b->kind = own[OWN_KIND].buf;
    b->point = own[OWN_POINT].buf;
    b->hash = own[OWN_HASH].buf;
    b->count = own[OWN_COUNT].buf;
    b->overflow_count = own[OWN_OVERFLOW_COUNT].buf;
    b->evacuated = own[OWN_EVACUATED].buf;
    b->goid = own[OWN_GOID].buf;
    b->stack_id = own[OWN_STACK_ID].buf;
    b->depth = own[OWN_DEPTH].buf;
    const Py_buffer *common = own + OWN_COLUMNS;
    b->headers = (u64)items_of(&common[COMMON_MAP_ADDR], 8);
    b->count_high = common[COMMON_COUNT_HIGH].buf;
    b->goid_high = common[COMMON_GOID_HIGH].buf;
}

static PyObject *batch_create(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *own, *common;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "OO", &own, &common))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct batch_object *self = (struct batch_object *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    if (!get_columns(self, own, own_bytes, OWN_COLUMNS) || !get_columns(self, common, common_bytes, COMMON_COLUMNS)) {
        Py_DECREF(self);
        return NULL;
    }
    set_columns(&self->batch, self->buffers);
    const Py_buffer *c = self->buffers + OWN_COLUMNS;
    struct header_columns columns = {
        .map_addr = c[COMMON_MAP_ADDR].buf,
        .stack_offset = c[COMMON_STACK_OFFSET].buf,
        .type = c[COMMON_TYPE_ID].buf,
        .key_type = c[COMMON_KEY_TYPE].buf,
        .seed = c[COMMON_SEED].buf,
        .array_addr = c[COMMON_ARRAY_ADDR].buf,
        .old_array_addr = c[COMMON_OLD_ARRAY_ADDR].buf,
        .flags = c[COMMON_FLAGS].buf,
        .log2 = c[COMMON_LOG2_SIZE].buf,
        .directory_length = c[COMMON_DIRECTORY_LENGTH].buf,
        .step_high = c[COMMON_STEP_HIGH].buf,
    };
    if (!new_headers(&self->batch, &columns)) {
        Py_DECREF(self);
        return no_memory();
    }
    return (PyObject *)self;
}

static void batch_dealloc(PyObject *self)
{
    struct batch_object *batch = (struct batch_object *)self;
    for (int n = 0; n < batch->buffer_count; n++)
        PyBuffer_Release(&batch->buffers[n]);
    free(batch->batch.header);
    Py_XDECREF(batch->world);
    free_object(self);
}

static PyObject *batch_row(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct batch_object *)self)->batch.row);
}

static PyObject *batch_length(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLongLong(((struct batch_object *)self)->batch.length);
}

static PyGetSetDef batch_numbers[] = {
    {"row", batch_row, NULL, "The first event that is not applied yet.", NULL},
    {"length", batch_length, NULL, "How many events there are.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_doc, batch_doc},
    {Py_tp_new, batch_create},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_getset, batch_numbers},
    {0, NULL},
};
static PyType_Spec batch_spec = {"mapprobe._core.Batch", sizeof(struct batch_object), 0, Py_TPFLAGS_DEFAULT,
                                 batch_slots};

bool add_batch_type(PyObject *module) { return add_type(module, &batch_type, &batch_spec); }
