/* The extension mapprobe._core: arrays in, arrays out.
 *
 * Every index that comes from outside is checked here, before a loop begins;
 * no loop touches a Python object. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyDoc_STRVAR(module_doc, "The native core of mapprobe: Go's maps, and what is hot.");

static int module_exec(PyObject *module)
{
    (void)module;
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_core", .m_doc = module_doc, .m_size = 0, .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__core(void); /* for -Wmissing-prototypes */
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&module_definition); }
