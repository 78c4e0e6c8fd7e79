/* Preloaded into a file system's daemon: makes the device below it lie or fail. For tests of media.
 *
 * MEDIUM_REAL_BYTES   what is written beyond this many bytes lands on top of what is in the second half of them, as on
 *                     sticks whose controller claims more than there is (those that spare the first half, where the
 *                     file system keeps its own records, go unnoticed longest); 0 or unset: an honest device
 * MEDIUM_BEYOND       "drop": such writes vanish instead, and zeros are read
 * MEDIUM_FAULTS       a folder; while it holds a file "read", reads fail with EIO, and "write" does so for writes; a file
 *                     "sectors" has lines "OFFSET SIZE": reads that touch one of these ranges of the device fail
 *
 * The daemons it is for (exfat-fuse, ntfs-3g) reach their device by pread, pwrite and fsync alone, and the kernel by
 * other calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*read_function)(int, void *, size_t, off_t);
typedef ssize_t (*write_function)(int, const void *, size_t, off_t);

static int is_failing(const char *kind)
{
    const char *folder = getenv("MEDIUM_FAULTS");
    char path[PATH_MAX];
    if (folder == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, kind);
    return access(path, F_OK) == 0;
}

static int is_bad(off_t offset, size_t size)
{
    const char *folder = getenv("MEDIUM_FAULTS");
    char path[PATH_MAX];
    long long start, length;
    int found = 0;
    if (folder == NULL)
        return 0;
    snprintf(path, sizeof path, "%s/sectors", folder);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (!found && fscanf(file, "%lld %lld", &start, &length) == 2)
        found = offset < start + length && start < offset + (off_t)size;
    fclose(file);
    return found;
}

static off_t real_bytes(void)
{
    const char *text = getenv("MEDIUM_REAL_BYTES");
    return text != NULL ? (off_t)atoll(text) : 0;
}

static int is_dropped(off_t offset)
{
    const char *beyond = getenv("MEDIUM_BEYOND");
    off_t real = real_bytes();
    return real > 0 && offset >= real && beyond != NULL && strcmp(beyond, "drop") == 0;
}

static off_t placed(off_t offset)
{
    off_t real = real_bytes();
    if (real <= 0 || offset < real)
        return offset;
    return real / 2 + offset % (real / 2);
}

ssize_t pread(int descriptor, void *memory, size_t size, off_t offset)
{
    static read_function next;
    if (next == NULL)
        next = (read_function)dlsym(RTLD_NEXT, "pread");
    if (is_failing("read") || is_bad(offset, size)) {
        errno = EIO;
        return -1;
    }
    if (is_dropped(offset)) {
        memset(memory, 0, size);
        return (ssize_t)size;
    }
    return next(descriptor, memory, size, placed(offset));
}

ssize_t pwrite(int descriptor, const void *memory, size_t size, off_t offset)
{
    static write_function next;
    if (next == NULL)
        next = (write_function)dlsym(RTLD_NEXT, "pwrite");
    if (is_failing("write")) {
        errno = EIO;
        return -1;
    }
    if (is_dropped(offset))
        return (ssize_t)size;
    return next(descriptor, memory, size, placed(offset));
}

int fsync(int descriptor)
{
    static int (*next)(int);
    if (next == NULL)
        next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (is_failing("write")) {
        errno = EIO;
        return -1;
    }
    return next(descriptor);
}
