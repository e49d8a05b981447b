/* Files and trees, in a folder of the test's own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

static void write_text(const char *path, const char *text)
{
    Err err;
    assert_true(file_write(path, slice_of(text), 0600, &err));
}

static void test_write_and_read(void **state)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/file", (char *)*state);
    Err err = {0};
    assert_false(file_exists(path));
    mode_t before = umask(077);
    assert_true(file_write(path, SLICE("first"), 0644, &err));
    umask(before);
    assert_int_equal(mode_of(path), 0644); /* the mode asked for, whatever the umask */
    assert_true(file_write(path, SLICE("second\0!"), 0600, &err));
    assert_int_equal(mode_of(path), 0600);
    Buf buf;
    buf_init(&buf, BUF_MAX_DEFAULT);
    buf_append_str(&buf, ">");
    assert_true(file_read(path, &buf, &err));
    assert_int_equal(buf.len, 9);
    assert_memory_equal(buf.data, ">second\0!", 9);
    assert_true(file_write(path, SLICE(""), 0600, &err));
    buf_clear(&buf);
    assert_true(file_read(path, &buf, &err));
    assert_int_equal(buf.len, 0);
    buf_done(&buf);
}

static void test_read_limits(void **state)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/file", (char *)*state);
    const size_t sizes[] = {1, 9, 10, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(mem_free_ptr) char *text = mem_alloc(sizes[i]);
        memset(text, 'x', sizes[i]);
        Err err = {0};
        assert_true(file_write(path, slice_from(text, sizes[i]), 0600, &err));
        Buf buf;
        buf_init(&buf, sizes[i]);
        assert_true(file_read(path, &buf, &err)); /* exactly the maximum fits */
        assert_int_equal(buf.len, sizes[i]);
        assert_memory_equal(buf.data, text, sizes[i]);
        buf_done(&buf);
        buf_init(&buf, sizes[i] - 1);
        assert_false(file_read(path, &buf, &err)); /* one more does not, and nothing is added */
        assert_int_equal(err.code, ERR_LIMIT);
        assert_int_equal(buf.len, 0);
        buf_done(&buf);
    }
}

static void test_refusals(void **state)
{
    const char *folder = *state;
    CLEANUP(mem_free_ptr) char *absent = mem_printf("%s/none/file", folder);
    Buf buf;
    Err err = {0};
    buf_init(&buf, 100);
    assert_false(file_read(absent, &buf, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, absent));
    assert_false(file_read(folder, &buf, &err));
    assert_int_equal(err.os_errno, EISDIR);
    assert_false(file_write(absent, SLICE("x"), 0600, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(file_write(folder, SLICE("x"), 0600, &err)); /* and leaves no temporary file */
    buf_done(&buf);
}

static void test_rename(void **state)
{
    const char *folder = *state;
    Err err = {0};
    CLEANUP(mem_free_ptr) char *from = mem_printf("%s/from", folder);
    CLEANUP(mem_free_ptr) char *to = mem_printf("%s/to", folder);
    CLEANUP(mem_free_ptr) char *nowhere = mem_printf("%s/none/to", folder);
    assert_int_equal(mkdir(from, 0700), 0);
    assert_false(file_rename(from, nowhere, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_true(file_exists(from));
    assert_true(file_rename(from, to, &err));
    assert_true(file_exists(to) && !file_exists(from));
}

/* What a write leaves that is killed goes, and nothing else. */
static void test_sweep(void **state)
{
    const char *folder = *state;
    static const char *const stay[] = {"file", "file.tmp", "file.abcdefgh.txt",
                                       "file2.abcdefgh.tmp", "file.abcdefghi.tmp"};
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/file", folder);
    CLEANUP(mem_free_ptr) char *left = mem_printf("%s/file.abcdefgh.tmp", folder);
    CLEANUP(mem_free_ptr) char *absent = mem_printf("%s/none/file", folder);
    write_text(left, "half");
    for (size_t i = 0; i < ARRAY_LEN(stay); i++) {
        CLEANUP(mem_free_ptr) char *other = mem_printf("%s/%s", folder, stay[i]);
        write_text(other, "x");
    }
    file_write_sweep(path);
    assert_false(file_exists(left));
    for (size_t i = 0; i < ARRAY_LEN(stay); i++) {
        CLEANUP(mem_free_ptr) char *other = mem_printf("%s/%s", folder, stay[i]);
        assert_true(file_exists(other));
    }
    file_write_sweep(absent);
}

static void test_full_disk(void **state)
{
    (void)state;
    Err err = {0};
    int fd = -1;
    fd_close(&fd);
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_false(fd_write_all(fileno(full), "x", 1, &err));
    assert_int_equal(err.os_errno, ENOSPC);
    fclose(full);
}

static void test_dir_make(void **state)
{
    const char *folder = *state;
    CLEANUP(mem_free_ptr) char *deep = mem_printf("%s/a//b/c/", folder);
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/a/file", folder);
    CLEANUP(mem_free_ptr) char *below = mem_printf("%s/a/file/x", folder);
    Err err = {0};
    assert_true(dir_make(deep, 0700, &err));
    assert_true(dir_make(deep, 0700, &err));
    assert_int_equal(mode_of(deep), 0700);
    write_text(file, "x");
    assert_false(dir_make(file, 0700, &err));
    assert_int_equal(err.os_errno, ENOTDIR);
    assert_false(dir_make(below, 0700, &err));
    assert_false(dir_make("", 0700, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_true(dir_make("/", 0700, &err));
}

static void test_tree_remove(void **state)
{
    const char *folder = *state;
    CLEANUP(mem_free_ptr) char *tree = mem_printf("%s/tree", folder);
    CLEANUP(mem_free_ptr) char *deep = mem_printf("%s/tree/a/b", folder);
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/tree/a/b/file", folder);
    CLEANUP(mem_free_ptr) char *kept_dir = mem_printf("%s/kept", folder);
    CLEANUP(mem_free_ptr) char *kept = mem_printf("%s/kept/file", folder);
    CLEANUP(mem_free_ptr) char *link_path = mem_printf("%s/tree/a/link", folder);
    CLEANUP(mem_free_ptr) char *dangling = mem_printf("%s/tree/dangling", folder);
    Err err = {0};
    assert_true(dir_make(deep, 0700, &err) && dir_make(kept_dir, 0700, &err));
    write_text(file, "x");
    write_text(kept, "x");
    assert_int_equal(symlink(kept_dir, link_path), 0);
    assert_int_equal(symlink("/nowhere", dangling), 0);
    assert_true(tree_remove(tree, &err));
    assert_false(file_exists(tree));
    assert_true(file_exists(kept)); /* the link went, not what it points to */
    assert_true(tree_remove(tree, &err));
    assert_true(tree_remove(kept, &err));
    assert_false(file_exists(kept));
    assert_int_equal(symlink(kept_dir, tree), 0);
    assert_true(tree_remove(tree, &err));
    assert_true(file_exists(kept_dir));
}

static void test_tree_depth(void **state)
{
    Buf path;
    buf_init(&path, BUF_MAX_DEFAULT);
    buf_append_str(&path, *state);
    for (int i = 0; i < 80; i++) {
        buf_append_str(&path, "/d");
    }
    Err err = {0};
    assert_true(dir_make(buf_str(&path), 0700, &err));
    CLEANUP(mem_free_ptr) char *top = mem_printf("%s/d", (char *)*state);
    assert_false(tree_chown(top, getuid(), getgid(), &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_false(tree_remove(top, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    CLEANUP(mem_free_ptr) char *middle = mem_strdup(buf_str(&path));
    middle[strlen(top) + 2 * 40] = '\0';
    assert_true(tree_remove(middle, &err));
    buf_done(&path);
}

static void test_tree_chown(void **state)
{
    const char *folder = *state;
    bool root = geteuid() == 0;
    uid_t uid = root ? 12345 : getuid();
    gid_t gid = root ? 23456 : getgid();
    CLEANUP(mem_free_ptr) char *outside = mem_printf("%s/outside", folder);
    CLEANUP(mem_free_ptr) char *tree = mem_printf("%s/tree", folder);
    CLEANUP(mem_free_ptr) char *deep = mem_printf("%s/tree/a", folder);
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/tree/a/file", folder);
    CLEANUP(mem_free_ptr) char *link_path = mem_printf("%s/tree/a/link", folder);
    Err err = {0};
    assert_true(dir_make(deep, 0700, &err) && dir_make(outside, 0700, &err));
    write_text(file, "x");
    assert_int_equal(symlink(outside, link_path), 0);
    assert_true(tree_chown(tree, uid, gid, &err));
    const char *const owned[] = {tree, deep, file, link_path};
    struct stat info;
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        assert_int_equal(lstat(owned[i], &info), 0);
        assert_int_equal(info.st_uid, uid);
        assert_int_equal(info.st_gid, gid);
    }
    assert_int_equal(stat(outside, &info), 0);
    assert_int_equal(info.st_uid, geteuid());
    CLEANUP(mem_free_ptr) char *absent = mem_printf("%s/absent", folder);
    assert_false(tree_chown(absent, uid, gid, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void text_is(const char *path, const char *wanted)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    assert_true(file_read(path, &text, NULL));
    assert_string_equal(buf_str(&text), wanted);
    buf_done(&text);
}

/* Whoever has it open goes on in the file that is empty again. */
static void test_bound(void **state)
{
    Err err;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/log", (char *)*state);
    CLEANUP(mem_free_ptr) char *older = mem_printf("%s.1", path);
    CLEANUP(fd_close) int writer = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(file_bound("/no/such/log", 4, &err));
    assert_true(fd_write_all(writer, "1234", 4, &err));
    assert_true(file_bound(path, 4, &err));
    assert_false(file_exists(older));
    assert_true(fd_write_all(writer, "5", 1, &err));
    assert_true(file_bound(path, 4, &err));
    assert_true(fd_write_all(writer, "new", 3, &err));
    text_is(path, "new");
    text_is(older, "12345");
    assert_true(fd_write_all(writer, "er", 2, &err));
    assert_true(file_bound(path, 4, &err)); /* the one before goes */
    text_is(older, "newer");
}

static void test_lock_holder(void **state)
{
    Err err;
    pid_t holder = -1;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/lock", (char *)*state);
    assert_true(file_lock_holder(path, &holder, &err));
    assert_int_equal(holder, 0); /* no file */
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 7, .l_len = 1};
        int fd = open(path, O_RDWR | O_CREAT, 0600);
        bool ok = fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && write(ready[1], "1", 1) == 1;
        pause();
        _exit(ok ? 0 : 1);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(file_lock_holder(path, &holder, &err));
    assert_int_equal(holder, child);
    assert_true(file_byte_holder(path, 0, &holder, &err));
    assert_int_equal(holder, 0);
    assert_true(file_byte_holder(path, 7, &holder, &err));
    assert_int_equal(holder, child);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(file_lock_holder(path, &holder, &err));
    assert_int_equal(holder, 0);
    assert_false(file_lock_holder(*state, &holder, &err)); /* a folder cannot be locked */
    assert_int_equal(holder, 0);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_write_and_read),
        IN_FOLDER(test_read_limits),
        IN_FOLDER(test_refusals),
        IN_FOLDER(test_sweep),
        cmocka_unit_test(test_full_disk),
        IN_FOLDER(test_dir_make),
        IN_FOLDER(test_rename),
        IN_FOLDER(test_tree_remove),
        IN_FOLDER(test_tree_depth),
        IN_FOLDER(test_tree_chown),
        IN_FOLDER(test_bound),
        IN_FOLDER(test_lock_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
