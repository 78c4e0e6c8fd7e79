/* Hashing, sealing and opening many blobs in one call, without the interpreter lock.
 *
 * Here: hash_blobs(), seal_blobs() and open_blobs(), which take a batch each, name_keys(), and the few functions of
 * libzstd and libcrypto that they call. Not here: which blobs are new, keys and how they are derived, randomness, packs. The twins
 * in Python are snapstore/blobs/{sealer,unsealing}.py over `snapstore.codec` and `snapstore.crypto`; what the bytes are
 * is in docs/format/05-blobs.md.
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
#ifndef Py_LIMITED_API
#if !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)
#define Py_LIMITED_API 0x030B0000
#endif
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_blake3/blake3.h"

#define KEY_BYTES 32
#define ID_BYTES 32
#define HASH_BYTES 32
#define NAME_KEY_BYTES 8
#define REPOSITORY_ID_BYTES 16
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define OVERHEAD_BYTES (NONCE_BYTES + TAG_BYTES)
#define FINGERPRINT_BYTES 16
#define FACTS_BYTES 12
#define ENTRY_BYTES 84
#define EPOCH_MAX 0xffff
#define KEYS_BYTES (KEY_BYTES + KEY_BYTES + REPOSITORY_ID_BYTES) /* voucher, child lists, repository */
#define CHILD_LIST_LABEL "child list"

#define RAW 0 /* tags, as in codec.py */
#define ZSTD 1
#define DATA_KIND 1 /* as in format/pack.py */
#define TREE_KIND 2

#define PROBE_BYTES 4096 /* this and the next two as in codec.py */
#define PROBE_ALWAYS_BYTES (256 * 1024)
#define PROBE_GAIN 32
#define PROBE_LEVEL 1

#define ZSTD_MAGIC "\x28\xb5\x2f\xfd" /* libzstd reads frames of its first versions too */
#define ZSTD_MAGIC_BYTES 4
#define FRAME_HAS_CHECKSUM 4 /* in the descriptor, the byte after the magic number (RFC 8878, 3.1.1.1.1) */
#define GCM_GET_TAG 0x10     /* EVP_CTRL_AEAD_GET_TAG and _SET_TAG of openssl/evp.h */
#define GCM_SET_TAG 0x11
#define POOL_SIZE 8
#define ROOM_KEEP_BYTES (4 * 1024 * 1024) /* more is given back after use */

/* --- libraries -------------------------------------------------------------------------------------------------- */

static struct {
    void *(*create_compressor)(void);
    size_t (*free_compressor)(void *);
    size_t (*compress)(void *, void *, size_t, const void *, size_t, int);
    size_t (*bound)(size_t);
    void *(*create_decompressor)(void);
    size_t (*free_decompressor)(void *);
    size_t (*decompress)(void *, void *, size_t, const void *, size_t);
    unsigned (*is_error)(size_t);
    unsigned long long (*content_size)(const void *, size_t);
    unsigned (*dictionary)(const void *, size_t);
    size_t (*frame_size)(const void *, size_t);
} zstd;

static struct {
    void *(*fetch)(void *, const char *, const char *);
    void *(*create)(void);
    void (*destroy)(void *);
    int (*encrypt_init)(void *, const void *, void *, const unsigned char *, const unsigned char *);
    int (*encrypt_update)(void *, unsigned char *, int *, const unsigned char *, int);
    int (*encrypt_final)(void *, unsigned char *, int *);
    int (*decrypt_init)(void *, const void *, void *, const unsigned char *, const unsigned char *);
    int (*decrypt_update)(void *, unsigned char *, int *, const unsigned char *, int);
    int (*decrypt_final)(void *, unsigned char *, int *);
    int (*control)(void *, int, int, void *);
    void *aes_256_gcm;
} cipher;

typedef struct {
    const char *name;
    void *place; /* of a pointer to a function */
} Symbol;

static const Symbol zstd_symbols[] = {
    {"ZSTD_createCCtx", &zstd.create_compressor},
    {"ZSTD_freeCCtx", &zstd.free_compressor},
    {"ZSTD_compressCCtx", &zstd.compress},
    {"ZSTD_compressBound", &zstd.bound},
    {"ZSTD_createDCtx", &zstd.create_decompressor},
    {"ZSTD_freeDCtx", &zstd.free_decompressor},
    {"ZSTD_decompressDCtx", &zstd.decompress},
    {"ZSTD_isError", &zstd.is_error},
    {"ZSTD_getFrameContentSize", &zstd.content_size},
    {"ZSTD_getDictID_fromFrame", &zstd.dictionary},
    {"ZSTD_findFrameCompressedSize", &zstd.frame_size},
    {NULL, NULL},
};

static const Symbol cipher_symbols[] = {
    {"EVP_CIPHER_fetch", &cipher.fetch},
    {"EVP_CIPHER_CTX_new", &cipher.create},
    {"EVP_CIPHER_CTX_free", &cipher.destroy},
    {"EVP_EncryptInit_ex", &cipher.encrypt_init},
    {"EVP_EncryptUpdate", &cipher.encrypt_update},
    {"EVP_EncryptFinal_ex", &cipher.encrypt_final},
    {"EVP_DecryptInit_ex", &cipher.decrypt_init},
    {"EVP_DecryptUpdate", &cipher.decrypt_update},
    {"EVP_DecryptFinal_ex", &cipher.decrypt_final},
    {"EVP_CIPHER_CTX_ctrl", &cipher.control},
    {NULL, NULL},
};

static int find_symbols(const char *file, const Symbol *symbols)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return -1;
    for (; symbols->name != NULL; symbols++) {
        void *found = dlsym(library, symbols->name);
        if (found == NULL)
            return -1;
        memcpy(symbols->place, &found, sizeof found); /* as POSIX wants it: C has no cast to a function's pointer */
    }
    return 0;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Done once a process, whatever number of interpreters import this; libraries stay open. */
static int find_libraries(void)
{
    static int found = 0;
    int result;
    pthread_mutex_lock(&lock);
    if (!found && find_symbols("libzstd.so.1", zstd_symbols) == 0 && find_symbols("libcrypto.so.3", cipher_symbols) == 0) {
        cipher.aes_256_gcm = cipher.fetch(NULL, "AES-256-GCM", NULL);
        found = cipher.aes_256_gcm != NULL;
    }
    result = found ? 0 : -1;
    pthread_mutex_unlock(&lock);
    return result;
}

/* --- what a thread works with ----------------------------------------------------------------------------------- */

typedef struct {
    unsigned char *bytes;
    size_t size;
} Room;

typedef struct {
    void *compressor;
    void *decompressor;
    void *cipher;
    Room compressed;
    Room reopened;
    Room stored;
} Tools;

static Tools pool[POOL_SIZE];
static int pooled = 0;

static void drop_tools(Tools *tools)
{
    if (tools->compressor != NULL)
        zstd.free_compressor(tools->compressor);
    if (tools->decompressor != NULL)
        zstd.free_decompressor(tools->decompressor);
    if (tools->cipher != NULL)
        cipher.destroy(tools->cipher);
    free(tools->compressed.bytes);
    free(tools->reopened.bytes);
    free(tools->stored.bytes);
    memset(tools, 0, sizeof *tools);
}

/* False without memory. Contexts are kept from call to call: making them costs as much as a small batch. */
static int borrow_tools(Tools *tools)
{
    memset(tools, 0, sizeof *tools);
    pthread_mutex_lock(&lock);
    if (pooled > 0)
        *tools = pool[--pooled];
    pthread_mutex_unlock(&lock);
    if (tools->cipher != NULL)
        return 1;
    tools->compressor = zstd.create_compressor();
    tools->decompressor = zstd.create_decompressor();
    tools->cipher = cipher.create();
    if (tools->compressor != NULL && tools->decompressor != NULL && tools->cipher != NULL)
        return 1;
    drop_tools(tools);
    return 0;
}

static void give_back(Room *room)
{
    if (room->size > ROOM_KEEP_BYTES) {
        free(room->bytes);
        memset(room, 0, sizeof *room);
    }
}

static void return_tools(Tools *tools)
{
    int kept = 0;
    give_back(&tools->compressed);
    give_back(&tools->reopened);
    give_back(&tools->stored);
    pthread_mutex_lock(&lock);
    if (pooled < POOL_SIZE) {
        pool[pooled++] = *tools;
        kept = 1;
    }
    pthread_mutex_unlock(&lock);
    if (!kept)
        drop_tools(tools);
}

static int make_room(Room *room, size_t size)
{
    unsigned char *grown;
    if (size <= room->size)
        return 1;
    grown = realloc(room->bytes, size);
    if (grown == NULL)
        return 0;
    room->bytes = grown;
    room->size = size;
    return 1;
}

/* --- primitives ------------------------------------------------------------------------------------------------- */

static void digest(const void *data, size_t size, unsigned char *out, size_t out_size)
{
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, out, out_size);
}

static void keyed(const unsigned char *key, const void *data, size_t size, unsigned char *out, size_t out_size)
{
    blake3_hasher hasher;
    blake3_hasher_init_keyed(&hasher, key);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, out, out_size);
}

/* nonce || ciphertext || tag into `out`, which begins with the nonce. `size` fits an int: chunks are 8 MiB at most. */
static int seal(Tools *tools, const unsigned char *key, const unsigned char *data, size_t size,
                const unsigned char *associated, size_t associated_size, unsigned char *out)
{
    int written = 0, rest = 0;
    unsigned char *ciphertext = out + NONCE_BYTES;
    return cipher.encrypt_init(tools->cipher, cipher.aes_256_gcm, NULL, key, out) == 1 &&
           cipher.encrypt_update(tools->cipher, NULL, &written, associated, (int)associated_size) == 1 &&
           (size == 0 || cipher.encrypt_update(tools->cipher, ciphertext, &written, data, (int)size) == 1) &&
           cipher.encrypt_final(tools->cipher, ciphertext + size, &rest) == 1 && rest == 0 &&
           (size == 0 || written == (int)size) &&
           cipher.control(tools->cipher, GCM_GET_TAG, TAG_BYTES, ciphertext + size) == 1;
}

/* The `sealed_size - OVERHEAD_BYTES` bytes into `out`; false if they do not authenticate. */
static int unseal(Tools *tools, const unsigned char *key, const unsigned char *sealed, size_t sealed_size,
                  const unsigned char *associated, size_t associated_size, unsigned char *out)
{
    int written = 0, rest = 0;
    size_t size = sealed_size - OVERHEAD_BYTES;
    const unsigned char *ciphertext = sealed + NONCE_BYTES;
    unsigned char tag[TAG_BYTES];
    memcpy(tag, ciphertext + size, TAG_BYTES);
    return cipher.decrypt_init(tools->cipher, cipher.aes_256_gcm, NULL, key, sealed) == 1 &&
           cipher.decrypt_update(tools->cipher, NULL, &written, associated, (int)associated_size) == 1 &&
           (size == 0 || cipher.decrypt_update(tools->cipher, out, &written, ciphertext, (int)size) == 1) &&
           cipher.control(tools->cipher, GCM_SET_TAG, TAG_BYTES, tag) == 1 &&
           cipher.decrypt_final(tools->cipher, out + size, &rest) == 1;
}

/* Whether a sample from the middle shrinks; as in codec.py. */
static int shrinks(Tools *tools, const unsigned char *data, size_t size)
{
    const Room *room = &tools->compressed;
    size_t compressed = zstd.compress(tools->compressor, room->bytes, room->size, data + (size - PROBE_BYTES) / 2,
                                      PROBE_BYTES, PROBE_LEVEL);
    return !zstd.is_error(compressed) && compressed < PROBE_BYTES - PROBE_BYTES / PROBE_GAIN;
}

/* The compressed size, of what is then in `tools->compressed`, or 0 where compressing saves nothing. */
static size_t compress(Tools *tools, const unsigned char *data, size_t size, int level)
{
    const Room *room = &tools->compressed;
    size_t compressed;
    if (size >= PROBE_ALWAYS_BYTES && !shrinks(tools, data, size))
        return 0;
    compressed = zstd.compress(tools->compressor, room->bytes, room->size, data, size, level);
    return zstd.is_error(compressed) || compressed >= size ? 0 : compressed;
}

/* Whether a frame is of the kind that is written for `raw_size` bytes, and is all there is; as `codec.frame_misfit`. */
static int fits(const unsigned char *frame, size_t size, size_t raw_size)
{
    return size > ZSTD_MAGIC_BYTES && raw_size > 0 && memcmp(frame, ZSTD_MAGIC, ZSTD_MAGIC_BYTES) == 0 &&
           zstd.content_size(frame, size) == raw_size && zstd.dictionary(frame, size) == 0 &&
           (frame[ZSTD_MAGIC_BYTES] & FRAME_HAS_CHECKSUM) == 0 && zstd.frame_size(frame, size) == size;
}

typedef struct {
    const unsigned char *key;
    const unsigned char *blob_id;
    const unsigned char *sealed;
    size_t sealed_size;
    size_t raw_size;
    int tag;
} Sealed;

/* The plaintext of a sealed blob into `out`, of `raw_size` bytes. 0 if it does not open, -1 without memory. */
static int open_one(Tools *tools, const Sealed *blob, unsigned char *out)
{
    unsigned char associated[ID_BYTES + 1], *frame;
    size_t size;
    if (blob->sealed_size < OVERHEAD_BYTES)
        return 0;
    size = blob->sealed_size - OVERHEAD_BYTES;
    memcpy(associated, blob->blob_id, ID_BYTES);
    associated[ID_BYTES] = (unsigned char)blob->tag;
    if (blob->tag == RAW)
        return size == blob->raw_size &&
               unseal(tools, blob->key, blob->sealed, blob->sealed_size, associated, sizeof associated, out);
    if (blob->tag != ZSTD)
        return 0;
    if (!make_room(&tools->compressed, size))
        return -1;
    frame = tools->compressed.bytes;
    if (!unseal(tools, blob->key, blob->sealed, blob->sealed_size, associated, sizeof associated, frame) ||
        !fits(frame, size, blob->raw_size))
        return 0;
    return zstd.decompress(tools->decompressor, out, blob->raw_size, frame, size) == blob->raw_size;
}

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
    Py_ssize_t failed; /* position of a blob that did not come back as it went in, or -1 */
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

/* Whether what was sealed gives the plaintext again. There is room for both, made in `seal_all`. */
static int comes_back(Tools *tools, const Sealed *blob, const void *plaintext)
{
    return open_one(tools, blob, tools->reopened.bytes) == 1 &&
           memcmp(tools->reopened.bytes, plaintext, blob->raw_size) == 0;
}

static int seal_one(Tools *tools, Sealing *batch, Py_ssize_t at)
{
    const Py_buffer *plain = &batch->plain.buffers[at];
    const unsigned char *blob_id = batch->addresses + at * (ID_BYTES + KEY_BYTES), *key = blob_id + ID_BYTES;
    const unsigned char *nonces = batch->nonces + at * 2 * NONCE_BYTES, *content;
    unsigned char associated[ID_BYTES + 1], *start = batch->stored + batch->stored_size, *out = start;
    size_t raw_size = (size_t)plain->len, size, child_size = 0;
    Sealed sealed;
    if (batch->children.count) {
        memcpy(out, nonces + NONCE_BYTES, NONCE_BYTES);
        if (!seal_children(tools, batch, blob_id, &batch->children.buffers[at], out))
            return 0;
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
        return 0;
    sealed = (Sealed){key, blob_id, out, OVERHEAD_BYTES + size, raw_size, associated[ID_BYTES]};
    write_entry(batch, batch->entries + at * ENTRY_BYTES, blob_id, sealed.tag, batch->stored_size,
                child_size + sealed.sealed_size, raw_size, child_size);
    batch->stored_size += child_size + sealed.sealed_size;
    return !batch->verify || comes_back(tools, &sealed, plain->buf);
}

/* False without memory. Sealed bytes are gathered in `tools->stored`: how many they will be is known at the end. */
static int seal_all(Tools *tools, Sealing *batch, size_t room, size_t largest)
{
    if (!make_room(&tools->stored, room) || (batch->verify && !make_room(&tools->reopened, largest + 1)) ||
        !make_room(&tools->compressed, zstd.bound(largest > PROBE_BYTES ? largest : PROBE_BYTES)))
        return 0;
    batch->stored = tools->stored.bytes;
    for (Py_ssize_t at = 0; at < batch->plain.count && batch->failed < 0; at++)
        if (!seal_one(tools, batch, at))
            batch->failed = at;
    return 1;
}

static PyObject *seal_into_objects(Tools *tools, Sealing *batch, size_t room, size_t largest)
{
    PyObject *stored, *entries = PyBytes_FromStringAndSize(NULL, batch->plain.count * ENTRY_BYTES);
    int had_memory;
    char *out;
    if (entries == NULL)
        return NULL;
    batch->entries = (unsigned char *)PyBytes_AsString(entries);
    Py_BEGIN_ALLOW_THREADS
    had_memory = seal_all(tools, batch, room, largest);
    Py_END_ALLOW_THREADS
    stored = had_memory ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)batch->stored_size) : PyErr_NoMemory();
    if (stored == NULL) {
        Py_DECREF(entries);
        return NULL;
    }
    out = PyBytes_AsString(stored);
    Py_BEGIN_ALLOW_THREADS
    memcpy(out, batch->stored, batch->stored_size);
    Py_END_ALLOW_THREADS
    return Py_BuildValue("NNn", stored, entries, batch->failed);
}

static PyObject *seal_batch(Sealing *batch)
{
    PyObject *result;
    Tools tools;
    int borrowed;
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
    Py_BEGIN_ALLOW_THREADS
    borrowed = borrow_tools(&tools);
    Py_END_ALLOW_THREADS
    if (!borrowed)
        return PyErr_NoMemory();
    result = seal_into_objects(&tools, batch, room, largest);
    Py_BEGIN_ALLOW_THREADS
    return_tools(&tools);
    Py_END_ALLOW_THREADS
    return result;
}

static PyObject *sealing_seal_blobs(PyObject *module, PyObject *args)
{
    PyObject *plain, *children, *result = NULL;
    const char *addresses, *nonces, *keys;
    Py_ssize_t addresses_size, nonces_size, keys_size;
    Sealing batch = {.failed = -1};
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
    const unsigned char *hash_key;  /* NULL: the caller compares */
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
    if (find_libraries() == 0)
        return 0;
    PyErr_SetString(PyExc_ImportError, "libzstd.so.1 and libcrypto.so.3 are not both there");
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
