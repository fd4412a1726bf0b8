/* The layout of the structs, for numpy: name, offset and type of each field, from the compiler. */
#include "module.h"

struct field {
    const char *name, *dtype;
    size_t offset;
};
struct layout {
    const char *name;
    size_t bytes;
    const struct field *fields;
};

#define FIELD(type, name, dtype) {#name, dtype, offsetof(struct type, name)}
#define END {NULL, NULL, 0}

static const struct field maps[] = {
    FIELD(map, header, "u8"),         FIELD(map, last_ns, "u8"),   FIELD(map, inserts, "u8"),
    FIELD(map, updates, "u8"),        FIELD(map, deletes, "u8"),   FIELD(map, count, "u4"),
    FIELD(map, array, "u4"),          FIELD(map, peak, "u4"),      FIELD(map, type, "i4"),
    FIELD(map, overflow_count, "u2"), FIELD(map, log2, "u1"),      FIELD(map, flags, "u1"),
    FIELD(map, state, "u1"),          FIELD(map, uncounted, "u1"), END,
};
static const struct field shapes[] = {
    FIELD(shape, bucket_bytes, "u4"),
    FIELD(shape, has_pointers, "u4"),
    FIELD(shape, made_by, "u4"),
    FIELD(shape, groups, "u4"),
    END,
};
static const struct field chains[] = {
    FIELD(chains, old_array, "u4"),   FIELD(chains, evacuated, "u4"), FIELD(chains, chained, "u4"),
    FIELD(chains, old_chained, "u4"), FIELD(chains, waiting, "u4"),   FIELD(chains, preallocated_used, "u4"),
    FIELD(chains, heap, "u4"),        FIELD(chains, old_heap, "u4"),  END,
};
static const struct field facts[] = {
    FIELD(fact, key, "u8"),
    FIELD(fact, addr, "u8"),
    FIELD(fact, seed, "u8"),
    FIELD(fact, array_addr, "u8"),
    FIELD(fact, key_type, "u8"),
    FIELD(fact, created_ns, "u8"),
    FIELD(fact, created_by, "u4"),
    FIELD(fact, grown_by, "u4"),
    FIELD(fact, generation, "u4"),
    FIELD(fact, inexact, "u1"),
    FIELD(fact, pending, "u1"),
    FIELD(fact, doubt_point, "u1"),
    END,
};
static const struct field extras[] = {
    FIELD(extra, resumed_ns, "u8"),    FIELD(extra, ended_ns, "u8"),
    FIELD(extra, last_count, "u8"),    FIELD(extra, doubt_hash, "u8"),
    FIELD(extra, growths, "u8"),       FIELD(extra, clears, "u8"),
    FIELD(extra, pending_stack, "u4"), FIELD(extra, clone_of, "u4"),
    FIELD(extra, older, "u4"),         END,
};
static const struct field buckets[] = {
    FIELD(bucket, control, "u8"),
    {"hashes", "8u8", offsetof(struct bucket, slots)},
    FIELD(bucket, insert_stacks, "8u4"),
    FIELD(bucket, grown_by, "u4"),
    FIELD(bucket, last_insert, "u4"),
    FIELD(bucket, last_delete, "u4"),
    FIELD(bucket, next, "u4"),
    FIELD(bucket, kind, "u1"),
    END,
};
static const struct field keys[] = {FIELD(bucket_keys, key_types, "8u8"), END};
static const struct field tables[] = {
    FIELD(table, first, "u4"),
    FIELD(table, index, "u4"),
    FIELD(table, used, "u2"),
    FIELD(table, growth_left, "u2"),
    FIELD(table, log2_groups, "u1"),
    FIELD(table, local_depth, "u1"),
    END,
};
static const struct field stacks[] = {
    FIELD(stack_counts, maps, "i8"),    FIELD(stack_counts, growths, "i8"), FIELD(stack_counts, inserts, "i8"),
    FIELD(stack_counts, updates, "i8"), FIELD(stack_counts, deletes, "i8"), FIELD(stack_counts, clears, "i8"),
    FIELD(stack_counts, live, "i8"),    FIELD(stack_counts, peak, "i8"),    END,
};
static const struct field lives[] = {FIELD(live, live, "i8"), FIELD(live, peak, "i8"), END};
static const struct field types_in[] = {
    FIELD(type_facts, bucket_bytes, "u4"),
    FIELD(type_facts, layout, "i4"),
    FIELD(type_facts, name, "i4"),
    FIELD(type_facts, has_pointers, "u1"),
    FIELD(type_facts, is_indirect, "u1"),
    FIELD(type_facts, may_meet, "u1"),
    END,
};

static const struct layout all[] = {
    {"maps", sizeof(struct map), maps},
    {"shapes", sizeof(struct shape), shapes},
    {"chains", sizeof(struct chains), chains},
    {"facts", sizeof(struct fact), facts},
    {"extras", sizeof(struct extra), extras},
    {"buckets", sizeof(struct bucket), buckets},
    {"keys", sizeof(struct bucket_keys), keys},
    {"tables", sizeof(struct table), tables},
    {"stacks", sizeof(struct stack_counts), stacks},
    {"sites", sizeof(struct live), lives},
    {"types", sizeof(struct live), lives},
    {"total", sizeof(struct live), lives},
    {"types_in", sizeof(struct type_facts), types_in},
};

static PyObject *fields_of(const struct field *fields)
{
    PyObject *list = PyList_New(0);
    for (; list != NULL && fields->name != NULL; fields++) {
        PyObject *row = Py_BuildValue("(ssn)", fields->name, fields->dtype, (Py_ssize_t)fields->offset);
        if (row == NULL || PyList_Append(list, row) < 0)
            Py_CLEAR(list);
        Py_XDECREF(row);
    }
    return list;
}

static PyObject *layouts(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *found = PyDict_New();
    for (size_t n = 0; found != NULL && n < sizeof all / sizeof *all; n++) {
        PyObject *fields = fields_of(all[n].fields);
        PyObject *row = fields ? Py_BuildValue("(nN)", (Py_ssize_t)all[n].bytes, fields) : NULL;
        if (row == NULL || PyDict_SetItemString(found, all[n].name, row) < 0)
            Py_CLEAR(found);
        Py_XDECREF(row);
    }
    return found;
}

struct code {
    const char *name;
    int number;
};
#define ROW(name, number) {#name, number},
static const struct code event_kinds[] = {EVENT_KINDS(ROW){NULL, 0}};
static const struct code inexact_reasons[] = {INEXACT_REASONS(ROW){NULL, 0}};
static const struct code map_states[] = {MAP_STATES(ROW){NULL, 0}};
#undef ROW

static PyObject *numbers_of(const struct code *codes)
{
    PyObject *found = PyDict_New();
    for (; found != NULL && codes->name != NULL; codes++) {
        PyObject *number = PyLong_FromLong(codes->number);
        if (number == NULL || PyDict_SetItemString(found, codes->name, number) < 0)
            Py_CLEAR(found);
        Py_XDECREF(number);
    }
    return found;
}

static PyObject *codes(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("{sNsNsN}", "event_kind", numbers_of(event_kinds), "inexact", numbers_of(inexact_reasons),
                         "state", numbers_of(map_states));
}

PyMethodDef world_methods[] = {
    {"layouts", layouts, METH_NOARGS,
     "layouts()\n--\n\nReturn for each array the bytes of a row, and its fields: name, dtype, offset."},
    {"codes", codes, METH_NOARGS, "codes()\n--\n\nReturn the numbers that C and Python share, each list by name."},
    {NULL, NULL, 0, NULL},
};
