/* The extension mapprobe._core: arrays in, arrays out; no Python object inside a loop. */
#include "module.h"

static int execute(PyObject *module)
{
    PyMethodDef *const parts[] = {world_methods,   replay_methods, model_methods, maps_methods, sizes_methods,
                                  charges_methods, codec_methods,  walk_methods,  read_methods};
    for (size_t n = 0; n < sizeof parts / sizeof *parts; n++)
        if (PyModule_AddFunctions(module, parts[n]) < 0)
            return -1;
    return add_world_types(module) && add_batch_type(module) ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "mapprobe._core",
    .m_doc = "Go's maps, their events and who is charged for them, in C.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void); /* for -Wmissing-prototypes */
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
