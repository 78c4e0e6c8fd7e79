/* What _sealing.c asks of _sealing_tools.c. */
#ifndef SNAPSTORE_SEALING_TOOLS_H
#define SNAPSTORE_SEALING_TOOLS_H

#include <stddef.h>

#define KEY_BYTES 32
#define ID_BYTES 32
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define OVERHEAD_BYTES (NONCE_BYTES + TAG_BYTES)

#define RAW 0 /* tags, as in codec.py */
#define ZSTD 1

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

typedef struct {
    const unsigned char *key;
    const unsigned char *blob_id;
    const unsigned char *sealed;
    size_t sealed_size;
    size_t raw_size;
    int tag;
} Sealed;

/* True if both libraries are there and give known answers; ask before anything else. */
int find_libraries(void);

/* A thread's contexts and room. False without memory. */
int borrow_tools(Tools *tools);
void return_tools(Tools *tools);
int make_room(Room *room, size_t size);
size_t compress_room(size_t largest);

void digest(const void *data, size_t size, unsigned char *out, size_t out_size);
void keyed(const unsigned char *key, const void *data, size_t size, unsigned char *out, size_t out_size);

/* nonce || ciphertext || tag into `out`, which begins with the nonce. False if the library refuses. */
int seal(Tools *tools, const unsigned char *key, const unsigned char *data, size_t size,
         const unsigned char *associated, size_t associated_size, unsigned char *out);

/* The compressed size, of what is then in `tools->compressed`, or 0 where compressing saves nothing. There must be
 * `compress_room` in it. */
size_t compress(Tools *tools, const unsigned char *data, size_t size, int level);

/* The plaintext of a sealed blob into `out`, of `raw_size` bytes. 0 if it does not open, -1 without memory. */
int open_one(Tools *tools, const Sealed *blob, unsigned char *out);

#endif
