/* Python functions for the inner loops over a process's memory. */
#include "py_buffers.h"
#include "walk.h"

PyDoc_STRVAR(look_doc,
             "look_at_headers(words, width, is_swiss, looks)\n--\n\n"
             "Write for each row of words: 1 if it looks like a header that leads to buckets, 2 if it looks like the\n"
             "header of a map that was never written, else 0.");

static PyObject *py_look_at_headers(PyObject *module, PyObject *args)
{
    PyObject *in, *out;
    Py_ssize_t width;
    int is_swiss;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OnpO", &in, &width, &is_swiss, &out))
        return NULL;
    if (width < 6 || width > 8)
        return refuse(&b, "a header has 6 to 8 words");
    const u64 *words = take(&b, in, 8, -1, false);
    if (words == NULL || items_at(&b, 0, 8) % width != 0)
        return words ? refuse(&b, "rows of that width are needed") : NULL;
    Py_ssize_t count = items_at(&b, 0, 8) / width;
    u8 *looks = take(&b, out, 1, count, true);
    if (looks == NULL)
        return lack(&b);
    for (Py_ssize_t n = 0; n < count; n++)
        looks[n] = (u8)(is_swiss ? look_at_swiss(words + n * width) : look_at_classic(words + n * width, (u32)width));
    release(&b);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(find_headers_doc,
             "find_headers(is_swiss, spans, addr, words, is_old)\n--\n\n"
             "Write the objects of spans that look like headers; return how many there are, and how many look like\n"
             "headers that were never written. spans: (starts, 1024 words a span, objects, bits of taken objects,\n"
             "bits of those that outlived a collection, words of bits a span, words of an object).");

static PyObject *py_find_headers(PyObject *module, PyObject *args)
{
    PyObject *starts, *in, *objects, *taken, *survived, *addr_out, *words_out, *old_out;
    Py_ssize_t bit_words, width;
    int is_swiss;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "p(OOOOOnn)OOO", &is_swiss, &starts, &in, &objects, &taken, &survived, &bit_words,
                          &width, &addr_out, &words_out, &old_out))
        return NULL;
    if (width < 6 || width > 8 || bit_words < 1 || bit_words > PAGE_WORDS)
        return refuse(&b, "a header has 6 to 8 words");
    struct header_spans s = {.is_swiss = is_swiss, .width = (u32)width, .bit_words = (u32)bit_words};
    s.starts = take(&b, starts, 8, -1, false);
    Py_ssize_t count = s.starts ? items_at(&b, 0, 8) : 0;
    s.count = (u64)count;
    s.words = s.starts ? take(&b, in, 8, count * PAGE_WORDS, false) : NULL;
    s.objects = s.words ? take(&b, objects, 8, count, false) : NULL;
    s.taken = s.objects ? take(&b, taken, 8, count * bit_words, false) : NULL;
    s.survived = s.taken ? take(&b, survived, 8, count * bit_words, false) : NULL;
    Py_ssize_t room = count * (PAGE_WORDS / width);
    u64 *addr = s.survived ? take(&b, addr_out, 8, -1, true) : NULL;
    u64 *words = addr ? take(&b, words_out, 8, -1, true) : NULL;
    u8 *is_old = words ? take(&b, old_out, 1, -1, true) : NULL;
    if (is_old == NULL)
        return lack(&b);
    if (items_at(&b, 5, 8) < room || items_at(&b, 6, 8) < room * width || items_at(&b, 7, 1) < room)
        return refuse(&b, "room for every object is needed");
    u64 unwritten, found = find_headers(&s, addr, words, is_old, &unwritten);
    release(&b);
    return Py_BuildValue("(KK)", (unsigned long long)found, (unsigned long long)unwritten);
}

PyDoc_STRVAR(
    find_references_doc,
    "find_references(targets, ends, words, pointer_bits, places, rows)\n--\n\n"
    "Write each word that is one of some sorted addresses: its place, and the row of the address; return how many.\n"
    "targets: (addrs, first page, whether each page from there on has one); ends: (guards, marks, no guard) of\n"
    "stacks; pointer_bits: for each page the word at which its bitmap of pointers begins, or None.");

static PyObject *py_find_references(PyObject *module, PyObject *args)
{
    PyObject *addrs, *has, *guards, *marks, *words, *bits, *places, *rows;
    unsigned long long first_page, no_guard;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "(OKO)(OOK)OOOO", &addrs, &first_page, &has, &guards, &marks, &no_guard, &words, &bits,
                          &places, &rows))
        return NULL;
    struct targets t = {.first_page = first_page};
    struct stack_ends e = {.no_guard = no_guard};
    struct stretch memory = {.pointer_bits = NULL};
    t.addrs = take(&b, addrs, 8, -1, false);
    t.has = t.addrs ? take(&b, has, 1, -1, false) : NULL;
    e.guards = t.has ? take(&b, guards, 8, -1, false) : NULL;
    e.marks = e.guards ? take(&b, marks, 8, -1, false) : NULL;
    memory.words = e.marks ? take(&b, words, 8, -1, false) : NULL;
    if (memory.words == NULL)
        return lack(&b);
    t.count = (u64)items_at(&b, 0, 8), t.pages = (u64)items_at(&b, 1, 1);
    e.guard_count = (u64)items_at(&b, 2, 8), e.mark_count = (u64)items_at(&b, 3, 8);
    memory.count = (u64)items_at(&b, 4, 8);
    struct references out = {.room = memory.count};
    out.places = take(&b, places, 8, -1, true);
    out.rows = out.places ? take(&b, rows, 8, -1, true) : NULL;
    if (out.rows == NULL)
        return lack(&b);
    if (items_at(&b, 5, 8) < (Py_ssize_t)out.room || items_at(&b, 6, 8) < (Py_ssize_t)out.room)
        return refuse(&b, "room for every word is needed");
    if (bits != Py_None) {
        Py_ssize_t pages = (Py_ssize_t)((memory.count + PAGE_WORDS - 1) / PAGE_WORDS);
        if (memory.count % PAGE_WORDS != 0)
            return refuse(&b, "whole pages are needed");
        memory.pointer_bits = take(&b, bits, 8, pages, false);
        if (memory.pointer_bits == NULL)
            return lack(&b);
    }
    u64 found = find_references(&t, &e, &memory, &out);
    release(&b);
    return PyLong_FromUnsignedLongLong(found);
}

PyDoc_STRVAR(find_spans_doc, "find_spans((starts, ends, object_bytes), addrs, rows, offsets)\n--\n\n"
                             "Write for each address the row of its span, -1 for none, and its offset in its object.");

static PyObject *py_find_spans(PyObject *module, PyObject *args)
{
    PyObject *starts, *ends, *sizes, *in, *rows_out, *offsets_out;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "(OOO)OOO", &starts, &ends, &sizes, &in, &rows_out, &offsets_out))
        return NULL;
    struct span_table s = {.starts = take(&b, starts, 8, -1, false)};
    const Py_ssize_t spans = s.starts ? items_at(&b, 0, 8) : 0;
    s.count = (u64)spans;
    s.ends = s.starts ? take(&b, ends, 8, spans, false) : NULL;
    s.object_bytes = s.ends ? take(&b, sizes, 8, spans, false) : NULL;
    const u64 *addrs = s.object_bytes ? take(&b, in, 8, -1, false) : NULL;
    const Py_ssize_t count = addrs ? items_at(&b, 3, 8) : 0;
    i64 *rows = addrs ? take(&b, rows_out, 8, count, true) : NULL;
    i64 *offsets = rows ? take(&b, offsets_out, 8, count, true) : NULL;
    if (offsets == NULL)
        return lack(&b);
    for (Py_ssize_t n = 0; n < spans; n++)
        if (s.object_bytes[n] == 0)
            return refuse(&b, "an object takes something");
    find_spans(&s, addrs, (u64)count, rows, offsets);
    release(&b);
    Py_RETURN_NONE;
}

PyMethodDef walk_methods[] = {
    {"look_at_headers", py_look_at_headers, METH_VARARGS, look_doc},
    {"find_headers", py_find_headers, METH_VARARGS, find_headers_doc},
    {"find_references", py_find_references, METH_VARARGS, find_references_doc},
    {"find_spans", py_find_spans, METH_VARARGS, find_spans_doc},
    {NULL, NULL, 0, NULL},
};
