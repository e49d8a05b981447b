/* JSON to ProxyConfig: who may log in to a pool, and by which proof. Pure. */
#include "proxy/config_priv.h"
#include "proxy/reader_priv.h"

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
    if (!by_cert && auth != NULL && strcmp(auth, "password") != 0) {
        reader_fail(reader, "pool.users[].auth must be password or cert, not %s", auth);
    } else if (!by_cert && cert_name != NULL) {
        reader_fail(reader, "pool.users[].cert_name goes with auth cert");
    } else if (by_cert && user->verifier_given) {
        reader_fail(reader, "pool.users[] has auth cert and a verifier, which nobody would be "
                            "asked to prove");
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

static void parse_user(Reader *outer, const json_t *item, ProxyUser *user)
{
    Reader reader = reader_of(item, "pool.users[]", outer->err);
    user->name = reader_text(&reader, "user", true);
    parse_verifier(&reader, user);
    parse_auth(&reader, user);
    parse_password(&reader, "password", "password_file",
                   !user->verifier_given && user->cert_name == NULL, &user->password,
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

static void parse_method(Reader *reader, ProxyConfig *config)
{
    CLEANUP(mem_free_ptr) char *method = reader_text(reader, "client_password_auth", false);
    config->client_md5 = method != NULL && strcmp(method, "md5") == 0;
    if (!config->client_md5 && method != NULL && strcmp(method, "scram-sha-256") != 0) {
        reader_fail(reader, "pool.client_password_auth must be scram-sha-256 or md5, not %s",
                    method);
    }
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

/* Whether the user can log in at all. */
static void check_user(Reader *reader, const ProxyConfig *config, const ProxyUser *user)
{
    if (proxy_config_user(config, slice_of(user->name)) != user) {
        reader_fail(reader, "pool.users has %s twice", user->name);
    } else if (config->client_md5 && user->verifier_given) {
        reader_fail(reader,
                    "pool.users: %s has a SCRAM verifier, which nobody can prove with "
                    "client_password_auth md5",
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
    parse_method(reader, config);
    const json_t *list = reader_list(reader, "users", 0, PROXY_USERS_MAX);
    size_t count = json_array_size(list);
    config->users = mem_alloc((count + 1) * sizeof(ProxyUser));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        ProxyUser *user = &config->users[config->user_count++];
        parse_user(reader, json_array_get(list, i), user);
        config->holds_secrets = config->holds_secrets || user->verifier_given ||
                                secret_is_set(&user->password) || secret_is_set(&user->previous);
        if (!reader->failed) {
            check_user(reader, config, user);
        }
    }
}
