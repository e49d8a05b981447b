/* See hold_priv.h. */
#include "proxy/meter/traffic_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/server/server_priv.h"

static void hold_tick(void *user);

static ProxyPulse *pulse_of(const ProxyServer *server)
{
    return &server->worker->proxy->pulse;
}

static void hold(ProxyServer *server, ProxyHold kind)
{
    ProxyWorker *worker = server->worker;
    stream_pause(server->stream);
    if (server->hold == kind) {
        return; /* somebody else has made it read again */
    }
    proxy_hold_end(server);
    server->hold = kind;
    server->held_us = time_boot_us();
    list_push_back(&worker->held, &server->held_node);
    atomic_store(&worker->any_held, true);
    if (!loop_timer_armed(&worker->hold_timer)) {
        loop_timer_start(worker->loop, &worker->hold_timer, HOLD_TICK_MS, HOLD_TICK_MS, hold_tick,
                         worker);
    }
    proxy_pulse_want(worker->proxy);
}

void proxy_hold_end(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    if (server->hold == HOLD_NONE) {
        return;
    }
    server->hold = HOLD_NONE;
    list_remove(&worker->held, &server->held_node);
    if (worker->held.len == 0) {
        atomic_store(&worker->any_held, false);
    }
}

static void go_on(ProxyServer *server)
{
    proxy_hold_end(server);
    stream_resume(server->stream);
}

static void give_up(ProxyServer *server, const char *why)
{
    proxy_hold_end(server);
    stream_abort(server->stream);
    proxy_server_lost(server, why);
}

/* ---- successes ---------------------------------------------------------------------------------
 */

void proxy_hold_gate(ProxyServer *server)
{
    if (server->hold != HOLD_GATE) {
        proxy_meter_add(proxy_server_meter(server), STAT_GATED, 1);
    }
    hold(server, HOLD_GATE);
}

static void gate_look(ProxyServer *server)
{
    const ProxyPulse *pulse = pulse_of(server);
    int64_t run = server->defaults.run;
    bool late = time_boot_us() - server->held_us >= HOLD_GATE_MS * US_PER_MS;
    if (proxy_pulse_begun_us(pulse, run) > server->held_us) {
        session_gate_open(&server->exchange);
        go_on(server);
    } else if (late || proxy_pulse_is_of_another(pulse, run) ||
               (atomic_load(&pulse->away) && stream_peer_ended(server->stream))) {
        proxy_meter_add(proxy_server_meter(server), STAT_GATED_LOST, 1);
        give_up(server, "its commit was not seen to reach the standby: a failover may undo it");
    } else {
        proxy_pulse_want(server->worker->proxy);
    }
}

/* ---- the right to answer -----------------------------------------------------------------------
 */

/* One that was not asked whose it is stands for whoever answers. */
static bool has_right(const ProxyServer *server)
{
    if (server->defaults.run == 0) {
        return proxy_pulse_right_us(pulse_of(server)) > 0;
    }
    int64_t begun_us = proxy_pulse_begun_us(pulse_of(server), server->defaults.run);
    return begun_us != 0 && time_boot_us() < begun_us + PULSE_RIGHT_MS * US_PER_MS;
}

static bool may_answer(const ProxyServer *server)
{
    return !server->enforced || server->target != PROXY_TARGET_PRIMARY ||
           server->state == SERVER_DRAINING || has_right(server);
}

bool proxy_hold_may_answer(ProxyServer *server)
{
    bool heard =
        server->client != NULL || server->state == SERVER_LINE || server->state == SERVER_LISTENING;
    if (heard && !may_answer(server)) {
        hold(server, HOLD_RIGHT);
        return false;
    }
    if (server->hold == HOLD_RIGHT) {
        proxy_hold_end(server); /* somebody else has made it read again */
    }
    return true;
}

bool proxy_hold_has_right(const ProxyWorker *worker, size_t target)
{
    return target != PROXY_TARGET_PRIMARY || !worker->config->target.right_enforced ||
           proxy_pulse_right_us(&worker->proxy->pulse) > 0;
}

bool proxy_hold_may_begin(ProxyWorker *worker, size_t target)
{
    if (proxy_hold_has_right(worker, target)) {
        return true;
    }
    atomic_store(&worker->any_refused, true);
    proxy_pulse_want(worker->proxy);
    return false;
}

static void right_look(ProxyServer *server)
{
    const ProxyPulse *pulse = pulse_of(server);
    int64_t run = server->defaults.run;
    int64_t held_us = time_boot_us() - server->held_us;
    bool late = held_us >= HOLD_RIGHT_MS * US_PER_MS;
    bool ended = held_us >= HOLD_WORDS_MS * US_PER_MS && stream_peer_ended(server->stream);
    if (may_answer(server)) {
        go_on(server);
    } else if (late || (run != 0 && proxy_pulse_is_of_another(pulse, run)) || ended) {
        give_up(server, "the primary may not answer any more");
    } else {
        proxy_pulse_want(server->worker->proxy);
    }
}

/* ---- looking -----------------------------------------------------------------------------------
 */

/* Any of them may be gone after any look. */
static void holds_look(ProxyWorker *worker)
{
    for (size_t left = worker->held.len; left > 0 && worker->held.len > 0; left--) {
        ProxyServer *server = CONTAINER_OF(list_first(&worker->held), ProxyServer, held_node);
        list_remove(&worker->held, &server->held_node);
        list_push_back(&worker->held, &server->held_node);
        if (server->hold == HOLD_GATE) {
            gate_look(server);
        } else {
            right_look(server);
        }
    }
}

/* Whoever waited because the primary may not answer. */
static void waiters_look(ProxyWorker *worker)
{
    ListNode *node = list_first(&worker->waiting);
    for (size_t left = worker->waiting.len; left > 0 && node != NULL; left--) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        node = list_next(&worker->waiting, node);
        if (pool->target == PROXY_TARGET_PRIMARY && pool->idle.len > 0) {
            proxy_pool_wake_waiters(pool, true);
        }
    }
}

static void look(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->holds_asked, false);
    holds_look(worker);
    if (atomic_load(&worker->any_refused) && proxy_hold_may_begin(worker, PROXY_TARGET_PRIMARY)) {
        atomic_store(&worker->any_refused, false);
        waiters_look(worker);
    }
}

static void hold_tick(void *user)
{
    ProxyWorker *worker = user;
    holds_look(worker);
    if (worker->held.len == 0) {
        loop_timer_stop(&worker->hold_timer);
    }
}

void proxy_holds_wake(Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        ProxyWorker *worker = &proxy->workers[i];
        bool waits = atomic_load(&worker->any_held) || atomic_load(&worker->any_refused);
        if (waits && !atomic_exchange(&worker->holds_asked, true)) {
            loop_post(worker->loop, look, worker);
        }
    }
}
