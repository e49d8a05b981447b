/* JSON to ProxyConfig: who may log in to a pool, by which proof, and how often. Pure. */
#include "proxy/config/config_priv.h"
#include "proxy/config/reader_priv.h"

static void parse_verifier(Reader *reader, ProxyUser *user)
{
    CLEANUP(mem_free_ptr) char *text = reader_text(reader, "verifier", false);
    user->verifier_given = text != NULL;
    if (text != NULL && !scram_verifier_parse(slice_of(text), &user->verifier)) {
        reader_fail(reader, "pool.users[].verifier must be a SCRAM-SHA-256 one, as in "
                            "pg_authid.rolpassword");
    }
}

static void parse_auth(Reader *reader, ProxyUser *user)
{
    CLEANUP(mem_free_ptr) char *auth = reader_text(reader, "auth", false);
    CLEANUP(mem_free_ptr) char *cert_name = reader_text(reader, "cert_name", false);
    bool by_cert = auth != NULL && strcmp(auth, "cert") == 0;
    user->iam = auth != NULL && strcmp(auth, "iam") == 0;
    if (!by_cert && !user->iam && auth != NULL && strcmp(auth, "password") != 0) {
        reader_fail(reader, "pool.users[].auth must be password, cert or iam, not %s", auth);
    } else if (user->iam && json_object_get(reader->object, "client_password_auth") != NULL) {
        reader_fail(reader, "pool.users[].client_password_auth goes with auth password");
    } else if (!by_cert && cert_name != NULL) {
        reader_fail(reader, "pool.users[].cert_name goes with auth cert");
    } else if ((by_cert || user->iam) && user->verifier_given) {
        reader_fail(reader,
                    "pool.users[] has auth %s and a verifier, which nobody would be "
                    "asked to prove",
                    auth);
    } else if (by_cert) {
        user->cert_name = mem_strdup(cert_name != NULL ? cert_name : user->name);
    }
}

/* A secret under `name`, or the file of it under `file_name`. */
static void parse_password(Reader *reader, const char *name, const char *file_name, bool required,
                           Secret *secret, char **file)
{
    *file = reader_text(reader, file_name, false);
    reader_secret(reader, name, required && *file == NULL, secret);
    if (*file != NULL && secret_is_set(secret)) {
        reader_fail(reader, "pool.users[] has %s and %s: one of them", name, file_name);
    }
}

/* How clients prove a password; `otherwise` where it is not said. */
static bool parse_method(Reader *reader, bool otherwise)
{
    CLEANUP(mem_free_ptr) char *method = reader_text(reader, "client_password_auth", false);
    bool md5 = method != NULL && strcmp(method, "md5") == 0;
    if (!md5 && method != NULL && strcmp(method, "scram-sha-256") != 0) {
        reader_fail(reader, "%s.client_password_auth must be scram-sha-256 or md5, not %s",
                    reader->path, method);
    }
    return method != NULL ? md5 : otherwise;
}

static ProxyLimit parse_limit(Reader *reader)
{
    return (ProxyLimit){
        .clients = (uint32_t)reader_int(reader, "max_clients", 0, 1, PROXY_CLIENTS_MAX),
        .servers = (uint32_t)reader_int(reader, "max_connections", 0, 1, PROXY_SERVERS_MAX)};
}

static bool limit_is_set(ProxyLimit limit)
{
    return limit.clients > 0 || limit.servers > 0;
}

static void parse_user(Reader *outer, const json_t *item, bool md5, ProxyUser *user)
{
    Reader reader = reader_of(item, "pool.users[]", outer->err);
    user->name = reader_text(&reader, "user", true);
    user->md5 = parse_method(&reader, md5);
    user->limit = parse_limit(&reader);
    parse_verifier(&reader, user);
    parse_auth(&reader, user);
    parse_password(&reader, "password", "password_file",
                   !user->verifier_given && user->cert_name == NULL && !user->iam, &user->password,
                   &user->password_file);
    parse_password(&reader, "previous_password", "previous_password_file", false, &user->previous,
                   &user->previous_file);
    bool has_password = secret_is_set(&user->password) || user->password_file != NULL;
    bool has_previous = secret_is_set(&user->previous) || user->previous_file != NULL;
    if (has_previous && !has_password) {
        reader_fail(&reader, "pool.users[] has a previous_password, and no password");
    }
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static bool asks_for_certificates(const ProxyConfig *config)
{
    bool asks = false;
    for (size_t i = 0; i < config->listener_count; i++) {
        const ProxyListener *listener = &config->listeners[i];
        asks = asks || listener->client_ca_file != NULL || listener->client_ca_pem != NULL;
    }
    return asks;
}

static bool has_tls(const ProxyConfig *config)
{
    bool has = false;
    for (size_t i = 0; i < config->listener_count; i++) {
        const ProxyListener *listener = &config->listeners[i];
        has = has || listener->cert_file != NULL || listener->cert_pem != NULL;
    }
    return has;
}

/* Whether the user can log in at all. */
static void check_user(Reader *reader, const ProxyConfig *config, const ProxyUser *user)
{
    if (proxy_config_user(config, slice_of(user->name)) != user) {
        reader_fail(reader, "pool.users has %s twice", user->name);
    } else if (user->md5 && user->verifier_given) {
        reader_fail(reader,
                    "pool.users: %s has a SCRAM verifier, which nobody can prove with "
                    "client_password_auth md5",
                    user->name);
    } else if (user->iam && config->iam.region == NULL) {
        reader_fail(reader,
                    "pool.users: %s has auth iam, and there is no pool.iam with keys to "
                    "check tokens with",
                    user->name);
    } else if (user->iam && !has_tls(config)) {
        reader_fail(reader,
                    "pool.users: %s has auth iam, and no listener has a certificate: "
                    "tokens come over TLS only",
                    user->name);
    } else if (user->cert_name != NULL && !asks_for_certificates(config)) {
        reader_fail(reader,
                    "pool.users: %s has auth cert, and no listener has a client_ca_file to verify "
                    "certificates with",
                    user->name);
    }
}

void proxy_config_parse_users(Reader *reader, ProxyConfig *config)
{
    config->client_md5 = parse_method(reader, false);
    const json_t *list = reader_list(reader, "users", 0, PROXY_USERS_MAX);
    size_t count = json_array_size(list);
    config->users = mem_alloc((count + 1) * sizeof(ProxyUser));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        ProxyUser *user = &config->users[config->user_count++];
        parse_user(reader, json_array_get(list, i), config->client_md5, user);
        config->holds_secrets = config->holds_secrets || user->verifier_given ||
                                secret_is_set(&user->password) || secret_is_set(&user->previous);
        config->limited = config->limited || limit_is_set(user->limit);
        if (!reader->failed) {
            check_user(reader, config, user);
        }
    }
}

/* ---- databases ---------------------------------------------------------------------------------
 */

static void parse_database(Reader *outer, const json_t *item, ProxyDatabase *database)
{
    Reader reader = reader_of(item, "pool.databases[]", outer->err);
    database->name = reader_text(&reader, "database", true);
    database->limit = parse_limit(&reader);
    reader_end(&reader);
    reader_pass_on(outer, &reader);
}

static bool has_database(const ProxyDatabase *databases, size_t count, const char *name)
{
    bool has = false;
    for (size_t i = 0; i < count; i++) {
        has = has || strcmp(databases[i].name, name) == 0;
    }
    return has;
}

void proxy_config_parse_databases(Reader *reader, ProxyConfig *config)
{
    const json_t *list = reader_list(reader, "databases", 0, PROXY_DATABASES_MAX);
    size_t count = json_array_size(list);
    config->databases = mem_alloc((count + 1) * sizeof(ProxyDatabase));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        ProxyDatabase *database = &config->databases[config->database_count++];
        parse_database(reader, json_array_get(list, i), database);
        config->limited = config->limited || limit_is_set(database->limit);
        if (!reader->failed && has_database(config->databases, i, database->name)) {
            reader_fail(reader, "pool.databases has %s twice", database->name);
        }
    }
}
