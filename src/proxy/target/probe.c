/*
 * Whether targets live. Those that are watched tell (watch_priv.h); of a primary that is not, those
 * who use it know, and otherwise worker 0 looks.
 */
#include "proxy/server/server_priv.h"

/* A look is a connection as any other: it counts for the budget and for the limits of its user and
 * database. False: it may not be had now. */
static bool probe_take(ProxyWorker *worker, const char *user, Quota **quotas)
{
    Proxy *proxy = worker->proxy;
    const ProxyLimit limits[QUOTA_KINDS] = {
        [QUOTA_USER] = proxy_config_user_limit(worker->config, slice_of(user)),
        [QUOTA_DATABASE] =
            proxy_config_database_limit(worker->config, slice_of(PROXY_PROBE_DATABASE)),
    };
    quotas[QUOTA_USER] = quotas_get(&proxy->quotas, QUOTA_USER, slice_of(user));
    quotas[QUOTA_DATABASE] =
        quotas_get(&proxy->quotas, QUOTA_DATABASE, slice_of(PROXY_PROBE_DATABASE));
    ProxyBudget *budget = &proxy->targets[PROXY_TARGET_PRIMARY].budget;
    bool ok = proxy_budget_take(budget);
    size_t taken = 0;
    while (ok && taken < QUOTA_KINDS) {
        ok = quota_take(&quotas[taken]->servers, limits[taken].servers);
        taken += ok ? 1 : 0;
        if (!ok) {
            proxy_budget_give(budget);
        }
    }
    for (size_t i = 0; i < QUOTA_KINDS && !ok; i++) {
        if (i < taken) {
            quota_give(&quotas[i]->servers);
        }
        quota_unref(quotas[i]);
    }
    return ok;
}

void proxy_probe_give(ProxyServer *server)
{
    for (size_t i = 0; i < QUOTA_KINDS; i++) {
        quota_give(&server->probe_quotas[i]->servers);
        quota_unref(server->probe_quotas[i]);
    }
}

/* Everything is in use: whoever came to rest since the last bad news proves that it lives. */
static bool somebody_answered(const ProxyWorker *worker, int64_t since_ms)
{
    LIST_FOR_EACH (&worker->servers, node) {
        const ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (server->target == PROXY_TARGET_PRIMARY && server->idle_ms > since_ms &&
            (server->state == SERVER_IDLE || server->state == SERVER_LINKED)) {
            return true;
        }
    }
    return false;
}

static void probe(ProxyWorker *worker)
{
    ProxyHealth *health = &worker->proxy->targets[PROXY_TARGET_PRIMARY].health;
    const char *user = worker->config->users[0].name;
    Quota *quotas[QUOTA_KINDS];
    if (!probe_take(worker, user, quotas)) {
        pthread_mutex_lock(&health->lock);
        int64_t since_ms = health->changed_ms;
        pthread_mutex_unlock(&health->lock);
        if (somebody_answered(worker, since_ms)) {
            proxy_health_good(health);
        }
        return;
    }
    ProxyServer *server = proxy_server_open(worker, NULL, NULL, PROXY_TARGET_PRIMARY);
    ASSERT(server != NULL); /* there are more slots than the budgets may have */
    server->user = mem_strdup(user);
    server->budgeted = true;
    memcpy(server->probe_quotas, quotas, sizeof(quotas));
    worker->sides[PROXY_TARGET_PRIMARY].probe = server;
}

static void check_unwatched(ProxyWorker *worker)
{
    ProxyTargetState *target = &worker->proxy->targets[PROXY_TARGET_PRIMARY];
    ProxyHealth *health = &target->health;
    pthread_mutex_lock(&health->lock);
    bool good = health->state == TARGET_AVAILABLE;
    int64_t age_ms = health->seen_ms == 0 ? INT64_MAX : time_mono_ms() - health->seen_ms;
    pthread_mutex_unlock(&health->lock);
    bool in_use = good && atomic_load(&target->budget.open) > 0 && age_ms < INT64_MAX;
    if (worker->sides[PROXY_TARGET_PRIMARY].probe == NULL && !in_use &&
        age_ms >= (good ? PROXY_PROBE_MS : PROXY_PROBE_DOWN_MS)) {
        probe(worker);
    }
}

void proxy_probe_tick(ProxyWorker *worker)
{
    const ProxyConfig *config = worker->config;
    ProxyTargetState *targets = worker->proxy->targets;
    for (size_t i = 0; i < PROXY_TARGETS_MAX && config->user_count == 0; i++) {
        if (proxy_worker_has_target(worker, i)) {
            proxy_health_bad(&targets[i].health, "AUTH_FAILURE",
                             "Proxy does not have any registered credentials");
        }
    }
    if (config->reads == READS_REPLICAS) {
        return;
    }
    if (!proxy_worker_has_target(worker, PROXY_TARGET_PRIMARY)) {
        proxy_health_bad(&targets[PROXY_TARGET_PRIMARY].health, "UNREACHABLE",
                         "No target is registered");
    } else if (config->user_count > 0 && config->reads == READS_PRIMARY) {
        check_unwatched(worker);
    }
}
