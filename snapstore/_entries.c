/* Entries of ordinary files, made and checked many in one call.
 *
 * Here: encode_files(), which makes the encoded entries of the files of one bundle, and their signatures; and
 * plain_leaves(), which tells of nodes that they are sure to decode. Not here: reading files, and whatever is not
 * ordinary: the answer is None or 0 then, and the caller takes the twin. Those are `EntryDraft` with `encode_entry` and
 * `ScannedEntry.signature`, and `decode_node`. docs/format/07-trees.md says what the bytes are.
 *
 * A first snapshot makes one for each file, and checks it. In Python that is three objects and ten calls each way, which
 * is more than compressing a small file takes, and it holds the interpreter lock all the while.
 *
 * Rules: exactly the twin's bytes, or None; 1 only for what the twin decodes. Nothing is read but the objects given, and
 * of nodes not a byte beyond their end: whatever they hold. Stable ABI of CPython 3.11.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define SCANNED_FIELDS 15 /* of sources/scanned.py, and where they are in it */
#define NAME_AT 0
#define TYPE_AT 1
#define SIZE_AT 2
#define MTIME_AT 3
#define CTIME_AT 4
#define INODE_AT 5
#define MODE_AT 8
#define UID_AT 9
#define GID_AT 10
#define WINDOWS_ATTRIBUTES_AT 13
#define BIRTH_AT 14

#define FILE_KIND 0 /* as in EntryType */
#define DIRECTORY_KIND 1
#define LINK_KIND 2
#define HASH_BYTES 32
#define NAME_MAX_BYTES 0xffff
#define INLINE_LIMIT 0xffff
#define MODE_MAX 07777
#define OTHER_KEYS 5 /* name, type, mode, time of modification, size */
#define ROOM_BYTES 160 /* for all of an entry but name, owner and content: 9-byte numbers and the hash */
#define SIGNATURE_BYTES 55 /* "=BqqqQHqqI" of sources/scanned.py */
#define NO_ATTRIBUTES 0xffffffffu

#define INLINE_MAX_BYTES 512 /* this and the next four as in limits.py */
#define INLINE_CHUNKS_MAX 8
#define CHUNK_MAX_BYTES (4 * 1024 * 1024)
#define TREE_MAX_LEVELS 40
#define TREE_BLOB_MAX_BYTES (1024 * 1024)

typedef struct {
    PyObject *file_type;
    long long uid;
    long long gid;
    const char *owner; /* the encoded keys 4 to 7 with their values */
    Py_ssize_t owner_size;
    int owner_keys;
    long long inline_max;
    const char *data; /* of those of at most `inline_max` bytes, back to back */
    Py_ssize_t data_size;
    const char *hash; /* of their bundle */
    Py_ssize_t hash_size;
    long long bundle_size;
    long long settled_ns;
    Py_ssize_t data_at;
    long long bundle_at;
} Group;

typedef struct {
    PyObject *name;
    long long size;
    long long mtime_ns;
    long long ctime_ns;
    unsigned long long inode;
    long long mode;
} Facts;

/* --- msgpack ---------------------------------------------------------------------------------------------------- */

static unsigned char *put_big(unsigned char *out, unsigned char tag, uint64_t value, int bytes)
{
    *out++ = tag;
    for (int i = bytes - 1; i >= 0; i--)
        *out++ = (unsigned char)(value >> (8 * i));
    return out;
}

/* The shortest form, as the format wants it. */
static unsigned char *put_number(unsigned char *out, long long value)
{
    uint64_t bits = (uint64_t)value;
    if (value >= 0) {
        if (value < 0x80)
            *out++ = (unsigned char)value;
        else if (value <= 0xff)
            return put_big(out, 0xcc, bits, 1);
        else if (value <= 0xffff)
            return put_big(out, 0xcd, bits, 2);
        else if (value <= 0xffffffffLL)
            return put_big(out, 0xce, bits, 4);
        else
            return put_big(out, 0xcf, bits, 8);
        return out;
    }
    if (value >= -32)
        *out++ = (unsigned char)bits;
    else if (value >= INT8_MIN)
        return put_big(out, 0xd0, bits, 1);
    else if (value >= INT16_MIN)
        return put_big(out, 0xd1, bits, 2);
    else if (value >= INT32_MIN)
        return put_big(out, 0xd2, bits, 4);
    else
        return put_big(out, 0xd3, bits, 8);
    return out;
}

static unsigned char *put_bytes(unsigned char *out, const char *bytes, size_t size)
{
    out = size <= 0xff ? put_big(out, 0xc4, size, 1) : put_big(out, 0xc5, size, 2);
    memcpy(out, bytes, size);
    return out + size;
}

/* --- one file --------------------------------------------------------------------------------------------------- */

static int is_none(PyObject *entry, Py_ssize_t at)
{
    return PyTuple_GetItem(entry, at) == Py_None;
}

/* How many bytes there are for a file of that size and those after it. */
static long long rest_of(const Group *group, long long size)
{
    if (size <= group->inline_max)
        return group->data_size - group->data_at;
    return group->hash_size == HASH_BYTES ? group->bundle_size - group->bundle_at : -1;
}

static int take_number(PyObject *entry, Py_ssize_t at, long long *number)
{
    *number = PyLong_AsLongLong(PyTuple_GetItem(entry, at));
    return *number != -1 || !PyErr_Occurred();
}

/* False, with an error set or not, for a file that is not ordinary. */
static int take_facts(const Group *group, PyObject *entry, Facts *facts)
{
    long long uid, gid;
    if (!PyTuple_Check(entry) || PyTuple_Size(entry) != SCANNED_FIELDS ||
        PyTuple_GetItem(entry, TYPE_AT) != group->file_type || !is_none(entry, WINDOWS_ATTRIBUTES_AT) ||
        !is_none(entry, BIRTH_AT))
        return 0;
    facts->name = PyTuple_GetItem(entry, NAME_AT);
    if (!PyBytes_Check(facts->name) || PyBytes_Size(facts->name) > NAME_MAX_BYTES)
        return 0;
    facts->inode = PyLong_AsUnsignedLongLong(PyTuple_GetItem(entry, INODE_AT));
    if (facts->inode == (unsigned long long)-1 && PyErr_Occurred())
        return 0;
    return take_number(entry, SIZE_AT, &facts->size) && take_number(entry, MTIME_AT, &facts->mtime_ns) &&
           take_number(entry, CTIME_AT, &facts->ctime_ns) && take_number(entry, MODE_AT, &facts->mode) &&
           take_number(entry, UID_AT, &uid) && take_number(entry, GID_AT, &gid) && uid == group->uid &&
           gid == group->gid && facts->size >= 0 && facts->size <= rest_of(group, facts->size) && facts->mode >= 0 &&
           facts->mode <= MODE_MAX && facts->mtime_ns > INT64_MIN && facts->mtime_ns < INT64_MAX;
}

static PyObject *encode_one(Group *group, const Facts *facts)
{
    int is_inline = facts->size <= group->inline_max, keys = OTHER_KEYS + group->owner_keys + (facts->size > 0);
    size_t name_size = (size_t)PyBytes_Size(facts->name);
    size_t room = ROOM_BYTES + name_size + (size_t)group->owner_size + (is_inline ? (size_t)facts->size : 0);
    unsigned char small[1024], *start = room <= sizeof small ? small : PyMem_Malloc(room), *out = start;
    PyObject *result;
    if (start == NULL)
        return PyErr_NoMemory();
    *out++ = (unsigned char)(0x80 | keys);
    *out++ = 0;
    out = put_bytes(out, PyBytes_AsString(facts->name), name_size);
    *out++ = 1;
    *out++ = FILE_KIND;
    *out++ = 2;
    out = put_number(out, facts->mode);
    *out++ = 3;
    out = put_number(out, facts->mtime_ns);
    memcpy(out, group->owner, (size_t)group->owner_size);
    out += group->owner_size;
    *out++ = 8;
    out = put_number(out, facts->size);
    if (facts->size > 0 && is_inline) {
        *out++ = 9;
        out = put_bytes(out, group->data + group->data_at, (size_t)facts->size);
        group->data_at += (Py_ssize_t)facts->size;
    } else if (facts->size > 0) {
        *out++ = 10;
        *out++ = 0x93;
        out = put_bytes(out, group->hash, HASH_BYTES);
        out = put_number(out, group->bundle_at);
        out = put_number(out, group->bundle_size);
        group->bundle_at += facts->size;
    }
    result = PyBytes_FromStringAndSize((const char *)start, out - start);
    if (start != small)
        PyMem_Free(start);
    return result;
}

static unsigned char *put_native(unsigned char *out, const void *value, size_t size)
{
    memcpy(out, value, size);
    return out + size;
}

/* None for a file that changed so lately that its signature must not be trusted. */
static PyObject *sign_one(const Group *group, const Facts *facts)
{
    unsigned char signature[SIGNATURE_BYTES], *out = signature;
    const uint8_t kind = FILE_KIND;
    const uint16_t mode = (uint16_t)facts->mode;
    const uint32_t attributes = NO_ATTRIBUTES;
    const int64_t size = facts->size, mtime_ns = facts->mtime_ns, ctime_ns = facts->ctime_ns;
    const int64_t uid = group->uid, gid = group->gid;
    const uint64_t inode = facts->inode;
    if (mtime_ns > group->settled_ns || ctime_ns > group->settled_ns)
        Py_RETURN_NONE;
    out = put_native(out, &kind, sizeof kind);
    out = put_native(out, &size, sizeof size);
    out = put_native(out, &mtime_ns, sizeof mtime_ns);
    out = put_native(out, &ctime_ns, sizeof ctime_ns);
    out = put_native(out, &inode, sizeof inode);
    out = put_native(out, &mode, sizeof mode);
    out = put_native(out, &uid, sizeof uid);
    out = put_native(out, &gid, sizeof gid);
    put_native(out, &attributes, sizeof attributes);
    return PyBytes_FromStringAndSize((const char *)signature, sizeof signature);
}

/* --- all -------------------------------------------------------------------------------------------------------- */

static int add_one(PyObject *names, PyObject *lines, Group *group, PyObject *entry)
{
    Facts facts;
    PyObject *encoded, *signature, *line;
    int added;
    if (!take_facts(group, entry, &facts))
        return 0;
    encoded = encode_one(group, &facts);
    signature = encoded == NULL ? NULL : sign_one(group, &facts);
    if (signature == NULL) {
        Py_XDECREF(encoded);
        return 0;
    }
    line = Py_BuildValue("NNL", encoded, signature, facts.size);
    if (line == NULL)
        return 0;
    added = PyList_Append(names, facts.name) == 0 && PyList_Append(lines, line) == 0;
    Py_DECREF(line);
    return added;
}

static PyObject *entries_encode_files(PyObject *module, PyObject *args)
{
    Group group = {0};
    PyObject *given, *entries, *names, *lines, *result = NULL;
    Py_ssize_t at = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOLLy#iLy#y#LL:encode_files", &given, &group.file_type, &group.uid, &group.gid,
                          &group.owner, &group.owner_size, &group.owner_keys, &group.inline_max, &group.data,
                          &group.data_size, &group.hash, &group.hash_size, &group.bundle_size, &group.settled_ns))
        return NULL;
    if (group.owner_keys < 0 || group.owner_keys > 4 || group.inline_max > INLINE_LIMIT) {
        PyErr_SetString(PyExc_ValueError, "owner_keys or inline_max is out of range");
        return NULL;
    }
    entries = PySequence_Tuple(given);
    if (entries == NULL)
        return NULL;
    names = PyList_New(0);
    lines = PyList_New(0);
    if (names != NULL && lines != NULL) {
        while (at < PyTuple_Size(entries) && add_one(names, lines, &group, PyTuple_GetItem(entries, at)))
            at++;
        if (at == PyTuple_Size(entries) && group.data_at == group.data_size &&
            group.bundle_at == group.bundle_size)
            result = Py_BuildValue("OO", names, lines);
        else if (!PyErr_Occurred() || PyErr_ExceptionMatches(PyExc_OverflowError)) {
            PyErr_Clear();
            result = Py_None;
            Py_INCREF(result);
        }
    }
    Py_XDECREF(names);
    Py_XDECREF(lines);
    Py_DECREF(entries);
    return result;
}

/* --- leaves ----------------------------------------------------------------------------------------------------- */

typedef struct {
    const unsigned char *at;
    const unsigned char *end;
} Reader;

static int has_byte(Reader *from, unsigned char wanted)
{
    if (from->at == from->end || *from->at != wanted)
        return 0;
    from->at++;
    return 1;
}

static int get_big(Reader *from, int bytes, uint64_t *value)
{
    if (from->end - from->at < bytes)
        return 0;
    *value = 0;
    while (bytes-- > 0)
        *value = *value << 8 | *from->at++;
    return 1;
}

/* A number from 0 on in its shortest form. */
static int get_number(Reader *from, uint64_t most, uint64_t *value)
{
    uint64_t least;
    int bytes;
    if (from->at == from->end)
        return 0;
    if (*from->at < 0x80) {
        *value = *from->at++;
        return *value <= most;
    }
    if (*from->at < 0xcc || *from->at > 0xcf)
        return 0;
    bytes = 1 << (*from->at++ - 0xcc);
    least = bytes == 1 ? 0x80 : 1ULL << (4 * bytes);
    return get_big(from, bytes, value) && *value >= least && *value <= most;
}

/* A time: from 1970 on, or before. */
static int get_time(Reader *from)
{
    uint64_t bits;
    int tag, bytes;
    int64_t value;
    if (from->at == from->end)
        return 0;
    tag = *from->at;
    if (tag >= 0xe0) {
        from->at++;
        return 1;
    }
    if (tag < 0xd0 || tag > 0xd3)
        return get_number(from, INT64_MAX, &bits);
    from->at++;
    bytes = 1 << (tag - 0xd0);
    if (!get_big(from, bytes, &bits))
        return 0;
    if (bytes == 8)
        return bits >> 63 && bits < 0xffffffff80000000ULL;
    value = (int64_t)bits - (1LL << (8 * bytes));
    return value < 0 && value >= -(1LL << (8 * bytes - 1)) && value < (bytes == 1 ? -32 : -(1LL << (4 * bytes - 1)));
}

/* Bytes in their shortest form, or text where `is_text`: then all of it must be ASCII. */
static int get_bytes(Reader *from, int is_text, const unsigned char **bytes, size_t *size)
{
    uint64_t count;
    if (from->at == from->end)
        return 0;
    if (is_text && (*from->at & 0xe0) == 0xa0)
        count = *from->at++ & 0x1f;
    else if (has_byte(from, is_text ? 0xd9 : 0xc4)) {
        if (!get_big(from, 1, &count) || (is_text && count < 32))
            return 0;
    } else if (is_text || !has_byte(from, 0xc5) || !get_big(from, 2, &count) || count < 0x100)
        return 0;
    if ((uint64_t)(from->end - from->at) < count)
        return 0;
    *bytes = from->at;
    *size = (size_t)count;
    from->at += count;
    for (size_t i = 0; is_text && i < *size; i++)
        if ((*bytes)[i] >= 0x80)
            return 0;
    return 1;
}

static int get_hash(Reader *from, const unsigned char **hash)
{
    size_t size;
    return get_bytes(from, 0, hash, &size) && size == HASH_BYTES;
}

typedef struct {
    const unsigned char *bytes;
    size_t size;
} Name;

/* A name that is one, and greater than the last. */
static int get_name(Reader *from, Name *last)
{
    Name name;
    size_t common;
    int order;
    if (!get_bytes(from, 0, &name.bytes, &name.size) || name.size == 0 || memchr(name.bytes, '/', name.size) != NULL ||
        memchr(name.bytes, 0, name.size) != NULL || (name.bytes[0] == '.' && name.size == 1) ||
        (name.size == 2 && name.bytes[0] == '.' && name.bytes[1] == '.'))
        return 0;
    common = name.size < last->size ? name.size : last->size;
    order = common ? memcmp(last->bytes, name.bytes, common) : 0;
    if (order > 0 || (order == 0 && last->size >= name.size))
        return 0;
    *last = name;
    return 1;
}

/* Chunks of one size each, of which no two neighbours are equal; no holes and no repeats. */
static int has_chunks(Reader *from, uint64_t size)
{
    const unsigned char *hash, *last = NULL;
    uint64_t sum = 0, one;
    int count;
    if (from->at == from->end || (*from->at & 0xf0) != 0x90)
        return 0;
    count = *from->at++ & 0x0f;
    if (count < 1 || count > INLINE_CHUNKS_MAX)
        return 0;
    for (; count > 0; count--) {
        if (!has_byte(from, 0x92) || !get_hash(from, &hash) || !get_number(from, CHUNK_MAX_BYTES, &one) || one == 0 ||
            (last != NULL && memcmp(last, hash, HASH_BYTES) == 0))
            return 0;
        last = hash;
        sum += one;
    }
    return sum == size;
}

static int has_node(Reader *from)
{
    const unsigned char *hash;
    uint64_t level;
    return has_byte(from, 0x92) && get_number(from, TREE_MAX_LEVELS, &level) && get_hash(from, &hash);
}

/* What follows a file's size: how many keys, or -1. */
static int count_content(Reader *from, uint64_t size)
{
    const unsigned char *bytes;
    size_t inline_size;
    uint64_t offset, bundle_size;
    int shared = 0;
    if (size == 0)
        return 0;
    if (has_byte(from, 9))
        return get_bytes(from, 0, &bytes, &inline_size) && inline_size == size && size <= INLINE_MAX_BYTES ? 1 : -1;
    if (has_byte(from, 10))
        return has_byte(from, 0x93) && get_hash(from, &bytes) && get_number(from, CHUNK_MAX_BYTES, &offset) &&
                       get_number(from, CHUNK_MAX_BYTES, &bundle_size) && offset < bundle_size &&
                       size <= bundle_size - offset
                   ? 1
                   : -1;
    if (!(has_byte(from, 11) ? has_chunks(from, size) : has_byte(from, 12) && has_node(from)))
        return -1;
    if (has_byte(from, 13)) {
        shared = has_byte(from, 0xc3);
        if (!shared)
            return -1;
    }
    return 1 + shared;
}

/* What is true of a file, a folder and a link alike after the name: how many keys, or -1. */
static int count_common(Reader *from, int *kind)
{
    const unsigned char *bytes;
    size_t size;
    uint64_t value;
    int keys = 0;
    if (!has_byte(from, 1) || !get_number(from, LINK_KIND, &value))
        return -1;
    *kind = (int)value;
    if (has_byte(from, 2) && ++keys && !get_number(from, MODE_MAX, &value))
        return -1;
    if (has_byte(from, 3) && ++keys && !get_time(from))
        return -1;
    for (unsigned char key = 4; key <= 5; key++)
        if (has_byte(from, key) && ++keys && !get_number(from, UINT64_MAX, &value))
            return -1;
    for (unsigned char key = 6; key <= 7; key++)
        if (has_byte(from, key) && ++keys && !get_bytes(from, 1, &bytes, &size))
            return -1;
    return 1 + keys;
}

static int is_plain_entry(Reader *from, Name *last)
{
    const unsigned char *bytes;
    size_t link_size;
    uint64_t size, entries;
    int keys, kind, common, rest;
    if (from->at == from->end || (*from->at & 0xf0) != 0x80)
        return 0;
    keys = *from->at++ & 0x0f;
    if (!has_byte(from, 0) || !get_name(from, last) || (common = count_common(from, &kind)) < 0)
        return 0;
    if (kind == FILE_KIND) {
        if (!has_byte(from, 8) || !get_number(from, UINT64_MAX, &size) || (rest = count_content(from, size)) < 0)
            return 0;
        rest += 1;
    } else if (kind == DIRECTORY_KIND) {
        if (!has_byte(from, 21) || !has_node(from) || !has_byte(from, 22) || !has_byte(from, 0x92) ||
            !get_number(from, UINT64_MAX, &entries) || !get_number(from, UINT64_MAX, &size))
            return 0;
        rest = 2;
    } else {
        if (!has_byte(from, 14) || !get_bytes(from, 0, &bytes, &link_size) || link_size == 0)
            return 0;
        rest = 1;
    }
    return keys == 1 + common + rest;
}

static int is_plain_leaf(const unsigned char *data, size_t size)
{
    Reader from = {data, data + size};
    Name last = {NULL, 0};
    uint64_t count;
    if (size > TREE_BLOB_MAX_BYTES || !has_byte(&from, 0x92) || !has_byte(&from, 0) || from.at == from.end)
        return 0;
    if ((*from.at & 0xf0) == 0x90)
        count = *from.at++ & 0x0f;
    else if (!has_byte(&from, 0xdc) || !get_big(&from, 2, &count) || count < 16)
        return 0;
    for (; count > 0; count--)
        if (!is_plain_entry(&from, &last))
            return 0;
    return from.at == from.end;
}

static PyObject *entries_plain_leaves(PyObject *module, PyObject *args)
{
    PyObject *given, *nodes, *result;
    (void)module;
    if (!PyArg_ParseTuple(args, "O:plain_leaves", &given))
        return NULL;
    nodes = PySequence_Tuple(given);
    if (nodes == NULL)
        return NULL;
    result = PyBytes_FromStringAndSize(NULL, PyTuple_Size(nodes));
    for (Py_ssize_t i = 0; result != NULL && i < PyTuple_Size(nodes); i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(nodes, i), &data, &size) < 0)
            Py_CLEAR(result);
        else
            PyBytes_AsString(result)[i] = (char)is_plain_leaf((const unsigned char *)data, (size_t)size);
    }
    Py_DECREF(nodes);
    return result;
}

static PyMethodDef entries_methods[] = {
    {"encode_files", entries_encode_files, METH_VARARGS,
     "encode_files(entries, file_type, uid, gid, owner, owner_keys, inline_max, data, h, bundle_size, settled_ns)"
     " -> (names, [(encoded entry, signature or None, size)]), or None if one is not ordinary"},
    {"plain_leaves", entries_plain_leaves, METH_VARARGS,
     "plain_leaves(nodes) -> for each 1 if it is sure to decode as a leaf of a directory, 0 if a closer look is needed"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot entries_slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef entries_module = {
    PyModuleDef_HEAD_INIT, "_entries", "Entries of ordinary files, many in one call.", 0, entries_methods,
    entries_slots,         NULL,       NULL, NULL,
};

PyMODINIT_FUNC PyInit__entries(void)
{
    return PyModuleDef_Init(&entries_module);
}
