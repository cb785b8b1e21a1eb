/* Loadkit's extension. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* To be raised with each change of what is called from Python: `wire/extension.py` asks for it. */
#define REVISION 1

static int fill(PyObject *module)
{
    return PyModule_AddIntConstant(module, "REVISION", REVISION);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_exchange",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__exchange(void)
{
    return PyModuleDef_Init(&definition);
}
