/* The libraries of _sealing.c, what a thread works with, and the steps that are made for each blob.
 *
 * Here: libzstd and libcrypto, opened and tried; contexts and room for a thread, kept from call to call; hashing,
 * sealing, compressing and opening one blob. Not here: batches, Python, what a blob is.
 *
 * Rules: nothing here knows Python, and everything may run in any thread. A library that is there and does not give a
 * known answer is as good as missing: a policy may keep libcrypto from sealing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "_sealing_tools.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_blake3/blake3.h"

#define PROBE_BYTES 4096 /* this and the next two as in codec.py */
#define PROBE_ALWAYS_BYTES (256 * 1024)
#define PROBE_GAIN 32
#define PROBE_LEVEL 1

#define ZSTD_VERSION_MIN 10400 /* the first in which all of these functions are stable */
#define ZSTD_MAGIC "\x28\xb5\x2f\xfd" /* libzstd reads frames of its first versions too */
#define ZSTD_MAGIC_BYTES 4
#define FRAME_HAS_CHECKSUM 4 /* in the descriptor, the byte after the magic number (RFC 8878, 3.1.1.1.1) */
#define GCM_GET_TAG 0x10     /* EVP_CTRL_AEAD_GET_TAG and _SET_TAG of openssl/evp.h */
#define GCM_SET_TAG 0x11
#define POOL_SIZE 4
#define ROOM_KEEP_BYTES (2 * 1024 * 1024) /* a batch's; what a large chunk needs more is given back after use */

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
    unsigned (*version)(void);
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
    {"ZSTD_versionNumber", &zstd.version},
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

/* --- what a thread works with ----------------------------------------------------------------------------------- */

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
int borrow_tools(Tools *tools)
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

void return_tools(Tools *tools)
{
    int kept = 0;
    if (tools->cipher == NULL)
        return; /* it was not borrowed */
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

int make_room(Room *room, size_t size)
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

void digest(const void *data, size_t size, unsigned char *out, size_t out_size)
{
    blake3_hasher hasher;
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, out, out_size);
}

void keyed(const unsigned char *key, const void *data, size_t size, unsigned char *out, size_t out_size)
{
    blake3_hasher hasher;
    blake3_hasher_init_keyed(&hasher, key);
    blake3_hasher_update(&hasher, data, size);
    blake3_hasher_finalize(&hasher, out, out_size);
}

/* `size` fits an int, as whoever calls has seen to it. */
int seal(Tools *tools, const unsigned char *key, const unsigned char *data, size_t size,
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
size_t compress(Tools *tools, const unsigned char *data, size_t size, int level)
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

/* The plaintext of a sealed blob into `out`, of `raw_size` bytes. 0 if it does not open, -1 without memory. */
int open_one(Tools *tools, const Sealed *blob, unsigned char *out)
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

size_t compress_room(size_t largest)
{
    return zstd.bound(largest > PROBE_BYTES ? largest : PROBE_BYTES);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static void hold(void)
{
    pthread_mutex_lock(&lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&lock);
}

/* Sixteen zero bytes under a zero key and nonce (test case 14 of the GCM specification), and zeros there and back. */
static int answer_as_known(void)
{
    static const unsigned char known[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5,
                                          0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99,
                                          0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    static const unsigned char zeros[512];
    unsigned char sealed[NONCE_BYTES + sizeof known] = {0}, back[sizeof zeros] = {1};
    size_t compressed;
    Tools tools;
    int right;
    if (!borrow_tools(&tools))
        return 0;
    right = seal(&tools, zeros, zeros, sizeof known - TAG_BYTES, NULL, 0, sealed) &&
            memcmp(sealed + NONCE_BYTES, known, sizeof known) == 0 &&
            unseal(&tools, zeros, sealed, sizeof sealed, NULL, 0, back) && memcmp(back, zeros, 16) == 0 &&
            make_room(&tools.compressed, compress_room(sizeof zeros));
    if (right) {
        compressed = compress(&tools, zeros, sizeof zeros, 3);
        right = compressed > 0 && fits(tools.compressed.bytes, compressed, sizeof zeros) &&
                zstd.decompress(tools.decompressor, back, sizeof back, tools.compressed.bytes, compressed) ==
                    sizeof zeros &&
                memcmp(back, zeros, sizeof zeros) == 0;
    }
    return_tools(&tools);
    return right;
}

static int find_all(void)
{
    if (find_symbols("libzstd.so.1", zstd_symbols) != 0 || zstd.version() < ZSTD_VERSION_MIN ||
        find_symbols("libcrypto.so.3", cipher_symbols) != 0)
        return 0;
    cipher.aes_256_gcm = cipher.fetch(NULL, "AES-256-GCM", NULL);
    return cipher.aes_256_gcm != NULL && answer_as_known() && pthread_atfork(hold, let_go, let_go) == 0;
}

/* Done once a process, whatever number of interpreters import this; libraries stay open. */
int find_libraries(void)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    static int tried = 0, found = 0;
    pthread_mutex_lock(&once);
    if (!tried)
        found = find_all();
    tried = 1;
    pthread_mutex_unlock(&once);
    return found;
}
