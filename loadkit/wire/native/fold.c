/* Samples are counted: four spans of each go into the buckets of `measure/histogram.py`, the statuses into a counter. */
#include "module.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* due, sent, arrived, taken, status, size: see `measure/counts.py` */
#define STRIDE 6
enum { DUE, SENT, ARRIVED, TAKEN, STATUS, SIZE };

/* As in `measure/histogram.py`. */
#define HIGHEST (3600LL * 1000000000LL)
#define UNIT_SHIFT 9
#define SUB_BUCKET_BITS 11
#define HALF 1024

/* Samples that are counted at a time. */
#define CHUNK 4096

/* How often which key was counted; a place whose count is 0 is free. */
typedef struct {
    int bits; /* it has two to the power of these places, at least twice as many as there are samples */
    struct {
        int32_t key;
        int32_t count;
    } places[2 * CHUNK];
} Table;

typedef struct {
    int64_t sum, least, most;
} Span;

static const struct {
    int from, to;
} SPANS[] = {{DUE, ARRIVED}, {SENT, ARRIVED}, {DUE, SENT}, {ARRIVED, TAKEN}};
#define SPAN_COUNT 4

static int32_t bucket_of(int64_t value)
{
    uint64_t unit = (uint64_t)value >> UNIT_SHIFT;
    int bits = unit ? 64 - __builtin_clzll(unit) : 0;
    int shift = bits > SUB_BUCKET_BITS ? bits - SUB_BUCKET_BITS : 0;

    return shift * HALF + (int32_t)(unit >> shift);
}

static void clear_for(Table *table, Py_ssize_t count)
{
    for (table->bits = 4; 1 << table->bits < 2 * count; table->bits++)
        ;
    memset(table->places, 0, sizeof *table->places << table->bits);
}

static void count_one(Table *table, int32_t key)
{
    /* the golden ratio of 64 bits: its product spreads keys that are near to each other */
    uint64_t place = (uint32_t)key * 0x9e3779b97f4a7c15ULL >> (64 - table->bits);

    while (table->places[place].count && table->places[place].key != key)
        place = (place + 1) & ((1U << table->bits) - 1);
    table->places[place].key = key;
    table->places[place].count++;
}

/* Add what was counted to a dict; -1 with an exception. */
static int add_to_dict(PyObject *dict, const Table *table)
{
    for (int k = 0; k < 1 << table->bits; k++) {
        if (!table->places[k].count)
            continue;
        PyObject *key = PyLong_FromLong(table->places[k].key);
        PyObject *known = key ? PyDict_GetItemWithError(dict, key) : NULL;
        int64_t count = table->places[k].count + (known ? PyLong_AsLongLong(known) : 0);
        PyObject *value = PyErr_Occurred() ? NULL : PyLong_FromLongLong(count);
        int result = value ? PyDict_SetItem(dict, key, value) : -1;
        Py_XDECREF(key);
        Py_XDECREF(value);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int count_span(const int64_t *samples, Py_ssize_t count, int which, Span *span, PyObject *dict)
{
    Table table;

    clear_for(&table, count);
    for (Py_ssize_t k = 0; k < count; k++) {
        const int64_t *sample = samples + k * STRIDE;
        int64_t value = sample[SPANS[which].to] - sample[SPANS[which].from];
        value = value < 0 ? 0 : value > HIGHEST ? HIGHEST : value;
        span->sum += value;
        span->least = value < span->least ? value : span->least;
        span->most = value > span->most ? value : span->most;
        count_one(&table, bucket_of(value));
    }
    return add_to_dict(dict, &table);
}

static int count_statuses(const int64_t *samples, Py_ssize_t count, int64_t *size, PyObject *statuses)
{
    Table table;

    clear_for(&table, count);
    for (Py_ssize_t k = 0; k < count; k++) {
        *size += samples[k * STRIDE + SIZE];
        count_one(&table, (int32_t)samples[k * STRIDE + STATUS]);
    }
    return add_to_dict(statuses, &table);
}

/* Samples that are read from a list, or lie in a buffer. */
typedef struct {
    const int64_t *values;
    Py_ssize_t count;
    int64_t *made; /* of a list: to be freed */
    Py_buffer buffer;
} Samples;

/* Begin to read what was given; false with an exception. */
static int open_samples(PyObject *given, Samples *samples)
{
    samples->made = NULL;
    if (!PyList_Check(given)) {
        if (PyObject_GetBuffer(given, &samples->buffer, PyBUF_SIMPLE) < 0)
            return 0;
        samples->values = samples->buffer.buf;
        samples->count = samples->buffer.len / (Py_ssize_t)(STRIDE * sizeof(int64_t));
        return 1;
    }
    Py_ssize_t size = PyList_GET_SIZE(given);
    samples->made = malloc((size_t)size * sizeof *samples->made + 1);
    if (!samples->made) {
        PyErr_NoMemory();
        return 0;
    }
    for (Py_ssize_t k = 0; k < size; k++)
        samples->made[k] = PyLong_AsLongLong(PyList_GET_ITEM(given, k));
    if (PyErr_Occurred()) {
        free(samples->made);
        return 0;
    }
    samples->values = samples->made;
    samples->count = size / STRIDE;
    return 1;
}

static void close_samples(Samples *samples)
{
    if (samples->made)
        free(samples->made);
    else
        PyBuffer_Release(&samples->buffer);
}

static PyObject *fold_all(const int64_t *samples, Py_ssize_t count, PyObject *dicts, PyObject *statuses)
{
    Span spans[SPAN_COUNT];
    PyObject *values[SPAN_COUNT + 1];
    int64_t size = 0;

    for (int which = 0; which < SPAN_COUNT; which++)
        spans[which] = (Span){0, INT64_MAX, 0};
    for (Py_ssize_t done = 0; done < count; done += CHUNK) {
        const int64_t *some = samples + done * STRIDE;
        Py_ssize_t many = count - done < CHUNK ? count - done : CHUNK;
        for (int which = 0; which < SPAN_COUNT; which++)
            if (count_span(some, many, which, &spans[which], PyTuple_GET_ITEM(dicts, which)) < 0)
                return NULL;
        if (count_statuses(some, many, &size, statuses) < 0)
            return NULL;
    }
    for (int which = 0; which < SPAN_COUNT; which++) {
        const Span *span = &spans[which];
        values[which] = Py_BuildValue("LLL", (long long)span->sum, (long long)span->least, (long long)span->most);
    }
    values[SPAN_COUNT] = PyLong_FromLongLong(size);
    return tuple_of(SPAN_COUNT + 1, values);
}

static int are_dicts(PyObject *given)
{
    int are = PyTuple_Check(given) && PyTuple_GET_SIZE(given) == SPAN_COUNT;

    for (int k = 0; are && k < SPAN_COUNT; k++)
        are = PyDict_Check(PyTuple_GET_ITEM(given, k));
    return are;
}

/* fold(samples, dicts, statuses): see `_exchange.pyi`. */
PyObject *fold(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *given, *dicts, *statuses;
    Samples samples;

    if (!PyArg_ParseTuple(args, "OOO!:fold", &given, &dicts, &PyDict_Type, &statuses))
        return NULL;
    if (!are_dicts(dicts))
        return PyErr_Format(PyExc_TypeError, "fold takes samples, a tuple of %d dicts, and one more", SPAN_COUNT);
    if (!open_samples(given, &samples))
        return NULL;
    PyObject *made = fold_all(samples.values, samples.count, dicts, statuses);
    close_samples(&samples);
    return made;
}

/* bounds(samples): see `_exchange.pyi`. */
PyObject *bounds(PyObject *Py_UNUSED(module), PyObject *given)
{
    int64_t least = INT64_MAX, most = INT64_MIN, longest = INT64_MIN;
    Samples samples;

    if (!open_samples(given, &samples))
        return NULL;
    for (Py_ssize_t k = 0; k < samples.count; k++) {
        const int64_t *sample = samples.values + k * STRIDE;
        int64_t span = sample[ARRIVED] - sample[DUE];
        least = sample[DUE] < least ? sample[DUE] : least;
        most = sample[DUE] > most ? sample[DUE] : most;
        longest = span > longest ? span : longest;
    }
    close_samples(&samples);
    return Py_BuildValue("LLL", (long long)least, (long long)most, (long long)longest);
}
