/*
 * A node's folders, keys and generated files. What we go by is ours, and the engine's account may
 * only read it; its data, its log and its socket are its own. Root writes nothing below a folder
 * that the engine could have swapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define CONF_SIZE_MAX ((size_t)1 << 20)

bool engine_account(const char *name, ProcessAccount *ret_account, Err *err)
{
    if (geteuid() != 0) {
        *ret_account = (ProcessAccount){.uid = geteuid(), .gid = getegid(), .drop = false};
        return true;
    }
    char text[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    int failed = getpwnam_r(name, &entry, text, sizeof(text), &found);
    if (failed != 0 || found == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "the system has no account \"%s\"; its package makes it when installed",
                       name);
    }
    *ret_account = (ProcessAccount){.uid = entry.pw_uid, .gid = entry.pw_gid, .drop = true};
    return true;
}

EnginePaths engine_paths(Arena *arena, const char *zone_dir, const char *run_dir, const char *node)
{
    const char *root = arena_printf(arena, "%s/%s", zone_dir, node);
    return (EnginePaths){
        .root = root,
        .data = arena_printf(arena, "%s/data", root),
        .conf = arena_printf(arena, "%s/conf", root),
        .tls = arena_printf(arena, "%s/tls", root),
        .log = arena_printf(arena, "%s/log/engine.log", root),
        .socket_dir = arena_printf(arena, "%s/node/%s", run_dir, node),
        .client_dir = arena_printf(arena, "%s/clients/%s", run_dir, node),
    };
}

/* Owner and mode go by descriptor: what stands there may be a link that somebody else made. */
static bool dir_set(const char *path, mode_t mode, uid_t uid, gid_t gid, Err *err)
{
    CLEANUP(mem_free_ptr) char *parent = mem_strdup(path);
    *strrchr(parent, '/') = '\0';
    TRY(dir_make(parent, 0711, err)); /* others pass through, and see nothing */
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        return err_set_errno(err, errno, "cannot make the folder %s", path);
    }
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (geteuid() == 0 && fchown(fd, uid, gid) != 0) || fchmod(fd, mode) != 0) {
        return err_set_errno(err, errno, "cannot set up the folder %s", path);
    }
    return true;
}

bool engine_dir_make(const char *path, const ProcessAccount *account, gid_t group, mode_t mode,
                     Err *err)
{
    return dir_set(path, mode, account->uid, group, err);
}

/* Ours: the engine's account may look, and change nothing that we go by. */
static bool dir_ours(const char *path, const ProcessAccount *account, Err *err)
{
    return dir_set(path, account->drop ? 0750 : 0700, geteuid(), account->gid, err);
}

bool engine_dirs_make(const EnginePaths *paths, const ProcessAccount *account, Err *err)
{
    CLEANUP(mem_free_ptr) char *log_dir = mem_printf("%s/log", paths->root);
    return dir_ours(paths->root, account, err) && dir_ours(paths->conf, account, err) &&
           dir_ours(paths->tls, account, err) &&
           engine_dir_make(log_dir, account, account->gid, 0700, err) &&
           engine_dir_make(paths->socket_dir, account, account->gid, 0700, err);
}

static bool file_is(const char *path, Slice text)
{
    Buf old;
    buf_init(&old, CONF_SIZE_MAX);
    bool same = file_read(path, &old, NULL) && slice_eq(buf_slice(&old), text);
    if (old.data != NULL) {
        crypto_wipe(old.data, old.len);
    }
    buf_done(&old);
    return same;
}

bool engine_file_update(const char *path, Slice text, const ProcessAccount *account, bool *changed,
                        Err *err)
{
    if (file_is(path, text)) {
        return true;
    }
    TRY(account->drop ? file_write_as(path, text, 0640, geteuid(), account->gid, err)
                      : file_write(path, text, 0600, err));
    *changed = true;
    return true;
}

bool engine_data_file_update(const char *path, Slice text, const ProcessAccount *account,
                             bool *changed, Err *err)
{
    if (file_is(path, text)) {
        return true;
    }
    TRY(account->drop ? file_write_as(path, text, 0600, account->uid, account->gid, err)
                      : file_write(path, text, 0600, err));
    *changed = true;
    return true;
}

static bool tls_file(const EnginePaths *paths, const char *name, Slice text,
                     const ProcessAccount *account, bool *changed, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", paths->tls, name);
    return engine_file_update(path, text, account, changed, err);
}

bool engine_tls_write(const EnginePaths *paths, const ProcessAccount *account, const EngineTls *tls,
                      bool *ret_changed, Err *err)
{
    bool changed = false;
    TRY(tls_file(paths, "server.crt", tls->cert_pem, account, &changed, err));
    TRY(tls_file(paths, "server.key", tls->key_pem, account, &changed, err));
    TRY(tls_file(paths, "client.crt", tls->client_cert_pem, account, &changed, err));
    TRY(tls_file(paths, "client.key", tls->client_key_pem, account, &changed, err));
    TRY(tls_file(paths, "ca.crt", tls->ca_pem, account, &changed, err));
    *ret_changed = changed;
    return true;
}
