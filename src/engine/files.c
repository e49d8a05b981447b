/*
 * A node's folders, keys and generated files. Everything belongs to the engine's account and is
 * closed to others, but for the socket folder, which the data plane's group may enter.
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

EnginePaths engine_paths(Arena *arena, const char *root, const char *socket_dir)
{
    return (EnginePaths){
        .root = arena_strdup(arena, root),
        .data = arena_printf(arena, "%s/data", root),
        .conf = arena_printf(arena, "%s/conf", root),
        .tls = arena_printf(arena, "%s/tls", root),
        .log = arena_printf(arena, "%s/log/engine.log", root),
        .socket_dir = arena_strdup(arena, socket_dir),
    };
}

bool engine_dir_make(const char *path, mode_t mode, const ProcessAccount *account, gid_t group,
                     Err *err)
{
    CLEANUP(mem_free_ptr) char *parent = mem_strdup(path);
    *strrchr(parent, '/') = '\0';
    TRY(dir_make(parent, 0711, err)); /* others pass through, and see nothing */
    TRY(dir_make(path, mode, err));
    if (account->drop && chown(path, account->uid, group) != 0) {
        return err_set_errno(err, errno, "cannot give the folder %s to the engine's account", path);
    }
    if (chmod(path, mode) != 0) {
        return err_set_errno(err, errno, "cannot set the mode of %s", path);
    }
    return true;
}

bool engine_dirs_make(const EnginePaths *paths, const ProcessAccount *account, gid_t readers,
                      Err *err)
{
    CLEANUP(mem_free_ptr) char *log_dir = mem_printf("%s/log", paths->root);
    return engine_dir_make(paths->root, 0700, account, account->gid, err) &&
           engine_dir_make(paths->conf, 0700, account, account->gid, err) &&
           engine_dir_make(paths->tls, 0700, account, account->gid, err) &&
           engine_dir_make(log_dir, 0700, account, account->gid, err) &&
           engine_dir_make(paths->socket_dir, 0750, account, readers, err);
}

bool engine_file_update(const char *path, Slice text, const ProcessAccount *account, bool *changed,
                        Err *err)
{
    Buf old;
    buf_init(&old, CONF_SIZE_MAX);
    bool same = file_read(path, &old, NULL) && slice_eq(buf_slice(&old), text);
    crypto_wipe(old.data, old.len);
    buf_done(&old);
    if (same) {
        return true;
    }
    TRY(file_write(path, text, 0600, err));
    if (account->drop && lchown(path, account->uid, account->gid) != 0) {
        return err_set_errno(err, errno, "cannot give %s to the engine's account", path);
    }
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
