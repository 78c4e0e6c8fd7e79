/* The compiled kernel: the three loops that are too slow in Python.
 *
 *   find_cuts      content-defined cut points (docs/format/10-chunking.md, "Gear")
 *   make_records   turn rows into records: key, number, place of the row
 *   sort_records   sort fixed-size records in place
 *   match_records  look many keys up in sorted fixed-size records
 *   read_rows      read many short pieces of an open file, in one call (not on Windows, which has no pread)
 *
 * Each has a twin in Python (snapstore/chunking/gear.py and records.py, snapstore/station/index_cache.py) that gives the same
 * results; the tests compare them. Nothing else belongs here: no keys, no hashing, no state.
 *
 * Rules: C99 and the limited API of CPython 3.11. Every argument is checked before the interpreter lock is released, because
 * after that only plain memory is touched. Another thread may write into a mutable buffer meanwhile; the result is then
 * rubbish, but no index may ever leave the buffer because of it.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <errno.h>
#include <unistd.h>
#endif

#define TABLE_WORDS 256
#define WINDOW 64            /* a byte leaves h after 64 shifts, so h depends on this many bytes */
#define MAX_RECORD 256       /* records are swapped through the stack */
#define RADIX_DEPTH 8        /* random keys are apart after 8 bytes; bounds the stack to 8 x 4 KiB */
#define INSERTION_RECORDS 24 /* below this a pass over 256 counters costs more than it sorts */
#define NUMBER 4             /* numbers in records are 32 bits, big-endian, so that bytes sort as they do */
#define RELEASE_KEYS 512     /* fewer are found faster than the interpreter lock changes hands */
#define GROUP_KEYS 16        /* about as many cache misses as a core can wait for at once */
#if defined(__GNUC__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif

static uint64_t load_little_endian(const unsigned char *bytes)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = (value << 8) | bytes[i];
    return value;
}

/* ---- find_cuts ------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t table[TABLE_WORDS];
    uint64_t threshold;
    size_t minimum, maximum;
} gear;

/* The end of the chunk that starts at `start`, or 0 if data up to `size` does not decide it. */
static size_t next_cut(const gear *g, const unsigned char *data, size_t start, size_t size)
{
    size_t left = size - start;
    if (left < g->minimum)
        return 0;
    size_t limit = left < g->maximum ? left : g->maximum;
    const unsigned char *at = data + start + g->minimum - WINDOW;
    const unsigned char *end = data + start + limit;
    const uint64_t threshold = g->threshold;
    uint64_t h = 0;

    for (int i = 0; i < WINDOW; i++)
        h = (h << 1) + g->table[*at++];
    if (h < threshold)
        return (size_t)(at - data);
    while (end - at >= 4) {
        uint64_t h1 = (h << 1) + g->table[at[0]];
        uint64_t h2 = (h1 << 1) + g->table[at[1]];
        uint64_t h3 = (h2 << 1) + g->table[at[2]];
        h = (h3 << 1) + g->table[at[3]];
        if ((h1 < threshold) | (h2 < threshold) | (h3 < threshold) | (h < threshold)) {
            int step = h1 < threshold ? 1 : h2 < threshold ? 2 : h3 < threshold ? 3 : 4;
            return (size_t)(at - data) + (size_t)step;
        }
        at += 4;
    }
    while (at < end) {
        h = (h << 1) + g->table[*at++];
        if (h < threshold)
            return (size_t)(at - data);
    }
    return limit == g->maximum ? start + limit : 0;
}

static size_t scan(const gear *g, const unsigned char *data, size_t start, size_t size, size_t *cuts)
{
    size_t count = 0;
    while (start < size) {
        size_t cut = next_cut(g, data, start, size);
        if (cut == 0)
            break;
        cuts[count++] = start = cut;
    }
    return count;
}

static PyObject *cuts_to_list(const size_t *cuts, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    if (list == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        PyObject *value = PyLong_FromSize_t(cuts[i]);
        if (value == NULL || PyList_SetItem(list, (Py_ssize_t)i, value) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static PyObject *cuts_of_buffer(const gear *g, const Py_buffer *buffer, Py_ssize_t start, int final)
{
    size_t size = (size_t)buffer->len, first = (size_t)start, count;
    size_t capacity = (size - first) / g->minimum + 1; /* no chunk but the last is shorter than the minimum */
    size_t *cuts = PyMem_Malloc(capacity * sizeof *cuts);
    if (cuts == NULL)
        return PyErr_NoMemory();

    Py_BEGIN_ALLOW_THREADS
    count = scan(g, buffer->buf, first, size, cuts);
    Py_END_ALLOW_THREADS

    size_t end = count > 0 ? cuts[count - 1] : first;
    if (final && end < size)
        cuts[count++] = size;
    PyObject *list = cuts_to_list(cuts, count);
    PyMem_Free(cuts);
    return list;
}

static int fill_gear(gear *g, const Py_buffer *table, Py_ssize_t minimum, Py_ssize_t maximum)
{
    if (table->len != TABLE_WORDS * 8) {
        PyErr_SetString(PyExc_ValueError, "table must have 2048 bytes");
        return -1;
    }
    if (minimum < WINDOW || maximum < minimum) {
        PyErr_SetString(PyExc_ValueError, "need 64 <= minimum <= maximum");
        return -1;
    }
    for (int i = 0; i < TABLE_WORDS; i++)
        g->table[i] = load_little_endian((const unsigned char *)table->buf + 8 * i);
    g->minimum = (size_t)minimum;
    g->maximum = (size_t)maximum;
    return 0;
}

static PyObject *kernel_find_cuts(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer buffer, table;
    Py_ssize_t start, minimum, maximum;
    PyObject *threshold, *result = NULL;
    int final;
    gear g;

    if (!PyArg_ParseTuple(args, "y*y*nnnO!p:find_cuts", &buffer, &table, &start, &minimum, &maximum, &PyLong_Type,
                          &threshold, &final))
        return NULL;
    g.threshold = PyLong_AsUnsignedLongLong(threshold);
    if (PyErr_Occurred())
        goto done;
    if (fill_gear(&g, &table, minimum, maximum) < 0)
        goto done;
    if (start < 0 || start > buffer.len) {
        PyErr_SetString(PyExc_ValueError, "start is outside the buffer");
        goto done;
    }
    result = cuts_of_buffer(&g, &buffer, start, final);
done:
    PyBuffer_Release(&buffer);
    PyBuffer_Release(&table);
    return result;
}

static void store_number(unsigned char *bytes, size_t value)
{
    for (int i = NUMBER; i-- > 0; value >>= 8)
        bytes[i] = (unsigned char)value;
}

/* ---- make_records --------------------------------------------------------------------------------------------------- */

static void fill_records(const unsigned char *row, size_t row_size, size_t count, size_t key_size, size_t number,
                         unsigned char *out)
{
    for (size_t i = 0; i < count; i++, row += row_size, out += key_size + 2 * NUMBER) {
        memcpy(out, row, key_size);
        store_number(out + key_size, number);
        store_number(out + key_size + NUMBER, i);
    }
}

static PyObject *kernel_make_records(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer rows;
    Py_ssize_t row_size, key_size, number;
    PyObject *result = NULL;

    if (!PyArg_ParseTuple(args, "y*nnn:make_records", &rows, &row_size, &key_size, &number))
        return NULL;
    if (key_size < 1 || key_size > row_size || key_size > MAX_RECORD - 2 * NUMBER || rows.len % row_size != 0) {
        PyErr_SetString(PyExc_ValueError, "need whole rows and 1 <= key_size <= row_size, 248");
        goto done;
    }
    size_t count = (size_t)(rows.len / row_size), width = (size_t)key_size + 2 * NUMBER;
    if (number < 0 || (uint64_t)number > UINT32_MAX || count > UINT32_MAX || count > (size_t)PY_SSIZE_T_MAX / width) {
        PyErr_SetString(PyExc_ValueError, "a number does not fit into 32 bits");
        goto done;
    }
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * width));
    if (result != NULL)
        fill_records(rows.buf, (size_t)row_size, count, (size_t)key_size, (size_t)number,
                     (unsigned char *)PyBytes_AsString(result));
done:
    PyBuffer_Release(&rows);
    return result;
}

/* ---- sort_records --------------------------------------------------------------------------------------------------- */

static void swap_records(unsigned char *a, unsigned char *b, size_t width)
{
    unsigned char held[MAX_RECORD];
    memcpy(held, a, width);
    memmove(a, b, width);
    memcpy(b, held, width);
}

static void insertion_sort(unsigned char *base, size_t count, size_t width)
{
    unsigned char held[MAX_RECORD];
    for (size_t i = 1; i < count; i++) {
        size_t j = i;
        memcpy(held, base + i * width, width);
        while (j > 0 && memcmp(base + (j - 1) * width, held, width) > 0)
            j--;
        memmove(base + (j + 1) * width, base + j * width, (i - j) * width);
        memcpy(base + j * width, held, width);
    }
}

static void sift_down(unsigned char *base, size_t root, size_t count, size_t width)
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count)
            return;
        if (child + 1 < count && memcmp(base + child * width, base + (child + 1) * width, width) < 0)
            child++;
        if (memcmp(base + root * width, base + child * width, width) >= 0)
            return;
        swap_records(base + root * width, base + child * width, width);
        root = child;
    }
}

/* For what radix passes cannot tell apart: in place, and never worse than n log n whatever the input. */
static void heap_sort(unsigned char *base, size_t count, size_t width)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(base, root, count, width);
    for (size_t last = count; last-- > 1;) {
        swap_records(base, base + last * width, width);
        sift_down(base, 0, last, width);
    }
}

/* American flag sort on the byte at `depth` (McIlroy, Bostic, McIlroy: Engineering Radix Sort, 1993). */
static void radix_sort(unsigned char *base, size_t count, size_t width, size_t depth, size_t max_depth)
{
    size_t next[256] = {0}, end[256];
    if (count <= INSERTION_RECORDS) {
        insertion_sort(base, count, width);
        return;
    }
    if (depth == max_depth) {
        heap_sort(base, count, width);
        return;
    }
    for (size_t i = 0; i < count; i++)
        next[base[i * width + depth]]++;
    for (size_t digit = 0, sum = 0; digit < 256; digit++) {
        size_t here = next[digit];
        next[digit] = sum;
        end[digit] = sum += here;
    }
    for (size_t digit = 0; digit < 256; digit++) {
        while (next[digit] < end[digit]) {
            unsigned char *record = base + next[digit] * width;
            size_t home = record[depth];
            if (home != digit && next[home] < end[home])
                swap_records(record, base + next[home]++ * width, width);
            else
                next[digit]++; /* at home; or somebody else wrote into the buffer and the counts are wrong */
        }
    }
    for (size_t digit = 0, begin = 0; digit < 256; begin = end[digit++])
        if (end[digit] - begin > 1)
            radix_sort(base + begin * width, end[digit] - begin, width, depth + 1, max_depth);
}

static int check_records(Py_ssize_t size, Py_ssize_t record_size, Py_ssize_t key_size)
{
    if (record_size < 1 || record_size > MAX_RECORD || key_size < 1 || key_size > record_size) {
        PyErr_SetString(PyExc_ValueError, "need 1 <= key_size <= record_size <= 256");
        return -1;
    }
    if (size % record_size != 0) {
        PyErr_SetString(PyExc_ValueError, "the buffer does not hold whole records");
        return -1;
    }
    return 0;
}

static PyObject *kernel_sort_records(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer buffer;
    Py_ssize_t record_size, key_size;

    if (!PyArg_ParseTuple(args, "w*nn:sort_records", &buffer, &record_size, &key_size))
        return NULL;
    if (check_records(buffer.len, record_size, key_size) < 0) {
        PyBuffer_Release(&buffer);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    radix_sort(buffer.buf, (size_t)(buffer.len / record_size), (size_t)record_size, 0,
               key_size < RADIX_DEPTH ? (size_t)key_size : RADIX_DEPTH);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

/* ---- match_records -------------------------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *base;
    size_t count, width, key_size;
} records;

static int is_below(const records *r, size_t position, const unsigned char *key)
{
    return memcmp(r->base + position * r->width, key, r->key_size) < 0;
}

static uint64_t top_of(const records *r, const unsigned char *key)
{
    uint64_t top = 0;
    for (size_t i = 0; i < 8; i++)
        top = (top << 8) | (i < r->key_size ? key[i] : 0);
    return top;
}

static size_t nearest_position(const records *r, double position)
{
    if (!(position > 0))
        return 0;
    return position < (double)(r->count - 1) ? (size_t)position : r->count - 1;
}

static double spacing_of(const records *r)
{
    return (double)r->count / 18446744073709551616.0; /* records for each step of the 64-bit number */
}

/* Where `key` would stand if keys were spread evenly, as those of a hash are. */
static size_t first_guess(const records *r, const unsigned char *key)
{
    return nearest_position(r, (double)top_of(r, key) * spacing_of(r));
}

/* The same, seen from the record at `guess`. */
static size_t better_guess(const records *r, const unsigned char *key, size_t guess)
{
    uint64_t wanted = top_of(r, key), here = top_of(r, r->base + guess * r->width);
    double distance = here < wanted ? (double)(wanted - here) : -(double)(here - wanted);
    return nearest_position(r, (double)guess + distance * spacing_of(r));
}

/* The first position whose record is not below `key`: strides that double away from the guess, then halving. With evenly
 * spread keys this stays within a few cache lines; with any others it is a binary search of twice the steps. */
static size_t lower_bound(const records *r, const unsigned char *key, size_t guess)
{
    size_t low = 0, high = r->count, stride = 4;
    if (is_below(r, guess, key)) {
        low = guess + 1;
        while (stride < high - low && is_below(r, low + stride, key)) {
            low += stride + 1;
            stride *= 2;
            if (low >= high)
                return high;
        }
        if (stride < high - low)
            high = low + stride;
    } else {
        high = guess;
        while (stride < high && !is_below(r, high - stride, key)) {
            high -= stride;
            stride *= 2;
        }
        if (stride < high)
            low = high - stride + 1;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_below(r, middle, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where each of some keys is, or would be. Among ten million records the first guess is off by about a thousand, the third
 * by about five. Every look is a cache miss, so all keys look once, and memory answers them together, before any of them
 * looks again. */
static void find_group(const records *r, const unsigned char *keys, size_t stride, size_t count, size_t *first)
{
    for (size_t i = 0; i < count; i++) {
        first[i] = first_guess(r, keys + i * stride);
        PREFETCH(r->base + first[i] * r->width);
    }
    for (int look = 0; look < 2; look++)
        for (size_t i = 0; i < count; i++) {
            first[i] = better_guess(r, keys + i * stride, first[i]);
            PREFETCH(r->base + first[i] * r->width);
        }
    for (size_t i = 0; i < count; i++)
        first[i] = lower_bound(r, keys + i * stride, first[i]);
}

static int matches(const records *r, size_t position, const unsigned char *key)
{
    return position < r->count && memcmp(r->base + position * r->width, key, r->key_size) == 0;
}

/* Where the records of each key begin, and how many there are of all keys together. */
static size_t find_all(const records *r, const unsigned char *keys, size_t stride, size_t key_count, size_t *first)
{
    size_t total = 0;
    if (r->count == 0)
        key_count = 0;
    for (size_t i = 0; i < key_count; i += GROUP_KEYS)
        find_group(r, keys + i * stride, stride, key_count - i < GROUP_KEYS ? key_count - i : GROUP_KEYS, first + i);
    for (size_t i = 0; i < key_count; i++, keys += stride) {
        for (size_t at = first[i]; matches(r, at, keys); at++)
            total++;
    }
    return total;
}

static PyObject *matches_to_bytes(const records *r, const unsigned char *keys, size_t stride, size_t key_count,
                                  const size_t *first, size_t total)
{
    size_t rest = r->width - r->key_size, written = 0;
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(total * (NUMBER + rest)));
    if (result == NULL)
        return NULL;
    unsigned char *out = (unsigned char *)PyBytes_AsString(result); /* nobody else has seen the object yet */
    memset(out, 0, total * (NUMBER + rest)); /* if somebody wrote into the buffer, there may be fewer by now */
    for (size_t i = 0; total > 0 && i < key_count; i++, keys += stride)
        for (size_t at = first[i]; written < total && matches(r, at, keys); at++, written++, out += NUMBER + rest) {
            store_number(out, i);
            memcpy(out + NUMBER, r->base + at * r->width + r->key_size, rest);
        }
    return result;
}

static PyObject *kernel_match_records(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer buffer, keys;
    Py_ssize_t record_size, key_size, stride;
    PyObject *result = NULL;
    size_t *first = NULL;

    if (!PyArg_ParseTuple(args, "y*nny*n:match_records", &buffer, &record_size, &key_size, &keys, &stride))
        return NULL;
    if (check_records(buffer.len, record_size, key_size) < 0)
        goto done;
    if (stride < key_size || keys.len % stride != 0 || (uint64_t)(keys.len / stride) > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "keys does not hold whole keys");
        goto done;
    }
    size_t key_count = (size_t)(keys.len / stride), total;
    records r = {buffer.buf, (size_t)(buffer.len / record_size), (size_t)record_size, (size_t)key_size};
    if (key_count > (size_t)PY_SSIZE_T_MAX / sizeof *first ||
        (first = PyMem_Malloc((key_count + 1) * sizeof *first)) == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    if (key_count > RELEASE_KEYS) {
        Py_BEGIN_ALLOW_THREADS
        total = find_all(&r, keys.buf, (size_t)stride, key_count, first);
        Py_END_ALLOW_THREADS
    } else
        total = find_all(&r, keys.buf, (size_t)stride, key_count, first);
    if (total > (size_t)PY_SSIZE_T_MAX / (NUMBER + MAX_RECORD))
        PyErr_NoMemory(); /* keys that were given again and again, with many records each */
    else
        result = matches_to_bytes(&r, keys.buf, (size_t)stride, key_count, first, total);
done:
    PyMem_Free(first);
    PyBuffer_Release(&buffer);
    PyBuffer_Release(&keys);
    return result;
}

/* ---- read_rows ------------------------------------------------------------------------------------------------------ */

#ifndef _WIN32
#define SPAN_BYTES 65536 /* rows near each other are read together, up to this */
#define SPAN_GAP 1024    /* reading so many bytes for nothing costs less than another call */
#define READ_ENDED (-1)

typedef struct {
    uint64_t offset;
    size_t place; /* in the answer */
} wanted_row;

static int compare_rows(const void *a, const void *b)
{
    uint64_t first = ((const wanted_row *)a)->offset, second = ((const wanted_row *)b)->offset;
    return (first > second) - (first < second);
}

/* 0, an errno, or READ_ENDED. */
static int read_span(int file, unsigned char *out, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t count = pread(file, out, size, (off_t)offset);
        if (count == 0)
            return READ_ENDED;
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return errno;
        }
        out += count;
        size -= (size_t)count;
        offset += (uint64_t)count;
    }
    return 0;
}

static int read_all_rows(int file, wanted_row *rows, size_t count, size_t row_size, unsigned char *span,
                         unsigned char *out)
{
    qsort(rows, count, sizeof *rows, compare_rows);
    for (size_t i = 0, next; i < count; i = next) {
        uint64_t begin = rows[i].offset, end = begin + row_size;
        for (next = i + 1; next < count; next++) {
            uint64_t row = rows[next].offset;
            if (row > end + SPAN_GAP || row + row_size - begin > SPAN_BYTES)
                break;
            end = row + row_size;
        }
        int problem = read_span(file, span, (size_t)(end - begin), begin);
        if (problem != 0)
            return problem;
        for (size_t k = i; k < next; k++)
            memcpy(out + rows[k].place * row_size, span + (rows[k].offset - begin), row_size);
    }
    return 0;
}

static PyObject *kernel_read_rows(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer offsets;
    Py_ssize_t row_size;
    PyObject *result = NULL;
    wanted_row *rows = NULL;
    unsigned char *span = NULL;
    int file, problem = 0;

    if (!PyArg_ParseTuple(args, "iy*n:read_rows", &file, &offsets, &row_size))
        return NULL;
    size_t count = (size_t)offsets.len / 8;
    if (row_size < 1 || row_size > SPAN_BYTES || offsets.len % 8 != 0 || count > PY_SSIZE_T_MAX / SPAN_BYTES) {
        PyErr_SetString(PyExc_ValueError, "need 1 <= row_size <= 65536 and offsets of 64 bits");
        goto done;
    }
    rows = PyMem_Malloc((count + 1) * sizeof *rows);
    span = PyMem_Malloc(SPAN_BYTES);
    if (rows == NULL || span == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(&rows[i].offset, (const unsigned char *)offsets.buf + 8 * i, 8);
        rows[i].place = i;
        if (rows[i].offset > (uint64_t)INT64_MAX - 2 * SPAN_BYTES) {
            PyErr_SetString(PyExc_ValueError, "an offset is beyond any file");
            goto done;
        }
    }
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)count * row_size);
    if (result == NULL)
        goto done;
    unsigned char *out = (unsigned char *)PyBytes_AsString(result); /* nobody else has seen the object yet */
    Py_BEGIN_ALLOW_THREADS
    problem = read_all_rows(file, rows, count, (size_t)row_size, span, out);
    Py_END_ALLOW_THREADS
    if (problem != 0) {
        errno = problem == READ_ENDED ? EIO : problem;
        PyErr_SetFromErrno(PyExc_OSError);
        Py_CLEAR(result);
    }
done:
    PyMem_Free(rows);
    PyMem_Free(span);
    PyBuffer_Release(&offsets);
    return result;
}
#endif

/* ---- module --------------------------------------------------------------------------------------------------------- */

static PyMethodDef kernel_methods[] = {
    {"find_cuts", kernel_find_cuts, METH_VARARGS,
     "find_cuts(buffer, table, start, minimum, maximum, threshold, final) -> list of end offsets"},
    {"sort_records", kernel_sort_records, METH_VARARGS, "sort_records(buffer, record_size, key_size) -> None"},
    {"make_records", kernel_make_records, METH_VARARGS,
     "make_records(rows, row_size, key_size, number) -> keys with number and row, u32 big-endian each"},
    {"match_records", kernel_match_records, METH_VARARGS,
     "match_records(buffer, record_size, key_size, keys, stride) -> key number, u32 big-endian, and rest of each record found"},
#ifndef _WIN32
    {"read_rows", kernel_read_rows, METH_VARARGS,
     "read_rows(descriptor, offsets, row_size) -> the rows at these offsets (native uint64), in their order"},
#endif
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot kernel_slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef kernel_module = {
    PyModuleDef_HEAD_INIT, "_kernel", "Compiled loops of snapstore.chunking.", 0, kernel_methods, kernel_slots,
    NULL,                  NULL,      NULL,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&kernel_module);
}
