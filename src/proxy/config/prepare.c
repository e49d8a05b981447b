/*
 * Making a configuration ready: what its files hold, what its names stand for, verifiers, TLS
 * contexts, and at last the sockets. It blocks, and so it is for the main thread.
 */
#include <errno.h>
#include <sys/stat.h>

#include "proxy/proxy_priv.h"

#define FILE_BYTES_MAX ((size_t)4 << 20) /* a certificate, a key, a bundle of authorities */

/* ---- files -------------------------------------------------------------------------------------
 */

bool proxy_secret_file_check(const char *path, Err *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return err_set_errno(err, errno, "cannot read %s", path);
    }
    if ((info.st_mode & S_IRWXO) != 0) {
        return err_set(err, ERR_INVALID,
                       "%s holds a secret, and everybody on this machine may open it: chmod o= %s",
                       path, path);
    }
    return true;
}

static bool text_load(const char *path, char **text, Err *err)
{
    Buf buf;
    buf_init(&buf, FILE_BYTES_MAX);
    bool ok = file_read(path, &buf, err);
    if (ok) {
        mem_free(*text);
        *text = mem_strdup(buf_str(&buf));
    }
    buf_done(&buf);
    return ok;
}

/* Without the line's end that editors leave. */
static bool secret_load(const char *path, Secret *secret, Err *err)
{
    CLEANUP(mem_free_ptr) char *text = NULL;
    TRY(proxy_secret_file_check(path, err));
    TRY(text_load(path, &text, err));
    Slice rest = slice_of(text);
    rest.len -= slice_ends(rest, "\n") ? 1 : 0;
    rest.len -= slice_ends(rest, "\r") ? 1 : 0;
    secret_set(secret, rest);
    crypto_wipe(text, strlen(text));
    return true;
}

/* ---- listeners ---------------------------------------------------------------------------------
 */

/* One context per worker avoids OpenSSL's locks. */
static bool listener_load(ProxyListener *listener, uint32_t workers, Err *err)
{
    static const char *const alpn[] = {"postgresql", NULL};
    TRY(listener->cert_file == NULL || text_load(listener->cert_file, &listener->cert_pem, err));
    TRY(listener->key_file == NULL || secret_load(listener->key_file, &listener->key_pem, err));
    TRY(listener->client_ca_file == NULL ||
        text_load(listener->client_ca_file, &listener->client_ca_pem, err));
    if (listener->cert_pem == NULL) {
        return true;
    }
    TlsServerOptions options = {.cert_pem = slice_of(listener->cert_pem),
                                .key_pem = secret_reveal(&listener->key_pem),
                                .client_ca_pem = slice_of(listener->client_ca_pem),
                                .alpn = alpn};
    for (uint32_t i = 0; i < workers; i++) {
        if (!tls_server_context_new(&options, &listener->tls[i], err)) {
            return err_wrap(err, "the certificates of %s:%u", listener->address, listener->port);
        }
    }
    return true;
}

static ProxySocket *socket_find(const ProxyConfig *old, const ProxyListener *listener)
{
    for (size_t i = 0; old != NULL && i < old->listener_count; i++) {
        ProxySocket *socket = old->listeners[i].socket;
        if (socket != NULL && socket->port == listener->port &&
            strcmp(socket->address, listener->address) == 0) {
            return socket;
        }
    }
    return NULL;
}

/* A leaving process keeps what it has, and opens nothing. */
static bool listener_bind(Proxy *proxy, ProxyListener *listener, Err *err)
{
    ProxySocket *socket = socket_find(proxy->config, listener);
    if (socket != NULL) {
        listener->socket = proxy_socket_ref(socket);
        return true;
    }
    if (proxy->peers.leaving) {
        return true;
    }
    NetAddr addr;
    int fd = proxy_socket_inherit(proxy, listener);
    TRY(net_addr_parse(listener->address, listener->port, &addr, err));
    TRY(fd >= 0 || net_listen(&addr, &(NetListenOptions){.speak_first = true}, &fd, err));
    socket = mem_alloc(sizeof(ProxySocket));
    atomic_init(&socket->refs, 1);
    socket->address = mem_strdup(listener->address);
    socket->port = listener->port;
    socket->fd = fd;
    listener->socket = socket;
    return true;
}

/* ---- users -------------------------------------------------------------------------------------
 */

static bool secrets_equal(const Secret *a, const Secret *b)
{
    return secret_is_set(a) ? secret_eq(a, secret_reveal(b)) && secret_is_set(b)
                            : !secret_is_set(b);
}

static bool passwords_equal(const ProxyUser *a, const ProxyUser *b)
{
    return secrets_equal(&a->password, &b->password) && secrets_equal(&a->previous, &b->previous);
}

/* For clients. Passwords that have not changed keep their salt, and cost nothing. Both have the
 * same one, for the client is told before it proves either. */
static void verifiers_make(ProxyUser *user, const ProxyConfig *old)
{
    const ProxyUser *before = old != NULL ? proxy_config_user(old, slice_of(user->name)) : NULL;
    if (before != NULL && !before->verifier_given && before->verifier.iterations > 0 &&
        passwords_equal(before, user)) {
        user->verifier = before->verifier;
        user->previous_verifier = before->previous_verifier;
        return;
    }
    uint8_t bytes[SCRAM_SALT_SIZE];
    random_bytes(bytes, sizeof(bytes));
    Slice salt = slice_from(bytes, sizeof(bytes));
    scram_verifier_make(secret_reveal(&user->password), salt, SCRAM_ITERATIONS, &user->verifier);
    if (secret_is_set(&user->previous)) {
        scram_verifier_make(secret_reveal(&user->previous), salt, SCRAM_ITERATIONS,
                            &user->previous_verifier);
    }
}

static bool user_load(ProxyUser *user, const ProxyConfig *old, Err *err)
{
    TRY(user->password_file == NULL || secret_load(user->password_file, &user->password, err));
    TRY(user->previous_file == NULL || secret_load(user->previous_file, &user->previous, err));
    if (!user->verifier_given && user->cert_name == NULL && !user->iam && !user->md5) {
        verifiers_make(user, old);
    }
    return true;
}

static bool iam_load(ProxyIam *iam, Err *err)
{
    for (size_t i = 0; i < iam->key_count; i++) {
        ProxyIamKey *key = &iam->keys[i];
        TRY(key->secret_file == NULL || secret_load(key->secret_file, &key->secret, err));
    }
    return true;
}

/* ---- targets -----------------------------------------------------------------------------------
 */

static bool target_find(ProxyTarget *target, Err *err)
{
    if (target->host != NULL) {
        return net_addr_resolve(target->host, target->port, &target->addr, err) ||
               err_wrap(err, "the host of the target %s", target->id);
    }
    CLEANUP(mem_free_ptr)
    char *path = mem_printf("%s/.s.PGSQL.%u", target->socket_dir, target->port);
    return net_addr_parse(path, 0, &target->addr, err) ||
           err_wrap(err, "the socket_dir of the target %s", target->id);
}

static bool target_load(ProxyTarget *target, uint32_t workers, Err *err)
{
    if (target->id == NULL) {
        return true;
    }
    TRY(target_find(target, err));
    net_addr_format(&target->addr, target->at);
    TRY(target->ca_file == NULL || text_load(target->ca_file, &target->ca_pem, err));
    static const char *const alpn[] = {"postgresql", NULL};
    TlsClientOptions options = {.unverified = target->ca_pem == NULL};
    if (target->ca_pem != NULL) {
        options.ca_pem = slice_of(target->ca_pem);
    }
    if (target->tls == TARGET_TLS_LINK) {
        options.cert_pem = slice_of(target->cert_pem);
        options.key_pem = secret_reveal(&target->key_pem);
        options.alpn = alpn;
    }
    for (uint32_t i = 0; i < workers && target->tls != TARGET_TLS_DISABLE; i++) {
        if (!tls_client_context_new(&options, &target->contexts[i], err)) {
            return err_wrap(err, "the certificates of the target %s", target->id);
        }
    }
    return true;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

static bool change_possible(const ProxyConfig *old, const ProxyConfig *config, Err *err)
{
    if (old != NULL &&
        (old->relay != config->relay || old->workers != config->workers || old->io != config->io)) {
        return err_set(err, ERR_UNSUPPORTED,
                       "kind, workers and io cannot change while the proxy runs: restart it");
    }
    return true;
}

/* Whether there can be what io asks for by name. */
static bool io_try(const ProxyConfig *config, Err *err)
{
    Loop *loop;
    if (config->io != PROXY_IO_URING) {
        return true;
    }
    TRY(loop_new(&loop, err));
    bool ok = loop_use_uring(loop, err);
    loop_free(loop);
    return ok || err_wrap(err, "io uring (auto would go on with epoll)");
}

bool proxy_config_load(ProxyConfig *config, const ProxyConfig *old, Err *err)
{
    TRY(change_possible(old, config, err));
    TRY(old != NULL || io_try(config, err));
    TRY(target_load(&config->target, config->workers, err) && iam_load(&config->iam, err));
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        TRY(target_load(&config->replicas[i], config->workers, err));
    }
    proxy_config_order_replicas(config, old);
    for (size_t i = 0; i < config->user_count; i++) {
        TRY(user_load(&config->users[i], old, err));
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        TRY(listener_load(&config->listeners[i], config->workers, err));
    }
    return true;
}

bool proxy_config_bind(Proxy *proxy, ProxyConfig *config, Err *err)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        TRY(listener_bind(proxy, &config->listeners[i], err));
    }
    return true;
}
