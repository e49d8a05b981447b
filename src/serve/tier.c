/*
 * Opening a tier: its folder, its lock, its key, its store, its certificate authority, its network.
 * Every part is made once and found again; a run that is cut off leaves nothing that the next one
 * trips over, since each part is one atomic file or one record.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/client.h"
#include "serve/tier_priv.h"

#define KEY_FILE_SIZE (2 * AEAD_KEY_SIZE + 1)
#define RUN_BASE_MAX  32

/* ---- the folder --------------------------------------------------------------------------------
 */

bool tier_folder_check(const char *path, const char *account, Err *err)
{
    char text[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    getpwnam_r(account, &entry, text, sizeof(text), &found);
    if (geteuid() != 0 || found == NULL) {
        return true;
    }
    CLEANUP(mem_free_ptr) char *copy = mem_strdup(path);
    for (char *at = copy;; at++) {
        if ((*at != '/' && *at != '\0') || at == copy) {
            continue;
        }
        char end = *at;
        *at = '\0';
        struct stat info;
        if (stat(copy, &info) != 0) {
            return true; /* from here on it is ours to make */
        }
        bool enters = info.st_uid == found->pw_uid   ? (info.st_mode & S_IXUSR) != 0
                      : info.st_gid == found->pw_gid ? (info.st_mode & S_IXGRP) != 0
                                                     : (info.st_mode & S_IXOTH) != 0;
        if (!enters) {
            return err_set(err, ERR_DENIED,
                           "the account %s, as which the engines run, cannot enter the folder %s: "
                           "run `chmod o+x %s`, or choose another --data folder",
                           account, copy, copy);
        }
        *at = end;
        if (end == '\0') {
            return true;
        }
    }
}

/* What an earlier serve left that was killed while it wrote. */
static void folder_sweep(const Tier *tier)
{
    static const char *const ours[] = {"master.key", "client.json",   "ca.pem",      "net",
                                       "host.json",  "etcd/host.pem", "etcd/ca.pem", "etcd/ca.key"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", tier->data_dir, ours[i]);
        file_write_sweep(path);
    }
}

static bool folder_open(Tier *tier, const char *data_dir, Err *err)
{
    TRY(tier_folder_check(data_dir, "postgres", err));
    TRY(dir_make(data_dir, 0711, err));
    tier->data_dir = realpath(data_dir, NULL);
    if (tier->data_dir == NULL) {
        return err_set_errno(err, errno, "the data directory %s", data_dir);
    }
    TRY(tier_folder_check(tier->data_dir, "postgres", err));
    TRY(tier_folder_check(tier->data_dir, "redis", err));
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", tier->data_dir);
    tier->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (tier->lock_fd < 0) {
        return err_set_errno(err, errno, "cannot use the data directory %s", tier->data_dir);
    }
    if (fcntl(tier->lock_fd, F_SETLK, &lock) != 0) {
        return err_set(
            err, ERR_CONFLICT,
            "the tier in %s is already up: see `weir status --data %s`, or choose another "
            "--data folder for a second tier",
            tier->data_dir, tier->data_dir);
    }
    folder_sweep(tier);
    return true;
}

/* ---- the master key ----------------------------------------------------------------------------
 */

static bool key_write(const Tier *tier, const char *path, Err *err)
{
    char hex[KEY_FILE_SIZE];
    hex_encode(tier->master_key, AEAD_KEY_SIZE, hex);
    bool ok = file_write(path, slice_of(hex), 0600, err);
    crypto_wipe(hex, sizeof(hex));
    return ok;
}

/* A store without its key would be a store of secrets that nobody can read: refuse to make one. */
static bool key_open(Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/master.key", tier->data_dir);
    CLEANUP(mem_free_ptr) char *store = mem_printf("%s/weir.sqlite", tier->data_dir);
    if (!file_exists(path)) {
        if (tier->etcd != NULL) {
            return err_set(err, ERR_NOT_FOUND,
                           "%s is missing, without which a host is none of its tier: copy it from "
                           "another host, mode 0600",
                           path);
        }
        if (file_exists(store)) {
            return err_set(err, ERR_NOT_FOUND,
                           "%s is missing, and with it every secret of this tier: put it back from "
                           "where it was kept, or start afresh with another --data folder",
                           path);
        }
        random_bytes(tier->master_key, AEAD_KEY_SIZE);
        return key_write(tier, path, err);
    }
    struct stat info;
    if (stat(path, &info) != 0 || (info.st_mode & 077) != 0) {
        return err_set(err, ERR_DENIED, "%s can be read by others: run `chmod 600 %s`", path, path);
    }
    Buf text;
    buf_init(&text, KEY_FILE_SIZE);
    size_t len = 0;
    bool ok = file_read(path, &text, err);
    if (ok && (!hex_decode(slice_trim(buf_slice(&text)), tier->master_key, AEAD_KEY_SIZE, &len) ||
               len != AEAD_KEY_SIZE)) {
        ok = err_set(err, ERR_INVALID, "%s does not hold a key of %d hex digits", path,
                     2 * AEAD_KEY_SIZE);
    }
    if (text.data != NULL) {
        crypto_wipe(text.data, text.len);
    }
    buf_done(&text);
    return ok;
}

/* ---- records that are made once ----------------------------------------------------------------
 */

static bool record_load(Tier *tier, const char *key, json_t **ret_record, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    return store_get(tier->store, slice_of(key), arena, &item, err) &&
           record_parse(item.value, ret_record, err);
}

static bool record_make(Tier *tier, const char *key, const json_t *record, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    return store_create(tier->store, slice_of(key), record_format(arena, record), NULL, err);
}

bool tier_record_open(Tier *tier, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    if (!record_load(tier, "tier", &record, err)) {
        if (err->code != ERR_NOT_FOUND) {
            return false;
        }
        char id[9];
        random_id(id, sizeof(id) - 1);
        record = json_pack("{s:i, s:s, s:s, s:s, s:I}", "format", TIER_FORMAT, "id", id, "region",
                           TIER_REGION, "account", MODEL_ACCOUNT_ID, "created_ms",
                           (json_int_t)time_wall_ms());
        TRY(record_make(tier, "tier", record, err));
    }
    if (member_int(record, "format", 0) != TIER_FORMAT) {
        return err_set(
            err, ERR_CONFLICT,
            "the data directory %s has format %d, this Weir knows format %d: use the Weir "
            "that made it",
            tier->data_dir, (int)member_int(record, "format", 0), TIER_FORMAT);
    }
    const char *id = member_str(record, "id", "");
    if (tier->id != NULL && strcmp(tier->id, id) != 0) {
        return err_set(err, ERR_CONFLICT,
                       "the store is of the tier %s, and the data directory %s of the tier %s", id,
                       tier->data_dir, tier->id);
    }
    if (tier->id == NULL) {
        tier->id = mem_strdup(id);
    }
    tier->created_ms = member_int(record, "created_ms", 0);
    mem_free(tier->region);
    tier->region = mem_strdup(member_str(record, "region", TIER_REGION));
    return true;
}

static json_t *sealed_json(const Tier *tier, const char *key, const Secret *secret)
{
    Buf sealed;
    buf_init(&sealed, BUF_MAX_DEFAULT);
    secret_seal(tier->master_key, slice_of(key), secret_reveal(secret), &sealed);
    json_t *text = json_stringn(sealed.data, sealed.len);
    buf_done(&sealed);
    return text;
}

static bool authority_make(Tier *tier, json_t **ret_record, Err *err)
{
    Buf cert;
    buf_init(&cert, BUF_MAX_DEFAULT);
    CLEANUP(secret_done) Secret key = {0};
    CLEANUP(mem_free_ptr) char *name = mem_printf("Weir CA %s", tier->id);
    bool ok = cert_ca_make(name, &cert, &key, err);
    if (ok) {
        *ret_record = json_pack("{s:s#, s:o}", "cert", cert.data, (int)cert.len, "key",
                                sealed_json(tier, "authority", &key));
        ok = record_make(tier, "authority", *ret_record, err);
    }
    buf_done(&cert);
    return ok;
}

static bool authority_open(Tier *tier, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    if (!record_load(tier, "authority", &record, err) &&
        (err->code != ERR_NOT_FOUND || !authority_make(tier, &record, err))) {
        return false;
    }
    buf_append_str(&tier->ca_cert_pem, member_str(record, "cert", ""));
    return secret_unseal(tier->master_key, SLICE("authority"),
                         slice_of(member_str(record, "key", "")), &tier->ca_key_pem, err) ||
           err_wrap(err, "the CA's key, with %s/master.key", tier->data_dir);
}

/* The access key of the tier's owner, in AWS's form. */
static bool access_key_make(Tier *tier, json_t **ret_record, Err *err)
{
    char id[ACCESS_KEY_SIZE];
    random_id(id, ACCESS_KEY_SIZE - 1);
    for (size_t i = 0; id[i] != '\0'; i++) {
        id[i] = id[i] >= 'a' ? (char)(id[i] - 'a' + 'A') : id[i];
    }
    memcpy(id, "AKIA", 4);
    char text[41];
    random_id(text, sizeof(text) - 1);
    CLEANUP(secret_done) Secret secret = {0};
    secret_set(&secret, slice_of(text));
    crypto_wipe(text, sizeof(text));
    *ret_record =
        json_pack("{s:s, s:o}", "id", id, "secret", sealed_json(tier, "accesskey", &secret));
    return record_make(tier, "accesskey", *ret_record, err);
}

static bool access_key_open(Tier *tier, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    if (!record_load(tier, "accesskey", &record, err) &&
        (err->code != ERR_NOT_FOUND || !access_key_make(tier, &record, err))) {
        return false;
    }
    snprintf(tier->access_key, sizeof(tier->access_key), "%s", member_str(record, "id", ""));
    return secret_unseal(tier->master_key, SLICE("accesskey"),
                         slice_of(member_str(record, "secret", "")), &tier->secret_key, err);
}

/* ---- the runtime folder ------------------------------------------------------------------------
 */

/* Who may rename in the folder above ours could put another in its place. */
static bool run_base_check(const char *base, Err *err)
{
    struct stat info;
    if (lstat(base, &info) != 0) {
        return err_set_errno(err, errno, "the runtime folder %s", base);
    }
    return (S_ISDIR(info.st_mode) && info.st_uid == geteuid() && (info.st_mode & 022) == 0) ||
           err_set(err, ERR_DENIED,
                   "the runtime folder %s is not a folder of this account that nobody else may "
                   "write: remove it, or set XDG_RUNTIME_DIR",
                   base);
}

/* A path of a socket has 107 bytes at most, and ours go on behind the folder. */
static bool run_base_fits(const char *base)
{
    return base != NULL && base[0] == '/' && strlen(base) <= RUN_BASE_MAX;
}

static bool run_open(Tier *tier, Err *err)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    CLEANUP(mem_free_ptr)
    char *folder = geteuid() == 0        ? mem_strdup("/run/weir")
                   : run_base_fits(base) ? mem_printf("%s/weir", base)
                                         : mem_printf("/tmp/weir-%u", geteuid());
    bool alone = strcmp(tier->host, HOST_NAME_ALONE) == 0;
    tier->run_dir = alone ? mem_printf("%s/%s", folder, tier->id)
                          : mem_printf("%s/%s-%s", folder, tier->id, tier->host);
    TRY(dir_make(folder, 0711, err));
    TRY(run_base_check(folder, err));
    return dir_make(tier->run_dir, 0711, err);
}

bool tier_place_open(Tier *tier, int net_fd, Err *err)
{
    if (tier->run_dir != NULL) {
        return true;
    }
    return tier_net_open(tier, net_fd, err) && run_open(tier, err);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

bool tier_open(const char *data_dir, int net_fd, Tier *ret_tier, Err *err)
{
    Tier tier = {.lock_fd = -1, .net_fd = -1, .mark_fd = -1};
    buf_init(&tier.ca_cert_pem, BUF_MAX_DEFAULT);
    bool ok = folder_open(&tier, data_dir, err) && tier_host_open(&tier, err) &&
              key_open(&tier, err) && tier_store_begin(&tier, net_fd, err);
    ok = ok && tier_store_open(&tier, err) && tier_record_open(&tier, err) &&
         authority_open(&tier, err) && access_key_open(&tier, err) &&
         tier_place_open(&tier, net_fd, err) && tier_past_open(&tier, err) &&
         tier_host_record(&tier, err);
    if (!ok) {
        ret_tier->removed = tier.removed;
        if (err->code != ERR_UNAVAILABLE && err->code != ERR_TIMEOUT) { /* else it comes again */
            tier_etcd_take_back(&tier);
        }
        tier_close(&tier);
        return false;
    }
    tier_etcd_stray_stop(&tier);
    *ret_tier = tier;
    return true;
}

void tier_close(Tier *tier)
{
    store_close(tier->store);
    buf_done(&tier->ca_cert_pem);
    secret_done(&tier->ca_key_pem);
    secret_done(&tier->secret_key);
    crypto_wipe(tier->master_key, sizeof(tier->master_key));
    fd_close(&tier->net_fd);
    fd_close(&tier->mark_fd);
    fd_close(&tier->lock_fd);
    json_decref(tier->etcd);
    mem_free(tier->move_error);
    mem_free(tier->join);
    mem_free(tier->id);
    mem_free(tier->region);
    mem_free(tier->run_dir);
    free(tier->data_dir);
    *tier = (Tier){.lock_fd = -1, .net_fd = -1, .mark_fd = -1};
}

void tier_run_remove(const Tier *tier)
{
    Err err;
    CLEANUP(mem_free_ptr) char *folder = mem_strdup(tier->run_dir);
    if (!tree_remove(tier->run_dir, &err)) {
        log_warn("serve", "%s", err.message);
        return;
    }
    *strrchr(folder, '/') = '\0';
    rmdir(folder); /* of other tiers there may be something in it */
}

bool tier_publish(const Tier *tier, Err *err)
{
    ClientSettings settings = {.endpoint =
                                   mem_printf("https://%s.0.1:%d", tier->net, TIER_API_PORT),
                               .region = mem_strdup(tier->region),
                               .access_key = mem_strdup(tier->access_key),
                               .ca = mem_printf("%s/ca.pem", tier->data_dir),
                               .run_dir = mem_strdup(tier->run_dir)};
    secret_set(&settings.secret_key, secret_reveal(&tier->secret_key));
    bool ok = file_write(settings.ca, buf_slice(&tier->ca_cert_pem), 0644, err) &&
              client_settings_save(tier->data_dir, &settings, err);
    client_settings_done(&settings);
    return ok;
}
