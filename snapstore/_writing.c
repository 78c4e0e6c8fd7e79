/* Writing many small files in one call, without the interpreter lock.
 *
 * Here: write_files(), which creates, fills, finishes and closes each file of a batch in one open folder, and
 * finish(), which gives an open folder its attributes. Not here: what is written (the caller has verified it), which
 * names may stand there, and what happens where attributes could not all be set: the caller does those again, one by
 * one, and reports what is lost. The twins in Python are `TargetFile` and `AttributeWriter` in snapstore/targets.
 *
 * A restore of 80,000 files spends most of its time on calls of this kind. From Python each costs a release of the
 * interpreter lock, and the hand-over to another thread costs more than the call.
 *
 * Rules: a file is created with O_EXCL and O_NOFOLLOW, so nothing that is there is ever opened. After any failure the
 * file is gone. Built on Linux only: other systems flush file by file and take the twin. Stable ABI of CPython 3.11.
 * Without the interpreter lock only memory of this module's own is touched, the buffers that it holds, and names that
 * are kept alive by a tuple of their files.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NANOSECONDS 1000000000LL
#define TIME_TOLERANCE_NS 2000000000LL /* FAT keeps two seconds; as in targets/attributes.py */
#define PERMISSIONS 07777
#define OWNER_MAX 0x7fffffffLL /* larger numbers are nobody; the caller says what the system makes of them */
#define ATTRIBUTES_LEFT 1
#define FILE_FIELDS 6
#define PIECE_FIELDS 3

typedef struct {
    Py_ssize_t buffer;
    Py_ssize_t offset;
    Py_ssize_t size;
} Piece;

typedef struct {
    const char *name; /* in a bytes object that the tuple of files keeps alive */
    long long mode; /* -1: leave all attributes to the caller */
    long long uid;  /* -1: as the system gave it */
    long long gid;
    long long mtime_ns;
    Py_ssize_t first_piece;
    Py_ssize_t piece_count;
    int result;
} File;

typedef struct {
    File *files;
    Py_ssize_t file_count;
    Piece *pieces;
    Py_ssize_t piece_count;
    Py_buffer *buffers;
    Py_ssize_t buffer_count;
} Batch;

/* --- the system's side, without the interpreter lock ------------------------------------------------------------ */

static int write_fully(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t count = write(descriptor, data, size);
        if (count < 0) {
            if (errno == EINTR)
                continue;
            return -1;
        }
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

static int starts(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Whether the new file was given attributes that a restored one must not keep, by a default ACL of its folder, say. */
static int has_surplus(int descriptor)
{
    char names[1024];
    ssize_t size = flistxattr(descriptor, names, sizeof names);
    if (size < 0)
        return errno == ERANGE;
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        if (starts(name, "user.") || starts(name, "system.posix_acl_") || starts(name, "security.capability"))
            return 1;
    }
    return 0;
}

static int has_owner(const struct stat *found, const File *file)
{
    return (file->uid < 0 || found->st_uid == (uid_t)file->uid) && (file->gid < 0 || found->st_gid == (gid_t)file->gid);
}

/* True if everything was set, and is seen to be. */
static int set_attributes(int descriptor, const File *file)
{
    struct stat found;
    struct timespec times[2];
    if (file->mode < 0 || has_surplus(descriptor) || fstat(descriptor, &found) != 0)
        return 0;
    if (file->uid > OWNER_MAX || file->gid > OWNER_MAX)
        return 0;
    if (!has_owner(&found, file) && fchown(descriptor, (uid_t)file->uid, (gid_t)file->gid) != 0)
        return 0;
    if (fchmod(descriptor, (mode_t)file->mode) != 0)
        return 0;
    long long seconds = file->mtime_ns / NANOSECONDS;
    long long rest = file->mtime_ns % NANOSECONDS;
    if (rest < 0) {
        rest += NANOSECONDS;
        seconds -= 1;
    }
    times[0].tv_sec = 0;
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = (time_t)seconds;
    times[1].tv_nsec = (long)rest;
    if (futimens(descriptor, times) != 0 || fstat(descriptor, &found) != 0)
        return 0;
    long long off = (long long)found.st_mtim.tv_sec - seconds;
    if (off < -2 || off > 2)
        return 0;
    off = off * NANOSECONDS + (long long)found.st_mtim.tv_nsec - rest;
    return off < TIME_TOLERANCE_NS && off > -TIME_TOLERANCE_NS && has_owner(&found, file)
        && (found.st_mode & PERMISSIONS) == (mode_t)file->mode;
}

static int fill(int descriptor, const Batch *batch, const File *file)
{
    for (Py_ssize_t i = 0; i < file->piece_count; i++) {
        const Piece *piece = &batch->pieces[file->first_piece + i];
        const char *data = (const char *)batch->buffers[piece->buffer].buf + piece->offset;
        if (write_fully(descriptor, data, (size_t)piece->size) != 0)
            return -1;
    }
    return 0;
}

static void write_one(int directory, const Batch *batch, File *file)
{
    int descriptor = openat(directory, file->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        file->result = -errno;
        return;
    }
    int failure = 0;
    if (fill(descriptor, batch, file) != 0)
        failure = errno;
    else
        file->result = set_attributes(descriptor, file) ? 0 : ATTRIBUTES_LEFT;
    /* Network file systems report a failed write here at the latest; EINTR means closed all the same. */
    if (close(descriptor) != 0 && errno != EINTR && failure == 0)
        failure = errno;
    if (failure != 0) {
        unlinkat(directory, file->name, 0);
        file->result = -failure;
    }
}

/* --- Python's side ---------------------------------------------------------------------------------------------- */

static void free_batch(Batch *batch)
{
    for (Py_ssize_t i = 0; i < batch->buffer_count; i++)
        PyBuffer_Release(&batch->buffers[i]);
    PyMem_Free(batch->buffers);
    PyMem_Free(batch->files);
    PyMem_Free(batch->pieces);
}

static int take_buffers(Batch *batch, PyObject *buffers)
{
    Py_ssize_t count = PyTuple_Size(buffers);
    batch->buffers = PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer));
    if (batch->buffers == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (; batch->buffer_count < count; batch->buffer_count++) {
        PyObject *item = PyTuple_GetItem(buffers, batch->buffer_count);
        if (item == NULL || PyObject_GetBuffer(item, &batch->buffers[batch->buffer_count], PyBUF_SIMPLE) != 0)
            return -1;
    }
    return 0;
}

static int integer_at(PyObject *tuple, Py_ssize_t at, long long *value)
{
    PyObject *item = PyTuple_GetItem(tuple, at);
    *value = item == NULL ? -1 : PyLong_AsLongLong(item);
    return *value == -1 && PyErr_Occurred() ? -1 : 0;
}

static int take_pieces(Batch *batch, File *file, PyObject *pieces)
{
    file->first_piece = batch->piece_count;
    file->piece_count = PyTuple_Size(pieces) / PIECE_FIELDS;
    for (Py_ssize_t i = 0; i < file->piece_count; i++) {
        long long buffer, offset, size;
        if (integer_at(pieces, i * PIECE_FIELDS, &buffer) != 0 || integer_at(pieces, i * PIECE_FIELDS + 1, &offset) != 0
            || integer_at(pieces, i * PIECE_FIELDS + 2, &size) != 0)
            return -1;
        if (buffer < 0 || buffer >= batch->buffer_count || offset < 0 || size < 0 || offset > batch->buffers[buffer].len
            || size > batch->buffers[buffer].len - offset) {
            PyErr_SetString(PyExc_ValueError, "a piece lies outside of its buffer");
            return -1;
        }
        Piece *piece = &batch->pieces[batch->piece_count++];
        piece->buffer = (Py_ssize_t)buffer;
        piece->offset = (Py_ssize_t)offset;
        piece->size = (Py_ssize_t)size;
    }
    return 0;
}

static int take_file(Batch *batch, File *file, PyObject *fields)
{
    PyObject *name = PyTuple_GetItem(fields, 0);
    PyObject *pieces = PyTuple_GetItem(fields, FILE_FIELDS - 1);
    if (name == NULL || pieces == NULL)
        return -1;
    if (PyBytes_AsStringAndSize(name, (char **)&file->name, NULL) != 0)
        return -1;
    if (integer_at(fields, 1, &file->mode) != 0 || integer_at(fields, 2, &file->uid) != 0
        || integer_at(fields, 3, &file->gid) != 0 || integer_at(fields, 4, &file->mtime_ns) != 0)
        return -1;
    return take_pieces(batch, file, pieces);
}

/* Counted before anything is allocated: every item must be a tuple whose last field is a tuple. */
static Py_ssize_t count_pieces(PyObject *files)
{
    Py_ssize_t total = 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(files); i++) {
        PyObject *fields = PyTuple_GetItem(files, i);
        if (fields == NULL || !PyTuple_Check(fields) || PyTuple_Size(fields) != FILE_FIELDS
            || !PyTuple_Check(PyTuple_GetItem(fields, FILE_FIELDS - 1))) {
            PyErr_SetString(PyExc_TypeError, "a file is (name, mode, uid, gid, mtime_ns, pieces)");
            return -1;
        }
        total += PyTuple_Size(PyTuple_GetItem(fields, FILE_FIELDS - 1)) / PIECE_FIELDS;
    }
    return total;
}

static int take_files(Batch *batch, PyObject *files)
{
    Py_ssize_t pieces = count_pieces(files);
    if (pieces < 0)
        return -1;
    batch->file_count = PyTuple_Size(files);
    batch->files = PyMem_Calloc((size_t)batch->file_count + 1, sizeof(File));
    batch->pieces = PyMem_Calloc((size_t)pieces + 1, sizeof(Piece));
    if (batch->files == NULL || batch->pieces == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < batch->file_count; i++)
        if (take_file(batch, &batch->files[i], PyTuple_GetItem(files, i)) != 0)
            return -1;
    return 0;
}

static PyObject *results_of(const Batch *batch)
{
    PyObject *results = PyList_New(batch->file_count);
    for (Py_ssize_t i = 0; results != NULL && i < batch->file_count; i++) {
        PyObject *number = PyLong_FromLong(batch->files[i].result);
        if (number == NULL || PyList_SetItem(results, i, number) != 0)
            Py_CLEAR(results);
    }
    return results;
}

PyDoc_STRVAR(write_files_doc,
"write_files(directory, files, buffers) -> list of int\n\n"
"Create each file (name, mode, uid, gid, mtime_ns, pieces) in the open `directory`; `pieces` is a flat tuple of\n"
"(index into buffers, offset, size). A result of 0 is done, 1 is written with attributes left to be set (always for\n"
"mode -1), -errno is failed and gone.");

static PyObject *write_files(PyObject *module, PyObject *arguments)
{
    int directory;
    PyObject *given_files, *given_buffers, *files, *buffers, *results = NULL;
    Batch batch = {0};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "iOO:write_files", &directory, &given_files, &given_buffers))
        return NULL;
    files = PySequence_Tuple(given_files); /* keeps the names alive, whatever becomes of the list meanwhile */
    buffers = files == NULL ? NULL : PySequence_Tuple(given_buffers);
    if (buffers != NULL && take_buffers(&batch, buffers) == 0 && take_files(&batch, files) == 0) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t i = 0; i < batch.file_count; i++)
            write_one(directory, &batch, &batch.files[i]);
        Py_END_ALLOW_THREADS
        results = results_of(&batch);
    }
    free_batch(&batch);
    Py_XDECREF(files);
    Py_XDECREF(buffers);
    return results;
}

PyDoc_STRVAR(finish_doc,
"finish(descriptor, mode, uid, gid, mtime_ns) -> bool\n\n"
"Give an open file or folder its attributes; False if they were not all seen to be set.");

static PyObject *finish(PyObject *module, PyObject *arguments)
{
    int descriptor, done;
    File file = {0};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "iLLLL:finish", &descriptor, &file.mode, &file.uid, &file.gid, &file.mtime_ns))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    done = set_attributes(descriptor, &file);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(done);
}

static PyMethodDef methods[] = {
    {"finish", finish, METH_VARARGS, finish_doc},
    {"write_files", write_files, METH_VARARGS, write_files_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "snapstore._writing", "Many small files in one call; see targets/many.py.", 0, methods, slots,
    NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__writing(void)
{
    return PyModuleDef_Init(&definition);
}
