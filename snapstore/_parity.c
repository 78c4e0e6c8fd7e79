/* The compiled loop of snapstore.parity: one piece of a data row, taken into all parity rows.
 *
 *   fold    sum = g * sum + piece for each parity row, with g = 1, 2, 4 (docs/format/13-parity.md)
 *
 * Its twin in Python (snapstore/parity/encoding.py) gives the same bytes; a test compares them.
 *
 * Rules: C99 and the limited API of CPython 3.11. Bytes are multiplied by 2 with a shift and a mask, so that compilers use
 * the vectors that every processor of a kind has, without tables or instructions that only some have. Every argument is
 * checked before the interpreter lock is released; the sums belong to one encoder, which is for one thread at a time.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

#define MAX_ROWS 3
#define STEP 8192           /* a piece and its three sums stay in the first cache */
#define RELEASE_BYTES 32768 /* less is done faster than the interpreter lock changes hands */

static unsigned char twice(unsigned char value)
{
    return (unsigned char)((value << 1) ^ ((value >> 7) * 0x1d));
}

static void fold_step(unsigned char *sums, size_t row_bytes, size_t rows, const unsigned char *data, size_t size)
{
    unsigned char *first = sums;
    for (size_t i = 0; i < size; i++)
        first[i] ^= data[i];
    if (rows > 1) {
        unsigned char *second = sums + row_bytes;
        for (size_t i = 0; i < size; i++)
            second[i] = (unsigned char)(twice(second[i]) ^ data[i]);
    }
    if (rows > 2) {
        unsigned char *third = sums + 2 * row_bytes;
        for (size_t i = 0; i < size; i++)
            third[i] = (unsigned char)(twice(twice(third[i])) ^ data[i]);
    }
}

static void fold_all(unsigned char *sums, size_t row_bytes, size_t rows, const unsigned char *data, size_t size)
{
    for (size_t at = 0; at < size; at += STEP)
        fold_step(sums + at, row_bytes, rows, data + at, size - at < STEP ? size - at : STEP);
}

static PyObject *fold(PyObject *self, PyObject *arguments)
{
    Py_buffer sums, data;
    Py_ssize_t row_bytes, place;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "w*nny*", &sums, &row_bytes, &place, &data))
        return NULL;
    PyObject *result = NULL;
    if (row_bytes < 1 || sums.len < row_bytes || sums.len % row_bytes != 0 || sums.len / row_bytes > MAX_ROWS) {
        PyErr_SetString(PyExc_ValueError, "the sums are not 1 to 3 rows");
    } else if (place < 0 || place > row_bytes || data.len > row_bytes - place) {
        PyErr_SetString(PyExc_ValueError, "the piece does not lie in one row");
    } else {
        unsigned char *target = (unsigned char *)sums.buf + place;
        size_t rows = (size_t)(sums.len / row_bytes), size = (size_t)data.len;
        if (data.len < RELEASE_BYTES) {
            fold_all(target, (size_t)row_bytes, rows, data.buf, size);
        } else {
            Py_BEGIN_ALLOW_THREADS
            fold_all(target, (size_t)row_bytes, rows, data.buf, size);
            Py_END_ALLOW_THREADS
        }
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&sums);
    PyBuffer_Release(&data);
    return result;
}

static PyMethodDef parity_methods[] = {
    {"fold", fold, METH_VARARGS, "fold(sums, row_bytes, place, piece): take a piece of a row into all sums."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot parity_slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef parity_module = {
    PyModuleDef_HEAD_INIT, "_parity", "The compiled loop of snapstore.parity.", 0, parity_methods, parity_slots,
    NULL,                  NULL,      NULL,
};

PyMODINIT_FUNC PyInit__parity(void)
{
    return PyModuleDef_Init(&parity_module);
}
