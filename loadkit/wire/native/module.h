/* What the parts of the extension that know Python have in common. */
#ifndef LOADKIT_MODULE_H
#define LOADKIT_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyType_Spec loop_type;
PyObject *fold(PyObject *module, PyObject *args);
PyObject *bounds(PyObject *module, PyObject *given);

/* A tuple of so many values, whose references it takes; NULL if one of them could not be made. */
static inline PyObject *tuple_of(Py_ssize_t count, PyObject *const *values)
{
    PyObject *made = PyTuple_New(count);
    int is_whole = made != NULL;

    for (Py_ssize_t k = 0; k < count; k++) {
        is_whole = is_whole && values[k];
        if (made)
            PyTuple_SET_ITEM(made, k, values[k]);
        else
            Py_XDECREF(values[k]);
    }
    if (!is_whole)
        Py_CLEAR(made);
    return made;
}

static inline PyObject *shared(PyObject *value)
{
    Py_INCREF(value);
    return value;
}

#endif
