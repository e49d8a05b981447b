/*
 * The API of a tier on this host: what it needs to know of the host (engines installed, logs,
 * keys), its certificate, and its listeners at 127.N.0.1:4566 and, for the first tier,
 * 127.0.0.1:4566.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api.h"
#include "engine/engine.h"
#include "serve/serve_priv.h"

#define LISTENERS_MAX 3

struct ApiRunner {
    Loop *loop;
    const Tier *tier;
    Arena *arena; /* what the options point to */
    Api *api;
    TlsContext *tls;
    LoopTimer tls_renew;
    int fds[LISTENERS_MAX];
    size_t fds_len;
    ApiRunnerEvents events;
    _Atomic bool move_told; /* why the store could not move, to whoever asked for it */
    Agent *agent;
    EtcdKeeper *etcd; /* NULL: no host of the tier keeps the store */
};

/* ---- what the API asks of the host -------------------------------------------------------------
 */

static const Secret *key_find(void *context, Slice access_key)
{
    const ApiRunner *runner = context;
    return slice_is(access_key, runner->tier->access_key) ? &runner->tier->secret_key : NULL;
}

static void on_stop(void *context)
{
    ApiRunner *runner = context;
    runner->events.stop(runner->events.user);
}

/* -1 unless it is a file. */
static int log_open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;
    if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))) {
        fd_close(&fd);
    }
    return fd;
}

/* An engine's log lies with its data, that of an endpoint's process in the runtime folder. */
static bool log_open(const ApiRunner *runner, const char *node_id, int *ret_fd, Err *err)
{
    static const char zones[] = MODEL_ZONES;
    CLEANUP(mem_free_ptr)
    char *plane = mem_printf("%s/log/%s.log", runner->tier->run_dir, node_id);
    int fd = log_open_file(plane);
    for (const char *zone = zones; fd < 0 && *zone != '\0'; zone++) {
        CLEANUP(mem_free_ptr)
        char *path =
            mem_printf("%s/zone-%c/%s/log/engine.log", runner->tier->data_dir, *zone, node_id);
        fd = log_open_file(path);
    }
    if (fd >= 0) {
        *ret_fd = fd;
        return true;
    }
    return err_set(err, ERR_NOT_FOUND, "node %s has no log on this host", node_id);
}

static bool log_stat(void *context, const char *node_id, int64_t *ret_bytes,
                     int64_t *ret_written_ms, Err *err)
{
    CLEANUP(fd_close) int fd = -1;
    TRY(log_open(context, node_id, &fd, err));
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return err_set_errno(err, errno, "the log of node %s", node_id);
    }
    *ret_bytes = info.st_size;
    *ret_written_ms = (int64_t)info.st_mtim.tv_sec * MS_PER_S + info.st_mtim.tv_nsec / 1000000;
    return true;
}

static bool log_read(void *context, const char *node_id, int64_t offset, size_t max, Buf *out,
                     Err *err)
{
    CLEANUP(fd_close) int fd = -1;
    TRY(log_open(context, node_id, &fd, err));
    char *room = buf_reserve(out, max);
    if (room == NULL) {
        return err_set(err, ERR_LIMIT, "a piece of a log is larger than asked for");
    }
    ssize_t count = pread(fd, room, max, offset);
    if (count < 0) {
        return err_set_errno(err, errno, "the log of node %s", node_id);
    }
    buf_commit(out, (size_t)count);
    return true;
}

static bool inject(void *context, const char *fault, const char *node_id, size_t *ret_processes,
                   Err *err)
{
    const ApiRunner *runner = context;
    return chaos_inject(runner->tier, fault, node_id, ret_processes, err);
}

static bool host_heard(void *context, const char *host, HostWord *ret_word)
{
    const ApiRunner *runner = context;
    AgentHost hosts[HOSTS_MAX];
    size_t len = agent_hosts(runner->agent, hosts);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(hosts[i].name, host) == 0) {
            *ret_word = (HostWord){.alive = hosts[i].alive,
                                   .unheard = hosts[i].agent[0] == '\0',
                                   .silent_ms = hosts[i].silent_ms};
            return true;
        }
    }
    return false;
}

static HostStoreMember store_member(void *context, const char *host)
{
    const ApiRunner *runner = context;
    return runner->etcd != NULL ? etcd_keeper_member(runner->etcd, host) : HOST_MEMBER_ELSEWHERE;
}

/* Over SQLite there is no store for two: it moves, which is done by the next start of serve. */
static bool store_move(ApiRunner *runner, Err *err)
{
    const char *failed = runner->tier->move_error;
    if (failed != NULL && !atomic_exchange(&runner->move_told, true)) {
        return err_set(err, ERR_CONFLICT,
                       "the tier's store cannot move to etcd, and stays where it is: %s", failed);
    }
    TRY(etcd_own_installed(runner->tier, err) && tier_move_ask(runner->tier, err));
    loop_post(runner->loop, runner->events.again, runner->events.user);
    return err_set(err, ERR_UNAVAILABLE, "the tier moves its store to etcd first; ask again");
}

static bool share_store(void *context, json_t **ret_share, Err *err)
{
    ApiRunner *runner = context;
    return runner->tier->etcd != NULL ? tier_store_share(runner->tier, ret_share, err)
                                      : store_move(runner, err);
}

/* Before a host goes for good. */
static bool release_host(void *context, const char *host, Err *err)
{
    const ApiRunner *runner = context;
    return !tier_etcd_is_own(runner->tier) || etcd_member_release(runner->tier, host, err);
}

/* ---- what is installed -------------------------------------------------------------------------
 */

/* No error here: making an instance of it is. */
static void on_engine_missing(const Err *err)
{
    log_warn("serve", "%s", err->message);
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static bool tls_make(ApiRunner *runner, Err *err)
{
    const Tier *tier = runner->tier;
    Arena *arena = runner->arena;
    VEC(const char *) names = {0};
    arena_vec_push(arena, &names, arena_printf(arena, "%s.0.1", tier->net));
    arena_vec_push(arena, &names, "127.0.0.1");
    arena_vec_push(arena, &names, "localhost");
    for (const char *const *host = aws_public_hosts(arena, tier->region); *host != NULL; host++) {
        arena_vec_push(arena, &names, *host);
    }
    arena_vec_push(arena, &names, NULL);
    const CertSpec spec = {.common_name = "weir api",
                           .names = names.items,
                           .server = true,
                           .valid_days = CERT_END_DAYS};
    Buf cert;
    buf_init(&cert, BUF_MAX_DEFAULT);
    CLEANUP(secret_done) Secret key = {0};
    bool ok = cert_issue(buf_slice(&tier->ca_cert_pem), secret_reveal(&tier->ca_key_pem), &spec,
                         &cert, &key, err);
    if (ok) {
        const TlsServerOptions options = {.cert_pem = buf_slice(&cert),
                                          .key_pem = secret_reveal(&key)};
        TlsContext *before = runner->tls;
        ok = tls_server_context_new(&options, &runner->tls, err);
        if (ok) {
            tls_context_free(before);
        }
    }
    buf_done(&cert);
    return ok;
}

static void on_tls_renew(void *user)
{
    ApiRunner *runner = user;
    Err err;
    if (tls_make(runner, &err)) {
        api_set_tls(runner->api, runner->tls);
    } else {
        log_error("serve", "the API keeps its certificate: %s", err.message);
    }
}

static bool listen_at(ApiRunner *runner, const char *address, uint16_t port, Err *err)
{
    NetAddr addr;
    int fd = -1;
    const NetListenOptions options = {0};
    TRY(net_addr_parse(address, port, &addr, err));
    TRY(net_listen(&addr, &options, &fd, err));
    runner->fds[runner->fds_len++] = fd;
    return api_listen(runner->api, fd, err);
}

/* The tier's own address must work; the others are conveniences. */
static bool listen_all(ApiRunner *runner, Err *err)
{
    const Tier *tier = runner->tier;
    const char *address = arena_printf(runner->arena, "%s.0.1", tier->net);
    TRY(listen_at(runner, address, TIER_API_PORT, err));
    Err ignored;
    if (tier->first && !listen_at(runner, "127.0.0.1", TIER_API_PORT, &ignored)) {
        log_warn("serve", "not at 127.0.0.1:%d: %s", TIER_API_PORT, ignored.message);
    }
    /* Where SDKs that ignore AWS_ENDPOINT_URL connect to, see `weir run`. An ordinary user is
     * usually not permitted to, which is nothing to warn of. */
    if (!listen_at(runner, address, 443, &ignored) &&
        !(geteuid() != 0 && ignored.code == ERR_DENIED)) {
        log_warn("serve", "not at %s:443: %s", address, ignored.message);
    }
    return true;
}

bool api_runner_new(Loop *loop, Jobs *jobs, const Tier *tier, const ApiRunnerEvents *events,
                    ApiRunner **ret_runner, Err *err)
{
    ApiRunner *runner = mem_alloc(sizeof(ApiRunner));
    runner->tier = tier;
    runner->arena = arena_new();
    runner->loop = loop;
    runner->events = *events;
    if (!tls_make(runner, err)) {
        api_runner_free(runner);
        return false;
    }
    const ApiOptions options = {
        .loop = loop,
        .jobs = jobs,
        .tls = runner->tls,
        .store = tier->store,
        .master_key = tier->master_key,
        .ca_cert_pem = buf_slice(&tier->ca_cert_pem),
        .tier = {.account = MODEL_ACCOUNT_ID, .region = tier->region, .net = tier->net},
        .tier_id = tier->id,
        .host = tier->host,
        .endpoint = arena_printf(runner->arena, "https://%s.0.1:%d", tier->net, TIER_API_PORT),
        .tier_created_ms = tier->created_ms,
        .versions = engine_versions_find(runner->arena, on_engine_missing),
        .key_find = key_find,
        .logs = {.stat = log_stat, .read = log_read},
        .stop = on_stop,
        .inject = inject,
        .host_heard = host_heard,
        .store_member = store_member,
        .share_store = share_store,
        .release_host = release_host,
        .context = runner,
    };
    if (!api_new(&options, &runner->api, err) || !listen_all(runner, err)) {
        api_runner_free(runner);
        return false;
    }
    loop_timer_start(loop, &runner->tls_renew, CERT_RENEW_MS, CERT_RENEW_MS, on_tls_renew, runner);
    *ret_runner = runner;
    return true;
}

void api_runner_set_hosts(ApiRunner *runner, Agent *agent, EtcdKeeper *etcd)
{
    runner->agent = agent;
    runner->etcd = etcd;
}

void api_runner_free(ApiRunner *runner)
{
    if (runner == NULL) {
        return;
    }
    loop_timer_stop(&runner->tls_renew);
    api_free(runner->api);
    tls_context_free(runner->tls);
    for (size_t i = 0; i < runner->fds_len; i++) {
        fd_close(&runner->fds[i]);
    }
    arena_free(runner->arena);
    mem_free(runner);
}
