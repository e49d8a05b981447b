/*
 * Redis's configuration and ACL files. The configuration lies outside the data folder, is closed to
 * others because it holds the password by which a replica follows its primary, and names no port
 * without TLS. Clients reach Redis only as REDIS_CLIENT_USER, through the front.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine_priv.h"

#define CONF_MAX ((size_t)1 << 20)

/* "text" as redis.conf quotes it. */
static void conf_set(Buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s \"", name);
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *at == '\n' || *at == '\r' ? ' ' : *at);
    }
    buf_append_str(out, "\"\n");
}

static void conf_path(Buf *out, const char *name, const char *dir, const char *file)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", dir, file);
    conf_set(out, name, path);
}

static void conf_number(Buf *out, const char *name, int64_t value)
{
    buf_printf(out, "%s %" PRId64 "\n", name, value);
}

static void conf_fixed(Buf *out)
{
    static const EngineSetting fixed[] = {
        {"port", "0"}, /* TLS only */
        {"protected-mode", "no"},
        {"daemonize", "no"},
        {"supervised", "no"},
        {"logfile", ""},
        {"set-proc-title", "yes"},
        {"tls-auth-clients", "yes"},
        {"tls-replication", "yes"},
        {"tls-protocols", "TLSv1.2 TLSv1.3"},
        {"replica-read-only", "yes"},
        {"repl-diskless-sync", "yes"},
        {"repl-diskless-sync-delay", "0"},
        {"repl-ping-replica-period", "1"},
        {"repl-timeout", "10"},
        /* A killed process must come back with what it had, and a primary that came back empty
         * would empty its replicas. */
        {"appendonly", "yes"},
        {"appendfsync", "everysec"},
        {"dbfilename", "dump.rdb"},
        {"save", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        conf_set(out, fixed[i].name, fixed[i].value);
    }
}

char *redis_replication_user(const char *host)
{
    return mem_printf(REDIS_REPLICATION_USER "_%s", host);
}

void redis_conf_render(const RedisSpec *spec, Buf *out)
{
    buf_append_str(out, "# Written by Weir at each start. Change the parameter group instead.\n");
    for (size_t i = 0; i < spec->settings_len; i++) {
        conf_set(out, spec->settings[i].name, spec->settings[i].value);
    }
    buf_append_str(out, "\n# Set by Weir; these win.\n");
    conf_fixed(out);
    conf_set(out, "bind", spec->listen_address);
    conf_set(out, "replica-announce-ip", spec->listen_address); /* by which its primary knows it */
    conf_number(out, "tls-port", REDIS_PORT);
    conf_set(out, "dir", spec->paths.data);
    conf_path(out, "unixsocket", spec->paths.socket_dir, "redis.sock");
    conf_set(out, "unixsocketperm", "700");
    conf_path(out, "aclfile", spec->paths.conf, "users.acl");
    conf_path(out, "tls-cert-file", spec->paths.tls, "server.crt");
    conf_path(out, "tls-key-file", spec->paths.tls, "server.key");
    conf_path(out, "tls-client-cert-file", spec->paths.tls, "client.crt");
    conf_path(out, "tls-client-key-file", spec->paths.tls, "client.key");
    conf_path(out, "tls-ca-cert-file", spec->paths.tls, "ca.crt");
    conf_number(out, "maxmemory", spec->maxmemory_bytes);
    CLEANUP(mem_free_ptr) char *user = redis_replication_user(spec->host);
    conf_set(out, "masteruser", user);
    conf_set(out, "masterauth", spec->replication_password);
    if (spec->source_address != NULL) {
        buf_printf(out, "replicaof %s %d\n", spec->source_address, REDIS_PORT);
    }
}

static void acl_user(Buf *out, const char *name, const char *password, const char *rules)
{
    uint8_t digest[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1];
    sha256(slice_of(password), digest);
    hex_encode(digest, sizeof(digest), hex);
    buf_printf(out, "user %s on #%s %s\n", name, hex, rules);
}

/* What ElastiCache restricts, the data plane's user may not do either: those commands would change
 * the node behind Weir's back. */
#define CLIENT_RULES                                                                               \
    "~* &* +@all -acl|deluser -acl|load -acl|save -acl|setuser -acl|log -bgrewriteaof -bgsave"     \
    " -cluster -config -debug -failover -migrate -module -monitor -psync -replconf -replicaof"     \
    " -save -shutdown -slaveof -sync"

/* Nobody can be the default user. But Redis loads its own log as that user, and looks at each EXEC
 * in it again: what the user may not do is left out, transactions and scripts, with a line in the
 * log and no other word. So it may do everything, once somebody were it. */
#define DEFAULT_USER "user default off resetpass ~* &* +@all\n"
#define GATE_RULES   "resetchannels -@all +ping +wait +command"

void redis_acl_render(const RedisSpec *spec, Buf *out)
{
    buf_append_str(out, DEFAULT_USER);
    acl_user(out, REDIS_ADMIN_USER, spec->admin_password, "~* &* +@all");
    for (size_t i = 0; i < spec->hosts_len; i++) {
        CLEANUP(mem_free_ptr) char *user = redis_replication_user(spec->hosts[i]);
        acl_user(out, user, spec->replication_password, "+psync +replconf +ping");
    }
    acl_user(out, REDIS_CLIENT_USER, spec->client_password, CLIENT_RULES);
    acl_user(out, REDIS_GATE_USER, spec->client_password,
             spec->alone ? GATE_RULES " +echo" : GATE_RULES);
}

static bool conf_write(const RedisSpec *spec, const char *name,
                       void (*render)(const RedisSpec *, Buf *), bool *changed, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", spec->paths.conf, name);
    Buf text;
    buf_init(&text, CONF_MAX);
    render(spec, &text);
    bool ok = text.overflowed
                  ? err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", name, CONF_MAX)
                  : engine_file_update(path, buf_slice(&text), &spec->account, changed, err);
    crypto_wipe(text.data, text.len);
    buf_done(&text);
    return ok;
}

bool redis_configure(const RedisSpec *spec, bool *ret_changed, Err *err)
{
    bool changed = false;
    RedisSpec start = *spec;
    start.alone = false;
    TRY(engine_dir_make(spec->paths.data, &spec->account, spec->account.gid, 0700, err));
    TRY(conf_write(&start, "redis.conf", redis_conf_render, &changed, err));
    TRY(conf_write(&start, "users.acl", redis_acl_render, &changed, err));
    *ret_changed = changed;
    return true;
}

const char *const *redis_argv(Arena *arena, const RedisSpec *spec)
{
    const char **argv = ARENA_ARRAY(arena, const char *, 3);
    argv[0] = spec->install.program;
    argv[1] = arena_printf(arena, "%s/redis.conf", spec->paths.conf);
    return argv;
}
