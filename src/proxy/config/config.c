/* JSON to ProxyConfig: every member of docs/proxy.md, "Configuration", in its order there; users
 * are in users.c. Pure: what lies in files, and what names stand for, is found in prepare.c.
 */
#include "plane/plane.h"
#include "proxy/config/config_priv.h"
#include "proxy/config/reader_priv.h"

/* ---- rules -------------------------------------------------------------------------------------
 */

static void parse_rule(Reader *outer, const json_t *item, ProxyRule *rule)
{
    Reader reader = reader_of(item, "security_rules[]", outer->err);
    CLEANUP(mem_free_ptr) char *cidr = reader_text(&reader, "cidr", true);
    Err problem;
    if (!reader.failed && !net_cidr_parse(slice_of(cidr), &rule->cidr, &problem)) {
        reader_fail(&reader, "security_rules: %s", problem.message);
    }
    rule->from_port = (uint16_t)reader_int(&reader, "from_port", 0, 0, UINT16_MAX);
    rule->to_port = (uint16_t)reader_int(&reader, "to_port", UINT16_MAX, 0, UINT16_MAX);
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_rules(Reader *reader, ProxyConfig *config)
{
    config->rules_given = json_object_get(reader->object, "security_rules") != NULL;
    const json_t *list = reader_list(reader, "security_rules", 0, PROXY_RULES_MAX);
    size_t count = json_array_size(list);
    config->rules = mem_alloc((count + 1) * sizeof(ProxyRule));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        parse_rule(reader, json_array_get(list, i), &config->rules[i]);
        config->rule_count++;
    }
}

/* ---- listeners, target ------------------------------------------------------------------
 */

static void parse_client_ca(Reader *reader, const ProxyListener *listener)
{
    bool given = listener->client_ca_file != NULL || listener->client_ca_pem != NULL;
    if (listener->client_ca_file != NULL && listener->client_ca_pem != NULL) {
        reader_fail(reader, "listeners[] has client_ca_file and client_ca_pem: one of them");
    } else if (given && listener->cert_file == NULL && listener->cert_pem == NULL) {
        reader_fail(reader, "listeners[] has a client_ca_file, and no cert_file: clients show "
                            "certificates only over TLS");
    }
}

static void parse_listener(Reader *outer, const json_t *item, ProxyListener *listener)
{
    Reader reader = reader_of(item, "listeners[]", outer->err);
    listener->address = reader_text(&reader, "address", true);
    listener->port = (uint16_t)reader_int(&reader, "port", 5432, 1, UINT16_MAX);
    listener->cert_file = reader_text(&reader, "cert_file", false);
    listener->key_file = reader_text(&reader, "key_file", listener->cert_file != NULL);
    listener->cert_pem = reader_text(&reader, "cert_pem", false);
    reader_secret(&reader, "key_pem", listener->cert_pem != NULL, &listener->key_pem);
    if (listener->cert_file != NULL && listener->cert_pem != NULL) {
        reader_fail(&reader, "listeners[] has cert_file and cert_pem: one of them");
    }
    listener->client_ca_file = reader_text(&reader, "client_ca_file", false);
    listener->client_ca_pem = reader_text(&reader, "client_ca_pem", false);
    parse_client_ca(&reader, listener);
    listener->link = reader_bool(&reader, "link");
    if (listener->link && listener->client_ca_file == NULL && listener->client_ca_pem == NULL) {
        reader_fail(&reader, "listeners[].link takes client_ca_pem: who may come is told by it");
    }
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_listeners(Reader *reader, ProxyConfig *config)
{
    const json_t *list = reader_list(reader, "listeners", 1, PROXY_LISTENERS_MAX);
    for (size_t i = 0; i < json_array_size(list) && !reader->failed; i++) {
        ProxyListener *listener = &config->listeners[config->listener_count++];
        parse_listener(reader, json_array_get(list, i), listener);
        config->holds_secrets = config->holds_secrets || secret_is_set(&listener->key_pem);
    }
}

/* On another host of the tier, behind that one's link. */
static void parse_target_link(Reader *outer, ProxyTarget *target)
{
    const json_t *json = reader_take(outer, "link");
    if (json == NULL) {
        return;
    }
    Reader reader = reader_of(json, "link", outer->err);
    target->ca_pem = reader_text(&reader, "ca_pem", true);
    target->cert_pem = reader_text(&reader, "cert_pem", true);
    reader_secret(&reader, "key_pem", true, &target->key_pem);
    if (target->host == NULL || target->tls != TARGET_TLS_DISABLE) {
        reader_fail(&reader, "link takes a host beside it, and no tls");
    }
    target->tls = TARGET_TLS_LINK;
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_target_tls(Reader *reader, ProxyTarget *target)
{
    static const char *const modes[] = {"disable", "require", "verify-ca", "verify-full"};
    CLEANUP(mem_free_ptr) char *mode = reader_text(reader, "tls", false);
    target->ca_file = reader_text(reader, "ca_file", false);
    size_t i = 0;
    while (mode != NULL && i < ARRAY_LEN(modes) && strcmp(mode, modes[i]) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(modes)) {
        reader_fail(reader, "%s.tls must be disable, require, verify-ca or verify-full",
                    reader->path);
        return;
    }
    target->tls = (TargetTls)i;
    bool verified = target->tls >= TARGET_TLS_VERIFY_CA;
    if (verified != (target->ca_file != NULL)) {
        reader_fail(reader, "%s.ca_file and tls verify-ca or verify-full go together",
                    reader->path);
    } else if (target->tls != TARGET_TLS_DISABLE && target->host == NULL) {
        reader_fail(reader, "%s.tls goes with %s.host", reader->path, reader->path);
    }
}

static void parse_synchronous(Reader *reader, const Reader *outer, ProxyTarget *target)
{
    CLEANUP(mem_free_ptr) char *right = reader_text(reader, "right_to_answer", false);
    target->synchronous = reader_bool(reader, "synchronous");
    target->probe_user = reader_text(reader, "probe_user", false);
    target->right_enforced = right != NULL && strcmp(right, "enforced") == 0;
    if (right != NULL && !target->right_enforced && strcmp(right, "measured") != 0) {
        reader_fail(reader, "%s.right_to_answer must be measured or enforced", reader->path);
    } else if (!target->synchronous && (right != NULL || target->probe_user != NULL)) {
        reader_fail(reader, "%s.right_to_answer and %s.probe_user go with %s.synchronous",
                    reader->path, reader->path, reader->path);
    } else if (target->synchronous && strcmp(reader->path, "target") != 0) {
        reader_fail(reader, "%s.synchronous is of a target that takes writes", reader->path);
    } else if (target->synchronous && target->probe_user == NULL &&
               strcmp(outer->path, "relay") == 0) {
        reader_fail(reader,
                    "a relay's %s.synchronous needs %s.probe_user: a role that logs in "
                    "without a password",
                    reader->path, reader->path);
    }
}

static void parse_server(Reader *outer, const char *path, const json_t *json, ProxyTarget *target)
{
    Reader reader = reader_of(json, path, outer->err);
    target->id = reader_text(&reader, "id", false);
    target->socket_dir = reader_text(&reader, "socket_dir", false);
    target->host = reader_text(&reader, "host", false);
    if ((target->socket_dir == NULL) == (target->host == NULL)) {
        reader_fail(&reader, "%s must have either %s.socket_dir or %s.host", path, path, path);
    } else if (target->host != NULL && strpbrk(target->host, "/@") != NULL) {
        reader_fail(&reader, "%s.host must be a name or an address; a folder is a socket_dir",
                    path);
    }
    target->port = (uint16_t)reader_int(&reader, "port", 5432, 1, UINT16_MAX);
    parse_target_tls(&reader, target);
    parse_target_link(&reader, target);
    parse_synchronous(&reader, outer, target);
    target->max_connections =
        (uint32_t)reader_int(&reader, "max_connections", 100, 1, PROXY_SERVERS_MAX);
    proxy_config_parse_names(&reader, "deposed", 0, PROXY_DEPOSED_MAX, &target->deposed);
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_target(Reader *outer, ProxyTarget *target)
{
    const json_t *json = reader_take(outer, "target");
    if (json == NULL || json_is_null(json)) {
        return; /* there is none at present */
    }
    parse_server(outer, "target", json, target);
    if (target->id == NULL) {
        target->id = mem_strdup("target");
    }
}

/* Two of one name could not be told apart in the status. */
static bool id_is_taken(const ProxyConfig *config, size_t count, const char *id)
{
    bool taken = config->target.id != NULL && strcmp(config->target.id, id) == 0;
    for (size_t i = 0; i < count; i++) {
        taken = taken || strcmp(config->replicas[i].id, id) == 0;
    }
    return taken;
}

static void parse_replicas(Reader *pool, ProxyConfig *config)
{
    const json_t *list = reader_list(pool, "replicas", 0, PROXY_REPLICAS_MAX);
    for (size_t i = 0; i < json_array_size(list) && !pool->failed; i++) {
        ProxyTarget *replica = &config->replicas[i];
        parse_server(pool, "replicas[]", json_array_get(list, i), replica);
        if (!pool->failed && replica->id == NULL) {
            replica->id = mem_printf("replica-%zu", i + 1);
        }
        if (!pool->failed && id_is_taken(config, i, replica->id)) {
            reader_fail(pool, "pool.replicas[].id %s is another target's, too", replica->id);
        }
    }
}

static const char *const reads_words[] = {"primary", "replicas", "split"};

static void parse_reads(Reader *pool, ProxyConfig *config)
{
    CLEANUP(mem_free_ptr) char *reads = reader_text(pool, "reads", false);
    size_t i = 0;
    while (reads != NULL && i < ARRAY_LEN(reads_words) && strcmp(reads, reads_words[i]) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(reads_words)) {
        reader_fail(pool, "pool.reads must be primary, replicas or split");
        return;
    }
    config->reads = (ProxyReads)i;
    config->lag_max_ms =
        reader_int(pool, "max_replica_lag_ms", PROXY_LAG_MAX_DEFAULT, 0, 24 * 3600 * 1000);
}

bool proxy_config_check_reads(const ProxyConfig *config, Err *err)
{
    bool any = false;
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        any = any || config->replicas[i].id != NULL;
    }
    if (config->reads == READS_PRIMARY && any) {
        return err_set(err, ERR_INVALID,
                       "pool.replicas are listed, and pool.reads is primary, "
                       "which does not use them: replicas, or split");
    }
    if (config->reads != READS_PRIMARY && !any) {
        return err_set(err, ERR_INVALID, "pool.reads is %s, and pool.replicas has none",
                       reads_words[config->reads]);
    }
    return config->reads != READS_SPLIT || config->target.id != NULL ||
           err_set(err, ERR_INVALID, "pool.reads is split, and there is no pool.target");
}

void proxy_config_parse_names(Reader *reader, const char *member, size_t min, size_t max,
                              ProxyNames *names)
{
    const json_t *list = reader_list(reader, member, min, max);
    size_t count = json_array_size(list);
    names->items = mem_alloc((count + 1) * sizeof(char *));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL || name[0] == '\0') {
            reader_fail(reader, "%s.%s must hold names", reader->path, member);
            return;
        }
        names->items[names->count++] = mem_strdup(name);
    }
}

static void parse_admin(Reader *reader, ProxyConfig *config)
{
    config->admin_database = reader_text(reader, "admin_database", false);
    if (config->admin_database == NULL) {
        config->admin_database = mem_strdup(PROXY_ADMIN_DATABASE);
    } else if (config->admin_database[0] == '\0') {
        reader_fail(reader, "pool.admin_database must be a name; without admin_users and "
                            "stats_users there is no such database");
    }
    proxy_config_parse_names(reader, "admin_users", 0, PROXY_ADMINS_MAX, &config->admin_users);
    proxy_config_parse_names(reader, "stats_users", 0, PROXY_ADMINS_MAX, &config->stats_users);
}

static uint32_t percent_of(uint32_t count, int64_t percent)
{
    uint32_t part = (uint32_t)((uint64_t)count * (uint64_t)percent / 100);
    return part > 0 ? part : 1;
}

static void parse_pool(Reader *outer, ProxyConfig *config)
{
    Reader reader = reader_of(reader_take(outer, "pool"), "pool", outer->err);
    proxy_config_parse_iam(&reader, config);
    proxy_config_parse_users(&reader, config);
    proxy_config_parse_databases(&reader, config);
    parse_target(&reader, &config->target);
    parse_replicas(&reader, config);
    parse_reads(&reader, config);
    int64_t percent = reader_int(&reader, "max_connections_percent", 100, 1, 100);
    int64_t idle_percent = reader_int(&reader, "max_idle_connections_percent", percent / 2, 0, 100);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        ProxyTarget *target = i == 0 ? &config->target : &config->replicas[i - 1];
        target->servers_max = percent_of(target->max_connections, percent);
        target->servers_idle_max =
            idle_percent == 0 ? 0 : percent_of(target->max_connections, idle_percent);
    }
    config->borrow_ms = MS_PER_S * reader_int(&reader, "connection_borrow_timeout_s",
                                              PROXY_BORROW_TIMEOUT_DEFAULT, 0, 3600);
    config->idle_server_ms = MS_PER_S * reader_int(&reader, "idle_server_timeout_s",
                                                   PROXY_IDLE_SERVER_DEFAULT, 1, 86400);
    config->shared_connections =
        (uint32_t)reader_int(&reader, "shared_connections", 0, 0, PROXY_SHARED_MAX);
    config->shared_listeners = reader_bool(&reader, "shared_listeners");
    config->keep_listening = reader_bool(&reader, "keep_listening");
    config->resend_reads = reader_bool(&reader, "resend_reads");
    config->init_query = reader_text(&reader, "init_query", false);
    if (config->init_query != NULL && config->init_query[0] == '\0') {
        mem_free(config->init_query);
        config->init_query = NULL;
    }
    parse_admin(&reader, config);
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static void parse_relay(Reader *outer, ProxyConfig *config)
{
    Reader reader = reader_of(reader_take(outer, "relay"), "relay", outer->err);
    parse_target(&reader, &config->target);
    config->relay_trusts = reader_bool(&reader, "allow_trust");
    proxy_config_parse_names(&reader, "reserved_users", 0, PROXY_RESERVED_MAX,
                             &config->relay_reserved);
    /* PostgreSQL would bind the login to a channel that its client is not at the other end of. */
    if (config->target.tls != TARGET_TLS_DISABLE && config->target.tls != TARGET_TLS_LINK) {
        reader_fail(&reader, "target.tls goes with kind pool: through a relay, clients could not "
                             "log in by SCRAM");
    }
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

const char *const proxy_io_names[3] = {"epoll", "auto", "uring"};

static void parse_io(Reader *reader, ProxyConfig *config)
{
    CLEANUP(mem_free_ptr) char *name = reader_text(reader, "io", false);
    size_t i = 0;
    while (name != NULL && i < ARRAY_LEN(proxy_io_names) && strcmp(name, proxy_io_names[i]) != 0) {
        i++;
    }
    if (i == ARRAY_LEN(proxy_io_names)) {
        reader_fail(reader, "io must be epoll, auto or uring, not %s", name);
    } else {
        config->io = (ProxyIo)i;
    }
}

static void parse_kind(Reader *reader, ProxyConfig *config)
{
    CLEANUP(mem_free_ptr) char *kind = reader_text(reader, "kind", true);
    if (reader->failed) {
        return;
    }
    config->relay = strcmp(kind, "relay") == 0;
    if (config->relay) {
        parse_relay(reader, config);
    } else if (strcmp(kind, "pool") == 0) {
        parse_pool(reader, config);
    } else {
        reader_fail(reader, "kind must be relay or pool, not %s", kind);
    }
}

static uint32_t parse_silence(Reader *reader, const char *member, int64_t fallback)
{
    return (uint32_t)reader_int(reader, member, fallback, STREAM_SILENCE_S_MIN,
                                STREAM_SILENCE_S_MAX);
}

bool proxy_config_parse(const json_t *json, ProxyConfig **ret_config, Err *err)
{
    ProxyConfig *config = mem_alloc(sizeof(ProxyConfig));
    atomic_init(&config->refs, 1);
    Reader reader = reader_of(json, "proxy", err);
    parse_listeners(&reader, config);
    parse_rules(&reader, config);
    parse_kind(&reader, config);
    parse_io(&reader, config);
    config->require_tls = reader_bool(&reader, "require_tls");
    config->debug_logging = reader_bool(&reader, "debug_logging");
    config->workers =
        (uint32_t)reader_int(&reader, "workers", PROXY_WORKERS_DEFAULT, 1, PROXY_WORKERS_MAX);
    config->clients_max = (uint32_t)reader_int(&reader, "max_clients", PROXY_CLIENTS_MAX_DEFAULT, 1,
                                               PROXY_CLIENTS_MAX);
    config->idle_client_ms =
        MS_PER_S * reader_int(&reader, "idle_client_timeout_s",
                              config->relay ? 0 : PROXY_IDLE_CLIENT_DEFAULT, 0, 28800);
    config->silent_client_s =
        parse_silence(&reader, "silent_client_timeout_s", STREAM_SILENCE_S_DEFAULT);
    config->silent_server_s =
        parse_silence(&reader, "silent_server_timeout_s", PROXY_SILENT_SERVER_DEFAULT);
    config->upgrade_drain_ms = MS_PER_S * reader_int(&reader, "upgrade_drain_s",
                                                     UPGRADE_DRAIN_DEFAULT, 1, UPGRADE_DRAIN_MAX);
    reader_end(&reader);
    if (reader.failed) {
        proxy_config_unref(config);
        return false;
    }
    *ret_config = config;
    return true;
}
