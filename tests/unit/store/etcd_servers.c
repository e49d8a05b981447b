/* Starts, stops and kills members of an etcd; see etcd_servers.h. */
#include "etcd_servers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../folder.h"
#include "crypto/crypto.h"
#include "store/etcd_priv.h"

#define PORT_FIRST 23790
#define ARGS_MAX   64

bool etcd_servers_present(void)
{
    Slice path = slice_of(getenv("PATH"));
    while (path.len > 0) {
        Slice folder = slice_cut(&path, ':');
        CLEANUP(mem_free_ptr) char *file = mem_printf("%.*s/etcd", SLICE_FMT(folder));
        if (access(file, X_OK) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- certificates -----------------------------------------------------------------------------
 */

static const char *address(void)
{
    static char text[32];
    int pid = (int)getpid();
    snprintf(text, sizeof(text), "127.93.%d.%d", pid / 250 % 250, 1 + pid % 250);
    return text;
}

static char *write_file(const EtcdServers *servers, const char *name, Slice text)
{
    Err err;
    char *path = mem_printf("%s/%s", servers->folder, name);
    if (!file_write(path, text, 0600, &err)) {
        fail_msg("%s", err.message);
    }
    return path;
}

static void make_certificates(EtcdServers *servers)
{
    Err err;
    Buf ca, server, client;
    Secret ca_key = {0}, server_key = {0}, client_key = {0};
    const char *names[] = {address(), "127.0.0.1", NULL}; /* from where members connect */
    /* The gateway is a client of its own member, with the member's certificate. */
    CertSpec server_spec = {"etcd", names, .server = true, .client = true, .valid_days = 1};
    CertSpec client_spec = {"weir", NULL, .client = true, .valid_days = 1};
    buf_init(&ca, BUF_MAX_DEFAULT);
    buf_init(&server, BUF_MAX_DEFAULT);
    buf_init(&client, BUF_MAX_DEFAULT);
    assert_true(cert_ca_make("CA", &ca, &ca_key, &err));
    assert_true(cert_issue(buf_slice(&ca), secret_reveal(&ca_key), &server_spec, &server,
                           &server_key, &err));
    assert_true(cert_issue(buf_slice(&ca), secret_reveal(&ca_key), &client_spec, &client,
                           &client_key, &err));
    servers->ca = write_file(servers, "ca.pem", buf_slice(&ca));
    servers->cert = write_file(servers, "client.pem", buf_slice(&client));
    servers->key = write_file(servers, "client.key", secret_reveal(&client_key));
    mem_free(write_file(servers, "server.pem", buf_slice(&server)));
    mem_free(write_file(servers, "server.key", secret_reveal(&server_key)));
    buf_done(&ca);
    buf_done(&server);
    buf_done(&client);
    secret_done(&ca_key);
    secret_done(&server_key);
    secret_done(&client_key);
}

/* ---- processes --------------------------------------------------------------------------------
 */

static char *peer_url(int number)
{
    return mem_printf("https://%s:%d", address(), PORT_FIRST + 100 + number);
}

/* The command line; in an arena. */
static const char **arguments(const EtcdServers *servers, int number, Arena *arena)
{
    const char **args = ARENA_ARRAY(arena, const char *, ARGS_MAX);
    const char *folder = servers->folder;
    Buf cluster;
    buf_init(&cluster, 1024);
    for (int i = 0; i < servers->count; i++) {
        CLEANUP(mem_free_ptr) char *peer = peer_url(i);
        buf_printf(&cluster, "%sm%d=%s", i > 0 ? "," : "", i, peer);
    }
    CLEANUP(mem_free_ptr) char *peer = peer_url(number);
    const char *given[] = {"etcd",
                           "--name",
                           arena_printf(arena, "m%d", number),
                           "--data-dir",
                           arena_printf(arena, "%s/m%d", folder, number),
                           "--listen-client-urls",
                           servers->endpoints[number],
                           "--advertise-client-urls",
                           servers->endpoints[number],
                           "--listen-peer-urls",
                           arena_strdup(arena, peer),
                           "--initial-advertise-peer-urls",
                           arena_strdup(arena, peer),
                           "--initial-cluster",
                           arena_strdup(arena, buf_str(&cluster)),
                           "--client-cert-auth",
                           "--trusted-ca-file",
                           servers->ca,
                           "--cert-file",
                           arena_printf(arena, "%s/server.pem", folder),
                           "--key-file",
                           arena_printf(arena, "%s/server.key", folder),
                           "--peer-client-cert-auth",
                           "--peer-trusted-ca-file",
                           servers->ca,
                           "--peer-cert-file",
                           arena_printf(arena, "%s/server.pem", folder),
                           "--peer-key-file",
                           arena_printf(arena, "%s/server.key", folder),
                           "--logger",
                           "zap"};
    size_t len = 0;
    for (; len < ARRAY_LEN(given); len++) {
        args[len] = given[len];
    }
    for (size_t i = 0; servers->flags != NULL && servers->flags[i] != NULL; i++) {
        assert_true(len < ARGS_MAX - 1);
        args[len++] = servers->flags[i];
    }
    buf_done(&cluster);
    return args;
}

void etcd_server_start(EtcdServers *servers, int number)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char **args = arguments(servers, number, arena);
    const char *log = arena_printf(arena, "%s/m%d.log", servers->folder, number);
    assert_int_equal(servers->pids[number], 0);
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0) {
            _exit(126);
        }
        execvp("etcd", (char *const *)(uintptr_t)args);
        _exit(127);
    }
    servers->pids[number] = pid;
}

/* One that was stopped answers until all of its threads are. */
void etcd_server_signal(EtcdServers *servers, int number, int number_of_signal)
{
    int status = 0;
    pid_t pid = servers->pids[number];
    assert_true(pid > 0);
    assert_int_equal(kill(pid, number_of_signal), 0);
    if (number_of_signal == SIGSTOP) {
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
        assert_true(WIFSTOPPED(status));
    }
}

void etcd_server_kill(EtcdServers *servers, int number)
{
    int status;
    etcd_server_signal(servers, number, SIGKILL);
    assert_int_equal(waitpid(servers->pids[number], &status, 0), servers->pids[number]);
    servers->pids[number] = 0;
}

void etcd_server_wipe(EtcdServers *servers, int number)
{
    Err err;
    CLEANUP(mem_free_ptr) char *data = mem_printf("%s/m%d", servers->folder, number);
    assert_int_equal(servers->pids[number], 0);
    assert_true(tree_remove(data, &err));
}

EtcdServers *etcd_servers_new(int count, const char *const *flags)
{
    EtcdServers *servers = mem_alloc(sizeof(EtcdServers));
    servers->count = count;
    servers->flags = flags;
    servers->folder = folder_make();
    make_certificates(servers);
    for (int i = 0; i < count; i++) {
        servers->endpoints[i] = mem_printf("https://%s:%d", address(), PORT_FIRST + i);
    }
    for (int i = 0; i < count; i++) {
        etcd_server_start(servers, i);
    }
    return servers;
}

void etcd_servers_free(EtcdServers *servers)
{
    if (servers == NULL) {
        return;
    }
    for (int i = 0; i < servers->count; i++) {
        if (servers->pids[i] > 0) {
            etcd_server_kill(servers, i);
        }
        mem_free(servers->endpoints[i]);
    }
    if (getenv("WEIR_TEST_KEEP") == NULL) {
        folder_remove(servers->folder);
    } else {
        mem_free(servers->folder);
    }
    mem_free(servers->ca);
    mem_free(servers->cert);
    mem_free(servers->key);
    mem_free(servers);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

StoreEtcdOptions etcd_servers_options(const EtcdServers *servers, const char *root)
{
    return (StoreEtcdOptions){
        .endpoints = (const char *const *)servers->endpoints,
        .root = root,
        .ca = servers->ca,
        .cert = servers->cert,
        .key = servers->key,
        .patience_ms = 60000, /* of a machine that does something else */
        .connect_timeout_ms = 10000,
        .answer_timeout_ms = 20000,
    };
}

bool etcd_server_post(EtcdServers *servers, int number, const char *path, const char *body,
                      Buf *reply)
{
    Err err;
    int status;
    EtcdSettings settings;
    StoreEtcdOptions options = etcd_servers_options(servers, "/none/");
    options.connect_timeout_ms = 1000;
    assert_true(etcd_settings_make(&options, &settings, &err));
    EtcdHttp *http = etcd_http_new(&settings);
    EtcdOutcome outcome = etcd_http_post(http, servers->endpoints[number], path, slice_of(body),
                                         3000, &status, reply, &err);
    etcd_http_free(http);
    etcd_settings_done(&settings);
    return outcome == ETCD_REPLY && status == 200;
}

static bool leads(EtcdServers *servers, int number)
{
    Buf reply;
    buf_init(&reply, BUF_MAX_DEFAULT);
    bool is_leader = false;
    if (etcd_server_post(servers, number, "/v3/maintenance/status", "{}", &reply)) {
        json_t *tree = json_loads(buf_str(&reply), 0, NULL);
        const char *leader = json_string_value(json_object_get(tree, "leader"));
        const char *self =
            json_string_value(json_object_get(json_object_get(tree, "header"), "member_id"));
        is_leader = leader != NULL && self != NULL && strcmp(leader, self) == 0;
        json_decref(tree);
    }
    buf_done(&reply);
    return is_leader;
}

int etcd_servers_leader(EtcdServers *servers)
{
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < servers->count; i++) {
            if (servers->pids[i] > 0 && leads(servers, i)) {
                return i;
            }
        }
        struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    fail_msg("etcd has no leader");
    return -1;
}
