/* The Python types World and View; and functions that take arguments, for all files that Python calls. */
#include "module.h"

#include <stdlib.h>
#include <string.h>

static PyTypeObject *world_type, *view_type; /* one of each in a process */

/* ---- arguments ---- */

bool get_items(PyObject *object, Py_buffer *buffer, Py_ssize_t item_bytes, Py_ssize_t length, bool is_writable)
{
    int flags = is_writable ? PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS : PyBUF_C_CONTIGUOUS;
    if (PyObject_GetBuffer(object, buffer, flags) < 0)
        return false;
    if (buffer->len % item_bytes != 0 || (length >= 0 && buffer->len != length * item_bytes) ||
        (uintptr_t)buffer->buf % (item_bytes < 8 ? (uintptr_t)item_bytes : 8) != 0) {
        PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes is not %zd aligned items of %zd", buffer->len, length,
                     item_bytes);
        PyBuffer_Release(buffer);
        return false;
    }
    return true;
}

struct world *world_of(PyObject *object)
{
    if (!PyObject_TypeCheck(object, world_type)) {
        PyErr_SetString(PyExc_TypeError, "a World is needed");
        return NULL;
    }
    struct world_object *world = (struct world_object *)object;
    if (world->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread works on this World");
        return NULL;
    }
    return world->world;
}

u32 map_of(const struct world *w, Py_ssize_t m)
{
    if (m >= 0 && (u64)m < w->map_count)
        return (u32)m;
    PyErr_Format(PyExc_IndexError, "map %zd: there are %u", m, w->map_count);
    return NONE;
}

PyObject *no_memory(void)
{
    PyErr_SetString(PyExc_MemoryError, "the maps need more memory than this machine has");
    return NULL;
}

/* ---- World ---- */

static bool copy_items(PyObject *object, void *to, Py_ssize_t item_bytes, Py_ssize_t length)
{
    Py_buffer buffer;
    if (!get_items(object, &buffer, item_bytes, length, false))
        return false;
    memcpy(to, buffer.buf, (size_t)buffer.len);
    PyBuffer_Release(&buffer);
    return true;
}

static bool fill_world(struct world *w, PyObject *types, PyObject *site_of, PyObject *prunes)
{
    if (!copy_items(types, w->type_facts, sizeof *w->type_facts, w->type_count) ||
        !copy_items(site_of, w->site_of, sizeof *w->site_of, w->stack_count) || !copy_items(prunes, w->prunes, 1, 256))
        return false;
    for (u32 n = 0; n < w->stack_count; n++)
        if (w->site_of[n] >= w->site_count) {
            PyErr_SetString(PyExc_IndexError, "a stack names a site that does not exist");
            return false;
        }
    return true;
}

static char world_doc[] =
    ("World(is_swiss, rules, types, site_of, sites, prunes, sees_growths, why_first, why_filled)\n--\n\n"
     "All maps of one replay. rules: five int64; types: rows as layouts()['types_in']; site_of: uint32, the site\n"
     "of each stack; sites: how many there are; prunes: for each of 256 points, whether an insert there prunes\n"
     "tombstones (bytes); why_first, why_filled: codes of Inexact for any map, and for a map with entries.");

static PyObject *world_create(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    PyObject *rules, *types, *site_of, *prunes;
    int is_swiss, sees_growths;
    Py_ssize_t sites;
    unsigned char why_first, why_filled;
    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "World takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "pOOOnOpbb", &is_swiss, &rules, &types, &site_of, &sites, &prunes, &sees_growths,
                          &why_first, &why_filled))
        return NULL;
    struct rules found;
    Py_buffer stacks, rows;
    if (!copy_items(rules, &found, sizeof(i64), sizeof found / sizeof(i64)) ||
        !get_items(site_of, &stacks, sizeof(u32), -1, false))
        return NULL;
    Py_ssize_t stack_count = items_of(&stacks, sizeof(u32));
    PyBuffer_Release(&stacks);
    if (!get_items(types, &rows, sizeof(struct type_facts), -1, false))
        return NULL;
    Py_ssize_t type_count = items_of(&rows, sizeof(struct type_facts));
    PyBuffer_Release(&rows);
    if (stack_count < 1 || stack_count >= NONE || sites < 1 || sites >= NONE || type_count >= INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a World needs a stack and a site, and fewer than 2**32 of each");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct world_object *self = (struct world_object *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->world = world_new(is_swiss, &found, (u32)stack_count, (u32)sites, (u32)type_count);
    if (self->world == NULL) {
        Py_DECREF(self);
        return no_memory();
    }
    self->world->sees_growths = sees_growths;
    self->world->why_first = why_first;
    self->world->why_filled = why_filled;
    if (!fill_world(self->world, types, site_of, prunes)) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static void world_dealloc(PyObject *self)
{
    if (((struct world_object *)self)->world != NULL)
        world_free(((struct world_object *)self)->world);
    free_object(self);
}

/* ---- View: memory of a World by the buffer protocol ---- */

struct view_object {
    PyObject_HEAD PyObject *world;
    void *start;
    Py_ssize_t bytes;
};

static int view_buffer(PyObject *self, Py_buffer *buffer, int flags)
{
    struct view_object *view = (struct view_object *)self;
    return PyBuffer_FillInfo(buffer, self, view->start, view->bytes, 0, flags);
}

static void view_dealloc(PyObject *self)
{
    Py_XDECREF(((struct view_object *)self)->world);
    free_object(self);
}

struct span {
    const char *name;
    void *start;
    u64 bytes;
};

static struct span span_of(struct world *w, const char *name)
{
    const struct span spans[] = {
        {"maps", w->maps, (u64)w->map_count * sizeof *w->maps},
        {"shapes", w->shapes, (u64)w->map_count * sizeof *w->shapes},
        {"chains", w->chains, (u64)w->map_count * sizeof *w->chains},
        {"facts", w->facts, (u64)w->map_count * sizeof *w->facts},
        {"extras", w->extras, (u64)w->map_count * sizeof *w->extras},
        {"buckets", w->buckets, (u64)w->bucket_top * sizeof *w->buckets},
        {"keys", w->keys, (u64)w->bucket_top * sizeof *w->keys},
        {"tables", w->tables, (u64)w->table_top * sizeof *w->tables},
        {"directory", w->directory, (u64)w->directory_top * sizeof *w->directory},
        {"stacks", w->stacks, (u64)w->stack_count * sizeof *w->stacks},
        {"sites", w->sites, (u64)w->site_count * sizeof *w->sites},
        {"types", w->types, (u64)w->type_count * sizeof *w->types},
        {"total", &w->total, sizeof w->total},
        {"type_facts", w->type_facts, (u64)w->type_count * sizeof *w->type_facts},
        {"free_buckets", w->free_buckets, sizeof w->free_buckets},
        {"free_directories", w->free_directories, sizeof w->free_directories},
    };
    for (size_t n = 0; n < sizeof spans / sizeof *spans; n++)
        if (strcmp(spans[n].name, name) == 0)
            return spans[n];
    return (struct span){NULL, NULL, 0};
}

PyDoc_STRVAR(
    view_doc,
    "view(name)\n--\n\nReturn the rows in use of an array (layouts()) as a writable buffer, without a copy. Rows that\n"
    "are added later are not in this view.");

static PyObject *world_view(PyObject *self, PyObject *name)
{
    struct world *w = world_of(self);
    PyObject *text = w ? PyUnicode_AsASCIIString(name) : NULL;
    if (text == NULL)
        return NULL;
    struct span span = span_of(w, PyBytes_AsString(text));
    Py_DECREF(text);
    if (span.name == NULL)
        return PyErr_Format(PyExc_KeyError, "no array %R", name);
    allocfunc allocate = (allocfunc)PyType_GetSlot(view_type, Py_tp_alloc);
    struct view_object *view = (struct view_object *)allocate(view_type, 0);
    if (view == NULL)
        return NULL;
    Py_INCREF(self);
    view->world = self;
    view->start = span.start;
    view->bytes = (Py_ssize_t)span.bytes;
    return (PyObject *)view;
}

#define NUMBER(name, expression)                                                                                       \
    static PyObject *world_##name(PyObject *self, void *unused)                                                        \
    {                                                                                                                  \
        (void)unused;                                                                                                  \
        const struct world *w = ((struct world_object *)self)->world;                                                  \
        return PyLong_FromUnsignedLongLong(expression);                                                                \
    }
NUMBER(map_count, w->map_count)
NUMBER(bucket_top, w->bucket_top)
NUMBER(table_top, w->table_top)
NUMBER(directory_top, w->directory_top)
NUMBER(free_table, w->free_table)
NUMBER(maps_on_stacks, w->maps_on_stacks)

static PyObject *world_is_swiss(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct world_object *)self)->world->is_swiss);
}

static PyObject *world_has_key_types(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(((struct world_object *)self)->world->has_key_types);
}

static PyMethodDef world_object_methods[] = {{"view", world_view, METH_O, view_doc}, {NULL, NULL, 0, NULL}};
static PyGetSetDef world_numbers[] = {
    {"map_count", world_map_count, NULL, "How many generations of maps there are.", NULL},
    {"bucket_top", world_bucket_top, NULL, "Buckets that were ever taken, including free ones.", NULL},
    {"table_top", world_table_top, NULL, "Tables that were ever taken, including free ones.", NULL},
    {"directory_top", world_directory_top, NULL, "Directory slots that were ever taken, including free ones.", NULL},
    {"free_table", world_free_table, NULL, "The first free table, NONE: none.", NULL},
    {"maps_on_stacks", world_maps_on_stacks, NULL, "How many live maps are on stacks of goroutines.", NULL},
    {"is_swiss", world_is_swiss, NULL, "Whether the maps are Swiss.", NULL},
    {"has_key_types", world_has_key_types, NULL, "Whether any entry has a key type other than 0.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- types ---- */

static PyType_Slot world_slots[] = {
    {Py_tp_doc, world_doc},         {Py_tp_new, world_create},
    {Py_tp_dealloc, world_dealloc}, {Py_tp_methods, world_object_methods},
    {Py_tp_getset, world_numbers},  {0, NULL},
};
static PyType_Slot view_slots[] = {{Py_tp_dealloc, view_dealloc}, {Py_bf_getbuffer, view_buffer}, {0, NULL}};
static PyType_Spec world_spec = {"mapprobe._core.World", sizeof(struct world_object), 0, Py_TPFLAGS_DEFAULT,
                                 world_slots};
static PyType_Spec view_spec = {"mapprobe._core.View", sizeof(struct view_object), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, view_slots};

bool add_type(PyObject *module, PyTypeObject **type, PyType_Spec *spec)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type != NULL && PyModule_AddType(module, *type) == 0;
}

bool add_world_types(PyObject *module)
{
    return add_type(module, &world_type, &world_spec) && add_type(module, &view_type, &view_spec);
}
