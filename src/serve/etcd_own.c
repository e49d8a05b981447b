/*
 * The etcd that Weir runs on this host (docs/hosts.md): its folder, its process, and a store that
 * is made of a copy. It runs under a guard, as engines do, and like them outlives serve.
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
#define NODE         "etcd"          /* among the guards of the tier */
#define STOP_MS      (10 * MS_PER_S)
#define ORPHANS_MS   (10 * MS_PER_S)
#define LOG          "log/etcd.log"
#define PEER_PORT    2380
#define START_MS     (30 * MS_PER_S)
#define START_TRY_MS 200
#define RESTORE_MS   (120 * MS_PER_S)
#define ROOT         "/weir/"

/* ---- places ------------------------------------------------------------------------------------
 */

char *etcd_own_place(const Tier *tier, const char *leaf)
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
    return mem_printf("%.*s:%d", (int)host, peer_url, ETCD_OWN_PORT);
}

static char *endpoint_at(const Tier *tier, int port)
{
    return mem_printf("https://%s.0.1:%d", tier->net, port);
}

json_t *etcd_own_settings(const Tier *tier, int port)
{
    CLEANUP(mem_free_ptr) char *endpoint = endpoint_at(tier, port);
    return json_pack("{s:[s], s:s, s:b, s:s, s:s, s:s}", "endpoints", endpoint, "root", ROOT, "own",
                     1, "ca", "etcd/ca.pem", "cert", "etcd/host.pem", "key", "etcd/host.pem");
}

/* The log is there, whole, once it has begun as a member; what comes before it may be half made. */
bool etcd_own_has_data(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = etcd_own_place(tier, "data/member/wal");
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

/* ---- the process -------------------------------------------------------------------------------
 */

/* Who a member is its certificate says: its address on the way to another one may be any that this
 * host has. */
static const char **arguments(const Tier *tier, Arena *arena, int port, const char *cluster,
                              const char *state)
{
    const char *root = arena_printf(arena, "%s/etcd", tier->data_dir);
    const char *peer = arena_printf(arena, "https://%s.0.1:%d", tier->net, PEER_PORT);
    CLEANUP(mem_free_ptr) char *endpoint = endpoint_at(tier, port);
    const char *client = arena_strdup(arena, endpoint);
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

static bool folder_make(const Tier *tier, const char *leaf, const ProcessAccount *account, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = etcd_own_place(tier, leaf);
    TRY(dir_make(path, 0700, err));
    return !account->drop || chown(path, account->uid, account->gid) == 0 ||
           err_set_errno(err, errno, "cannot give %s to the account %s", path, ETCD_OWN_ACCOUNT);
}

bool etcd_own_runs(const Tier *tier)
{
    pid_t pid;
    return guard_find(tier->run_dir, NODE, &pid, NULL);
}

/* Nothing of an earlier one is in its folder then. */
static bool reap(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = etcd_own_place(tier, "data");
    size_t killed = 0;
    return !file_exists(data) || guard_kill_orphans(data, ORPHANS_MS, &killed, err);
}

static bool start(const Tier *tier, int port, const char *cluster, const char *state, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(mem_free_ptr) char *data = etcd_own_place(tier, "data");
    CLEANUP(mem_free_ptr) char *log = etcd_own_place(tier, LOG);
    CLEANUP(mem_free_ptr) char *program = file_own_program();
    ProcessAccount account;
    pid_t pid;
    if (etcd_own_runs(tier)) {
        return true;
    }
    TRY(etcd_own_installed(tier, err) && engine_account(ETCD_OWN_ACCOUNT, &account, err) &&
        reap(tier, err) && folder_make(tier, "data", &account, err) &&
        folder_make(tier, "log", &account, err) && etcd_own_cert_keep(tier, err));
    const GuardSpec spec = {
        .program = program,
        .run = tier->run_dir,
        .node = NODE,
        .log_path = log,
        .cwd = data,
        .account = account,
        .argv = arguments(tier, arena, port, cluster, state),
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
    return start(tier, ETCD_OWN_PORT, cluster, "new", err);
}

bool etcd_own_join(const Tier *tier, const char *cluster, Err *err)
{
    return start(tier, ETCD_OWN_PORT, cluster, "existing", err);
}

/* What it was told about others when it began is in its data. */
bool etcd_own_go_on(const Tier *tier, int port, Err *err)
{
    CLEANUP(mem_free_ptr) char *cluster = cluster_of_one(tier);
    ASSERT(etcd_own_has_data(tier));
    return start(tier, port, cluster, "existing", err);
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
    CLEANUP(mem_free_ptr) char *log = etcd_own_place(tier, LOG);
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
    CLEANUP(mem_free_ptr) char *path = etcd_own_place(tier, "data");
    return etcd_own_stop(tier, err) && reap(tier, err) && tree_remove(path, err);
}

/* ---- a copy of the store becomes the store -----------------------------------------------------
 */

/* As etcd's own tool does it. Members of another token are none of this one's. */
static bool restore(const Tier *tier, const char *from, const char *token, Err *err)
{
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/member/snap/db", from);
    CLEANUP(mem_free_ptr) char *made = etcd_own_place(tier, "restored");
    CLEANUP(mem_free_ptr) char *made_data = etcd_own_place(tier, "restored/data");
    CLEANUP(mem_free_ptr) char *data = etcd_own_place(tier, "data");
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
    TRY(engine_account(ETCD_OWN_ACCOUNT, &spec.account, err) && tree_remove(made, err) &&
        folder_make(tier, "restored", &spec.account, err));
    bool ok = command_run(&spec, &result, err);
    command_result_done(&result);
    return ok && file_rename(made_data, data, err) && tree_remove(made, err);
}

bool etcd_own_restore(const Tier *tier, const char *kept, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = etcd_own_place(tier, "data");
    CLEANUP(mem_free_ptr) char *from = etcd_own_place(tier, kept);
    CLEANUP(mem_free_ptr) char *file = mem_printf("%s/member/snap/db", from);
    CLEANUP(mem_free_ptr) char *token = mem_printf("%s-%s", tier->id, kept);
    TRY(etcd_own_stop(tier, err) && reap(tier, err));
    TRY(file_exists(from) || file_rename(data, from, err));
    if (!file_exists(file)) {
        return err_set(err, ERR_CONFLICT, "%s is no copy of the store", from);
    }
    return tree_remove(data, err) && restore(tier, from, token, err);
}

bool etcd_own_restore_undo(const Tier *tier, const char *kept, Err *err)
{
    CLEANUP(mem_free_ptr) char *data = etcd_own_place(tier, "data");
    CLEANUP(mem_free_ptr) char *from = etcd_own_place(tier, kept);
    if (!file_exists(from)) {
        return true;
    }
    return etcd_own_data_remove(tier, err) && file_rename(from, data, err);
}
