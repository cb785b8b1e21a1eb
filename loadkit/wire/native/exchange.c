/* One exchange on one socket, with one release of the interpreter lock instead of two.
 *
 * No protocol is in here: what has come is compared with the head that Python parsed before, and whatever is not the
 * same goes back to Python as it came. Nothing is kept between two calls, so there is nothing to lock, or to mend
 * after a fork.
 */
#define _GNU_SOURCE
#include "heads.h"
#include "module.h"
#include "sockets.h"

/* To be raised with each change of what is called from Python: `wire/extension.py` asks for it. */
#define REVISION 10

/* What Python knows of the last reply: the same head again means a reply of the same size and status, and one of its
 * pattern a reply of the same status. */
typedef struct {
    PyObject *head, *size, *status, *pattern; /* NULL if nothing is known */
    Py_ssize_t whole; /* the size */
    Py_ssize_t kept;  /* bytes of the body that the caller wants, -1 for none */
} Known;

/* One exchange, as far as it went. */
typedef struct {
    int fd;
    const char *payload;
    Py_ssize_t payload_size;
    int64_t cools_at;
    int64_t sent; /* 0 if the connection had something before the request was sent */
    int64_t taken;
    int64_t stamp; /* wall clock, 0 for none */
    ssize_t went;
    ssize_t came; /* -1 if nothing was received */
    int error;
    char data[BUFFER];
} Exchange;

/* ---- without the interpreter lock ---- */

/* Send what the kernel takes at once; true if that is all of it. */
static int send_request(Exchange *exchange)
{
    if (has_something(exchange->fd))
        return 0;
    exchange->sent = now();
    if (exchange->sent > exchange->cools_at) {
        warm_up(exchange->fd);
        exchange->sent = now();
    }
    ssize_t went = send_at_once(exchange->fd, exchange->payload, (size_t)exchange->payload_size);
    if (went < 0)
        exchange->error = errno;
    else
        exchange->went = went;
    return went == exchange->payload_size;
}

/* Wait for bytes, as long as the socket is armed for. */
static void receive_reply(Exchange *exchange)
{
    exchange->came = receive(exchange->fd, exchange->data, 0, &exchange->stamp);
    exchange->error = exchange->came < 0 ? errno : 0;
    exchange->taken = now();
}

/* ---- with it ---- */

/* Send and receive, and run the handlers of signals that come; false if one of them raised. */
static int run(Exchange *exchange)
{
    int is_sent = 0;

    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        if (is_sent || (is_sent = send_request(exchange)))
            receive_reply(exchange);
        Py_END_ALLOW_THREADS
        if (!is_sent || exchange->error != EINTR)
            return 1;
        if (PyErr_CheckSignals())
            return 0;
    }
}

static int is_same(const Exchange *exchange, const Known *known)
{
    return exchange->came == known->whole &&
           memcmp(exchange->data, PyBytes_AS_STRING(known->head), (size_t)PyBytes_GET_SIZE(known->head)) == 0;
}

/* How many bytes of head a reply of the known pattern has; 0 for another one. */
static Py_ssize_t head_size_of(const Exchange *exchange, const Known *known)
{
    return (Py_ssize_t)match_head(PyBytes_AS_STRING(known->pattern), (size_t)PyBytes_GET_SIZE(known->pattern),
                                  exchange->data, (size_t)exchange->came);
}

/* `(exchange, head, body, is_cut)` of an ordinary one, whose head and size are references to be taken. */
static PyObject *ordinary(const Exchange *exchange, const Known *known, int64_t arrived, PyObject *head, PyObject *size)
{
    PyObject *values[] = {
        shared(known->status), PyLong_FromLongLong(exchange->sent), PyLong_FromLongLong(arrived),
        /* the thread has it now; the time until it got the interpreter lock is not the server's */
        PyLong_FromLongLong(now()), size, shared(Py_None),
    };
    Py_ssize_t head_size = head ? PyBytes_GET_SIZE(head) : 0, rest = exchange->came - head_size;
    Py_ssize_t kept = rest < known->kept ? rest : known->kept;
    PyObject *found[] = {
        tuple_of(6, values), head,
        kept < 0 ? shared(Py_None) : PyBytes_FromStringAndSize(exchange->data + head_size, kept),
        PyBool_FromLong(rest > known->kept),
    };

    return tuple_of(4, found);
}

/* `(None, (sent, went, data, stamp, taken, error), None, None)`: as far as it went, for Python to go on with. */
static PyObject *unusual(const Exchange *exchange)
{
    PyObject *values[] = {
        PyLong_FromLongLong(exchange->sent),
        PyLong_FromSsize_t(exchange->went),
        exchange->came < 0 ? shared(Py_None) : PyBytes_FromStringAndSize(exchange->data, exchange->came),
        PyLong_FromLongLong(exchange->stamp),
        /* without a stamp this instant stands for the arrival, and is that before the lock was waited for */
        PyLong_FromLongLong(exchange->stamp ? now() : exchange->taken),
        PyLong_FromLong(exchange->error),
    };
    PyObject *found[] = {shared(Py_None), tuple_of(6, values), shared(Py_None), shared(Py_None)};

    return tuple_of(4, found);
}

/* Read `(head, size, status, kept, pattern)` or None; false with an exception. It lives as long as the tuple. */
static int read_known(PyObject *given, Known *known)
{
    memset(known, 0, sizeof *known);
    if (given == Py_None)
        return 1;
    if (!PyTuple_CheckExact(given) || PyTuple_GET_SIZE(given) != 5 || !PyBytes_Check(PyTuple_GET_ITEM(given, 0)) ||
        !PyBytes_Check(PyTuple_GET_ITEM(given, 4))) {
        PyErr_SetString(PyExc_TypeError, "known is a tuple of head, size, status, kept and pattern, or None");
        return 0;
    }
    known->head = PyTuple_GET_ITEM(given, 0);
    known->size = PyTuple_GET_ITEM(given, 1);
    known->status = PyTuple_GET_ITEM(given, 2);
    known->pattern = PyTuple_GET_ITEM(given, 4);
    known->whole = PyLong_AsSsize_t(known->size);
    known->kept = PyLong_AsSsize_t(PyTuple_GET_ITEM(given, 3));
    if (PyErr_Occurred())
        return 0;
    /* nothing, or less than its head, is no reply */
    if (!PyBytes_GET_SIZE(known->head) || known->whole < PyBytes_GET_SIZE(known->head))
        known->head = NULL;
    return 1;
}

/* exchange(fd, payload, known, wall_offset, fresh_until); see `_exchange.pyi`. The caller holds references to all of
 * these until it returns, so that they may be used while the lock is released. */
static PyObject *exchange(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count)
{
    Exchange made;
    Known known;

    if (count != 5 || !PyBytes_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "exchange takes fd, payload (bytes), known, wall_offset and fresh_until");
        return NULL;
    }
    if (!read_known(given[2], &known))
        return NULL;
    made.fd = (int)PyLong_AsLong(given[0]);
    made.payload = PyBytes_AS_STRING(given[1]);
    made.payload_size = PyBytes_GET_SIZE(given[1]);
    int64_t wall_offset = PyLong_AsLongLong(given[3]);
    made.cools_at = PyLong_AsLongLong(given[4]) + COOLED;
    if (PyErr_Occurred())
        return NULL;
    made.sent = made.taken = made.stamp = 0;
    made.went = 0;
    made.came = -1;
    made.error = 0;

    if (!run(&made))
        return NULL;
    int64_t arrived = made.stamp - wall_offset;
    if (!known.head || made.came <= 0 || arrived < made.sent || arrived > made.taken)
        return unusual(&made);
    if (is_same(&made, &known))
        return ordinary(&made, &known, arrived, shared(known.head), shared(known.size));
    Py_ssize_t head_size = head_size_of(&made, &known);
    if (!head_size)
        return unusual(&made);
    return ordinary(&made, &known, arrived, PyBytes_FromStringAndSize(made.data, head_size),
                    PyLong_FromSsize_t(made.came));
}

/* ---- the module ---- */

static PyMethodDef functions[] = {
    {"exchange", (PyCFunction)(void (*)(void))exchange, METH_FASTCALL, NULL},
    {"bounds", bounds, METH_O, NULL},
    {"fold", fold, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    PyObject *loop = PyType_FromModuleAndSpec(module, &loop_type, NULL);
    int result = loop ? PyModule_AddObjectRef(module, "Loop", loop) : -1;

    Py_XDECREF(loop);
    return result < 0 ? result : PyModule_AddIntConstant(module, "REVISION", REVISION);
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
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__exchange(void)
{
    return PyModuleDef_Init(&definition);
}
