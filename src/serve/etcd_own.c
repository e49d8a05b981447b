/*
 * The etcd that Weir runs on this host (docs/hosts.md): its folder, its certificate, its process.
 * An authority of its own says who may come in: members, and the serves of the tier. It runs under
 * a guard, as engines do, and like them outlives serve.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "engine/engine.h"
#include "guard/guard.h"
#include "serve/etcd_own_priv.h"

#define PROGRAM      "/usr/bin/etcd" /* Debian's etcd-server */
#define ACCOUNT      "etcd"
#define NODE         "etcd" /* among the guards of the tier */
#define STOP_MS      (10 * MS_PER_S)
#define ORPHANS_MS   (10 * MS_PER_S)
#define LOG          "log/etcd.log"
#define TEXT_MAX     ((size_t)64 << 10)
#define CLIENT_PORT  2379
#define PEER_PORT    2380
#define START_MS     (30 * MS_PER_S)
#define START_TRY_MS 200
#define RESTORE_MS   (120 * MS_PER_S)
#define ROOT         "/weir/"

/* ---- places ------------------------------------------------------------------------------------
 */

static char *place(const Tier *tier, const char *leaf)
{
    return mem_printf("%s/etcd/%s", tier->data_dir, leaf);
}

char *etcd_own_peer_url(const char *net)
{
    return mem_printf("https://%s.0.1:%d", net, PEER_PORT);
}

char *etcd_own_endpoint(const char *peer_url)
{
    Slice rest = slice_of(peer_url);
    const char *colon = strrchr(peer_url, ':');
    size_t host = colon != NULL ? (size_t)(colon - peer_url) : rest.len;
    return mem_printf("%.*s:%d", (int)host, peer_url, CLIENT_PORT);
}

json_t *etcd_own_settings(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *peer = etcd_own_peer_url(tier->net);
    CLEANUP(mem_free_ptr) char *endpoint = etcd_own_endpoint(peer);
    return json_pack("{s:[s], s:s, s:b, s:s, s:s, s:s}", "endpoints", endpoint, "root", ROOT, "own",
                     1, "ca", "etcd/ca.pem", "cert", "etcd/host.pem", "key", "etcd/host.pem");
}

/* The log is there, whole, once it has begun as a member; what comes before it may be half made. */
bool etcd_own_has_data(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = place(tier, "data/member/wal");
    return file_exists(path);
}

bool etcd_own_installed(const Tier *tier, Err *err)
{
    return access(PROGRAM, X_OK) == 0 ||
           err_set(
               err, ERR_CONFLICT,
               "a tier of several hosts keeps its store in etcd, which is not installed on host "
               "%s: there, apt-get install etcd-server",
               tier->host);
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* A host without the program has no account of it, and its files are for serve alone. */
static ProcessAccount account_of(void)
{
    ProcessAccount account;
    return engine_account(ACCOUNT, &account, NULL)
               ? account
               : (ProcessAccount){.uid = geteuid(), .gid = getegid(), .drop = false};
}

/* For us and for the account. */
static bool file_give(const char *path, Slice text, const ProcessAccount *account, Err *err)
{
    return account->drop ? file_write_as(path, text, 0640, geteuid(), account->gid, err)
                         : file_write(path, text, 0600, err);
}

static bool folder_make(const Tier *tier, const char *leaf, const ProcessAccount *account, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = place(tier, leaf);
    TRY(dir_make(path, 0700, err));
    return !account->drop || chown(path, account->uid, account->gid) == 0 ||
           err_set_errno(err, errno, "cannot give %s to the account %s", path, ACCOUNT);
}

bool etcd_own_authority_make(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *root = mem_printf("%s/etcd", tier->data_dir);
    CLEANUP(mem_free_ptr) char *cert_path = place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *key_path = place(tier, "ca.key");
    CLEANUP(mem_free_ptr) char *host_path = place(tier, "host.pem");
    CLEANUP(mem_free_ptr) char *name = mem_printf("Weir store %s", tier->id);
    CLEANUP(secret_done) Secret key = {0};
    CLEANUP(buf_done) Buf cert;
    buf_init(&cert, TEXT_MAX);
    return dir_make(root, 0711, err) && tree_remove(host_path, err) &&
           cert_ca_make(name, &cert, &key, err) &&
           file_write(key_path, secret_reveal(&key), 0600, err) &&
           file_write(cert_path, buf_slice(&cert), 0644, err);
}

static bool authority_read(const Tier *tier, Buf *cert, Buf *key, Err *err)
{
    CLEANUP(mem_free_ptr) char *cert_path = place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *key_path = place(tier, "ca.key");
    return file_read(cert_path, cert, err) && file_read(key_path, key, err);
}

/* Certificate and key are one file, so that none is ever beside another's. */
static bool cert_write(const Tier *tier, Slice ca, Slice ca_key, Err *err)
{
    CLEANUP(mem_free_ptr) char *own = mem_printf("%s.0.1", tier->net);
    CLEANUP(mem_free_ptr) char *ca_path = place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *path = place(tier, "host.pem");
    const ProcessAccount account = account_of();
    const char *const names[] = {own, "127.0.0.1", NULL};
    const CertSpec spec = {.common_name = tier->host,
                           .names = names,
                           .server = true,
                           .client = true,
                           .valid_days = CERT_END_DAYS};
    CLEANUP(secret_done) Secret key = {0};
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TEXT_MAX);
    bool ok = cert_issue(ca, ca_key, &spec, &text, &key, err);
    buf_append_slice(&text, secret_reveal(&key));
    ok = ok && file_give(ca_path, ca, &account, err) &&
         file_give(path, buf_slice(&text), &account, err);
    crypto_wipe(text.data, text.len);
    return ok;
}

static bool cert_is_good(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = place(tier, "host.pem");
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TEXT_MAX);
    bool good = file_read(path, &text, NULL) && !cert_is_due(buf_slice(&text), time_wall_ms());
    if (text.data != NULL) {
        crypto_wipe(text.data, text.len);
    }
    return good;
}

/* etcd reads its files for every connection anew, and so do we. */
bool etcd_own_cert_keep(const Tier *tier, Err *err)
{
    if (cert_is_good(tier)) {
        return true;
    }
    CLEANUP(buf_done) Buf cert;
    CLEANUP(buf_done) Buf key;
    buf_init(&cert, TEXT_MAX);
    buf_init(&key, TEXT_MAX);
    bool ok = authority_read(tier, &cert, &key, err) &&
              cert_write(tier, buf_slice(&cert), buf_slice(&key), err);
    if (key.data != NULL) {
        crypto_wipe(key.data, key.len);
    }
    return ok;
}

/* ---- the process -------------------------------------------------------------------------------
 */

/* Who a member is its certificate says: its address on the way to another one may be any that this
 * host has. */
static const char **arguments(const Tier *tier, Arena *arena, const char *cluster,
                              const char *state)
{
    const char *root = arena_printf(arena, "%s/etcd", tier->data_dir);
    const char *peer = arena_printf(arena, "https://%s.0.1:%d", tier->net, PEER_PORT);
    const char *client = arena_printf(arena, "https://%s.0.1:%d", tier->net, CLIENT_PORT);
    const char *ca = arena_printf(arena, "%s/ca.pem", root);
    const char *pem = arena_printf(arena, "%s/host.pem", root);
    const char *pairs[][2] = {
        {"--name", tier->host},
        {"--data-dir", arena_printf(arena, "%s/data", root)},
        {"--listen-client-urls", client},
        {"--advertise-client-urls", client},
        {"--listen-peer-urls", peer},
        {"--initial-advertise-peer-urls", peer},
        {"--initial-cluster", cluster},
        {"--initial-cluster-state", state},
        {"--initial-cluster-token", tier->id},
        {"--trusted-ca-file", ca},
        {"--cert-file", pem},
        {"--key-file", pem},
        {"--peer-trusted-ca-file", ca},
        {"--peer-cert-file", pem},
        {"--peer-key-file", pem},
        {"--logger", "zap"},
        {"--log-outputs", "stderr"},
    };
    static const char *const flags[] = {"--client-cert-auth", "--peer-client-cert-auth",
                                        "--experimental-peer-skip-client-san-verification"};
    VEC(const char *) words = {0};
    arena_vec_push(arena, &words, PROGRAM);
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        arena_vec_push(arena, &words, pairs[i][0]);
        arena_vec_push(arena, &words, pairs[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        arena_vec_push(arena, &words, flags[i]);
    }
    arena_vec_push(arena, &words, NULL);
    return words.items;
}

bool etcd_own_runs(const Tier *tier)
{
    pid_t pid;
    return guard_find(tier->run_dir, NODE, &pid, NULL);
}

/* Nothing of an earlier one is in its folder then. */
static bool reap(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = place(tier, "data");
    size_t killed = 0;
    return !file_exists(data) || guard_kill_orphans(data, ORPHANS_MS, &killed, err);
}

static bool start(const Tier *tier, const char *cluster, const char *state, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(mem_free_ptr) char *data = place(tier, "data");
    CLEANUP(mem_free_ptr) char *log = place(tier, LOG);
    CLEANUP(mem_free_ptr) char *program = file_own_program();
    ProcessAccount account;
    pid_t pid;
    if (etcd_own_runs(tier)) {
        return true;
    }
    TRY(etcd_own_installed(tier, err) && engine_account(ACCOUNT, &account, err) &&
        reap(tier, err) && folder_make(tier, "data", &account, err) &&
        folder_make(tier, "log", &account, err) && etcd_own_cert_keep(tier, err));
    const GuardSpec spec = {
        .program = program,
        .run = tier->run_dir,
        .node = NODE,
        .log_path = log,
        .cwd = data,
        .account = account,
        .argv = arguments(tier, arena, cluster, state),
        .stop_signals = "fast=TERM",
        .death_signal = "KILL",
        .held_fd = tier->mark_fd >= 0 ? tier->mark_fd : 0,
        .log_fd = -1,
    };
    return guard_spawn(&spec, &pid, err) || err_wrap(err, "starting etcd");
}

static char *cluster_of_one(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *url = etcd_own_peer_url(tier->net);
    return mem_printf("%s=%s", tier->host, url);
}

bool etcd_own_begin(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *cluster = cluster_of_one(tier);
    return start(tier, cluster, "new", err);
}

bool etcd_own_join(const Tier *tier, const char *cluster, Err *err)
{
    return start(tier, cluster, "existing", err);
}

/* What it was told about others when it began is in its data. */
bool etcd_own_go_on(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *cluster = cluster_of_one(tier);
    ASSERT(etcd_own_has_data(tier));
    return start(tier, cluster, "existing", err);
}

bool etcd_own_open(Tier *tier, Err *err)
{
    const struct timespec pause = {.tv_nsec = START_TRY_MS * 1000000L};
    int64_t end_ms = time_mono_ms() + START_MS;
    while (!tier_store_open(tier, err)) {
        if (time_mono_ms() > end_ms || !etcd_own_runs(tier)) {
            return err_wrap(err, "the new etcd does not serve (%s/etcd/log)", tier->data_dir);
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

void etcd_own_log_bound(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *log = place(tier, LOG);
    Err err;
    if (file_exists(log) && !file_bound(log, LOG_BYTES_MAX, &err)) {
        log_warn("serve", "%s", err.message);
    }
}

bool etcd_own_stop(const Tier *tier, Err *err)
{
    GuardExit end;
    return !etcd_own_runs(tier) || guard_stop(tier->run_dir, NODE, "fast", STOP_MS, &end, err);
}

bool etcd_own_data_remove(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = place(tier, "data");
    return etcd_own_stop(tier, err) && reap(tier, err) && tree_remove(path, err);
}

/* ---- a copy of the store becomes the store -----------------------------------------------------
 */

/* As etcd's own tool does it. Members of another token are none of this one's. */
static bool restore(const Tier *tier, const char *from, const char *token, Err *err)
{
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/member/snap/db", from);
    CLEANUP(mem_free_ptr) char *made = place(tier, "restored");
    CLEANUP(mem_free_ptr) char *made_data = place(tier, "restored/data");
    CLEANUP(mem_free_ptr) char *data = place(tier, "data");
    CLEANUP(mem_free_ptr) char *peer = etcd_own_peer_url(tier->net);
    CLEANUP(mem_free_ptr) char *cluster = cluster_of_one(tier);
    const char *const argv[] = {ETCD_RESTORE_PROGRAM,
                                "snapshot",
                                "restore",
                                file,
                                "--skip-hash-check",
                                "--data-dir",
                                made_data,
                                "--name",
                                tier->host,
                                "--initial-cluster",
                                cluster,
                                "--initial-cluster-token",
                                token,
                                "--initial-advertise-peer-urls",
                                peer,
                                NULL};
    const char *const env[] = {"ETCDCTL_API=3", NULL};
    CommandSpec spec = {.argv = argv, .env = env, .timeout_ms = RESTORE_MS};
    CommandResult result;
    TRY(engine_account(ACCOUNT, &spec.account, err) && tree_remove(made, err) &&
        folder_make(tier, "restored", &spec.account, err));
    bool ok = command_run(&spec, &result, err);
    command_result_done(&result);
    return ok && (rename(made_data, data) == 0 || err_set_errno(err, errno, "%s", data)) &&
           tree_remove(made, err);
}

bool etcd_own_restore(const Tier *tier, const char *kept, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = place(tier, "data");
    CLEANUP(mem_free_ptr) char *from = place(tier, kept);
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/member/snap/db", from);
    CLEANUP(mem_free_ptr) char *token = mem_printf("%s-%s", tier->id, kept);
    TRY(etcd_own_stop(tier, err) && reap(tier, err));
    if (!file_exists(from) && rename(data, from) != 0) {
        return err_set_errno(err, errno, "this host's copy of the store, %s", data);
    }
    if (!file_exists(file)) {
        return err_set(err, ERR_CONFLICT, "%s is no copy of the store", from);
    }
    return tree_remove(data, err) && restore(tier, from, token, err);
}

bool etcd_own_restore_undo(const Tier *tier, const char *kept, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = place(tier, "data");
    CLEANUP(mem_free_ptr) char *from = place(tier, kept);
    if (!file_exists(from)) {
        return true;
    }
    return etcd_own_data_remove(tier, err) &&
           (rename(from, data) == 0 || err_set_errno(err, errno, "%s", from));
}

/* ---- what a host that joins is given -----------------------------------------------------------
 */

bool etcd_own_share(const Tier *tier, json_t *share, Err *err)
{
    CLEANUP(buf_done) Buf cert;
    CLEANUP(buf_done) Buf key;
    buf_init(&cert, TEXT_MAX);
    buf_init(&key, TEXT_MAX);
    bool ok = authority_read(tier, &cert, &key, err);
    if (ok) {
        json_object_set_new(share, "StoreCa", json_string(buf_str(&cert)));
        json_object_set_new(share, "StoreCaKey", json_string(buf_str(&key)));
    }
    if (key.data != NULL) {
        crypto_wipe(key.data, key.len);
    }
    return ok;
}
