/* Whole files and whole trees. Writing is atomic and durable; walking never follows a link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

#define TREE_DEPTH_MAX 64
#define READ_STEP      ((size_t)65536)

void fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

bool fd_write_all(int fd, const void *data, size_t len, Err *err)
{
    const char *at = data;
    while (len > 0) {
        ssize_t count = write(fd, at, len);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return err_set_errno(err, errno, "write");
        }
        at += count;
        len -= (size_t)count;
    }
    return true;
}

bool file_read(const char *path, Buf *buf, Err *err)
{
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot read %s", path);
    }
    for (;;) {
        size_t step = buf->max - buf->len < READ_STEP ? buf->max - buf->len + 1 : READ_STEP;
        char *room = step > buf->max - buf->len ? NULL : buf_reserve(buf, step);
        if (room == NULL) {
            char extra;
            ssize_t count = read(fd, &extra, 1);
            return count == 0
                       ? true
                       : err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, buf->max);
        }
        ssize_t count = read(fd, room, step);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return err_set_errno(err, errno, "cannot read %s", path);
        }
        buf_commit(buf, (size_t)count);
        if (count == 0) {
            return true;
        }
    }
}

static bool dir_sync_of(const char *path, Err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL   ? mem_strdup(".")
                : slash == path ? mem_strdup("/")
                                : mem_printf("%.*s", (int)(slash - path), path);
    CLEANUP(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) {
        err_set_errno(err, errno, "cannot make the folder %s durable", dir);
    }
    mem_free(dir);
    return ok;
}

bool file_write(const char *path, Slice text, mode_t mode, Err *err)
{
    char suffix[9];
    random_id(suffix, sizeof(suffix) - 1);
    CLEANUP(mem_free_ptr) char *temporary = mem_printf("%s.%s.tmp", path, suffix);
    CLEANUP(fd_close)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot write %s", path);
    }
    if (fchmod(fd, mode) != 0 || !fd_write_all(fd, text.data, text.len, err) || fsync(fd) != 0 ||
        rename(temporary, path) != 0) {
        int saved = errno;
        unlink(temporary);
        return err_set_errno(err, saved, "cannot write %s", path);
    }
    return dir_sync_of(path, err);
}

bool file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

bool dir_make(const char *path, mode_t mode, Err *err)
{
    CLEANUP(mem_free_ptr) char *copy = mem_strdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char end = *at;
        *at = '\0';
        struct stat info;
        if (mkdir(copy, mode) != 0 &&
            (errno != EEXIST || stat(copy, &info) != 0 || !S_ISDIR(info.st_mode))) {
            int saved = errno == EEXIST ? ENOTDIR : errno;
            return err_set_errno(err, saved, "cannot make the folder %s", copy);
        }
        *at = end;
        if (end == '\0') {
            return true;
        }
    }
}

static int tree_remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)at;
    int failed = kind == FTW_DP ? rmdir(path) : unlink(path);
    return failed != 0 && errno != ENOENT ? -1 : 0;
}

bool tree_remove(const char *path, Err *err)
{
    if (nftw(path, tree_remove_one, TREE_DEPTH_MAX, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", path);
    }
    return true;
}

static bool tree_chown_at(int parent, const char *name, uid_t uid, gid_t gid, int depth, Err *err)
{
    if (depth > TREE_DEPTH_MAX) {
        return err_set(err, ERR_LIMIT, "folders nest deeper than %d at %s", TREE_DEPTH_MAX, name);
    }
    if (fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
        return err_set_errno(err, errno, "cannot change the owner of %s", name);
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOTDIR || errno == ELOOP
                   ? true
                   : err_set_errno(err, errno, "cannot open %s", name);
    }
    DIR *dir = fdopendir(fd);
    ASSERT(dir != NULL);
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            ok = tree_chown_at(dirfd(dir), entry->d_name, uid, gid, depth + 1, err);
        }
    }
    closedir(dir);
    return ok;
}

bool tree_chown(const char *path, uid_t uid, gid_t gid, Err *err)
{
    return tree_chown_at(AT_FDCWD, path, uid, gid, 0, err);
}
