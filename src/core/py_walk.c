/* The inner loops over a process's memory, as Python calls them. */
#include "module.h"

#include "walk.h"

enum { MOST_BUFFERS = 12 };

/* The buffers of one call. */
struct buffers { Py_buffer of[MOST_BUFFERS]; int count; };

static void release(struct buffers *b)
{
    while (b->count > 0)
        PyBuffer_Release(&b->of[--b->count]);
}

/* One more buffer of `length` items, -1: any number; NULL with an exception set. */
static void *take(struct buffers *b, PyObject *object, Py_ssize_t item_bytes, Py_ssize_t length, bool is_writable)
{
    if (!get_items(object, &b->of[b->count], item_bytes, length, is_writable))
        return NULL;
    static u64 nothing; /* what an empty buffer points to: NULL would be an error */
    void *start = b->of[b->count++].buf;
    return start != NULL ? start : &nothing;
}

static Py_ssize_t items_at(const struct buffers *b, int number, Py_ssize_t item_bytes)
{
    return items_of(&b->of[number], item_bytes);
}

static PyObject *refuse(struct buffers *b, const char *why)
{
    release(b);
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

static PyObject *lack(struct buffers *b)
{
    release(b);
    return NULL;
}

PyDoc_STRVAR(arrange_doc, "arrange(addrs, length, gap, most, sorted, rows, ends)\n--\n\n"
                          "Write in order the addresses that can be read, the row of each, and where each run of those that\n"
                          "are read together ends; return how many addresses and runs there are.");

static PyObject *py_arrange(PyObject *module, PyObject *args)
{
    PyObject *in, *sorted_out, *rows_out, *ends_out;
    struct run_limits limits;
    unsigned long long length, gap, most;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OKKKOOO", &in, &length, &gap, &most, &sorted_out, &rows_out, &ends_out))
        return NULL;
    limits = (struct run_limits){length, gap, most};
    const u64 *addrs = take(&b, in, 8, -1, false);
    Py_ssize_t count = addrs ? items_at(&b, 0, 8) : 0;
    u64 *sorted = addrs ? take(&b, sorted_out, 8, count, true) : NULL;
    i64 *rows = sorted ? take(&b, rows_out, 8, count, true) : NULL;
    i64 *ends = rows ? take(&b, ends_out, 8, count, true) : NULL;
    if (ends == NULL)
        return lack(&b);
    u64 fit = sort_addresses(addrs, (u64)count, sorted, rows);
    u64 runs = fit == NONE ? 0 : find_runs(sorted, fit, &limits, ends);
    release(&b);
    if (fit == NONE)
        return PyErr_NoMemory();
    return Py_BuildValue("(KK)", (unsigned long long)fit, (unsigned long long)runs);
}

PyDoc_STRVAR(gather_doc, "gather_words(words, base, addrs, rows, found, known)\n--\n\n"
                         "Copy what stands at addresses within words, which begin at base, to rows of found; note them known.");

static PyObject *py_gather(PyObject *module, PyObject *args)
{
    PyObject *words, *addrs, *rows, *found, *known;
    unsigned long long base;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OKOOOO", &words, &base, &addrs, &rows, &found, &known))
        return NULL;
    struct gathering g = {.base = base};
    g.words = take(&b, words, 8, -1, false);
    g.addrs = g.words ? take(&b, addrs, 8, -1, false) : NULL;
    g.length = g.addrs ? (u64)items_at(&b, 1, 8) : 0;
    g.rows = g.addrs ? take(&b, rows, 8, (Py_ssize_t)g.length, false) : NULL;
    u8 *is_known = g.rows ? take(&b, known, 1, -1, true) : NULL;
    u64 *to = is_known ? take(&b, found, 8, -1, true) : NULL;
    if (to == NULL)
        return lack(&b);
    const u64 there = (u64)items_at(&b, 0, 8), all_rows = (u64)items_at(&b, 3, 1);
    g.count = all_rows ? (u64)items_at(&b, 4, 8) / all_rows : 0;
    for (u64 n = 0; n < g.length; n++)
        if (g.addrs[n] < base || (g.addrs[n] - base) / 8 + g.count > there || (g.addrs[n] & 7) != 0 || g.rows[n] < 0 ||
            (u64)g.rows[n] >= all_rows)
            return refuse(&b, "an address or a row is outside");
    gather_words(&g, to, is_known);
    release(&b);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(look_doc, "look_at_headers(words, width, is_swiss, looks)\n--\n\n"
                       "Write of each row of words 1 if it looks like a header that leads to buckets, 2 if like one of a map\n"
                       "that was never written, else 0.");

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

PyDoc_STRVAR(find_headers_doc, "find_headers(is_swiss, spans, addr, words, is_old)\n--\n\n"
                               "Write what looks like a header in spans: (starts, words of 1024 a span, objects, bits taken, bits\n"
                               "survived, bit words a span, width); return how many, and how many look never written.");

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

PyDoc_STRVAR(find_references_doc,
             "find_references(targets, ends, words, pointer_bits, places, rows)\n--\n\n"
             "Write at which words one of some sorted addresses stands, and its row; return how many. targets: (addrs,\n"
             "first page, whether any is on each page from there on); ends: (guards, marks, no guard) of stacks;\n"
             "pointer_bits: of each page the word at which its bitmap of pointers begins, or None.");

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

PyDoc_STRVAR(sum_groups_doc, "sum_groups(control, known, starts, no_bucket, sums)\n--\n\n"
                             "Write of each array of Swiss groups: (live, dead, empty, first, digest, is_legal).");

static PyObject *py_sum_groups(PyObject *module, PyObject *args)
{
    PyObject *control, *known, *starts, *out[6];
    long long no_bucket;
    struct buffers b = {.count = 0};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOOL(OOOOOO)", &control, &known, &starts, &no_bucket, &out[0], &out[1], &out[2],
                          &out[3], &out[4], &out[5]))
        return NULL;
    struct group_words g = {.no_bucket = no_bucket};
    void *sums[6] = {NULL};
    g.control = take(&b, control, 8, -1, false);
    g.count = g.control ? (u64)items_at(&b, 0, 8) : 0;
    g.known = g.control ? take(&b, known, 1, (Py_ssize_t)g.count, false) : NULL;
    g.starts = g.known ? take(&b, starts, 8, -1, false) : NULL;
    g.arrays = g.starts ? (u64)items_at(&b, 2, 8) : 0;
    bool is_whole = g.starts != NULL;
    for (int n = 0; n < 6 && is_whole; n++)
        is_whole = (sums[n] = take(&b, out[n], n < 5 ? 8 : 1, (Py_ssize_t)g.arrays, true)) != NULL;
    if (!is_whole)
        return lack(&b);
    for (u64 n = 0; n < g.arrays; n++)
        if (g.starts[n] < 0 || (u64)g.starts[n] > g.count || (n != 0 && g.starts[n] < g.starts[n - 1]))
            return refuse(&b, "arrays begin one behind the other");
    struct group_sums s = {sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]};
    sum_groups(&g, &s);
    release(&b);
    Py_RETURN_NONE;
}

PyMethodDef walk_methods[] = {
    {"arrange", py_arrange, METH_VARARGS, arrange_doc},
    {"gather_words", py_gather, METH_VARARGS, gather_doc},
    {"look_at_headers", py_look_at_headers, METH_VARARGS, look_doc},
    {"find_headers", py_find_headers, METH_VARARGS, find_headers_doc},
    {"find_references", py_find_references, METH_VARARGS, find_references_doc},
    {"sum_groups", py_sum_groups, METH_VARARGS, sum_groups_doc},
    {NULL, NULL, 0, NULL},
};
