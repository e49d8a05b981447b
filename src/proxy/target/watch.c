/* The life of a watch: see watch_priv.h. Worker 0's, but for proxy_watch_judges. */
#include "proxy/target/watch_parts_priv.h"

bool proxy_watch_judges(const ProxyServer *server)
{
    return watch_is_wanted(server->worker->config, server->target);
}

/* Whatever the role has set for itself: names in the queries are PostgreSQL's own, a replica takes
 * no SERIALIZABLE, and how long an answer may take is ours to say. */
void proxy_watch_put_params(Buf *params)
{
    static const char *const words[] = {"application_name",
                                        "weir proxy",
                                        "search_path",
                                        "pg_catalog",
                                        "default_transaction_isolation",
                                        "read committed",
                                        "statement_timeout",
                                        "0"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        pg_put_str(params, slice_of(words[i]));
    }
}

void proxy_watch_begin(ProxyServer *server)
{
    ProxyWatch *watch = proxy_server_side(server)->watch;
    loop_timer_stop(&server->timer);
    mem_free(server->scram);
    server->scram = NULL;
    server->state = SERVER_WATCH;
    stream_set_handlers(server->stream, &proxy_watch_handlers, server);
    watch->server = server;
    watch->asking = watch->narrow = watch->narrowed = false;
    proxy_watch_query(server->worker, watch, true);
}

void proxy_watch_refused(ProxyServer *server, const char *reason, const char *message, bool passing)
{
    ProxyWorker *worker = server->worker;
    proxy_watch_down(worker, server->target, reason, message);
    if (server->target != PROXY_TARGET_PRIMARY) {
        proxy_standing_forget(watch_standing(worker, server->target));
    }
    /* It is there, and only cannot be measured: where nobody wants that, it serves. */
    bool serves =
        !passing && worker->config->reads == READS_REPLICAS && worker->config->lag_max_ms == 0;
    proxy_standing_set(worker, server->target, serves, !serves);
}

void proxy_watch_gone(ProxyServer *server)
{
    ProxySide *side = proxy_server_side(server);
    ProxyWatch *watch = side->watch;
    if (side->probe == server) {
        side->probe = NULL;
    }
    if (watch != NULL && watch->server == server) {
        loop_timer_stop(&watch->late);
        watch->server = NULL;
        watch->answered_ms = watch->caught_up_ms = 0;
        watch->retry_at_ms = 0; /* it may only have been this connection */
        proxy_watch_down(server->worker, server->target, "UNREACHABLE",
                         "the connection to it was lost");
    }
}

static void watch_connect(ProxyWorker *worker, size_t target)
{
    ProxySide *side = &worker->sides[target];
    if (side->watch == NULL) {
        side->watch = mem_alloc(sizeof(ProxyWatch));
    }
    int64_t now_ms = loop_now_ms(worker->loop);
    if (now_ms < side->watch->retry_at_ms || worker->config->user_count == 0) {
        return;
    }
    side->watch->retry_at_ms = now_ms + PROXY_PROBE_DOWN_MS;
    side->probe = proxy_server_open(worker, NULL, NULL, target);
    if (side->probe != NULL) {
        side->probe->user = mem_strdup(proxy_config_login_user(worker->config));
    }
}

void proxy_watch_tick(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX && !worker->draining; i++) {
        const ProxySide *side = &worker->sides[i];
        if (!watch_is_wanted(worker->config, i)) {
            continue;
        }
        if (side->probe == NULL) {
            watch_connect(worker, i);
        } else if (side->watch->server != NULL) {
            proxy_watch_query(worker, side->watch, true);
        }
    }
}

static void watch_end(ProxyWorker *worker, size_t target)
{
    ProxySide *side = &worker->sides[target];
    ProxyServer *probe = side->probe;
    if (side->watch != NULL) {
        loop_timer_stop(&side->watch->late);
        mem_free(side->watch);
        side->watch = NULL;
    }
    side->probe = NULL;
    proxy_standing_forget(watch_standing(worker, target));
    atomic_store(&watch_standing(worker, target)->silent, false);
    proxy_standing_set(worker, target, false, false);
    if (probe != NULL && probe->state != SERVER_DRAINING) {
        proxy_server_retire(probe);
    }
}

void proxy_watch_apply(ProxyWorker *worker, const ProxyConfig *old)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_target_outdated(old, worker->config, i) ||
            watch_is_wanted(old, i) != watch_is_wanted(worker->config, i)) {
            watch_end(worker, i);
        }
    }
    proxy_watch_tick(worker);
}

void proxy_watches_end(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        watch_end(worker, i);
    }
}

void proxy_watches_done(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        ProxyWatch *watch = worker->sides[i].watch;
        if (watch != NULL) {
            ASSERT(watch->server == NULL);
            mem_free(watch);
        }
    }
}
