/* A configuration as the workers share it: counted, looked things up in, and wiped at its end. */
#include "proxy/config/config_priv.h"

ProxySocket *proxy_socket_ref(ProxySocket *socket)
{
    atomic_fetch_add(&socket->refs, 1);
    return socket;
}

void proxy_socket_unref(ProxySocket *socket)
{
    if (socket != NULL && atomic_fetch_sub(&socket->refs, 1) == 1) {
        fd_close(&socket->fd);
        mem_free(socket->address);
        mem_free(socket);
    }
}

static void listener_done(ProxyListener *listener)
{
    mem_free(listener->address);
    mem_free(listener->cert_file);
    mem_free(listener->key_file);
    mem_free(listener->cert_pem);
    secret_done(&listener->key_pem);
    mem_free(listener->client_ca_file);
    mem_free(listener->client_ca_pem);
    proxy_socket_unref(listener->socket);
    for (size_t i = 0; i < PROXY_WORKERS_MAX; i++) {
        tls_context_free(listener->tls[i]);
    }
}

static void names_done(ProxyNames *names)
{
    for (size_t i = 0; i < names->count; i++) {
        mem_free(names->items[i]);
    }
    mem_free(names->items);
}

static void target_done(ProxyTarget *target)
{
    mem_free(target->id);
    mem_free(target->socket_dir);
    mem_free(target->host);
    mem_free(target->ca_file);
    mem_free(target->ca_pem);
    names_done(&target->deposed);
    mem_free(target->cert_pem);
    secret_done(&target->key_pem);
    mem_free(target->probe_user);
    for (size_t i = 0; i < PROXY_WORKERS_MAX; i++) {
        tls_context_free(target->contexts[i]);
    }
}

static void user_done(ProxyUser *user)
{
    mem_free(user->name);
    mem_free(user->password_file);
    mem_free(user->previous_file);
    mem_free(user->cert_name);
    secret_done(&user->password);
    secret_done(&user->previous);
    crypto_wipe(&user->verifier, sizeof(user->verifier));
    crypto_wipe(&user->previous_verifier, sizeof(user->previous_verifier));
}

static void iam_done(ProxyIam *iam)
{
    mem_free(iam->region);
    names_done(&iam->hosts);
    for (size_t i = 0; i < iam->key_count; i++) {
        mem_free(iam->keys[i].id);
        mem_free(iam->keys[i].secret_file);
        secret_done(&iam->keys[i].secret);
    }
    mem_free(iam->keys);
}

ProxyConfig *proxy_config_ref(ProxyConfig *config)
{
    atomic_fetch_add(&config->refs, 1);
    return config;
}

void proxy_config_unref(ProxyConfig *config)
{
    if (config == NULL || atomic_fetch_sub(&config->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        listener_done(&config->listeners[i]);
    }
    for (size_t i = 0; i < config->user_count; i++) {
        user_done(&config->users[i]);
    }
    mem_free(config->users);
    for (size_t i = 0; i < config->database_count; i++) {
        mem_free(config->databases[i].name);
    }
    mem_free(config->databases);
    mem_free(config->rules);
    iam_done(&config->iam);
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        target_done(&config->replicas[i]);
    }
    target_done(&config->target);
    mem_free(config->init_query);
    mem_free(config->admin_database);
    names_done(&config->relay_reserved);
    names_done(&config->admin_users);
    names_done(&config->stats_users);
    crypto_wipe(config, sizeof(*config));
    mem_free(config);
}

const ProxyUser *proxy_config_user(const ProxyConfig *config, Slice name)
{
    for (size_t i = 0; i < config->user_count; i++) {
        if (config->users[i].name != NULL && slice_is(name, config->users[i].name)) {
            return &config->users[i];
        }
    }
    return NULL;
}

const char *proxy_config_login_user(const ProxyConfig *config)
{
    for (size_t i = 0; i < config->user_count; i++) {
        if (secret_is_set(&config->users[i].password)) {
            return config->users[i].name;
        }
    }
    return config->user_count > 0 ? config->users[0].name : NULL;
}

ProxyLimit proxy_config_user_limit(const ProxyConfig *config, Slice name)
{
    const ProxyUser *user = proxy_config_user(config, name);
    return user != NULL ? user->limit : (ProxyLimit){0};
}

ProxyLimit proxy_config_database_limit(const ProxyConfig *config, Slice name)
{
    for (size_t i = 0; i < config->database_count; i++) {
        if (slice_is(name, config->databases[i].name)) {
            return config->databases[i].limit;
        }
    }
    return (ProxyLimit){0};
}

bool proxy_names_have(const ProxyNames *names, Slice name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (slice_is(name, names->items[i])) {
            return true;
        }
    }
    return false;
}

bool proxy_config_is_admin(const ProxyConfig *config, Slice database)
{
    bool anybody = config->admin_users.count > 0 || config->stats_users.count > 0;
    return anybody && slice_is(database, config->admin_database);
}

const ProxyListener *proxy_config_listener(const ProxyConfig *config, const ProxySocket *socket)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].socket == socket) {
            return &config->listeners[i];
        }
    }
    return NULL;
}

bool proxy_config_admits(const ProxyConfig *config, const NetAddr *peer, uint16_t port)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        const ProxyRule *rule = &config->rules[i];
        if (port >= rule->from_port && port <= rule->to_port && net_cidr_has(&rule->cidr, peer)) {
            return true;
        }
    }
    return !config->rules_given;
}

static bool texts_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool targets_equal(const ProxyTarget *a, const ProxyTarget *b)
{
    return a->addr.len == b->addr.len &&
           memcmp(&a->addr.storage, &b->addr.storage, a->addr.len) == 0 && a->tls == b->tls &&
           texts_equal(a->host, b->host) && texts_equal(a->ca_pem, b->ca_pem) &&
           a->synchronous == b->synchronous && a->right_enforced == b->right_enforced &&
           texts_equal(a->probe_user, b->probe_user);
}

/* ---- targets -----------------------------------------------------------------------------------
 */

const ProxyTarget *proxy_config_target(const ProxyConfig *config, size_t number)
{
    return number == 0 ? &config->target : &config->replicas[number - 1];
}

bool proxy_config_uses(const ProxyConfig *config, size_t number)
{
    bool wanted = number == 0 ? config->reads != READS_REPLICAS : config->reads != READS_PRIMARY;
    return wanted && proxy_config_target(config, number)->id != NULL;
}

size_t proxy_config_target_at(const ProxyConfig *config, const char *at)
{
    size_t number = 0;
    while (number < PROXY_TARGETS_MAX &&
           (!proxy_config_uses(config, number) ||
            strcmp(proxy_config_target(config, number)->at, at) != 0)) {
        number++;
    }
    return number;
}

uint32_t proxy_config_servers_max(const ProxyConfig *config)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        sum += proxy_config_uses(config, i) ? proxy_config_target(config, i)->servers_max : 0;
    }
    return sum;
}

uint32_t proxy_config_servers_idle_max(const ProxyConfig *config)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        sum += proxy_config_uses(config, i) ? proxy_config_target(config, i)->servers_idle_max : 0;
    }
    return sum;
}

static bool replicas_equal(const ProxyTarget *a, const ProxyTarget *b)
{
    return a->id != NULL && texts_equal(a->id, b->id) && targets_equal(a, b);
}

/* The free number of least use: one that `old` has, too, is the last resort. */
static size_t number_free(const ProxyTarget *taken, const ProxyConfig *old)
{
    size_t fallback = PROXY_REPLICAS_MAX;
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        if (taken[i].id != NULL) {
            continue;
        }
        if (old == NULL || old->replicas[i].id == NULL) {
            return i;
        }
        fallback = fallback == PROXY_REPLICAS_MAX ? i : fallback;
    }
    ASSERT(fallback < PROXY_REPLICAS_MAX);
    return fallback;
}

void proxy_config_order_replicas(ProxyConfig *config, const ProxyConfig *old)
{
    ProxyTarget *ordered = mem_alloc(sizeof(config->replicas));
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        for (size_t k = 0; old != NULL && k < PROXY_REPLICAS_MAX; k++) {
            if (replicas_equal(&old->replicas[i], &config->replicas[k])) {
                ordered[i] = config->replicas[k];
                config->replicas[k] = (ProxyTarget){0};
            }
        }
    }
    for (size_t k = 0; k < PROXY_REPLICAS_MAX; k++) {
        if (config->replicas[k].id != NULL) {
            ordered[number_free(ordered, old)] = config->replicas[k];
        }
    }
    memcpy(config->replicas, ordered, sizeof(config->replicas));
    mem_free(ordered);
}

bool proxy_config_target_outdated(const ProxyConfig *old, const ProxyConfig *config, size_t number)
{
    const ProxyTarget *before = proxy_config_target(old, number);
    const ProxyTarget *after = proxy_config_target(config, number);
    bool same = number == 0 ? targets_equal(before, after) : replicas_equal(before, after);
    return !same || proxy_config_uses(old, number) != proxy_config_uses(config, number) ||
           old->reads != config->reads || !texts_equal(old->init_query, config->init_query);
}

/* Where it has both, what the target says counts. */
static bool speaks_for_all(const ProxyConfig *config, size_t number)
{
    return proxy_config_uses(config, number) && (number == 0 || !proxy_config_uses(config, 0));
}

bool proxy_config_outdates(const ProxyConfig *old, const ProxyConfig *config)
{
    bool others = false;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (speaks_for_all(old, i) && !proxy_config_target_outdated(old, config, i)) {
            return false;
        }
        others = others || speaks_for_all(config, i);
    }
    /* While there is no replica, what the last one said lets clients in, who are told that. */
    return others || proxy_config_target_outdated(old, config, 0);
}
