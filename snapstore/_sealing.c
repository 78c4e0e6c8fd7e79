/* Hashing, sealing and opening many blobs in one call, without the interpreter lock.
 *
 * Here: hash_blobs(), seal_blobs() and open_blobs(), which take a batch each, and name_keys(). Not here: the steps for
 * one blob and the libraries (_sealing_tools.c), which blobs are new, keys and how they are derived, randomness, packs.
 * The twins in Python are snapstore/blobs/{sealer,unsealing}.py over `snapstore.codec` and `snapstore.crypto`, and
 * `chunking.nodes.name_key`; what the bytes are is in docs/format/05-blobs.md.
 *
 * Every call of a library from Python gives the lock away and waits to get it back, which takes longer than the work
 * on a small blob: with one call a blob two processors stood still for a quarter of the time.
 *
 * Rules: no cipher, hash or compressor is written here. BLAKE3 is its authors' own code (snapstore/_blake3); zstd and
 * AES-GCM are the system's libzstd.so.1 and libcrypto.so.3, opened when the module is loaded, so that building needs
 * no headers of them and a wheel carries no copy; without one of them the import fails and the twins do the work.
 * Sealed bytes are untrusted: nothing is decompressed before it has authenticated, and never to more than the size
 * that the caller names. Built on Linux only. Stable ABI of CPython 3.11. Without the interpreter lock only memory of
 * this module's own is touched, and buffers that it holds.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_sealing_tools.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES 32
#define NAME_KEY_BYTES 8
#define REPOSITORY_ID_BYTES 16
#define FINGERPRINT_BYTES 16
#define FACTS_BYTES 12
#define ENTRY_BYTES 84
#define EPOCH_MAX 0xffff
#define KEYS_BYTES (KEY_BYTES + KEY_BYTES + REPOSITORY_ID_BYTES) /* voucher, child lists, repository */
#define CHILD_LIST_LABEL "child list"

#define DATA_KIND 1 /* as in format/pack.py */
#define TREE_KIND 2

#define ALL_SAME (-1)

typedef enum { DONE, DIFFERS, REFUSED, NO_MEMORY } Outcome;

/* --- arguments -------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject *items; /* a tuple: keeps what the buffers are of alive */
    Py_buffer *buffers;
    Py_ssize_t count;
} Buffers;

static void release_buffers(Buffers *given)
{
    for (Py_ssize_t i = 0; i < given->count; i++)
        if (given->buffers[i].obj != NULL)
            PyBuffer_Release(&given->buffers[i]);
    free(given->buffers);
    Py_XDECREF(given->items);
    memset(given, 0, sizeof *given);
}

/* Where None is allowed it gives a buffer of nobody. */
static int take_buffers(Buffers *given, PyObject *sequence, int none_allowed)
{
    memset(given, 0, sizeof *given);
    given->items = PySequence_Tuple(sequence);
    if (given->items == NULL)
        return 0;
    given->count = PyTuple_Size(given->items);
    given->buffers = calloc((size_t)given->count + 1, sizeof *given->buffers);
    if (given->buffers == NULL) {
        given->count = 0;
        PyErr_NoMemory();
        release_buffers(given);
        return 0;
    }
    for (Py_ssize_t i = 0; i < given->count; i++) {
        PyObject *item = PyTuple_GetItem(given->items, i);
        if (item == Py_None && none_allowed)
            continue;
        if (PyObject_GetBuffer(item, &given->buffers[i], PyBUF_SIMPLE) < 0 || given->buffers[i].len > INT32_MAX) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "a blob is larger than 2 GiB");
            release_buffers(given);
            return 0;
        }
    }
    return 1;
}

static int has_size(const char *what, Py_ssize_t size, Py_ssize_t wanted)
{
    if (size == wanted)
        return 1;
    PyErr_Format(PyExc_ValueError, "%s takes %zd bytes, not %zd", what, wanted, size);
    return 0;
}

/* --- hash_blobs ------------------------------------------------------------------------------------------------- */

static PyObject *sealing_hash_blobs(PyObject *module, PyObject *args)
{
    PyObject *sequence, *result = NULL;
    const char *keys, *which;
    Py_ssize_t keys_size, which_size;
    Buffers blobs;
    unsigned char *out;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy#y#:hash_blobs", &sequence, &keys, &keys_size, &which, &which_size) ||
        !take_buffers(&blobs, sequence, 0))
        return NULL;
    if (!has_size("which", which_size, blobs.count))
        goto done;
    for (Py_ssize_t i = 0; i < which_size; i++)
        if (((unsigned char)which[i] + 1) * 2 * KEY_BYTES > keys_size) {
            PyErr_SetString(PyExc_ValueError, "which names keys that are not there");
            goto done;
        }
    result = PyBytes_FromStringAndSize(NULL, blobs.count * (HASH_BYTES + ID_BYTES + KEY_BYTES));
    if (result == NULL)
        goto done;
    out = (unsigned char *)PyBytes_AsString(result);
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < blobs.count; i++) {
        const unsigned char *pair = (const unsigned char *)keys + (unsigned char)which[i] * 2 * KEY_BYTES;
        keyed(pair, blobs.buffers[i].buf, (size_t)blobs.buffers[i].len, out, HASH_BYTES);
        keyed(pair + KEY_BYTES, out, HASH_BYTES, out + HASH_BYTES, ID_BYTES + KEY_BYTES);
        out += HASH_BYTES + ID_BYTES + KEY_BYTES;
    }
    Py_END_ALLOW_THREADS
done:
    release_buffers(&blobs);
    return result;
}

/* The first bytes of the keyed hash of each name: `chunking.nodes.name_key`. */
static PyObject *sealing_name_keys(PyObject *module, PyObject *args)
{
    PyObject *sequence, *result = NULL;
    const char *key;
    Py_ssize_t key_size;
    Buffers names;
    (void)module;
    if (!PyArg_ParseTuple(args, "y#O:name_keys", &key, &key_size, &sequence) || !take_buffers(&names, sequence, 0))
        return NULL;
    if (has_size("the key", key_size, KEY_BYTES))
        result = PyBytes_FromStringAndSize(NULL, names.count * NAME_KEY_BYTES);
    if (result != NULL) {
        unsigned char *out = (unsigned char *)PyBytes_AsString(result);
        for (Py_ssize_t i = 0; i < names.count; i++)
            keyed((const unsigned char *)key, names.buffers[i].buf, (size_t)names.buffers[i].len,
                  out + i * NAME_KEY_BYTES, NAME_KEY_BYTES);
    }
    release_buffers(&names);
    return result;
}

/* --- seal_blobs ------------------------------------------------------------------------------------------------- */

typedef struct {
    Buffers plain;
    Buffers children; /* of tree nodes: prefixes of the ids, sorted, each once; count 0 for data */
    const unsigned char *addresses; /* id and key of each */
    const unsigned char *nonces;    /* two for each: content and child list */
    const unsigned char *keys;
    int epoch;
    int level;
    int verify;
    unsigned char *stored;
    size_t stored_size;
    unsigned char *entries;
    Py_ssize_t failed; /* position of a blob that did not come back as it went in, or ALL_SAME */
    Outcome outcome;
} Sealing;

static unsigned char *put_number(unsigned char *out, size_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *out++ = (unsigned char)(value >> (8 * i));
    return out;
}

static int seal_children(Tools *tools, const Sealing *batch, const unsigned char *blob_id, const Py_buffer *prefixes,
                         unsigned char *out)
{
    unsigned char key[KEY_BYTES], associated[REPOSITORY_ID_BYTES + ID_BYTES + sizeof CHILD_LIST_LABEL - 1];
    keyed(batch->keys + KEY_BYTES, blob_id, ID_BYTES, key, sizeof key);
    memcpy(associated, batch->keys + 2 * KEY_BYTES, REPOSITORY_ID_BYTES);
    memcpy(associated + REPOSITORY_ID_BYTES, blob_id, ID_BYTES);
    memcpy(associated + REPOSITORY_ID_BYTES + ID_BYTES, CHILD_LIST_LABEL, sizeof CHILD_LIST_LABEL - 1);
    return seal(tools, key, prefixes->buf, (size_t)prefixes->len, associated, sizeof associated, out);
}

/* Id, kind, tag, epoch, offset and sizes, stored hash, voucher; docs/format/06-packs.md. */
static void write_entry(const Sealing *batch, unsigned char *entry, const unsigned char *blob_id, int tag,
                        size_t offset, size_t stored_size, size_t raw_size, size_t child_size)
{
    unsigned char vouched[ID_BYTES + FINGERPRINT_BYTES + FACTS_BYTES], *out;
    int kind = batch->children.count ? TREE_KIND : DATA_KIND;
    memcpy(entry, blob_id, ID_BYTES);
    out = put_number(entry + ID_BYTES, (size_t)kind, 1);
    out = put_number(out, (size_t)tag, 1);
    out = put_number(out, (size_t)batch->epoch, 2);
    out = put_number(out, offset, 4);
    out = put_number(out, stored_size, 4);
    out = put_number(out, raw_size, 4);
    out = put_number(out, child_size, 4);
    digest(batch->stored + offset, stored_size, out, FINGERPRINT_BYTES);
    memcpy(vouched, blob_id, ID_BYTES);
    memcpy(vouched + ID_BYTES, out, FINGERPRINT_BYTES);
    memcpy(vouched + ID_BYTES + FINGERPRINT_BYTES, entry + ID_BYTES, 4); /* kind, tag and epoch */
    put_number(put_number(vouched + ID_BYTES + FINGERPRINT_BYTES + 4, raw_size, 4), child_size, 4);
    keyed(batch->keys, vouched, sizeof vouched, out + FINGERPRINT_BYTES, FINGERPRINT_BYTES);
}

/* Whether what was sealed gives the plaintext again. There is room for it, made in `seal_all`. */
static int comes_back(Tools *tools, const Sealed *blob, const void *plaintext)
{
    return open_one(tools, blob, tools->reopened.bytes) == 1 &&
           memcmp(tools->reopened.bytes, plaintext, blob->raw_size) == 0;
}

static Outcome seal_one(Tools *tools, Sealing *batch, Py_ssize_t at)
{
    const Py_buffer *plain = &batch->plain.buffers[at];
    const unsigned char *blob_id = batch->addresses + at * (ID_BYTES + KEY_BYTES), *key = blob_id + ID_BYTES;
    const unsigned char *nonces = batch->nonces + at * 2 * NONCE_BYTES, *content;
    unsigned char associated[ID_BYTES + 1], *out = batch->stored + batch->stored_size;
    size_t raw_size = (size_t)plain->len, size, child_size = 0;
    Sealed sealed;
    if (batch->children.count) {
        memcpy(out, nonces + NONCE_BYTES, NONCE_BYTES);
        if (!seal_children(tools, batch, blob_id, &batch->children.buffers[at], out))
            return REFUSED;
        child_size = OVERHEAD_BYTES + (size_t)batch->children.buffers[at].len;
        out += child_size;
    }
    size = compress(tools, plain->buf, raw_size, batch->level);
    memcpy(associated, blob_id, ID_BYTES);
    associated[ID_BYTES] = size ? ZSTD : RAW;
    memcpy(out, nonces, NONCE_BYTES);
    content = size ? tools->compressed.bytes : plain->buf;
    size = size ? size : raw_size;
    if (!seal(tools, key, content, size, associated, sizeof associated, out))
        return REFUSED;
    sealed = (Sealed){key, blob_id, out, OVERHEAD_BYTES + size, raw_size, associated[ID_BYTES]};
    write_entry(batch, batch->entries + at * ENTRY_BYTES, blob_id, sealed.tag, batch->stored_size,
                child_size + sealed.sealed_size, raw_size, child_size);
    batch->stored_size += child_size + sealed.sealed_size;
    return !batch->verify || comes_back(tools, &sealed, plain->buf) ? DONE : DIFFERS;
}

/* Sealed bytes are gathered in `tools->stored`: how many they will be is known at the end. */
static void seal_all(Tools *tools, Sealing *batch, size_t room, size_t largest)
{
    if (!borrow_tools(tools) || !make_room(&tools->stored, room) ||
        (batch->verify && !make_room(&tools->reopened, largest + 1)) ||
        !make_room(&tools->compressed, compress_room(largest))) {
        batch->outcome = NO_MEMORY;
        return;
    }
    batch->stored = tools->stored.bytes;
    for (Py_ssize_t at = 0; at < batch->plain.count && batch->outcome == DONE; at++) {
        batch->outcome = seal_one(tools, batch, at);
        if (batch->outcome == DIFFERS)
            batch->failed = at;
    }
}

/* The bytes that were gathered; gives the tools back. */
static PyObject *take_stored(Tools *tools, const Sealing *batch)
{
    PyObject *stored = NULL;
    char *out = NULL;
    if (batch->outcome == NO_MEMORY)
        PyErr_NoMemory();
    else if (batch->outcome == REFUSED)
        PyErr_SetString(PyExc_RuntimeError, "the system's libcrypto refused to seal");
    else
        stored = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)batch->stored_size);
    if (stored != NULL)
        out = PyBytes_AsString(stored);
    Py_BEGIN_ALLOW_THREADS
    if (out != NULL)
        memcpy(out, batch->stored, batch->stored_size);
    return_tools(tools);
    Py_END_ALLOW_THREADS
    return stored;
}

static PyObject *seal_batch(Sealing *batch)
{
    PyObject *stored, *entries;
    Tools tools;
    size_t room = 1, largest = 0;
    for (Py_ssize_t i = 0; i < batch->plain.count; i++) {
        size_t size = (size_t)batch->plain.buffers[i].len;
        largest = size > largest ? size : largest;
        room += size + OVERHEAD_BYTES;
        if (batch->children.count)
            room += (size_t)batch->children.buffers[i].len + OVERHEAD_BYTES;
    }
    if (room > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a batch is larger than 4 GiB");
        return NULL;
    }
    entries = PyBytes_FromStringAndSize(NULL, batch->plain.count * ENTRY_BYTES);
    if (entries == NULL)
        return NULL;
    batch->entries = (unsigned char *)PyBytes_AsString(entries);
    Py_BEGIN_ALLOW_THREADS
    seal_all(&tools, batch, room, largest);
    Py_END_ALLOW_THREADS
    stored = take_stored(&tools, batch);
    if (stored != NULL)
        return Py_BuildValue("NNn", stored, entries, batch->failed);
    Py_DECREF(entries);
    return NULL;
}

static PyObject *sealing_seal_blobs(PyObject *module, PyObject *args)
{
    PyObject *plain, *children, *result = NULL;
    const char *addresses, *nonces, *keys;
    Py_ssize_t addresses_size, nonces_size, keys_size;
    Sealing batch = {.failed = ALL_SAME, .outcome = DONE};
    (void)module;
    if (!PyArg_ParseTuple(args, "OOy#y#y#iip:seal_blobs", &plain, &children, &addresses, &addresses_size, &nonces,
                          &nonces_size, &keys, &keys_size, &batch.epoch, &batch.level, &batch.verify))
        return NULL;
    if (batch.epoch < 0 || batch.epoch > EPOCH_MAX) {
        PyErr_SetString(PyExc_ValueError, "epoch is out of range");
        return NULL;
    }
    if (take_buffers(&batch.plain, plain, 0) && (children == Py_None || take_buffers(&batch.children, children, 0)) &&
        has_size("addresses", addresses_size, batch.plain.count * (ID_BYTES + KEY_BYTES)) &&
        has_size("nonces", nonces_size, batch.plain.count * 2 * NONCE_BYTES) &&
        has_size("keys", keys_size, KEYS_BYTES) &&
        (children == Py_None || has_size("children", batch.children.count, batch.plain.count))) {
        batch.addresses = (const unsigned char *)addresses;
        batch.nonces = (const unsigned char *)nonces;
        batch.keys = (const unsigned char *)keys;
        result = seal_batch(&batch);
    }
    release_buffers(&batch.plain);
    release_buffers(&batch.children);
    return result;
}

/* --- open_blobs ------------------------------------------------------------------------------------------------- */

typedef struct {
    Buffers sealed;
    const unsigned char *addresses;
    const unsigned char *tags;
    const unsigned char *raw_sizes; /* 4 bytes each, little-endian */
    const unsigned char *hash_key;
    const unsigned char *hashes;
    unsigned char *out;
    unsigned char *opened; /* 1 for each that did */
} Opening;

static size_t get_number(const unsigned char *from)
{
    return (size_t)from[0] | (size_t)from[1] << 8 | (size_t)from[2] << 16 | (size_t)from[3] << 24;
}

/* False without memory. */
static int open_all(Opening *batch)
{
    Tools tools;
    int result = 1;
    unsigned char *out = batch->out;
    if (!borrow_tools(&tools))
        return 0;
    for (Py_ssize_t at = 0; at < batch->sealed.count && result >= 0; at++) {
        const Py_buffer *sealed = &batch->sealed.buffers[at];
        const unsigned char *address = batch->addresses + at * (ID_BYTES + KEY_BYTES);
        Sealed blob = {address + ID_BYTES, address, sealed->buf, (size_t)sealed->len,
                       get_number(batch->raw_sizes + at * 4), batch->tags[at]};
        result = sealed->obj == NULL ? 0 : open_one(&tools, &blob, out);
        if (result == 1) {
            unsigned char found[HASH_BYTES];
            keyed(batch->hash_key, out, blob.raw_size, found, sizeof found);
            result = memcmp(found, batch->hashes + at * HASH_BYTES, sizeof found) == 0;
        }
        batch->opened[at] = result == 1;
        out += blob.raw_size;
    }
    return_tools(&tools);
    return result >= 0;
}

static PyObject *open_into_objects(Opening *batch)
{
    PyObject *out, *opened;
    size_t room = 0;
    int had_memory = 0;
    for (Py_ssize_t i = 0; i < batch->sealed.count; i++)
        room += get_number(batch->raw_sizes + i * 4);
    out = room <= PY_SSIZE_T_MAX ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room) : PyErr_NoMemory();
    opened = PyBytes_FromStringAndSize(NULL, batch->sealed.count);
    if (out != NULL && opened != NULL) {
        batch->out = (unsigned char *)PyBytes_AsString(out);
        batch->opened = (unsigned char *)PyBytes_AsString(opened);
        Py_BEGIN_ALLOW_THREADS
        had_memory = open_all(batch);
        Py_END_ALLOW_THREADS
        if (had_memory)
            return Py_BuildValue("NN", out, opened);
        PyErr_NoMemory();
    }
    Py_XDECREF(out);
    Py_XDECREF(opened);
    return NULL;
}

static PyObject *sealing_open_blobs(PyObject *module, PyObject *args)
{
    PyObject *sealed, *result = NULL;
    const char *addresses, *tags, *raw_sizes, *hash_key, *hashes;
    Py_ssize_t addresses_size, tags_size, raw_sizes_size, hash_key_size, hashes_size;
    Opening batch = {0};
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy#y#y#y#y#:open_blobs", &sealed, &addresses, &addresses_size, &tags, &tags_size,
                          &raw_sizes, &raw_sizes_size, &hash_key, &hash_key_size, &hashes, &hashes_size) ||
        !take_buffers(&batch.sealed, sealed, 1))
        return NULL;
    if (has_size("addresses", addresses_size, batch.sealed.count * (ID_BYTES + KEY_BYTES)) &&
        has_size("tags", tags_size, batch.sealed.count) &&
        has_size("raw sizes", raw_sizes_size, batch.sealed.count * 4) &&
        has_size("the hash key", hash_key_size, KEY_BYTES) &&
        has_size("hashes", hashes_size, batch.sealed.count * HASH_BYTES)) {
        batch.addresses = (const unsigned char *)addresses;
        batch.tags = (const unsigned char *)tags;
        batch.raw_sizes = (const unsigned char *)raw_sizes;
        batch.hash_key = (const unsigned char *)hash_key;
        batch.hashes = (const unsigned char *)hashes;
        result = open_into_objects(&batch);
    }
    release_buffers(&batch.sealed);
    return result;
}

/* --- module ----------------------------------------------------------------------------------------------------- */

static int sealing_exec(PyObject *module)
{
    (void)module;
    if (find_libraries())
        return 0;
    PyErr_SetString(PyExc_ImportError, "libzstd.so.1 and libcrypto.so.3 are not both there and able");
    return -1;
}

static PyMethodDef sealing_methods[] = {
    {"hash_blobs", sealing_hash_blobs, METH_VARARGS,
     "hash_blobs(blobs, pairs of a hash key and an id key, which pair for each) -> h, id and content key of each"},
    {"name_keys", sealing_name_keys, METH_VARARGS, "name_keys(key, names) -> 8 bytes of each"},
    {"seal_blobs", sealing_seal_blobs, METH_VARARGS,
     "seal_blobs(blobs, child prefixes or None, addresses, nonces, keys, epoch, level, verify)"
     " -> (stored bytes, entries, position of a blob that did not come back as it went in, or -1)"},
    {"open_blobs", sealing_open_blobs, METH_VARARGS,
     "open_blobs(sealed or None, addresses, tags, raw sizes, hash key, hashes) -> (plaintexts, which of them opened)"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot sealing_slots[] = {
    {Py_mod_exec, sealing_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef sealing_module = {
    PyModuleDef_HEAD_INIT, "_sealing", "Many blobs hashed, sealed or opened in one call.", 0, sealing_methods,
    sealing_slots,         NULL,       NULL, NULL,
};

PyMODINIT_FUNC PyInit__sealing(void)
{
    return PyModuleDef_Init(&sealing_module);
}
