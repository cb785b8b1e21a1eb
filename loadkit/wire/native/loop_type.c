/* The exchange loop as a type of Python: translates values, and calls without the interpreter lock.
 *
 * Who waits for one of the two locks does not have the other one, so that neither Python nor the loop holds the other up.
 */
#include "module.h"

#include "loop.h"
#include "sockets.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How long a signal may wait for its handler. */
#define SLICE (50 * MILLISECOND)

typedef struct {
    PyObject_HEAD
    _Atomic(Loop *) loop; /* NULL when it is closed */
    atomic_int calls;     /* under way */
} Object;

/* The loop, which is not closed until `end_call`; NULL if it is closed already, or another process's. */
static Loop *hold(Object *self)
{
    atomic_fetch_add(&self->calls, 1);
    Loop *loop = atomic_load(&self->loop);
    if (loop && loop_is_of_this_process(loop))
        return loop;
    atomic_fetch_sub(&self->calls, 1);
    return NULL;
}

/* The same; NULL with an exception. */
static Loop *begin_call(Object *self)
{
    Loop *loop = hold(self);

    if (loop)
        return loop;
    loop = atomic_load(&self->loop);
    PyErr_SetString(PyExc_ValueError, loop ? "the loop is that of another process" : "the loop is closed");
    return NULL;
}

static void end_call(Object *self)
{
    atomic_fetch_sub(&self->calls, 1);
}

/* Do something with the loop locked, and Python not. */
#define LOCKED(self, loop, step)                                                                                       \
    do {                                                                                                               \
        Py_BEGIN_ALLOW_THREADS loop_enter(loop);                                                                       \
        step;                                                                                                          \
        loop_leave(loop);                                                                                              \
        Py_END_ALLOW_THREADS end_call(self);                                                                           \
    } while (0)

static PyObject *none_or_error(int result)
{
    if (result < 0) {
        PyErr_SetString(PyExc_ValueError, "there is nothing of that number, or it is not the caller's, or no memory");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *number_or_error(int result)
{
    return result < 0 ? none_or_error(result) : PyLong_FromLong(result);
}

static PyObject *make(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    long long wall_offset;
    if (!PyArg_ParseTuple(args, "L:Loop", &wall_offset))
        return NULL;
    Object *self = (Object *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    Loop *loop = loop_open();
    if (!loop) {
        PyErr_SetFromErrno(PyExc_OSError);
        Py_DECREF(self);
        return NULL;
    }
    loop_set_wall_offset(loop, wall_offset);
    atomic_store(&self->loop, loop);
    return (PyObject *)self;
}

static void close_loop(Object *self)
{
    Loop *loop = atomic_exchange(&self->loop, NULL);

    if (!loop || !loop_is_of_this_process(loop))
        return;
    Py_BEGIN_ALLOW_THREADS
    while (atomic_load(&self->calls)) {
        loop_enter(loop);
        loop_wake(loop);
        loop_leave(loop);
        sched_yield();
    }
    loop_close(loop);
    Py_END_ALLOW_THREADS
}

static void destroy(Object *self)
{
    PyTypeObject *type = Py_TYPE(self);

    close_loop(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *close_method(Object *self, PyObject *Py_UNUSED(none))
{
    close_loop(self);
    Py_RETURN_NONE;
}

static PyObject *add_request(Object *self, PyObject *args)
{
    const char *bytes;
    Py_ssize_t size;
    long long timeout;
    int is_repeatable, number;
    Payload *payload = NULL;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "z#Lp:add_request", &bytes, &size, &timeout, &is_repeatable))
        return NULL;
    if (bytes && !(payload = payload_of(bytes, (size_t)size)))
        return PyErr_NoMemory();
    if (!(loop = begin_call(self))) {
        free_payloads(payload);
        return NULL;
    }
    LOCKED(self, loop, number = loop_add_request(loop, payload, timeout, is_repeatable));
    return number_or_error(number);
}

/* The payloads that a sequence of bytes has, the first one; `is_whole` is false with an exception. */
static Payload *payloads_of(PyObject *given, int *is_whole)
{
    PyObject *sequence = PySequence_Fast(given, "payloads are a sequence");
    Payload *first = NULL, **end = &first;

    *is_whole = sequence != NULL;
    for (Py_ssize_t k = 0; *is_whole && k < PySequence_Fast_GET_SIZE(sequence); k++) {
        char *bytes;
        Py_ssize_t size;
        *is_whole = PyBytes_AsStringAndSize(PySequence_Fast_GET_ITEM(sequence, k), &bytes, &size) == 0;
        if (*is_whole && !(*end = payload_of(bytes, (size_t)size))) {
            PyErr_NoMemory();
            *is_whole = 0;
        }
        if (*is_whole)
            end = &(*end)->next;
    }
    Py_XDECREF(sequence);
    return first;
}

static PyObject *supply(Object *self, PyObject *args)
{
    PyObject *given;
    int request, ready, is_whole;
    Loop *loop = NULL;

    if (!PyArg_ParseTuple(args, "iO:supply", &request, &given))
        return NULL;
    Payload *payloads = payloads_of(given, &is_whole);
    if (!is_whole || !(loop = begin_call(self))) {
        free_payloads(payloads);
        return NULL;
    }
    LOCKED(self, loop, ready = loop_supply(loop, request, payloads));
    return number_or_error(ready);
}

static PyObject *learn(Object *self, PyObject *args)
{
    const char *head, *pattern;
    Py_ssize_t head_size, pattern_size;
    long long size, status;
    int request, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "iy#LLy#:learn", &request, &head, &head_size, &size, &status, &pattern,
                          &pattern_size) ||
        !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_learn(loop, request, head, (size_t)head_size, size, status, pattern,
                                            (size_t)pattern_size));
    return none_or_error(result);
}

/* The turns that a sequence of pairs has, malloc'ed; NULL with an exception. */
static Turn *turns_of(PyObject *given, Py_ssize_t *count)
{
    PyObject *pairs = PySequence_Fast(given, "turns are a sequence");
    if (!pairs)
        return NULL;
    *count = PySequence_Fast_GET_SIZE(pairs);
    Turn *turns = *count < INT32_MAX ? malloc((size_t)*count * sizeof *turns + 1) : NULL;
    if (!turns)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; turns && k < *count; k++) {
        PyObject *pair = PySequence_Fast_GET_ITEM(pairs, k);
        if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "ii", &turns[k].request, &turns[k].connection)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "a turn is a tuple of request and connection");
            free(turns);
            turns = NULL;
        }
    }
    Py_DECREF(pairs);
    return turns;
}

static PyObject *add_user(Object *self, PyObject *given)
{
    Py_ssize_t count;
    int number;
    Turn *turns = turns_of(given, &count);
    Loop *loop = turns ? begin_call(self) : NULL;

    if (!loop) {
        free(turns);
        return NULL;
    }
    LOCKED(self, loop, number = loop_add_user(loop, turns, (int)count));
    free(turns);
    return number_or_error(number);
}

static PyObject *connect_method(Object *self, PyObject *args)
{
    int user, connection, fd, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "iii:connect", &user, &connection, &fd) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_connect(loop, user, connection, fd));
    return none_or_error(result);
}

static PyObject *resume(Object *self, PyObject *args)
{
    long long due, until, left;
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "iLLL:resume", &user, &due, &until, &left) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_resume(loop, user, due, until, left));
    return none_or_error(result);
}

/* The integers of a sequence, malloc'ed; NULL with an exception. */
static int64_t *integers_of(PyObject *given, Py_ssize_t *count)
{
    PyObject *values = PySequence_Fast(given, "pauses are a sequence");
    if (!values)
        return NULL;
    *count = PySequence_Fast_GET_SIZE(values);
    int64_t *integers = malloc((size_t)*count * sizeof *integers + 1);
    if (!integers)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; integers && k < *count; k++) {
        integers[k] = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(values, k));
        if (integers[k] == -1 && PyErr_Occurred()) {
            free(integers);
            integers = NULL;
        }
    }
    Py_DECREF(values);
    return integers;
}

static PyObject *serve(Object *self, PyObject *args)
{
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:serve", &user) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_serve(loop, user));
    return none_or_error(result);
}

static int is_arrival(PyObject *pair, Arrival *arrival)
{
    long long due;

    if (!PyTuple_Check(pair)) {
        PyErr_SetString(PyExc_TypeError, "an arrival is a tuple of place and instant");
        return 0;
    }
    if (!PyArg_ParseTuple(pair, "iL", &arrival->place, &due))
        return 0;
    arrival->due = due;
    if (arrival->place >= 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "there is no place of a negative number");
    return 0;
}

/* The arrivals that a sequence of pairs has, malloc'ed; NULL with an exception. */
static Arrival *arrivals_of(PyObject *given, Py_ssize_t *count)
{
    PyObject *pairs = PySequence_Fast(given, "arrivals are a sequence");
    if (!pairs)
        return NULL;
    *count = PySequence_Fast_GET_SIZE(pairs);
    Arrival *arrivals = malloc((size_t)*count * sizeof *arrivals + 1);
    if (!arrivals)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; arrivals && k < *count; k++) {
        if (!is_arrival(PySequence_Fast_GET_ITEM(pairs, k), &arrivals[k])) {
            free(arrivals);
            arrivals = NULL;
        }
    }
    Py_DECREF(pairs);
    return arrivals;
}

static PyObject *offer(Object *self, PyObject *given)
{
    Py_ssize_t count;
    int result;
    Arrival *arrivals = arrivals_of(given, &count);
    Loop *loop = arrivals ? begin_call(self) : NULL;

    if (!loop) {
        free(arrivals);
        return NULL;
    }
    LOCKED(self, loop, result = loop_offer(loop, arrivals, (size_t)count));
    free(arrivals);
    return result < 0 ? PyErr_NoMemory() : none_or_error(result);
}

static PyObject *finish(Object *self, PyObject *Py_UNUSED(none))
{
    Loop *loop = begin_call(self);

    if (!loop)
        return NULL;
    LOCKED(self, loop, loop_finish(loop));
    Py_RETURN_NONE;
}

static PyObject *offered(Object *self, void *Py_UNUSED(closure))
{
    size_t count;
    Loop *loop = begin_call(self);

    if (!loop)
        return NULL;
    LOCKED(self, loop, count = loop_offered(loop));
    return PyLong_FromSize_t(count);
}

static PyObject *withdraw(Object *self, PyObject *Py_UNUSED(none))
{
    size_t count;
    Loop *loop = begin_call(self);

    if (!loop)
        return NULL;
    LOCKED(self, loop, count = loop_withdraw(loop));
    return PyLong_FromSize_t(count);
}

static PyObject *rotate(Object *self, PyObject *args)
{
    int count;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:rotate", &count) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, loop_rotate(loop, count));
    Py_RETURN_NONE;
}

static PyObject *ask_for_more(Object *self, PyObject *Py_UNUSED(none))
{
    Loop *loop = begin_call(self);

    if (!loop)
        return NULL;
    LOCKED(self, loop, loop_ask_for_more(loop));
    Py_RETURN_NONE;
}

static PyObject *pace(Object *self, PyObject *args)
{
    PyObject *given;
    long long pacing;
    int64_t *pauses;
    Py_ssize_t count = 0;
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "iOL:pace", &user, &given, &pacing) || !(pauses = integers_of(given, &count)))
        return NULL;
    if (pacing) {
        free(pauses);
        pauses = NULL;
        count = 0;
    }
    if (!(loop = begin_call(self))) {
        free(pauses);
        return NULL;
    }
    LOCKED(self, loop, result = loop_pace(loop, user, pauses, (size_t)count, pacing));
    return none_or_error(result);
}

static PyObject *take_pause(Object *self, PyObject *args)
{
    int64_t pause;
    int user;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:take_pause", &user) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, pause = loop_take_pause(loop, user));
    if (pause < 0)
        Py_RETURN_NONE;
    return PyLong_FromLongLong(pause);
}

static PyObject *watch(Object *self, PyObject *args)
{
    long long deadline;
    int user, connection, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "iiL:watch", &user, &connection, &deadline) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_watch(loop, user, connection, deadline));
    return none_or_error(result);
}

/* ---- what comes back ---- */

static PyObject *event_of(const Event *event)
{
    PyObject *values[] = {
        PyLong_FromLong(event->what),
        PyLong_FromLong(event->user),
        PyLong_FromLong(event->request),
        PyLong_FromLongLong(event->due),
        PyLong_FromLongLong(event->sent),
        PyLong_FromLongLong(event->went),
        event->data ? PyBytes_FromStringAndSize(event->data, (Py_ssize_t)event->size) : shared(Py_None),
        PyLong_FromLongLong(event->stamp),
        PyLong_FromLongLong(event->taken),
        PyLong_FromLong(event->error),
        PyLong_FromLongLong(event->payload),
    };
    return tuple_of(11, values);
}

/* A list of events, which are freed. */
static PyObject *events_of(Event *events, int count)
{
    PyObject *list = PyList_New(count);

    for (int k = 0; k < count; k++) {
        PyObject *event = list ? event_of(&events[k]) : NULL;
        free(events[k].data);
        if (event)
            PyList_SET_ITEM(list, k, event);
        else
            Py_CLEAR(list);
    }
    free(events);
    return list;
}

static PyObject *wait_method(Object *self, PyObject *args)
{
    long long until, wall_offset;
    Event *events = NULL;
    int count = 0, is_over = 0, is_raised = 0;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "LL:wait", &until, &wall_offset) || !(loop = begin_call(self)))
        return NULL;
    while (!is_over && !is_raised) {
        Py_BEGIN_ALLOW_THREADS
        int64_t slice = now() + SLICE;
        loop_enter(loop);
        loop_set_wall_offset(loop, wall_offset);
        loop_wait(loop, until < slice ? until : slice);
        is_over = loop_is_due(loop) || now() >= until;
        if (is_over)
            count = loop_take_events(loop, &events);
        loop_leave(loop);
        Py_END_ALLOW_THREADS
        is_raised = !is_over && PyErr_CheckSignals();
    }
    end_call(self);
    return is_raised ? NULL : events_of(events, count);
}

/* A list of bytes of what the requests have; NULL with an exception. */
static PyObject *samples_of(const Sample **samples, const size_t *counts, int requests)
{
    PyObject *list = PyList_New(requests);

    for (int k = 0; list && k < requests; k++) {
        PyObject *made = PyBytes_FromStringAndSize((const char *)samples[k], (Py_ssize_t)(counts[k] * sizeof(Sample)));
        if (made)
            PyList_SET_ITEM(list, k, made);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *take(Object *self, PyObject *Py_UNUSED(none))
{
    Loop *loop = begin_call(self);
    if (!loop)
        return NULL;
    /* only this thread adds requests, and takes: what it was given stays until the next time */
    int requests = loop_requests(loop);
    const Sample **samples = malloc((size_t)requests * sizeof *samples + 1);
    size_t *counts = malloc((size_t)requests * sizeof *counts + 1);
    PyObject *list = NULL;
    if (samples && counts) {
        Py_BEGIN_ALLOW_THREADS
        loop_enter(loop);
        for (int k = 0; k < requests; k++)
            counts[k] = loop_take_samples(loop, k, &samples[k]);
        loop_leave(loop);
        Py_END_ALLOW_THREADS
        list = samples_of(samples, counts, requests);
    } else {
        PyErr_NoMemory();
    }
    end_call(self);
    free(samples);
    free(counts);
    return list;
}

static PyObject *payloads(Object *self, PyObject *args)
{
    const int64_t *numbers;
    int request;
    PyObject *made;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:payloads", &request) || !(loop = begin_call(self)))
        return NULL;
    /* as with `take`: only this thread adds requests, and takes */
    if (request < 0 || request >= loop_requests(loop)) {
        made = none_or_error(-1);
    } else {
        size_t count = loop_payloads(loop, request, &numbers);
        made = PyBytes_FromStringAndSize((const char *)numbers, (Py_ssize_t)(count * sizeof *numbers));
    }
    end_call(self);
    return made;
}

static PyObject *spell(Object *self, PyObject *args)
{
    int64_t left, first_sent, last_taken;
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:spell", &user) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, {
        result = loop_user(loop, user, &left, &first_sent, &last_taken);
        loop_forget_spell(loop, user);
    });
    if (result < 0)
        return none_or_error(result);
    return Py_BuildValue("LL", (long long)first_sent, (long long)last_taken);
}

static PyObject *left_method(Object *self, PyObject *args)
{
    int64_t left, first_sent, last_taken;
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:left", &user) || !(loop = begin_call(self)))
        return NULL;
    LOCKED(self, loop, result = loop_user(loop, user, &left, &first_sent, &last_taken));
    return result < 0 ? none_or_error(result) : PyLong_FromLongLong(left);
}

static PyObject *is_resting(Object *self, PyObject *args)
{
    int user, result;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "i:is_resting", &user))
        return NULL;
    /* the thread that asks may outlive it */
    if (!(loop = hold(self)))
        Py_RETURN_FALSE;
    result = loop_is_resting(loop, user);
    end_call(self);
    return result < 0 ? none_or_error(result) : PyBool_FromLong(result);
}

static PyObject *resting(Object *self, void *Py_UNUSED(closure))
{
    Loop *loop = hold(self);

    if (!loop)
        return PyLong_FromLong(0);
    int count = loop_resting(loop);
    end_call(self);
    return PyLong_FromLong(count);
}

static PyObject *stop(Object *self, PyObject *args)
{
    long long instant;
    Loop *loop;

    if (!PyArg_ParseTuple(args, "L:stop", &instant))
        return NULL;
    /* the thread that stops or wakes may outlive it */
    if (!(loop = hold(self)))
        Py_RETURN_NONE;
    LOCKED(self, loop, {
        loop_stop(loop, instant);
        loop_wake(loop);
    });
    Py_RETURN_NONE;
}

static PyObject *wake(Object *self, PyObject *Py_UNUSED(none))
{
    Loop *loop = hold(self);

    if (!loop)
        Py_RETURN_NONE;
    LOCKED(self, loop, loop_wake(loop));
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"add_request", (PyCFunction)add_request, METH_VARARGS, NULL},
    {"supply", (PyCFunction)supply, METH_VARARGS, NULL},
    {"learn", (PyCFunction)learn, METH_VARARGS, NULL},
    {"add_user", (PyCFunction)add_user, METH_O, NULL},
    {"connect", (PyCFunction)connect_method, METH_VARARGS, NULL},
    {"resume", (PyCFunction)resume, METH_VARARGS, NULL},
    {"serve", (PyCFunction)serve, METH_VARARGS, NULL},
    {"offer", (PyCFunction)offer, METH_O, NULL},
    {"finish", (PyCFunction)finish, METH_NOARGS, NULL},
    {"withdraw", (PyCFunction)withdraw, METH_NOARGS, NULL},
    {"rotate", (PyCFunction)rotate, METH_VARARGS, NULL},
    {"ask_for_more", (PyCFunction)ask_for_more, METH_NOARGS, NULL},
    {"pace", (PyCFunction)pace, METH_VARARGS, NULL},
    {"take_pause", (PyCFunction)take_pause, METH_VARARGS, NULL},
    {"watch", (PyCFunction)watch, METH_VARARGS, NULL},
    {"wait", (PyCFunction)wait_method, METH_VARARGS, NULL},
    {"take", (PyCFunction)take, METH_NOARGS, NULL},
    {"payloads", (PyCFunction)payloads, METH_VARARGS, NULL},
    {"left", (PyCFunction)left_method, METH_VARARGS, NULL},
    {"spell", (PyCFunction)spell, METH_VARARGS, NULL},
    {"is_resting", (PyCFunction)is_resting, METH_VARARGS, NULL},
    {"stop", (PyCFunction)stop, METH_VARARGS, NULL},
    {"wake", (PyCFunction)wake, METH_NOARGS, NULL},
    {"close", (PyCFunction)close_method, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"offered", (getter)offered, NULL, NULL, NULL},
    {"resting", (getter)resting, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, make}, {Py_tp_dealloc, destroy}, {Py_tp_methods, methods}, {Py_tp_getset, properties}, {0, NULL},
};

PyType_Spec loop_type = {
    .name = "loadkit.wire._exchange.Loop",
    .basicsize = sizeof(Object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
