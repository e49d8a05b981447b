/* Whole files and whole trees. Writing is atomic and durable; walking never follows a link. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

#define TREE_DEPTH_MAX 64
#define READ_STEP      ((size_t)65536)
#define COPY_STEP      ((size_t)1 << 20)
#define TEMPORARY_ID   8 /* letters in "NAME.ID.tmp" */

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

/* Reads to the end of `fd`. A full buffer is followed by one more byte, which must not be there. */
bool fd_read_all(int fd, const char *path, Buf *buf, Err *err)
{
    for (;;) {
        size_t left = buf->max - buf->len;
        char extra;
        char *room = left == 0 ? &extra : buf_reserve(buf, left < READ_STEP ? left : READ_STEP);
        ASSERT(room != NULL);
        ssize_t count = read(fd, room, left == 0 ? 1 : left < READ_STEP ? left : READ_STEP);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return err_set_errno(err, errno, "cannot read %s", path);
        }
        if (count == 0) {
            return true;
        }
        if (left == 0) {
            return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, buf->max);
        }
        buf_commit(buf, (size_t)count);
    }
}

bool file_read(const char *path, Buf *buf, Err *err)
{
    ASSERT(!buf->overflowed);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot read %s", path);
    }
    size_t before = buf->len;
    if (!fd_read_all(fd, path, buf, err)) {
        buf_truncate(buf, before);
        return false;
    }
    return true;
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
    return file_write_as(path, text, mode, (uid_t)-1, (gid_t)-1, err);
}

bool file_write_as(const char *path, Slice text, mode_t mode, uid_t uid, gid_t gid, Err *err)
{
    char suffix[TEMPORARY_ID + 1];
    random_id(suffix, TEMPORARY_ID);
    CLEANUP(mem_free_ptr) char *temporary = mem_printf("%s.%s.tmp", path, suffix);
    CLEANUP(fd_close)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot write %s", path);
    }
    if (fchown(fd, uid, gid) != 0 || fchmod(fd, mode) != 0 ||
        !fd_write_all(fd, text.data, text.len, err) || fsync(fd) != 0 ||
        rename(temporary, path) != 0) {
        int saved = errno;
        unlink(temporary);
        return err_set_errno(err, saved, "cannot write %s", path);
    }
    return dir_sync_of(path, err);
}

bool file_rename(const char *from, const char *to, Err *err)
{
    return (rename(from, to) == 0 || err_set_errno(err, errno, "cannot make %s of %s", to, from)) &&
           dir_sync_of(to, err);
}

static bool copy_to(int from, const char *path, Err *err)
{
    CLEANUP(mem_free_ptr) char *bytes = mem_alloc(COPY_STEP);
    CLEANUP(fd_close)
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0) {
        return err_set_errno(err, errno, "cannot write %s", path);
    }
    for (ssize_t count; (count = read(from, bytes, COPY_STEP)) != 0;) {
        if (count < 0 || !fd_write_all(to, bytes, (size_t)count, err)) {
            return err_set_errno(err, errno, "cannot copy to %s", path);
        }
    }
    return true;
}

bool file_bound(const char *path, int64_t bytes_max, Err *err)
{
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size <= bytes_max) {
        return true;
    }
    CLEANUP(mem_free_ptr) char *older = mem_printf("%s.1", path);
    TRY(copy_to(fd, older, err));
    return ftruncate(fd, 0) == 0 || err_set_errno(err, errno, "cannot shorten %s", path);
}

/* `len` 0: to the end. */
static bool range_holder(const char *path, off_t start, off_t len, pid_t *ret_pid, Err *err)
{
    *ret_pid = 0;
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        return true;
    }
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0) {
        return err_set_errno(err, errno, "cannot look who has %s", path);
    }
    *ret_pid = lock.l_type != F_UNLCK ? lock.l_pid : 0;
    return true;
}

bool file_lock_holder(const char *path, pid_t *ret_pid, Err *err)
{
    return range_holder(path, 0, 0, ret_pid, err);
}

bool file_byte_holder(const char *path, int64_t byte, pid_t *ret_pid, Err *err)
{
    return range_holder(path, (off_t)byte, 1, ret_pid, err);
}

static bool is_temporary_of(Slice name, Slice file)
{
    return name.len == file.len + 1 + TEMPORARY_ID + strlen(".tmp") &&
           slice_eq(slice_from(name.data, file.len), file) && name.data[file.len] == '.' &&
           slice_ends(name, ".tmp");
}

void file_write_sweep(const char *path)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(mem_free_ptr)
    char *folder = slash != NULL ? mem_printf("%.*s/", (int)(slash - path), path) : mem_strdup(".");
    Slice file = slice_of(slash != NULL ? slash + 1 : path);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (is_temporary_of(slice_of(entry->d_name), file)) {
            unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

bool file_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

char *file_own_program(void)
{
    static const char gone[] = " (deleted)";
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (len <= 0) {
        return NULL;
    }
    path[len] = '\0';
    if (!file_exists(path) && slice_ends(slice_of(path), gone)) {
        path[(size_t)len - strlen(gone)] = '\0';
    }
    return mem_strdup(path);
}

bool dir_make(const char *path, mode_t mode, Err *err)
{
    if (path[0] == '\0') {
        return err_set_errno(err, ENOENT, "cannot make a folder without a name");
    }
    CLEANUP(mem_free_ptr) char *copy = mem_strdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char end = *at;
        *at = '\0';
        struct stat info;
        bool made = mkdir(copy, mode) == 0;
        if (!made && (errno != EEXIST || stat(copy, &info) != 0 || !S_ISDIR(info.st_mode))) {
            int saved = errno == EEXIST ? ENOTDIR : errno;
            return err_set_errno(err, saved, "cannot make the folder %s", copy);
        }
        if (made && chmod(copy, mode) != 0) { /* whatever the umask is */
            return err_set_errno(err, errno, "cannot give the folder %s its mode", copy);
        }
        *at = end;
        if (end == '\0') {
            return true;
        }
    }
}

/* What tree_walk does to one entry; `is_dir` folders come after what they hold. */
typedef struct TreeVisit {
    const char *verb; /* for messages: "remove" */
    bool (*visit)(const struct TreeVisit *visit, int parent, const char *name, bool is_dir);
    uid_t uid;
    gid_t gid;
} TreeVisit;

static bool tree_walk(const TreeVisit *visit, int parent, const char *name, int depth, Err *err);

static bool tree_walk_folder(const TreeVisit *visit, int fd, int depth, Err *err)
{
    DIR *dir = fdopendir(fd);
    ASSERT(dir != NULL);
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            ok = tree_walk(visit, dirfd(dir), entry->d_name, depth + 1, err);
        }
    }
    closedir(dir);
    return ok;
}

/* By descriptors, never by path: whoever may write in the tree could otherwise swap a folder for a
 * link while root walks through it. */
static bool tree_walk(const TreeVisit *visit, int parent, const char *name, int depth, Err *err)
{
    if (depth > TREE_DEPTH_MAX) {
        return err_set(err, ERR_LIMIT, "folders nest deeper than %d at %s", TREE_DEPTH_MAX, name);
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && depth > 0) {
        return true; /* gone since it was listed */
    }
    if (fd < 0 && errno != ENOTDIR && errno != ELOOP) {
        return err_set_errno(err, errno, "cannot %s %s", visit->verb, name);
    }
    bool is_dir = fd >= 0;
    if (is_dir && !tree_walk_folder(visit, fd, depth, err)) {
        return false;
    }
    if (!visit->visit(visit, parent, name, is_dir)) {
        return err_set_errno(err, errno, "cannot %s %s", visit->verb, name);
    }
    return true;
}

static bool tree_remove_visit(const TreeVisit *visit, int parent, const char *name, bool is_dir)
{
    (void)visit;
    return unlinkat(parent, name, is_dir ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT;
}

bool tree_remove(const char *path, Err *err)
{
    const TreeVisit visit = {.verb = "remove", .visit = tree_remove_visit};
    return !file_exists(path) || tree_walk(&visit, AT_FDCWD, path, 0, err);
}

static bool tree_chown_visit(const TreeVisit *visit, int parent, const char *name, bool is_dir)
{
    (void)is_dir;
    return fchownat(parent, name, visit->uid, visit->gid, AT_SYMLINK_NOFOLLOW) == 0;
}

bool tree_chown(const char *path, uid_t uid, gid_t gid, Err *err)
{
    const TreeVisit visit = {
        .verb = "change the owner of", .visit = tree_chown_visit, .uid = uid, .gid = gid};
    return tree_walk(&visit, AT_FDCWD, path, 0, err);
}
