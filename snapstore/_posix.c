/* Reading a source with one call for many files (Linux).
 *
 *   look         list an open directory and lstat every entry
 *   read_small   open, look at, read whole and close many small files, with their extended attributes
 *
 * Each system call that Python makes by itself gives the interpreter lock away and waits to have it back; here a
 * whole folder or batch costs that once. Both have twins in Python (snapstore/sources/look.py and small.py) that give
 * the same results; the tests compare them.
 *
 * Rules: C99 and the limited API of CPython 3.11. Nothing is written and no link is followed. Only the ordinary case
 * is dealt with here: whatever is odd (an error, a device node, a time beyond 64 bits of nanoseconds, an interrupted
 * call) is left to the twin, so that errors are made in one place. Without the interpreter lock only memory of this
 * module's own is touched, and names that are kept alive by a tuple of their entries.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LISTING_BYTES 32768
#define XATTR_MAX_BYTES 65536 /* the kernel's own limit for a list of names and for a value */
#define FIRST_ARENA_BYTES 4096
#define SECOND_NS 1000000000
#define NOTHING_32 UINT32_MAX /* what Python shows as -1, and what Windows attributes are elsewhere */

enum { OK = 0, ODD = 1 };
enum { FILE_KIND, DIRECTORY_KIND, LINK_KIND, FIFO_KIND, UNSUPPORTED_KIND = 255 }; /* docs/format/07-trees.md */

/* What lstat says; `native.py` unpacks it. `start` and `stop` are the name's place in the signature. */
typedef struct {
    int64_t size, mtime_ns, ctime_ns;
    uint64_t inode, device, links;
    int64_t blocks;
    uint32_t mode, uid, gid, kind, start, stop;
} record;

typedef char record_has_no_gaps[sizeof(record) == 80 ? 1 : -1];

/* ---- memory that grows ----------------------------------------------------------------------------------------- */

typedef struct {
    char *base;
    size_t used, room;
} arena;

/* Room for `size` more bytes, taken; NULL without memory. */
static char *take(arena *a, size_t size)
{
    if (size > a->room - a->used) {
        size_t room = a->room ? a->room : FIRST_ARENA_BYTES;
        while (room - a->used < size) {
            if (room > SIZE_MAX / 4)
                return NULL;
            room *= 2;
        }
        char *base = realloc(a->base, room);
        if (base == NULL)
            return NULL;
        a->base = base;
        a->room = room;
    }
    char *place = a->base + a->used;
    a->used += size;
    return place;
}

static char *put(char *at, const void *value, size_t size)
{
    memcpy(at, value, size);
    return at + size;
}

/* ---- what a stat says ------------------------------------------------------------------------------------------ */

static uint32_t kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return FILE_KIND;
    case S_IFDIR:
        return DIRECTORY_KIND;
    case S_IFLNK:
        return LINK_KIND;
    case S_IFIFO:
        return FIFO_KIND;
    default:
        return UNSUPPORTED_KIND;
    }
}

static int to_nanoseconds(const struct timespec *time, int64_t *result)
{
    const int64_t limit = INT64_MAX / SECOND_NS - 1;
    if (time->tv_sec > limit || time->tv_sec < -limit)
        return ODD;
    *result = (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec;
    return OK;
}

static int to_record(const struct stat *found, record *r)
{
    if (S_ISCHR(found->st_mode) || S_ISBLK(found->st_mode))
        return ODD;
    if (found->st_uid == NOTHING_32 || found->st_gid == NOTHING_32)
        return ODD;
    if (to_nanoseconds(&found->st_mtim, &r->mtime_ns) || to_nanoseconds(&found->st_ctim, &r->ctime_ns))
        return ODD;
    r->size = found->st_size;
    r->inode = found->st_ino;
    r->device = found->st_dev;
    r->links = found->st_nlink;
    r->blocks = found->st_blocks;
    r->mode = found->st_mode & 07777;
    r->uid = found->st_uid;
    r->gid = found->st_gid;
    r->kind = kind_of(found->st_mode);
    return OK;
}

/* ---- look ------------------------------------------------------------------------------------------------------ */

/* The start of the kernel's struct linux_dirent64; the name, with a zero byte, begins at NAME_OFFSET. */
typedef struct {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
} listed;

#define NAME_OFFSET 19

typedef struct {
    record facts;
    size_t name_at; /* in the arena of names; after sorting never needed again */
    const char *name;
    size_t name_size;
} item;

typedef struct {
    arena names, items;
    item **order;
    size_t count, folders, signature_size;
    int64_t newest_ns;
    int plain, unsupported;
} listing;

enum { HEAD_BYTES = 2 + 1, BODY_BYTES = 8 + 2 * (8 + 4) + 2 * 8 + 2 + 3 * 4 };

static void note(listing *l, const record *r, size_t name_size)
{
    l->count++;
    l->signature_size += HEAD_BYTES + name_size;
    if (r->kind == DIRECTORY_KIND) {
        l->folders++;
        return;
    }
    l->signature_size += BODY_BYTES;
    int64_t newest_ns = r->mtime_ns > r->ctime_ns ? r->mtime_ns : r->ctime_ns;
    if (l->count - l->folders == 1 || newest_ns > l->newest_ns)
        l->newest_ns = newest_ns;
    if (r->kind == UNSUPPORTED_KIND)
        l->unsupported = 1;
    if ((r->kind != FILE_KIND && r->kind != LINK_KIND) || r->links != 1)
        l->plain = 0;
}

static int add_entry(listing *l, int directory, const char *name)
{
    struct stat found;
    size_t size = strlen(name);
    if ((size == 1 && name[0] == '.') || (size == 2 && name[0] == '.' && name[1] == '.'))
        return OK;
    if (size == 0 || size > UINT16_MAX || fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
        return ODD;
    size_t name_at = l->names.used;
    char *copy = take(&l->names, size);
    item *added = (item *)(void *)take(&l->items, sizeof(item));
    if (copy == NULL || added == NULL || to_record(&found, &added->facts))
        return ODD;
    memcpy(copy, name, size);
    added->name_at = name_at;
    added->name_size = size;
    note(l, &added->facts, size);
    return OK;
}

static int list_all(listing *l, int directory)
{
    union {
        char bytes[LISTING_BYTES];
        uint64_t aligned;
    } buffer;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer.bytes, sizeof buffer.bytes);
        if (size <= 0)
            return size == 0 ? OK : ODD;
        for (long at = 0; at < size;) {
            listed head;
            memcpy(&head, buffer.bytes + at, NAME_OFFSET);
            if (add_entry(l, directory, buffer.bytes + at + NAME_OFFSET))
                return ODD;
            at += head.size;
        }
    }
}

static int by_name(const void *left, const void *right)
{
    const item *a = *(item *const *)left, *b = *(item *const *)right;
    size_t common = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = memcmp(a->name, b->name, common);
    if (order != 0)
        return order;
    return (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

static int look_at(listing *l, int directory)
{
    if (lseek(directory, 0, SEEK_SET) != 0)
        return ODD;
    int odd = list_all(l, directory);
    lseek(directory, 0, SEEK_SET); /* os.scandir begins where the descriptor stands */
    if (odd || l->signature_size > UINT32_MAX)
        return ODD;
    l->order = malloc((l->count + 1) * sizeof *l->order);
    if (l->order == NULL)
        return ODD;
    item *items = (item *)(void *)l->items.base;
    for (size_t i = 0; i < l->count; i++) {
        items[i].name = l->names.base + items[i].name_at;
        l->order[i] = &items[i];
    }
    if (l->count > 1)
        qsort(l->order, l->count, sizeof *l->order, by_name);
    return OK;
}

/* One entry's part of the signature: `_HEAD` and `_BODY` of look.py. */
static char *sign(char *at, const item *i)
{
    const record *r = &i->facts;
    const uint16_t name_size = (uint16_t)i->name_size, mode = (uint16_t)r->mode;
    const uint8_t kind = (uint8_t)r->kind;
    const uint64_t high_inode = 0;
    const uint32_t windows_attributes = NOTHING_32;

    at = put(at, &name_size, 2);
    at = put(at, &kind, 1);
    at = put(at, i->name, i->name_size);
    if (r->kind == DIRECTORY_KIND)
        return at;
    at = put(at, &r->size, 8);
    for (int which = 0; which < 2; which++) {
        int64_t time = which == 0 ? r->mtime_ns : r->ctime_ns;
        int64_t seconds = time / SECOND_NS;
        int32_t rest = (int32_t)(time % SECOND_NS);
        if (rest < 0) {
            seconds--;
            rest += SECOND_NS;
        }
        at = put(at, &seconds, 8);
        at = put(at, &rest, 4);
    }
    at = put(at, &r->inode, 8);
    at = put(at, &high_inode, 8);
    at = put(at, &mode, 2);
    at = put(at, &r->uid, 4);
    at = put(at, &r->gid, 4);
    return put(at, &windows_attributes, 4);
}

static PyObject *result_of(listing *l)
{
    PyObject *signature = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)l->signature_size);
    PyObject *records = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(l->count * sizeof(record)));
    PyObject *folders = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(l->folders * sizeof(record)));
    if (signature == NULL || records == NULL || folders == NULL) {
        Py_XDECREF(signature);
        Py_XDECREF(records);
        Py_XDECREF(folders);
        return NULL;
    }
    char *start = PyBytes_AsString(signature), *at = start; /* nobody else has seen the three objects yet */
    char *row = PyBytes_AsString(records), *folder = PyBytes_AsString(folders);
    for (size_t i = 0; i < l->count; i++) {
        item *next = l->order[i];
        next->facts.start = (uint32_t)(at - start) + HEAD_BYTES;
        next->facts.stop = next->facts.start + (uint32_t)next->name_size;
        at = sign(at, next);
        row = put(row, &next->facts, sizeof(record));
        if (next->facts.kind == DIRECTORY_KIND)
            folder = put(folder, &next->facts, sizeof(record));
    }
    return Py_BuildValue("(NNNLNN)", signature, records, folders, (long long)l->newest_ns,
                         PyBool_FromLong(l->plain), PyBool_FromLong(l->unsupported));
}

static PyObject *posix_look(PyObject *module, PyObject *args)
{
    (void)module;
    int directory, odd;
    listing found = {.plain = 1};
    PyObject *result;

    if (!PyArg_ParseTuple(args, "i:look", &directory))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    odd = look_at(&found, directory);
    Py_END_ALLOW_THREADS
    result = odd ? Py_NewRef(Py_None) : result_of(&found);
    free(found.names.base);
    free(found.items.base);
    free(found.order);
    return result;
}

/* ---- read_small ------------------------------------------------------------------------------------------------ */

enum { LEFT_TO_TWIN = 1, CHANGED = 2, DIFFERS = 4 };
enum { NAME_AT = 0, TYPE_AT = 1, ENTRY_FIELDS = 15 }; /* of ScannedEntry */

typedef struct {
    const char *name;
    record expected, found;
    size_t room; /* bytes of the result that are set aside for it */
    int64_t size;
    uint32_t flags, xattr_size;
} small_file;

/* What a file's answer looks like; `native.py` unpacks it. */
typedef struct {
    int64_t size;
    uint32_t flags, xattr_size;
} answer;

typedef struct {
    int directory;
    small_file *files;
    size_t count, limit;
    char *data;
    size_t used;
    arena xattrs;
    char *names, *value;           /* XATTR_MAX_BYTES each */
    const char *skipped, *skipped_prefixes; /* names that end with a zero byte, and an empty one at the end */
} batch;

static int is_skipped(const batch *b, const char *name)
{
    for (const char *other = b->skipped; *other; other += strlen(other) + 1)
        if (strcmp(other, name) == 0)
            return 1;
    for (const char *prefix = b->skipped_prefixes; *prefix; prefix += strlen(prefix) + 1)
        if (strncmp(prefix, name, strlen(prefix)) == 0)
            return 1;
    return 0;
}

static int read_xattr(batch *b, int descriptor, const char *name)
{
    ssize_t found = fgetxattr(descriptor, name, b->value, XATTR_MAX_BYTES);
    if (found < 0)
        return errno == ENODATA ? OK : ODD;
    uint32_t name_size = (uint32_t)strlen(name), size = (uint32_t)found;
    char *at = take(&b->xattrs, 8 + (size_t)name_size + size);
    if (at == NULL)
        return ODD;
    at = put(at, &name_size, 4);
    at = put(at, &size, 4);
    at = put(at, name, name_size);
    put(at, b->value, size);
    return OK;
}

static int read_xattrs(batch *b, int descriptor)
{
    ssize_t size = flistxattr(descriptor, b->names, XATTR_MAX_BYTES);
    if (size < 0)
        return errno == ENOTSUP || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL ? OK : ODD;
    for (const char *name = b->names; name < b->names + size; name += strlen(name) + 1)
        if (!is_skipped(b, name) && read_xattr(b, descriptor, name))
            return ODD;
    return OK;
}

static int differs(const record *a, const record *b)
{
    return a->size != b->size || a->mtime_ns != b->mtime_ns || a->ctime_ns != b->ctime_ns || a->inode != b->inode ||
           a->device != b->device || a->links != b->links || a->blocks != b->blocks || a->mode != b->mode ||
           a->uid != b->uid || a->gid != b->gid || a->kind != b->kind;
}

static int read_opened(batch *b, small_file *file, int descriptor)
{
    struct stat before, after;
    if (fstat(descriptor, &before) < 0 || !S_ISREG(before.st_mode) || to_record(&before, &file->found))
        return ODD;
    size_t wanted = (uint64_t)before.st_size > b->limit ? b->limit + 1 : (size_t)before.st_size;
    if (before.st_size < 0 || wanted > file->room)
        return ODD; /* it has grown: there may be no room for it */
    size_t done = 0;
    while (done < wanted) {
        ssize_t size = read(descriptor, b->data + b->used + done, wanted - done);
        if (size < 0)
            return ODD;
        if (size == 0)
            break;
        done += (size_t)size;
    }
    size_t first_xattr = b->xattrs.used;
    if (read_xattrs(b, descriptor) || fstat(descriptor, &after) < 0) {
        b->xattrs.used = first_xattr;
        return ODD;
    }
    file->xattr_size = (uint32_t)(b->xattrs.used - first_xattr);
    if (done < wanted || after.st_size != before.st_size || after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
        after.st_mtim.tv_nsec != before.st_mtim.tv_nsec || after.st_ctim.tv_sec != before.st_ctim.tv_sec ||
        after.st_ctim.tv_nsec != before.st_ctim.tv_nsec)
        file->flags |= CHANGED;
    if (differs(&file->expected, &file->found))
        file->flags |= DIFFERS;
    file->size = (int64_t)done;
    b->used += done;
    return OK;
}

static void read_files(batch *b)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    for (size_t i = 0; i < b->count; i++) {
        small_file *file = &b->files[i];
        if (file->flags & LEFT_TO_TWIN)
            continue;
        int descriptor = openat(b->directory, file->name, flags | O_NOATIME); /* allowed to the owner and to root */
        if (descriptor < 0 && errno == EPERM)
            descriptor = openat(b->directory, file->name, flags);
        if (descriptor < 0 || read_opened(b, file, descriptor))
            file->flags = LEFT_TO_TWIN;
        if (descriptor >= 0)
            close(descriptor);
    }
}

/* The number at `index`; what is none, or does not fit, leaves an error set. */
static int64_t signed_at(PyObject *entry, Py_ssize_t index)
{
    return PyLong_AsLongLong(PyTuple_GetItem(entry, index)); /* the tuple's size has been checked */
}

static uint64_t unsigned_at(PyObject *entry, Py_ssize_t index)
{
    return PyLong_AsUnsignedLongLong(PyTuple_GetItem(entry, index));
}

/* Take what is needed of a ScannedEntry. -1 with an error set if it is none. */
static int expect(small_file *file, PyObject *entry, PyObject *file_type, size_t limit)
{
    if (!PyTuple_Check(entry) || PyTuple_Size(entry) != ENTRY_FIELDS ||
        !PyBytes_Check(PyTuple_GetItem(entry, NAME_AT))) {
        PyErr_SetString(PyExc_TypeError, "entries must be a sequence of ScannedEntry");
        return -1;
    }
    PyObject *name = PyTuple_GetItem(entry, NAME_AT);
    record *r = &file->expected;
    file->name = PyBytes_AsString(name);
    r->size = signed_at(entry, 2);
    r->mtime_ns = signed_at(entry, 3);
    r->ctime_ns = signed_at(entry, 4);
    r->inode = unsigned_at(entry, 5);
    r->device = unsigned_at(entry, 6);
    r->links = unsigned_at(entry, 7);
    r->mode = (uint32_t)signed_at(entry, 8);
    r->uid = (uint32_t)signed_at(entry, 9);
    r->gid = (uint32_t)signed_at(entry, 10);
    r->blocks = signed_at(entry, 12);
    r->kind = PyTuple_GetItem(entry, TYPE_AT) == file_type ? FILE_KIND : UNSUPPORTED_KIND;
    if (PyErr_Occurred() || r->size < 0 || strlen(file->name) != (size_t)PyBytes_Size(name)) {
        PyErr_Clear();
        file->flags = LEFT_TO_TWIN;
        return 0;
    }
    file->room = (uint64_t)r->size > limit ? limit + 1 : (size_t)r->size;
    return 0;
}

static PyObject *answers_of(const batch *b, PyObject *data)
{
    size_t different = 0;
    for (size_t i = 0; i < b->count; i++)
        different += (b->files[i].flags & DIFFERS) != 0;
    PyObject *answers = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(b->count * sizeof(answer)));
    PyObject *records = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(different * sizeof(record)));
    PyObject *xattrs = PyBytes_FromStringAndSize(b->xattrs.base, (Py_ssize_t)b->xattrs.used);
    if (answers == NULL || records == NULL || xattrs == NULL) {
        Py_XDECREF(answers);
        Py_XDECREF(records);
        Py_XDECREF(xattrs);
        return NULL;
    }
    char *at = PyBytes_AsString(answers), *row = PyBytes_AsString(records);
    int ordinary = b->xattrs.used == 0;
    for (size_t i = 0; i < b->count; i++) {
        const small_file *file = &b->files[i];
        ordinary &= file->flags == 0 && file->size == file->expected.size &&
                    file->expected.uid == b->files[0].expected.uid && file->expected.gid == b->files[0].expected.gid;
        const answer one = {file->size, file->flags, file->xattr_size};
        at = put(at, &one, sizeof one);
        if (file->flags & DIFFERS)
            row = put(row, &file->found, sizeof(record));
    }
    return Py_BuildValue("(ONNNi)", data, answers, records, xattrs, ordinary);
}

/* `data` cut to what was read; takes over the reference. */
static PyObject *shortened(PyObject *data, size_t used)
{
    if (data == NULL || (size_t)PyBytes_Size(data) == used)
        return data;
    PyObject *shorter = PyBytes_FromStringAndSize(PyBytes_AsString(data), (Py_ssize_t)used);
    Py_DECREF(data);
    return shorter;
}

static PyObject *read_batch(batch *b, size_t room)
{
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room), *result;
    if (data == NULL)
        return NULL;
    b->data = PyBytes_AsString(data); /* nobody else has seen the object yet */
    Py_BEGIN_ALLOW_THREADS
    read_files(b);
    Py_END_ALLOW_THREADS
    data = shortened(data, b->used);
    if (data == NULL)
        return NULL;
    result = answers_of(b, data);
    Py_DECREF(data);
    return result;
}

static PyObject *posix_read_small(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *given, *file_type, *entries = NULL, *result = NULL;
    Py_ssize_t limit, skipped_size, prefixes_size;
    size_t room = 0;
    batch b = {0};

    if (!PyArg_ParseTuple(args, "iOOny#y#:read_small", &b.directory, &given, &file_type, &limit, &b.skipped,
                          &skipped_size, &b.skipped_prefixes, &prefixes_size))
        return NULL;
    if (limit < 0 || limit == PY_SSIZE_T_MAX) {
        PyErr_SetString(PyExc_ValueError, "limit is out of range");
        return NULL;
    }
    entries = PySequence_Tuple(given); /* keeps the names alive */
    if (entries == NULL)
        return NULL;
    b.limit = (size_t)limit;
    b.count = (size_t)PyTuple_Size(entries);
    b.files = calloc(b.count + 1, sizeof *b.files);
    b.names = malloc(2 * XATTR_MAX_BYTES);
    if (b.files == NULL || b.names == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    b.value = b.names + XATTR_MAX_BYTES;
    for (size_t i = 0; i < b.count; i++) {
        if (expect(&b.files[i], PyTuple_GetItem(entries, (Py_ssize_t)i), file_type, b.limit) < 0)
            goto done;
        if (b.files[i].room > (size_t)PY_SSIZE_T_MAX / 2 - room) {
            PyErr_NoMemory();
            goto done;
        }
        room += b.files[i].room;
    }
    result = read_batch(&b, room);
done:
    free(b.files);
    free(b.names);
    free(b.xattrs.base);
    Py_DECREF(entries);
    return result;
}

/* ---- module ---------------------------------------------------------------------------------------------------- */

static PyMethodDef posix_methods[] = {
    {"look", posix_look, METH_VARARGS,
     "look(directory) -> (signature, records, records of folders, newest_ns, plain, unsupported), or None if odd"},
    {"read_small", posix_read_small, METH_VARARGS,
     "read_small(directory, entries, file_type, limit, skipped, skipped_prefixes)"
     " -> (data, answers, records of files that differ, extended attributes, whether all were as listed, of one owner"
     " and without such attributes)"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot posix_slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef posix_module = {
    PyModuleDef_HEAD_INIT, "_posix", "Many system calls of snapstore.sources in one.", 0, posix_methods, posix_slots,
    NULL,                  NULL,     NULL,
};

PyMODINIT_FUNC PyInit__posix(void)
{
    return PyModuleDef_Init(&posix_module);
}
